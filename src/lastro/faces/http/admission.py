"""Who is at the other end of the socket: the process that connected, as the kernel says (``SO_PEERCRED``).

What always holds: a request whose peer is unknown, or is not one of the admitted users, reaches no operation.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from lastro.app.encoding import encode
from lastro.app.failure import failure_of
from lastro.domain.record import Actor
from lastro.errors import DeniedError
from lastro.messages import N_
from lastro.transport.unix import PeerCredentials, peer_credentials

_STATE: Final = "peer"


class PeerProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which lays the peer's credentials into the state of each request of its connection."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        self.app_state = {**self.app_state, _STATE: peer_credentials(transport.get_extra_info("socket"))}


def actor_of(scope: Scope) -> Actor:
    """The human whose process sent this admitted request."""
    peer: PeerCredentials = scope["state"][_STATE]
    return Actor(kind="human", name=_name_of(peer.uid), uid=peer.uid)


def _name_of(uid: int) -> str:
    import pwd  # noqa: PLC0415  not on every system

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Admission:
    """Middleware: only peers whose uid is in ``admitted`` come through; everybody else gets 403."""

    def __init__(self, application: ASGIApp, admitted: frozenset[int]) -> None:
        self._application = application
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI asks it."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        peer = scope.get("state", {}).get(_STATE)
        if isinstance(peer, PeerCredentials) and peer.uid in self._admitted:
            await self._application(scope, receive, send)
            return
        error = DeniedError(
            N_("This keeper serves another user."),
            hint=N_("Run the command as the user that runs the keeper."),
        )
        response = Response(encode(failure_of(error)), 403, media_type="application/json")
        await response(scope, receive, send)
