"""``Connection``: whole messages to and from one peer that is known. What node and keeper see of a network.

Implementations are made by ``lastro.transport.listen`` and ``dial`` (mutual TLS, and unix sockets).
A text message is a ``str``, a binary one ``bytes``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from lastro.transport.identity import DeviceId
from lastro.transport.unix import PeerCredentials


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end. Over TLS ``device`` and ``certificate`` (DER) are checked; over a unix socket ``credentials`` are."""

    address: str
    """For people and logs: ``host:port``, or the path of the socket."""
    device: DeviceId | None = None
    certificate: bytes = b""
    name: str = ""
    """What the allow-list calls it."""
    credentials: PeerCredentials | None = None


class Connection(Protocol):
    """An open connection. ``send`` may be called by several tasks, ``receive`` by one. Conformance: ``tests/unit/transport``."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end; never changes."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message; waits while the peer reads more slowly than this side writes.

        Raises:
            UnreachableError: the connection is gone; the message may or may not have arrived.
        """
        ...

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            UnreachableError: the connection is gone, closed by either side or cut.
            LimitError: the peer sent a message larger than agreed; the connection is gone.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, telling the peer a WebSocket close ``code`` and a short ``reason``. Never raises; a second call does nothing."""
        ...


Handler = Callable[[Connection], Awaitable[None]]
"""Serves one connection of a listener. When it returns or raises, the connection is closed; cancelled when the listener closes."""
