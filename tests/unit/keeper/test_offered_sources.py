"""A process offers its own files over the keeper's socket, as a node does."""

from __future__ import annotations

import os
import threading
import time

import pytest

from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.errors import UnreachableError
from lastro.keeper.connection import KeeperLoop
from lastro.keeper.node_source import accept_sources
from lastro.node.offer import offer_source
from lastro.transport.unix import bind_owner_only
from tests.memory_source import MemorySource
from tests.wire import threads


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = threads(), set(os.listdir("/proc/self/fd"))
    yield
    assert threads() <= before[0]
    assert len(set(os.listdir("/proc/self/fd")) - before[1]) <= 1


class Keeper:
    """Accepts sources and lists each of them whole, while it is told to wait."""

    def __init__(self, path, admit=lambda _: True):
        self.path = path
        self.admit = admit
        self.seen = []
        self.failures = []
        self.listed = threading.Event()
        self.leave = threading.Event()

    def __enter__(self):
        self.loop = KeeperLoop()
        self.loop.__enter__()
        self.offered = accept_sources(self.loop, bind_owner_only(self.path), self.take, admit=self.admit)
        return self

    def __exit__(self, *_):
        self.leave.set()
        self.offered.close()
        self.loop.__exit__()

    def take(self, source, credentials, hello):
        try:
            (root,) = source.roots()
            entries = list(source.list(root.path))
            overflow = source.changes(None, 0), source.changes(1, 0).overflow
            self.seen.append((credentials, hello, [entry.path for entry in entries], overflow[1]))
            self.listed.set()
            self.leave.wait(10)
            source.roots()
        except UnreachableError as error:
            self.failures.append(error)


def offer(path, source):
    return offer_source(path, source, source_id="run-1", name="project", version="0")


def test_what_is_offered_is_seen_until_the_block_ends(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "file").write_text("content")
    root = str(tmp_path / "project")
    with Keeper(str(tmp_path / "source.sock")) as keeper:
        with offer(keeper.path, LocalSource([Root(path=root)])):
            assert keeper.listed.wait(10)
        ((credentials, hello, paths, overflow),) = keeper.seen
        assert (credentials.process, credentials.uid) == (os.getpid(), os.getuid())
        assert (hello.node_id, hello.name) == ("run-1", "project")
        assert paths == ["", "file"] and overflow == (root,)
    assert len(keeper.failures) == 1  # it asked again after the process had gone


def test_several_offer_at_the_same_time(tmp_path):
    with Keeper(str(tmp_path / "source.sock")) as keeper:
        offers = [offer(keeper.path, MemorySource({str(number): b""})) for number in range(4)]
        for each in offers:
            each.__enter__()
        while len(keeper.seen) < 4:
            keeper.listed.wait(0.01)
        for each in offers:
            each.__exit__(None, None, None)
        assert sorted(paths for _, _, paths, _ in keeper.seen) == [["", str(number)] for number in range(4)]


def test_who_is_not_admitted_is_cut(tmp_path):
    asked = []
    with Keeper(str(tmp_path / "source.sock"), admit=asked.append) as keeper:
        with offer(keeper.path, MemorySource({})):
            while not asked:
                pass
        assert not keeper.seen and asked[0].uid == os.getuid()


def test_without_a_keeper_it_says_so(tmp_path):
    with pytest.raises(UnreachableError), offer(str(tmp_path / "source.sock"), MemorySource({})):
        pass


def test_a_keeper_that_stops_ends_what_is_offered(tmp_path):
    keeper = Keeper(str(tmp_path / "source.sock"))
    with keeper:
        offering = offer(keeper.path, MemorySource({}))
        offering.__enter__()
        assert keeper.listed.wait(10)
    offering.__exit__(None, None, None)


def test_a_keeper_that_has_seen_enough_ends_the_session(tmp_path):
    with Keeper(str(tmp_path / "source.sock")) as keeper:
        keeper.leave.set()
        offering = offer(keeper.path, MemorySource({}))
        offering.__enter__()
        deadline = time.monotonic() + 10
        while "lastro-offer" in threads():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        offering.__exit__(None, None, None)
        assert keeper.seen and not keeper.failures
