"""Loopback ports inside a jail that lead to unix sockets: coding tools speak TCP, and all that a jail has to the outside are two sockets.

What always holds: a side that reads slowly holds back the other (at most ``_HELD`` bytes wait for each direction); a side that ends its
half ends the other's half; the number of connections is bounded, and more wait to be accepted. Only the standard library is imported.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MOST: Final = 256
_PIECE: Final = 65_536
_HELD: Final = 4 * _PIECE
_BACKLOG: Final = 128

Ready = Callable[[int], None]
"""What is registered with the selector: called with the events of its file."""


class Forwarder:
    """Listens on ``port`` of the loopback, and connects to the unix socket ``path`` for every client. Driven by ``selector``.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, selector: selectors.BaseSelector, port: int, path: bytes) -> None:
        self._selector = selector
        self._path = path
        self._open = 0
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", port))
            self._listener.listen(_BACKLOG)
        except OSError:
            self._listener.close()
            raise
        self._listener.settimeout(0)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self, _events: int) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError:
            return
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.settimeout(5)
            server.connect(self._path)
        except OSError:  # the gateway is away: a client learns it as from any server that is down
            server.close()
            client.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open += 1
        if self._open == _MOST:
            self._selector.unregister(self._listener)
        _Pair(self._selector, client, server, self._ended)

    def _ended(self) -> None:
        self._open -= 1
        if self._open == _MOST - 1:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)


class _Pair:
    """Two connected sockets, each the other's echo."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        client: socket.socket,
        server: socket.socket,
        ended: Callable[[], None],
    ) -> None:
        self._selector = selector
        self._ended = ended
        self._sides = (_Side(client), _Side(server))
        for side in self._sides:
            side.socket.settimeout(0)
        self._watch()

    def _watch(self) -> None:
        """Ask for what can go on; close both when nothing can."""
        one, other = self._sides
        if one.finished and other.finished:
            self._close()
            return
        for side, peer in ((one, other), (other, one)):
            events = 0
            if side.reading and len(peer.waiting) < _HELD:
                events |= selectors.EVENT_READ
            if side.waiting:
                events |= selectors.EVENT_WRITE
            self._ask(side, peer, events)

    def _ask(self, side: _Side, peer: _Side, events: int) -> None:
        if events == side.events:
            return
        if not side.events:
            self._selector.register(
                side.socket, events, lambda ready, side=side, peer=peer: self._go_on(side, peer, ready)
            )
        elif events:
            key = self._selector.get_key(side.socket)
            self._selector.modify(side.socket, events, key.data)
        else:
            self._selector.unregister(side.socket)
        side.events = events

    def _go_on(self, side: _Side, peer: _Side, ready: int) -> None:
        try:
            if ready & selectors.EVENT_READ:
                data = side.socket.recv(_PIECE)
                peer.waiting += data
                if not data:
                    side.reading = False
            if ready & selectors.EVENT_WRITE and side.waiting:
                del side.waiting[: side.socket.send(side.waiting[:_PIECE])]
            for this, that in ((side, peer), (peer, side)):
                if not this.reading and not that.waiting and not that.finished:
                    that.finished = True
                    that.socket.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()
            return
        self._watch()

    def _close(self) -> None:
        for side in self._sides:
            if side.events:
                self._selector.unregister(side.socket)
                side.events = 0
            with suppress(OSError):
                side.socket.close()
        self._ended()


class _Side:
    """One socket: what waits to be written to it, whether it may still say something, and whether all that it will be told is told."""

    __slots__ = ("events", "finished", "reading", "socket", "waiting")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.waiting = bytearray()
        self.reading = True
        self.finished = False
        self.events = 0
