"""Serves one run on its ``memory.sock``: operations only, no events, no description of the API.

The peer is an agent, which may do anything to the socket. What always holds: it takes at most ``CONNECTIONS`` connections and ``AT_ONCE``
threads of the keeper, none of them shared with anybody else; a request larger than ``LARGEST_BODY`` is not read; one that does not come to
its end is cut off; what is wrong with a request is said to the peer, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from lastro.app.encoding import encode
from lastro.app.events import Event
from lastro.app.failure import failure_of
from lastro.errors import DeniedError
from lastro.faces.http.admission import PeerProtocol
from lastro.faces.http.application import JSON, Face, KeeperServices, Table, exceptional
from lastro.faces.serving import QuietServer
from lastro.messages import N_

CONNECTIONS: Final = 16
AT_ONCE: Final = 2
LARGEST_BODY: Final = 1024 * 1024
HEAD_S: Final = 10.0
"""How long a peer may take for a request, from its connection or its last answer on."""

_GRACE_S: Final = 1
_QUIET: Final = logging.getLogger("lastro.http.run")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class _RunProtocol(PeerProtocol):
    """One connection of a run."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        self.logger = _QUIET
        super().connection_made(transport)
        self._patience: asyncio.TimerHandle | None = None
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._patience = self.loop.call_later(HEAD_S, self._cut_off)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _cut_off(self) -> None:
        """Cut off a connection on which nothing is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            self.transport.abort()
            return
        self._patience = self.loop.call_later(HEAD_S, self._cut_off)


class _NoEvents:
    """A feed without events: a run hears of nothing that happens elsewhere."""

    def replay(self, after: int) -> tuple[Event, ...]:
        """See ``EventFeed``."""
        del after
        return ()

    def subscribe(self, deliver: Any) -> Any:
        """See ``EventFeed``."""
        del deliver
        return lambda: None


async def serve_run(
    listener: socket.socket, *, services: KeeperServices, table: Table, stop: asyncio.Event
) -> None:
    """Serve until ``stop`` is set, then close within a second. ``listener`` is closed at the end; its file stays the caller's.

    Who may connect is a matter of the socket's place and mode alone. ``services`` says on whose behalf, whoever the peer is.
    """
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="run")
    face = Face(
        services=services,
        feed=_NoEvents(),
        table=table,
        threads=threads,
        stopping=stop,
        largest_body=LARGEST_BODY,
    )
    server = QuietServer(
        uvicorn.Config(
            _application(face),
            http=_RunProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(HEAD_S),
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    ending = asyncio.create_task(server.end(stop))
    try:
        await server.serve([listener])
    finally:
        ending.cancel()
        listener.close()
        threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, threads.shutdown)  # never in the way of others


def _application(face: Face) -> Starlette:
    return Starlette(
        routes=[
            Route("/api/v1/{name}", face.operate, methods=["POST"]),
            Route(
                "/{rest:path}", _refuse, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
            ),
        ],
        exception_handlers=exceptional(),
    )


async def _refuse(_request: Request) -> Response:
    error = DeniedError(
        N_("Only operations can be asked here, by POST to /api/v1/NAME."),
        hint=N_("Inside a run: lastro log, cat, find, diff, restore. A human decides on the rest."),
    )
    return Response(encode(failure_of(error)), 403, media_type=JSON)
