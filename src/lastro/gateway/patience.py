"""``PieceReader``: takes an answer's pieces one by one, also with a limit of time after which it may simply be asked again.

What always holds: no piece is lost by a wait that ended early; after ``aclose`` nothing reads any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress


class PieceReader:
    """Reads ``pieces``; from one task at a time."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._reading: asyncio.Task[bytes | None] | None = None

    async def next(self) -> bytes | None:
        """The next piece; ``None`` at the end."""
        if self._reading is None:
            return await anext(self._pieces, None)
        reading = self._reading
        try:
            return await asyncio.shield(reading)
        finally:
            if reading.done():
                self._reading = None

    async def next_within(self, seconds: float) -> bytes | None:
        """As ``next``.

        Raises:
            TimeoutError: nothing came for so long; what comes later is not lost.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._take())
        done, _ = await asyncio.wait((self._reading,), timeout=seconds)
        if not done:
            raise TimeoutError
        reading, self._reading = self._reading, None
        return reading.result()

    async def aclose(self) -> None:
        """Stop reading."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.exception()  # nobody waits for it any more; taken, so that it is not reported as forgotten
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            with suppress(
                RuntimeError
            ):  # it is being read by a task that was cancelled together with this one
                await close()

    async def _take(self) -> bytes | None:
        return await anext(self._pieces, None)
