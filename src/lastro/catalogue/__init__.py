"""The keeper's databases: the catalogue, which is made of the log, and what else lies in tables."""
