"""A node seen over a real wire: everything arrives as it is, or the call fails; never half of it as whole."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lastro.capture.local import LocalSource
from lastro.capture.source import ChangedPath, FileBegin, FileData, FileEnd, FileFailed, Root
from lastro.domain.entry import Entry, EntryType
from lastro.errors import NotFoundError, UnreachableError
from lastro.keeper.connection import KeeperLoop, NodeLink
from lastro.keeper.node_source import NodeSource
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.messages import ENCODING_BINARY, ENCODING_TEXT
from tests.memory_source import MemorySource
from tests.wire import CuttingProxy, ServedNode, linked, over_the_wire, threads

MIB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = threads(), set(os.listdir("/proc/self/fd"))
    yield
    assert threads() <= before[0]
    assert len(set(os.listdir("/proc/self/fd")) - before[1]) <= 1  # the listing itself


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return str(tmp_path_factory.mktemp("keys"))


def contents(events):
    """Path → content of what ended well, and path → kind of what failed; everything asked must be in one of them."""
    done, failed, current = {}, {}, bytearray()
    for event in events:
        match event:
            case FileBegin():
                current = bytearray()
            case FileData(offset=offset, data=data):
                current += bytes(offset - len(current)) + data
            case FileEnd(path=path, entry=entry):
                current += bytes(entry.size - len(current))
                done[path] = bytes(current)
            case FileFailed(path=path, kind=kind):
                failed[path] = kind
    return done, failed


def files_of(entries):
    return [entry for entry in entries if entry.type is EntryType.FILE]


SOME = {
    "a": b"",
    "b/small": b"x" * 1000,
    "b/\udcff\udcfe": b"a name that is not UTF-8",
    "b/ação 你好": b"unicode",
    "b/new\nline\x01": b"control",
    "c/large": os.urandom(3 * MIB + 17),
    "d": b"last",
}


@pytest.mark.parametrize("encoding", [None, ENCODING_BINARY, ENCODING_TEXT])
def test_what_is_read_over_the_wire_is_what_is_there(keys, encoding):
    source = MemorySource(SOME)
    with over_the_wire(keys, source, encoding=encoding) as node:
        assert list(node.roots()) == source.roots()
        listed = list(node.list(source.root))
        assert listed == source.entries()
        assert contents(node.fetch(source.root, files_of(listed))) == (SOME, {})


def test_real_files_with_hard_names(keys, tmp_path):
    root = str(tmp_path / "root")
    os.makedirs(root + "/d")
    for name, content in ((b"\xff\xfe", b"1"), ("ç".encode(), b"22"), (b"@", b"")):
        with open(os.path.join(root.encode(), b"d", name), "wb") as file:
            file.write(content)
    local = LocalSource([Root(path=root)])
    for encoding in (ENCODING_BINARY, ENCODING_TEXT):
        with over_the_wire(keys, local, encoding=encoding, watch=False) as node:
            listed = list(node.list(root))
            assert listed == list(local.list(root))
            there = contents(local.fetch(root, files_of(listed)))
            assert contents(node.fetch(root, files_of(listed))) == there
            assert len(there[0]) == 3


def test_a_file_that_is_gone_fails_alone(keys):
    source = MemorySource({"a": b"1", "b": b"2"})
    asked = [Entry(path=path, type=EntryType.FILE) for path in ("a", "gone", "b")]
    for encoding in (ENCODING_BINARY, ENCODING_TEXT):
        with over_the_wire(keys, source, encoding=encoding) as node:
            assert contents(node.fetch(source.root, asked)) == ({"a": b"1", "b": b"2"}, {"gone": "vanished"})


def test_an_unknown_root_is_not_found(keys):
    with over_the_wire(keys, MemorySource({})) as node:
        with pytest.raises(NotFoundError):
            list(node.list("/elsewhere"))
        with pytest.raises(NotFoundError):
            list(node.fetch("/elsewhere", [Entry(path="a", type=EntryType.FILE)]))
        assert [entry.path for entry in node.list("/memory")] == [""]


def test_more_paths_than_fit_a_command_are_answered_once_each(keys):
    source = MemorySource({f"d{number % 7}/{number:04}": b"%d" % number for number in range(300)})
    limits = Limits(command_paths=16, part_items=8)
    with over_the_wire(keys, source, limits=limits) as node:
        asked = [entry.path for entry in source.entries()]
        for recursive in (False, True):
            answered = [entry.path for entry in node.list(source.root, asked, recursive=recursive)]
            assert sorted(answered) == sorted(asked)
        done, failed = contents(node.fetch(source.root, files_of(source.entries())))
        assert done == source.files and not failed


def test_a_large_file_streams(keys):
    size = 200 * MIB
    source = MemorySource({"large": (size, os.urandom(256 * 1024))})
    with over_the_wire(keys, source) as node:
        ahead = received = 0
        for event in node.fetch(source.root, files_of(source.entries())):
            if isinstance(event, FileData):
                received += len(event.data)
                ahead = max(ahead, source.produced - received)
        assert received == size and isinstance(event, FileEnd)
        assert ahead <= 3 * DEFAULT_LIMITS.window_bytes


@pytest.mark.parametrize("size", [32 * MIB, 100_000])
def test_a_slow_reader_holds_the_node_back(keys, size):
    """Until the keeper has taken bytes over, the node reads no more than the window lets out."""
    source = MemorySource({f"{number:03}": os.urandom(size) for number in range(32 * MIB // size)})
    with over_the_wire(keys, source) as node:
        fetching = node.fetch(source.root, files_of(source.entries()))
        next(fetching)
        _wait_until_still(lambda: source.produced)
        # A stream (or two, of small files), the frame that waits for room, and what the part of it is made of.
        assert source.produced <= 2 * DEFAULT_LIMITS.window_bytes + 2 * MIB
        fetching.close()
        _wait_for(lambda: source.closed_early)
        assert len(list(node.list(source.root))) == len(source.entries())


def test_a_slow_reader_holds_a_listing_back(keys):
    source = MemorySource({f"{number:06}": b"" for number in range(60_000)})
    with over_the_wire(keys, source, limits=Limits(window_bytes=4 * MIB)) as node:
        listing = node.list(source.root)
        next(listing)
        _wait_until_still(lambda: source.listed)
        assert source.listed < 40_000
        assert sum(1 for _ in listing) == 60_000


CUT = {f"{number:03}": b"%d" % number * 50 for number in range(200)} | {"zlarge": os.urandom(2 * MIB)}


@pytest.fixture(scope="module")
def whole_session(keys):
    """How many bytes the node sends for a listing and a fetch of everything, handshakes included."""
    source = MemorySource(CUT)
    with (
        ServedNode(keys, source) as node,
        CuttingProxy(node.port) as proxy,
        linked(node, port=proxy.port) as link,
    ):
        seen = NodeSource(link)
        list(seen.list(source.root))
        for _ in seen.fetch(source.root, files_of(source.entries())):
            pass
        return proxy.passed


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(share=st.floats(0, 0.99))
def test_a_wire_that_is_cut_anywhere_never_delivers_a_part_as_the_whole(keys, whole_session, share):
    source = MemorySource(CUT)
    expected, entries, events = source.entries(), [], []

    def read_everything(seen):
        entries.extend(seen.list(source.root))
        assert entries == expected
        events.extend(seen.fetch(source.root, files_of(expected)))

    with (
        ServedNode(keys, source) as node,
        CuttingProxy(node.port, int(whole_session * share)) as proxy,
        linked(node, port=proxy.port, retry_s=30) as link,
    ):
        seen = NodeSource(link, connect_timeout_s=0.1)
        with pytest.raises(UnreachableError):
            read_everything(seen)
    ended, failed = contents(events)
    assert entries == expected[: len(entries)]
    assert not failed
    assert all(CUT[path] == content for path, content in ended.items())


def test_a_cut_wakes_whoever_waits_for_changes_and_what_was_not_told_is_told_later(keys):
    source = MemorySource({})
    with ServedNode(keys, source) as node, linked(node) as link:
        seen = NodeSource(link)
        cursor = seen.changes(None, 0).cursor
        source.change("first")
        told = seen.changes(cursor, 5)
        assert told.paths == (ChangedPath(root=source.root, path="first"),)
        stopping = threading.Timer(0.2, node.stop)
        stopping.start()
        with pytest.raises(UnreachableError):
            _until_it_fails(lambda: seen.changes(told.cursor, 5))
        stopping.join()
        source.change("second")
        node.start()
        link.wait_connected(5)
        assert seen.changes(told.cursor, 5).paths == (ChangedPath(root=source.root, path="second"),)
        assert seen.changes(cursor, 5).paths == tuple(
            ChangedPath(root=source.root, path=path) for path in ("first", "second")
        )


def test_a_cursor_that_the_node_does_not_know_is_an_overflow(keys):
    source = MemorySource({})
    with over_the_wire(keys, source) as node:
        told, roots_changed, cursor = set(), False, 10**15
        while not told or not roots_changed:
            changes = node.changes(cursor, 5)
            told, roots_changed, cursor = (
                told | set(changes.overflow),
                roots_changed or changes.roots_changed,
                changes.cursor,
            )
        assert told == {source.root}
        assert cursor == source.changes(None, 0).cursor


def test_a_node_without_a_feed_says_overflow(keys):
    with over_the_wire(keys, MemorySource({}), watch=False) as node:
        assert node.changes(1, 0).overflow == ("/memory",)


def test_the_link_comes_back_by_itself(keys):
    source = MemorySource({"a": b"1"})
    events = []
    with ServedNode(keys, source) as node, linked(node, on_event=events.append) as link:
        seen = NodeSource(link)
        for _ in range(3):
            link.wait_connected(5)
            assert [entry.path for entry in seen.list(source.root)] == ["", "a"]
            node.stop()
            with pytest.raises(UnreachableError):
                NodeSource(link, connect_timeout_s=0.05).roots()
            node.start()
        link.wait_connected(5)
    kinds = [event.kind for event in events]
    assert kinds.count("connected") == 4
    assert all(event.error is not None for event in events if event.kind == "disconnected")


def test_closing_the_link_ends_what_waits_on_it(keys):
    source = MemorySource({"a": b"1"})
    failed = []
    with ServedNode(keys, source) as node, linked(node) as link:
        seen = NodeSource(link)
        cursor = seen.changes(None, 0).cursor

        def wait():
            try:
                seen.changes(cursor, 30)
            except UnreachableError as error:
                failed.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        link.close()
        waiting.join(5)
        assert failed


def test_a_link_ends_although_a_failure_swallowed_its_cancellation():
    """As ``asyncio.TaskGroup`` does when a member fails in the instant in which the group is cancelled (Python 3.11)."""
    dialling = threading.Event()

    async def dial():
        dialling.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if dialling.is_set():
                dialling.clear()
                raise UnreachableError("cut") from None
            raise

    with KeeperLoop() as loop:
        link = NodeLink(loop, dial, address="node", delay_s=lambda _: 60.0)
        link.start()
        dialling.wait(10)
        closing = threading.Thread(target=link.close, daemon=True)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()


def _until_it_fails(ask):
    while True:
        assert not ask().paths


def _wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _wait_until_still(value):
    """Until ``value`` has not changed for a while: whoever could make it grow is waiting."""
    before, since = value(), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.02)
        if (now := value()) != before:
            before, since = now, time.monotonic()
