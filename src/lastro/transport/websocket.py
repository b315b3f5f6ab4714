"""A WebSocket as a ``Connection``, and what both of its ends are set to (``docs/protocol.md``, Transport). See ``listen`` and ``dial``.

What always holds: compression is off, a message is never larger than agreed, closing never waits for a peer that does not read, and nothing
is printed or logged (the library's own logger is silenced; what matters is raised).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.connection import Connection as LibraryConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from lastro.errors import LastroError, LimitError, UnreachableError
from lastro.messages import N_
from lastro.protocol.messages import SUBPROTOCOL
from lastro.transport.connection import Peer

SESSION_PATH: Final = "/v1"
PAIRING_PATH: Final = "/v1/pair"
PING_INTERVAL_S: Final = 20.0
"""Both sides ping; a peer that leaves a ping unanswered for as long is gone."""
OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0

_SILENT: Final = logging.getLogger("lastro.transport.websockets")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

SETTINGS: Final[dict[str, Any]] = {
    "subprotocols": [Subprotocol(SUBPROTOCOL)],
    "compression": None,
    "open_timeout": OPEN_TIMEOUT_S,
    "ping_interval": PING_INTERVAL_S,
    "ping_timeout": PING_INTERVAL_S,
    "close_timeout": CLOSE_TIMEOUT_S,
    "max_queue": (8, 2),  # high and low water of what was received and not taken yet
    "write_limit": 256 * 1024,
    "logger": _SILENT,
}
"""The same for who listens and who dials."""


class WebSocketConnection:
    """``Connection`` over one of the library's connections."""

    def __init__(self, library: LibraryConnection, peer: Peer) -> None:
        self._library = library
        self._peer = peer

    @property
    def peer(self) -> Peer:
        """See ``Connection``."""
        return self._peer

    async def send(self, message: str | bytes) -> None:
        """See ``Connection``."""
        try:
            await self._library.send(message)
        except ConnectionClosed as error:
            raise self._gone(error) from error

    async def receive(self) -> str | bytes:
        """See ``Connection``."""
        try:
            return await self._library.recv()
        except ConnectionClosed as error:
            raise self._gone(error) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See ``Connection``."""
        # The library aborts a transport that the other end has closed already, and asyncio's then knows no loop any more (AttributeError).
        with suppress(ConnectionClosed, OSError, AttributeError):
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._library.close(code, reason)
            except TimeoutError:  # a peer that does not read would hold the library until its ping is due
                self._library.transport.abort()

    def _gone(self, error: ConnectionClosed) -> LastroError:
        # 1009 sent by this side is its own refusal of too large a message.
        if (
            error.sent is not None
            and error.sent.code == CloseCode.MESSAGE_TOO_BIG
            and not error.rcvd_then_sent
        ):
            return LimitError(
                N_("{address} sent a message that is larger than agreed."), address=self._peer.address
            )
        frame = error.rcvd
        reason = f"{frame.code} {frame.reason}".strip() if frame is not None else ""
        return UnreachableError(
            N_("The connection to {address} is gone. {reason}"), address=self._peer.address, reason=reason
        )


def certificate_of(connection: LibraryConnection) -> bytes:
    """The peer's certificate (DER); empty without TLS, or when the peer showed none."""
    handshake = connection.transport.get_extra_info("ssl_object")
    return (handshake.getpeercert(binary_form=True) or b"") if handshake is not None else b""
