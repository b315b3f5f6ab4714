"""Benchmarks. ``make bench`` runs them all and prints one table; nothing here asserts a timing."""
