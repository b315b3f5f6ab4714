"""A console and its API on a real TCP socket of this machine, in a thread of the test."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from datetime import UTC

from lastro.app.event_feed import EventFeed
from lastro.app.visiting import Visit
from lastro.faces.console.server import serve
from lastro.faces.http.remote import remote_api
from lastro.transport.address import bind_tcp
from tests.console_kit import COOKIE


@contextmanager
def served_console(services, door, *, feed=None):
    """Serve while the context lasts; its URL."""
    listener = bind_tcp("127.0.0.1", 0, option="none")
    if feed is None:
        feed = EventFeed()
        feed.attach(services)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serving():
        await serve(
            listener,
            api=remote_api,
            feed=feed,
            door=door,
            visit=lambda principal: Visit(services, services.jobs, principal),
            names=(),
            cookie=COOKIE,
            zone=lambda: UTC,
            stop=stop,
        )

    port = listener.getsockname()[1]
    thread = threading.Thread(target=lambda: loop.run_until_complete(serving()))
    thread.start()
    try:
        yield f"http://localhost:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
