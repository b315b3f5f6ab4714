"""``Outbox``: frames on their way out of one connection, in order, without holding up whoever reads from it.

A reader that waited for its own writes could wait for a peer that waits for it in turn. So frames are put here and one task sends them.
What always holds: order; and a reader that asks for ``room`` before it takes the next frame never lets more than ``limit`` bytes (and one
answer) pile up for a peer that does not read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from lastro.transport.connection import Connection


class Outbox:
    """What is to be sent over ``connection``; ``limit`` in bytes. Not for several threads."""

    def __init__(self, connection: Connection, *, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._frames: deque[str | bytes] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()

    def put(self, frames: Iterable[str | bytes]) -> None:
        """Send these after everything that was put before."""
        for frame in frames:
            self._frames.append(frame)
            self._waiting += len(frame)
            self._filled.set()
        if self._waiting > self._limit:
            self._roomy.clear()

    async def room(self) -> None:
        """Wait until less than ``limit`` bytes wait to be sent."""
        await self._roomy.wait()

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            UnreachableError: the connection is gone.
        """
        while True:
            await self._filled.wait()
            await self.drain()

    async def drain(self) -> None:
        """Send what waits now; not while ``run`` runs.

        Raises:
            UnreachableError: the connection is gone.
        """
        while self._frames:
            frame = self._frames.popleft()
            await self._connection.send(frame)
            self._waiting -= len(frame)
            if self._waiting <= self._limit:
                self._roomy.set()
        self._filled.clear()
