"""What every face that serves HTTP inside another process does the same way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn
from typing_extensions import override

END_S: Final = 10.0
"""How long threads are waited for that work for readers who have been let go."""


class QuietServer(uvicorn.Server):
    """uvicorn, without its signal handlers: the process it is in has its own."""

    async def end(self, stop: asyncio.Event) -> None:
        """End serving once ``stop`` is set."""
        await stop.wait()
        self.should_exit = True

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def worker_threads(most: int, name: str) -> AsyncIterator[ThreadPoolExecutor]:
    """Threads that end with the context. The loop goes on meanwhile: one of them may wait for something on it."""
    threads = ThreadPoolExecutor(most, thread_name_prefix=name)
    try:
        yield threads
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(threads.shutdown, cancel_futures=True), END_S)
