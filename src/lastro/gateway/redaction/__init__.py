"""Secrets taken out of what leaves to a provider, and put back in the tool calls that come home."""
