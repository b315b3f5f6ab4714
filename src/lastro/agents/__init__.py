"""Agents under a safety net: a run's view of a project, its jail, its steps, and what it really changed."""
