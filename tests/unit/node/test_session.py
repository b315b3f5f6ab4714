"""A node's session against keepers of every kind: those that follow the protocol, those that do not, and those that vanish."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from contextlib import suppress

import pytest

from lastro.capture.source import ChangedPath
from lastro.errors import LimitError, ProtocolError, UnreachableError
from lastro.node.session import serve_source
from lastro.node.streams import wire_change
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.transport.dial import dial_unix
from lastro.transport.listen import listen_unix
from lastro.transport.unix import bind_owner_only
from tests.memory_source import MemorySource
from tests.wire import threads

MIB = 1 << 20


class RawKeeper:
    """A keeper that says what it wants, over a unix socket."""

    def __init__(self, path, source, limits=DEFAULT_LIMITS, **options):
        self.path = path
        self.source = source
        self.limits = limits
        self.options = options
        self.failures = []

    async def __aenter__(self):
        before = threads()
        self.threads_before = before

        async def serve(connection):
            self.serving = asyncio.current_task()
            try:
                await serve_source(
                    connection,
                    self.source,
                    node_id="node",
                    name="n",
                    version="0",
                    limits=self.limits,
                    **self.options,
                )
            except ProtocolError as error:
                self.failures.append(error)

        self.listener = await listen_unix(
            bind_owner_only(self.path), handler=serve, max_message=self.limits.message_bytes
        )
        self.connection = await dial_unix(self.path, max_message=self.limits.message_bytes)
        self.hello = await self.receive()
        return self

    async def __aexit__(self, *_):
        await self.connection.close()
        await self.listener.close()

    def cut(self):
        """As when the machine loses its power."""
        self.connection._library.transport.abort()  # noqa: SLF001  nothing else does that

    async def say(self, **message):
        await self.connection.send(json.dumps(message))

    async def receive(self):
        frame = await asyncio.wait_for(self.connection.receive(), 10)
        return json.loads(frame) if isinstance(frame, str) else frame


def talk(tmp_path, conversation, source=None, limits=DEFAULT_LIMITS, **options):
    """Run ``conversation`` with a raw keeper; afterwards no thread of the session is left. Returns what the node complained of."""
    before = threads()

    async def run():
        async with RawKeeper(
            str(tmp_path / "node.sock"), source or MemorySource({}), limits, **options
        ) as keeper:
            await conversation(keeper)
        return keeper.failures

    failures = asyncio.run(run())
    assert threads() <= before
    return failures


def test_hello_comes_first_and_says_what_the_node_holds(tmp_path):
    async def conversation(keeper):
        assert keeper.hello["event"] == "hello"
        assert keeper.hello["protocol"] == ["lastro.v1"]
        assert keeper.hello["limits"]["window_bytes"] == DEFAULT_LIMITS.window_bytes
        assert "watch" in keeper.hello["capabilities"] and keeper.hello["cursor"] == 0
        await keeper.say(cmd="ping", id="1")
        assert await keeper.receive() == {"event": "result", "id": "1", "pong": True}

    assert not talk(tmp_path, conversation)


def test_without_a_feed_nothing_can_be_watched(tmp_path):
    async def conversation(keeper):
        assert "watch" not in keeper.hello["capabilities"]
        await keeper.say(cmd="watch", id="1")
        assert (await keeper.receive())["event"] == "error"

    assert not talk(tmp_path, conversation, watch=False)


def test_changes_are_pushed_until_the_watch_is_cancelled(tmp_path):
    source = MemorySource({})

    async def conversation(keeper):
        await keeper.say(cmd="watch", id="w")
        assert await keeper.receive() == {"event": "result", "id": "w", "cursor": 0}
        source.change("a")
        told = await keeper.receive()
        assert (told["event"], told["cursor"]) == ("changed", 1)
        assert told["paths"] == [{"watch_root": "/memory", "rel_path": "a"}]
        await keeper.say(cmd="cancel", id="c", target="w")
        assert (await keeper.receive())["cancelled"]
        source.change("b")
        await asyncio.sleep(0.2)
        await keeper.say(cmd="ping", id="p")
        assert (await keeper.receive())["id"] == "p"

    assert not talk(tmp_path, conversation, source)


def test_a_second_watch_takes_the_place_of_the_first(tmp_path):
    source = MemorySource({})
    source.change("before")

    async def conversation(keeper):
        await keeper.say(cmd="watch", id="1")
        await keeper.receive()
        await keeper.say(cmd="watch", id="2", cursor=0)
        assert await keeper.receive() == {"event": "result", "id": "2", "cursor": 0}
        assert [path["rel_path"] for path in (await keeper.receive())["paths"]] == ["before"]
        source.change("after")
        assert [path["rel_path"] for path in (await keeper.receive())["paths"]] == ["after"]
        await asyncio.sleep(0.7)
        await keeper.say(cmd="ping", id="p")
        assert (await keeper.receive())["id"] == "p"

    assert not talk(tmp_path, conversation, source)


def test_an_overflow_is_told_whole_or_asked_for_again(tmp_path):
    """A step with an overflow and paths comes in two events; only the second moves the cursor."""

    class Overflowing(MemorySource):
        def changes(self, cursor, timeout_s):
            told = super().changes(cursor, timeout_s)
            if cursor is None or not told.paths:
                return told
            return type(told)(cursor=told.cursor, paths=told.paths, overflow=("/memory",))

    source = Overflowing({})

    async def conversation(keeper):
        await keeper.say(cmd="watch", id="1")
        await keeper.receive()
        source.change("a")
        first, second = await keeper.receive(), await keeper.receive()
        assert (first["event"], first["cursor"]) == ("changed", 0)
        assert (second["event"], second["cursor"]) == ("overflow", 1)

    assert not talk(tmp_path, conversation, source)


def test_nothing_is_sent_beyond_the_window_until_it_is_acknowledged(tmp_path):
    limits = Limits(
        window_bytes=256 * 1024,
        message_bytes=128 * 1024,
        part_bytes=64 * 1024,
        entry_bytes=32 * 1024,
        path_bytes=4096,
    )
    source = MemorySource({"a": os.urandom(4 * MIB)})

    async def conversation(keeper):
        await keeper.say(cmd="fetch", id="f", root="/memory", path="a", encoding="zstd+binary")
        start = await keeper.receive()
        assert start["event"] == "start" and start["size"] == 4 * MIB
        taken = 0
        with suppress(TimeoutError):
            while True:
                taken += len(await asyncio.wait_for(keeper.connection.receive(), 0.3))
        assert 0 < taken <= limits.window_bytes
        assert source.produced <= limits.window_bytes + 2 * 256 * 1024
        frames = 0
        await keeper.say(cmd="ack", id="f", bytes=taken)
        while isinstance(frame := await keeper.receive(), bytes):
            frames += 1
            await keeper.say(cmd="ack", id="f", bytes=len(frame))
        assert frame["event"] == "done" and frame["size"] == 4 * MIB

    assert not talk(tmp_path, conversation, source, limits)


def test_a_stream_that_is_cancelled_stops_reading_and_frees_its_place(tmp_path):
    source = MemorySource({f"{number:02}": os.urandom(MIB) for number in range(64)})

    async def conversation(keeper):
        for round_ in range(6):  # more than there are places
            fetch, cancel = f"f{round_}", f"c{round_}"
            paths = list(source.files)
            await keeper.say(cmd="fetch", id=fetch, root="/memory", paths=paths, encoding="zstd+binary")
            await keeper.say(cmd="cancel", id=cancel, target=fetch)
            seen = []
            while len(seen) < 2:
                frame = await keeper.receive()
                if isinstance(frame, dict) and frame["event"] != "start":
                    seen.append((frame["id"], frame.get("code")))
            assert seen == [(fetch, "cancelled"), (cancel, None)]
        assert source.closed_early == 6

    assert not talk(tmp_path, conversation, source)


@pytest.mark.parametrize("message", ["", "[]", "{", '{"id": 1}', b"binary", '{"cmd": "ping"}', "[" * 10_000])
def test_a_keeper_that_breaks_the_protocol_is_cut_with_a_code(tmp_path, message):
    async def conversation(keeper):
        await keeper.connection.send(message)
        with pytest.raises(UnreachableError) as raised:
            await keeper.receive()
        assert str(raised.value.parameters["reason"]).startswith("44")

    assert len(talk(tmp_path, conversation)) == 1


def test_a_message_that_is_too_large_is_cut(tmp_path):
    async def conversation(keeper):
        with suppress(UnreachableError):
            await keeper.connection.send("x" * (3 * MIB))
        with pytest.raises(UnreachableError):
            await keeper.receive()

    assert isinstance(talk(tmp_path, conversation)[0], LimitError)


def test_a_keeper_that_never_reads_does_not_fill_the_node(tmp_path):
    """Answers pile up only so far; then the node reads no more of what that keeper says."""
    source = MemorySource({})

    async def conversation(keeper):
        sent = 0
        with suppress(TimeoutError):
            while sent < 200_000:
                async with asyncio.timeout(0.5):
                    await keeper.say(cmd="no-such-command-" + "x" * 200, id=f"{sent:064}")
                sent += 1
        assert sent < 200_000
        keeper.cut()

    assert not talk(tmp_path, conversation, source)


def test_a_keeper_that_vanishes_leaves_nothing_behind(tmp_path):
    reading = threading.Event()
    source = MemorySource({"a": (1 << 40, os.urandom(256 * 1024))}, before_read=lambda _: reading.set())

    async def conversation(keeper):
        await keeper.say(cmd="watch", id="w")
        await keeper.say(cmd="fetch", id="f", root="/memory", path="a", encoding="zstd+binary")
        await asyncio.to_thread(reading.wait, 10)
        keeper.cut()
        await asyncio.wait_for(asyncio.gather(keeper.serving, return_exceptions=True), 10)
        assert source.closed_early == 1

    assert not talk(tmp_path, conversation, source)


def test_a_session_that_is_cancelled_while_it_ends_waits_for_its_threads_all_the_same(tmp_path):
    class SlowToClose:
        def __init__(self, connection):
            self.peer, self.send, self.receive = connection.peer, connection.send, connection.receive

        async def close(self, *_):
            await asyncio.sleep(0.1)

    before = threads()

    async def conversation(keeper):
        serving = asyncio.create_task(
            serve_source(
                SlowToClose(keeper.connection), MemorySource({}), node_id="node", name="n", version="0"
            )
        )
        await asyncio.sleep(0.05)
        keeper.cut()
        for _ in range(3):
            await asyncio.sleep(0.02)
            serving.cancel()
        await asyncio.gather(keeper.serving, serving, return_exceptions=True)
        assert serving.cancelled()
        assert not {name for name in threads() - before if name.startswith("lastro-source")}

    talk(tmp_path, conversation)


def test_a_node_that_stops_says_goodbye(tmp_path):
    async def conversation(keeper):
        keeper.serving.cancel()
        assert await keeper.receive() == {"event": "goodbye", "reason": "stopping"}
        with pytest.raises(UnreachableError) as raised:
            await keeper.receive()
        assert str(raised.value.parameters["reason"]).startswith("1001")

    assert not talk(tmp_path, conversation)


def test_a_source_that_fails_unexpectedly_ends_the_session_and_says_so(tmp_path):
    class Broken(MemorySource):
        def list(self, *_, **__):
            raise ZeroDivisionError

    before = threads()

    async def run():
        path, failures = str(tmp_path / "node.sock"), []

        async def serve(connection):
            try:
                await serve_source(connection, Broken({}), node_id="node", name="n", version="0")
            except ZeroDivisionError as error:
                failures.append(error)

        listener = await listen_unix(bind_owner_only(path), handler=serve, max_message=MIB)
        connection = await dial_unix(path, max_message=4 * MIB)
        await connection.receive()
        await connection.send(json.dumps({"cmd": "tree-dump", "id": "1", "root": "/memory"}))
        with suppress(UnreachableError):
            while True:
                await connection.receive()
        await listener.close()
        return failures

    assert len(asyncio.run(run())) == 1
    assert threads() <= before


def test_the_nouns_of_changes_survive_the_way():
    change = ChangedPath(root="/r", path="p\udcff", recursive=True)
    assert (wire_change(change).root, wire_change(change).path, wire_change(change).recursive) == (
        "/r",
        "p\udcff",
        True,
    )
