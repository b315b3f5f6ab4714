"""Lastro keeps every state of a server, shows any version of it, and brings any of it back.

This file imports nothing: whatever it imports, every command pays for at start-up.
"""

__version__ = "0.1.0.dev0"
