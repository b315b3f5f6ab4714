"""Cutting content into chunks, and naming chunks by their bytes. Shared by the node and the store; no input or output happens here."""
