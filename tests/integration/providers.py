"""Scripted providers for tests of whole processes: their event loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.upstreams import Received, ScriptedUpstream, Turn, scripted_upstream


@contextmanager
def provider(
    script: Sequence[Turn] | Callable[[Received], Turn], *, port: int = 0
) -> Iterator[ScriptedUpstream]:
    """A provider while the context lasts."""
    started: list[ScriptedUpstream] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with scripted_upstream(script, port=port) as upstream:
            started.append(upstream)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
