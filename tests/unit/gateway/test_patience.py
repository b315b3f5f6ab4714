"""``PieceReader``: no piece is lost, however often a wait ends early."""

from __future__ import annotations

import asyncio

import pytest

from lastro.gateway.patience import PieceReader


async def numbered(count, pause_s):
    for number in range(count):
        await asyncio.sleep(pause_s)
        yield b"%d" % number


def test_a_wait_that_ends_early_loses_nothing():
    async def play():
        reader, taken = PieceReader(numbered(6, 0.02)), []
        for turn in range(3):
            with pytest.raises(TimeoutError):
                await reader.next_within(0.001)
            taken.append(await reader.next())
            taken.append(await reader.next_within(5) if turn % 2 else await reader.next())
        assert await reader.next() is None
        await reader.aclose()
        return taken

    assert asyncio.run(play()) == [b"%d" % number for number in range(6)]


def test_closing_ends_the_reading():
    closed = []

    async def endless():
        try:
            await asyncio.sleep(60)
            yield b""
        finally:
            closed.append(True)

    async def play():
        reader = PieceReader(endless())
        with pytest.raises(TimeoutError):
            await reader.next_within(0.001)
        await reader.aclose()
        assert closed
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())
