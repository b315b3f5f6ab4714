"""Notices to a supervisor over a real socket: one that answers, and slow, dead and hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time

import pytest

from lastro.gateway import stepping
from lastro.gateway.keys import GatewayKey
from lastro.gateway.stepping import SupervisorSteps
from lastro.transport.unix import bind_owner_only


def key_for(path, number=1):
    return GatewayKey(id=f"key-{number}", name="run", digest="", run=f"run-{number}", steps=str(path))


@contextlib.asynccontextmanager
async def supervisor(path, serve):
    """A supervisor; ``serve(reader, writer)`` is called for each connection."""
    tasks = []

    async def accept(reader, writer):
        tasks.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(accept, sock=bind_owner_only(str(path)))
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def steps():
    made = SupervisorSteps(clock_ns=lambda: 77)
    try:
        yield made
    finally:
        made.close()


def test_each_notice_is_told_on_one_connection_and_answered(tmp_path):
    heard, connections = [], []

    async def serve(reader, writer):
        connections.append(1)
        while line := await reader.readline():
            heard.append(json.loads(line))
            writer.write(
                json.dumps({"v": 1, "exchange": heard[-1]["exchange"], "more": True}).encode() + b"\n"
            )

    async def tell():
        key = key_for(tmp_path / "s.sock")
        async with supervisor(tmp_path / "s.sock", serve):
            with steps() as told:
                for step in range(5):
                    assert await told.notice(key, f"x-{step}", step) is True
                assert (
                    await asyncio.gather(*(told.notice(key, f"x-{step}", step) for step in range(5, 9)))
                    == [True] * 4
                )

    asyncio.run(tell())
    assert connections == [1]
    assert heard[3] == {"v": 1, "run": "run-1", "key": "key-1", "exchange": "x-3", "step": 3, "time_ns": 77}
    assert [notice["step"] for notice in heard] == list(range(9))


def test_a_key_without_a_supervisor_has_none():
    async def tell():
        with steps() as told:
            return await told.notice(GatewayKey(id="key-1", name="", digest=""), "x-1", 1)

    assert asyncio.run(tell()) is None


def test_a_dead_supervisor_costs_nothing_and_one_that_comes_back_is_found(tmp_path):
    path = tmp_path / "s.sock"

    async def once(reader, writer):
        line = json.loads(await reader.readline())
        writer.write(json.dumps({"exchange": line["exchange"]}).encode() + b"\n")
        await writer.drain()

    async def tell():
        with steps() as told:
            assert await told.notice(key_for(path), "x-0", 0) is False
            bind_owner_only(str(path)).close()  # its file is left
            assert await told.notice(key_for(path), "x-1", 1) is False
            async with supervisor(path, once):  # closes after each answer
                for step in (2, 3, 4):
                    assert await told.notice(key_for(path), f"x-{step}", step) is True
                    await asyncio.sleep(0.01)
            assert await told.notice(key_for(path), "x-5", 5) is False

    asyncio.run(tell())


def _silent(_line):
    return b""


def _garbage(_line):
    return b"\xff\x00 nonsense\n"


def _endless(_line):
    return b"x" * 1_000_000


def _others(_line):
    return b'{"v":1,"exchange":"x-of-somebody-else"}\n' * 10_000


@pytest.mark.parametrize("answer", [_silent, _garbage, _endless, _others])
def test_a_bad_supervisor_fails_no_call_and_holds_it_for_a_moment_only(tmp_path, answer):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(answer(line))
            await writer.drain()

    async def tell():
        async with supervisor(tmp_path / "s.sock", serve):
            with steps() as told:
                started = time.monotonic()
                together = [told.notice(key_for(tmp_path / "s.sock"), f"x-{step}", step) for step in range(4)]
                assert await asyncio.gather(*together) == [False] * 4
                return time.monotonic() - started

    assert asyncio.run(tell()) < 5  # a hang would last for ever


def test_a_late_answer_is_not_taken_for_the_next_one(tmp_path):
    """The supervisor needs longer than the notice waits, each time; so no notice is ever answered."""

    async def serve(reader, writer):
        while line := await reader.readline():
            await asyncio.sleep(stepping.WAIT_S * 1.5)
            writer.write(json.dumps({"exchange": json.loads(line)["exchange"]}).encode() + b"\n")
            await writer.drain()

    async def tell():
        async with supervisor(tmp_path / "s.sock", serve):
            with steps() as told:
                return [
                    await told.notice(key_for(tmp_path / "s.sock"), f"x-{step}", step) for step in range(4)
                ]

    assert asyncio.run(tell()) == [False] * 4


def test_a_supervisor_that_overruns_loses_its_connection(tmp_path):
    connections = []

    async def serve(reader, _writer):
        connections.append(1)
        await reader.read()

    async def tell():
        async with supervisor(tmp_path / "s.sock", serve):
            with steps() as told:
                for step in range(3):
                    assert await told.notice(key_for(tmp_path / "s.sock"), f"x-{step}", step) is False

    asyncio.run(tell())
    assert len(connections) == 3


def test_a_slow_run_does_not_hold_up_another(tmp_path):
    async def silent(reader, _writer):
        await reader.read()

    async def prompt(reader, writer):
        while line := await reader.readline():
            writer.write(json.dumps({"exchange": json.loads(line)["exchange"]}).encode() + b"\n")

    async def tell():
        async with supervisor(tmp_path / "a.sock", silent), supervisor(tmp_path / "b.sock", prompt):
            with steps() as told:
                slow = asyncio.ensure_future(told.notice(key_for(tmp_path / "a.sock", 1), "x-1", 1))
                await asyncio.sleep(0)
                assert await told.notice(key_for(tmp_path / "b.sock", 2), "x-2", 1) is True
                assert not slow.done()
                assert await slow is False

    asyncio.run(tell())


def test_connections_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(stepping, "MOST_CONNECTIONS", 4)
    open_now = []

    async def serve(reader, writer):
        open_now.append(writer)
        while line := await reader.readline():
            writer.write(json.dumps({"exchange": json.loads(line)["exchange"]}).encode() + b"\n")
        open_now.remove(writer)

    async def tell():
        async with supervisor(tmp_path / "s.sock", serve):
            with steps() as told:
                for number in range(12):
                    assert await told.notice(key_for(tmp_path / "s.sock", number), "x", 0) is True
                await asyncio.sleep(0.05)
                assert len(open_now) <= 4

    asyncio.run(tell())


def test_another_users_socket_is_told_nothing(tmp_path, monkeypatch):
    heard = []

    async def serve(reader, _writer):
        heard.append(await reader.read())

    async def tell():
        async with supervisor(tmp_path / "s.sock", serve):
            monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
            monkeypatch.setattr(stepping, "may_listen_for", lambda listener, own: listener == own)
            with steps() as told:
                assert await told.notice(key_for(tmp_path / "s.sock"), "x-1", 1) is False
            await asyncio.sleep(0.02)

    asyncio.run(tell())
    assert b"".join(heard) == b""


@pytest.mark.parametrize("kind", ["file", "link", "directory", "pipe", "long", "nul"])
def test_what_is_no_socket_is_no_supervisor(tmp_path, kind):
    path = tmp_path / "s.sock"
    if kind == "file":
        path.write_bytes(b"x")
    elif kind == "link":
        path.symlink_to(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "long":
        path = f"{tmp_path}/{'s' * 200}"
    else:
        path = f"{tmp_path}/a\0b"
    with steps() as told:
        assert asyncio.run(told.notice(key_for(path), "x-1", 1)) is False
