"""Serves the console and the API on a TCP socket that is bound already, in the event loop of the keeper."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import tzinfo
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from lastro.app.door import Door
from lastro.app.event_feed import EventFeed
from lastro.app.permissions import Principal
from lastro.app.visiting import Visit
from lastro.faces.console import guard
from lastro.faces.console.application import Console, Settings
from lastro.faces.console.bounds import BACKLOG, BoundedListener, PatientProtocol
from lastro.faces.console.pages import ALL
from lastro.faces.serving import QuietServer, worker_threads

THREADS: Final = 16
GRACE_S: Final = 3
_HEAD_S: Final = 30


async def serve(
    listener: socket.socket,
    *,
    api: Callable[..., ASGIApp],
    feed: EventFeed,
    door: Door,
    visit: Callable[[Principal | None], Visit],
    names: tuple[str, ...],
    cookie: str,
    zone: Callable[[], tzinfo],
    stop: asyncio.Event,
    context: ssl.SSLContext | None = None,
) -> None:
    """Serve until ``stop`` is set; then let requests in flight finish (``GRACE_S`` seconds), and close ``listener``.

    ``api`` makes what answers below ``/api/`` (``faces.http.remote.remote_api``); ``visit`` asks for operations in somebody's name;
    ``names``: host names beside this machine's loopback; ``cookie``: the name of the session's.
    """
    settings = Settings(names=names, tls=context is not None, cookie=cookie)
    # A program that waits keeps no page waiting.
    async with worker_threads(THREADS, "console") as threads, worker_threads(THREADS, "api") as waiting:
        console = Console(ways=ALL, door=door, visit=visit, threads=threads, settings=settings, zone=zone)
        below = api(
            door=door,
            visit=visit,
            feed=feed,
            threads=waiting,
            stopping=stop,
            cookie=cookie,
            hosts=lambda header: guard.allowed_host(header, names),
        )
        config = uvicorn.Config(
            _Both(console.application(), below),
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_HEAD_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
        )
        server = QuietServer(config)
        if context is not None:
            config.load()
            config.ssl = context
        ending = asyncio.create_task(server.end(stop))
        bounded = BoundedListener(listener)
        try:
            await server.serve([bounded])
        finally:
            ending.cancel()
            bounded.close()


class _Both:
    """The API below ``/api/``, pages everywhere else."""

    def __init__(self, pages: ASGIApp, api: ASGIApp) -> None:
        self._pages, self._api = pages, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI asks it."""
        below = scope["type"] == "http" and str(scope["path"]).startswith("/api/")
        await (self._api if below else self._pages)(scope, receive, send)
