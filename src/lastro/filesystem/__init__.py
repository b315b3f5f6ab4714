"""Byte-faithful, descriptor-safe access to local file systems. Every change made to a disk anywhere in Lastro goes through ``System``."""
