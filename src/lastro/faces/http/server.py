"""Serves the API on sockets that are bound already, in the event loop of the keeper."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import uvicorn

from lastro.app import operation as operations
from lastro.faces.http.admission import Admission, PeerProtocol
from lastro.faces.http.application import Face, KeeperServices, Table, application
from lastro.faces.http.events import EventFeed
from lastro.faces.serving import QuietServer, worker_threads

THREADS: Final = 16
GRACE_S: Final = 10


async def serve(
    listeners: Sequence[socket.socket],
    *,
    services: KeeperServices,
    feed: EventFeed,
    stop: asyncio.Event,
    admitted: frozenset[int],
    table: Table = operations,
) -> None:
    """Serve until ``stop`` is set; then end event streams, let requests in flight finish (``GRACE_S`` seconds), and close.

    ``listeners`` are bound unix sockets (``transport.unix.bind_owner_only``), closed at the end; their files stay the caller's.
    ``admitted`` are the user ids that may ask anything: the keeper's own and root.
    """
    async with worker_threads(THREADS, "http") as threads:
        face = Face(services=services, feed=feed, table=table, threads=threads, stopping=stop)
        server = QuietServer(
            uvicorn.Config(
                Admission(application(face), admitted),
                http=PeerProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        ending = asyncio.create_task(server.end(stop))
        try:
            await server.serve(list(listeners))
        finally:
            ending.cancel()
