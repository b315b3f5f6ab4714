"""The operations, by group. Each module ends with its ``OPERATIONS``."""
