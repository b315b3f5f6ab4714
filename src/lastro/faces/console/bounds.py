"""What strangers can take of the keeper's process before they showed who they are: so many connections, for so long.

What always holds: at most ``MOST`` connections are open at once, ``MOST_OF_ONE`` of them from one address, whatever they send or do not
send; a request that did not arrive whole in ``ARRIVES_S`` seconds ends its connection. Files that the keeper wants to open are never
refused because somebody holds connections to the console.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Any, Final

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST: Final = 256
"""Connections: a process may often have no more than 1024 files open."""
MOST_OF_ONE: Final = 128
"""Of one address: whoever comes by a tunnel or a proxy shares it."""
ARRIVES_S: Final = 60.0
"""How long a request may take to arrive, from its connection's first moment or the answer before it."""
BACKLOG: Final = 64

_LATE: Final = frozenset({h11.IDLE, h11.SEND_BODY})


class BoundedListener(socket.socket):
    """A listening socket that closes at once what comes beyond the bounds. Connections count from the kernel on, before any TLS."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self._open: list[tuple[str, weakref.ref[socket.socket]]] = []

    @override
    def accept(self) -> tuple[socket.socket, Any]:
        while True:
            connection, address = super().accept()
            self._open = [(one, found) for one, found in self._open if _is_open(found())]
            of_one = sum(1 for one, _ in self._open if one == address[0])
            if len(self._open) < MOST and of_one < MOST_OF_ONE:
                self._open.append((address[0], weakref.ref(connection)))
                return connection, address
            connection.close()


def _is_open(connection: socket.socket | None) -> bool:
    return connection is not None and connection.fileno() >= 0


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that waits for a request no longer than ``ARRIVES_S``, however slowly it comes."""

    _late: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in _LATE:
            self._wait_no_longer()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._late is None and self.conn.their_state in _LATE:
            self._wait()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_longer()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(ARRIVES_S, self.transport.abort)

    def _wait_no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
