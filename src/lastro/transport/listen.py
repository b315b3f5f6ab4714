"""Listeners: for pinned peers over TLS, for a keeper that wants to pair, and on a unix socket (``docs/protocol.md``, Transport).

What always holds: before the first byte above TLS is answered, the peer's certificate itself was compared with the allow-list as it is now.
"""

from __future__ import annotations

import http
import socket
import ssl
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from lastro.transport.address import join_address
from lastro.transport.connection import Handler, Peer
from lastro.transport.identity import device_id
from lastro.transport.unix import peer_credentials
from lastro.transport.websocket import (
    OPEN_TIMEOUT_S,
    PAIRING_PATH,
    SESSION_PATH,
    SETTINGS,
    WebSocketConnection,
    certificate_of,
)

Admit = Callable[[bytes], str | None]
"""Given a peer's certificate (DER): its name on the allow-list, or ``None`` when it is not there."""


class Listener:
    """An open listener, made by ``listen_tls``, ``listen_pairing`` or ``listen_unix``."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the first socket is bound to."""
        name = next(iter(self._server.sockets)).getsockname()
        return str(name[0]), int(name[1])

    async def close(self) -> None:
        """Stop listening, close every connection (1001) and wait until every handler has ended. A second call does nothing."""
        self._server.close()
        await self._server.wait_closed()


async def listen_tls(
    listener: socket.socket, context: ssl.SSLContext, *, admit: Admit, handler: Handler, max_message: int
) -> Listener:
    """Listen for pinned peers on a bound socket, which the listener owns from now on. ``max_message``: bytes.

    ``context`` is of ``tls.server_context`` or ``tls.changing_server_context``; ``admit`` is asked again after each handshake.
    """

    def identify(connection: ServerConnection) -> Peer | None:
        certificate = certificate_of(connection)
        name = admit(certificate) if certificate else None
        if name is None:
            return None
        return Peer(
            address=_address_text(connection.remote_address),
            device=device_id(certificate),
            certificate=certificate,
            name=name,
        )

    return await _listen(
        listener, context, SESSION_PATH, identify=identify, handler=handler, max_message=max_message
    )


async def listen_pairing(
    listener: socket.socket, context: ssl.SSLContext, *, handler: Handler, max_message: int
) -> Listener:
    """Listen for a keeper that wants to pair: its peers have no certificate and are nobody yet."""

    def identify(connection: ServerConnection) -> Peer:
        return Peer(address=_address_text(connection.remote_address))

    return await _listen(
        listener, context, PAIRING_PATH, identify=identify, handler=handler, max_message=max_message
    )


async def listen_unix(listener: socket.socket, *, handler: Handler, max_message: int) -> Listener:
    """Listen on a socket of ``unix.bind_owner_only``. Peers carry the kernel's word on who they are."""

    def identify(connection: ServerConnection) -> Peer:
        connected = connection.transport.get_extra_info("socket")
        return Peer(address=str(listener_name), credentials=peer_credentials(connected))

    listener_name = listener.getsockname()
    return await _listen(
        listener, None, SESSION_PATH, identify=identify, handler=handler, max_message=max_message
    )


async def _listen(
    listener: socket.socket,
    context: ssl.SSLContext | None,
    path: str,
    *,
    identify: Callable[[ServerConnection], Peer | None],
    handler: Handler,
    max_message: int,
) -> Listener:
    def admit(connection: ServerConnection, request: Request) -> Response | None:
        if request.path != path:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "Not found.\n")
        peer = identify(connection)
        if peer is None:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "Not on the allow-list.\n")
        peers[connection] = peer
        return None

    async def handle(connection: ServerConnection) -> None:
        await handler(WebSocketConnection(connection, peers.pop(connection)))

    peers: dict[ServerConnection, Peer] = {}
    handshake: dict[str, Any] = {"ssl_handshake_timeout": OPEN_TIMEOUT_S} if context is not None else {}
    server = await serve(
        handle,
        sock=listener,
        ssl=context,
        process_request=admit,
        server_header=None,
        max_size=max_message,
        **SETTINGS,
        **handshake,
    )
    return Listener(server)


def _address_text(name: Any) -> str:
    return join_address(str(name[0]), int(name[1])) if isinstance(name, tuple) else str(name)
