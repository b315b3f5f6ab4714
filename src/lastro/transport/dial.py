"""Dialling: a node over pinned TLS, a node that pairs, a keeper's unix socket (``docs/protocol.md``, Transport).

What always holds: before the first byte above TLS is sent, the peer's certificate itself was compared with what was expected. Proxies of
the environment are not used. A failure says what it means: nobody there, another machine there, or not let in.
"""

from __future__ import annotations

import hmac
import http
import ssl
from collections.abc import Callable
from typing import Any

from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus

from lastro.errors import DeniedError, LastroError, ProtocolError, UnreachableError
from lastro.messages import N_
from lastro.transport.address import split_address
from lastro.transport.connection import Connection, Peer
from lastro.transport.identity import device_id
from lastro.transport.unix import connect_owner, peer_credentials
from lastro.transport.websocket import (
    PAIRING_PATH,
    SESSION_PATH,
    SETTINGS,
    WebSocketConnection,
    certificate_of,
)


async def dial_tls(
    address: str, context: ssl.SSLContext, *, certificate: bytes, max_message: int
) -> Connection:
    """Connect to the node at ``address`` (``host:port``) that has ``certificate`` (DER), with a context of ``tls.client_context``.

    Raises:
        UnreachableError: nobody answers there.
        DeniedError: another machine answers there, or this machine is not on the node's allow-list.
        ProtocolError: what answers there does not speak this protocol.
    """

    def identify(connection: ClientConnection) -> Peer:
        found = certificate_of(connection)
        if not hmac.compare_digest(found, certificate):
            raise _another_machine(address)
        return Peer(address=address, device=device_id(found), certificate=found)

    return await _dial(address, context, SESSION_PATH, identify, max_message)


async def dial_pairing(address: str, context: ssl.SSLContext, *, device: str, max_message: int) -> Connection:
    """Connect to the pairing listener at ``address``, whose certificate must have this device id. Nothing is sent before that is known.

    Raises: as ``dial_tls``.
    """

    def identify(connection: ClientConnection) -> Peer:
        found = certificate_of(connection)
        if not hmac.compare_digest(device_id(found).encode(), device.encode()):
            raise _another_machine(address)
        return Peer(address=address, device=device_id(found), certificate=found)

    return await _dial(address, context, PAIRING_PATH, identify, max_message)


async def dial_unix(path: str, *, max_message: int) -> Connection:
    """Connect to the unix socket at ``path``.

    Raises:
        UnreachableError: nobody answers there.
        ProtocolError: what answers there does not speak this protocol.
    """
    connected = connect_owner(path)

    def identify(_connection: ClientConnection) -> Peer:
        return Peer(address=path, credentials=peer_credentials(connected))

    return await _open(path, identify, max_message, f"ws://lastro{SESSION_PATH}", {"sock": connected})


class _CheckedClient(ClientConnection):
    """Refuses a wrong peer before the WebSocket handshake sends its first byte."""

    identify: Callable[[ClientConnection], Peer]
    peer: Peer
    is_known = False
    """Whether the peer has proved over TLS to be the one that was expected."""

    @override
    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        self.peer = self.identify(self)
        self.is_known = self.peer.device is not None
        await super().handshake(*args, **kwargs)


async def _dial(
    address: str,
    context: ssl.SSLContext,
    path: str,
    identify: Callable[[ClientConnection], Peer],
    max_message: int,
) -> Connection:
    host, port = split_address(address)
    where = {"ssl": context, "server_hostname": "lastro", "host": host, "port": port}
    return await _open(address, identify, max_message, f"wss://lastro{path}", where)


async def _open(
    address: str,
    identify: Callable[[ClientConnection], Peer],
    max_message: int,
    uri: str,
    where: dict[str, Any],
) -> Connection:
    opened: list[_CheckedClient] = []

    def make(*args: Any, **kwargs: Any) -> _CheckedClient:
        connection = _CheckedClient(*args, **kwargs)
        connection.identify = identify
        opened.append(connection)
        return connection

    try:
        connection = await connect(
            uri,
            user_agent_header=None,
            proxy=None,
            max_size=max_message,
            create_connection=make,  # type: ignore[arg-type]
            **SETTINGS,
            **where,
        )
    except (OSError, InvalidHandshake, EOFError) as error:
        lost = opened[-1].connection_exc if opened else None
        raise _meaning(address, error, lost, known=bool(opened) and opened[-1].is_known) from error
    return WebSocketConnection(connection, opened[-1].peer)


def _meaning(address: str, error: Exception, lost: BaseException | None, *, known: bool) -> LastroError:
    """What a failed dial means, from its error, from what ended the connection (``lost``), and whether the peer was the expected one.

    TLS 1.3 lets a client finish its handshake before the server has looked at its certificate: a node that closes, or sends an alert, right
    after the handshake has refused it.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _another_machine(address)
    forbidden = isinstance(error, InvalidStatus) and error.response.status_code == http.HTTPStatus.FORBIDDEN
    ended = isinstance(error, InvalidMessage | ConnectionError | EOFError) or isinstance(lost, ssl.SSLError)
    if forbidden or (known and ended):
        return DeniedError(
            N_("The node at {address} does not let this machine in: your device id is not on its list."),
            hint=N_(
                "Pair again: run lastro node pair on the server, and lastro server add with the token it prints."
            ),
            address=address,
        )
    if isinstance(error, InvalidHandshake | ssl.SSLError):
        return ProtocolError(
            N_("What answers at {address} is not a node of Lastro, or of another version: {reason}"),
            address=address,
            reason=str(error),
        )
    reason = (
        "no answer in time"
        if isinstance(error, TimeoutError)
        else getattr(error, "strerror", None) or str(error)
    )
    return UnreachableError(
        N_("Nobody answers at {address}: {reason}"),
        hint=N_("Is the node running there, and does a firewall let this machine through?"),
        address=address,
        reason=reason,
    )


def _another_machine(address: str) -> DeniedError:
    return DeniedError(
        N_("The machine at {address} is not the node that was expected: it has another certificate."),
        hint=N_("If the node was installed anew, pair it again. Otherwise somebody may stand in between."),
        address=address,
    )
