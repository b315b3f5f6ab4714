"""A protected server, as its records say."""

from __future__ import annotations

from msgspec import Struct

from lastro.domain.ids import ServerId


class Server(Struct, frozen=True, kw_only=True):
    """A server: its random id, the name people type, and the device ids of its nodes with the addresses where they listen."""

    id: ServerId
    name: str
    device: str = ""
    address: str = ""
    """``host:port`` of its node, empty for a server without one."""
