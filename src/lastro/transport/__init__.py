"""Bytes between two machines that know each other: identities, pairing, pinned TLS, WebSocket, unix sockets. Shared by node and keeper."""
