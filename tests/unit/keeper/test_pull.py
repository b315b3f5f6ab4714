"""Continuous protection: what changes is captured, what goes wrong is said, and nothing is forgotten over a cut."""

from __future__ import annotations

import os
import threading
import time

import pytest

from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.capture.watch import InotifyWatcher
from lastro.domain.clock import SystemClock
from lastro.domain.ids import LOCAL, ServerId
from lastro.errors import NotFoundError, ProtocolError, UnreachableError
from lastro.keeper.cadence import CadenceRules
from lastro.keeper.pull import PullReports, ServerPull
from tests.laboratory import ACTOR, Laboratory

pytestmark = pytest.mark.slow

RULES = CadenceRules(debounce_ns=50_000_000, shortest_ns=50_000_000)


class Cuttable:
    """A source whose link can be cut, or that can be made to break its contract."""

    def __init__(self, inner):
        self.inner = inner
        self.failure = None
        self.calls = 0
        self.lists = 0

    def _call(self, name, *arguments, **options):
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return getattr(self.inner, name)(*arguments, **options)

    def roots(self):
        return self._call("roots")

    def list(self, *arguments, **options):
        self.lists += 1
        return self._call("list", *arguments, **options)

    def fetch(self, *arguments):
        return self._call("fetch", *arguments)

    def changes(self, *arguments):
        return self._call("changes", *arguments)


class Watched:
    """A server that is pulled, and everything that was reported."""

    def __init__(self, tmp_path):
        self.laboratory = Laboratory(os.path.realpath(tmp_path / "root"), clock=SystemClock())
        os.mkdir(self.laboratory.root)
        self.watcher = InotifyWatcher([Root(path=self.laboratory.root)], first_cursor=1)
        self.local = LocalSource([Root(path=self.laboratory.root)], watcher=self.watcher)
        self.source = Cuttable(self.local)
        self.captured, self.problems, self.missing = [], [], []
        self.changed = threading.Condition()
        self.pull = ServerPull(
            ServerId(LOCAL),
            self.source,
            self.laboratory.cycle,
            actor=ACTOR,
            clock=SystemClock(),
            reports=PullReports(
                captured=lambda _, result: self.note(self.captured, result),
                problem=lambda error: self.note(self.problems, error),
                missing=lambda path: self.note(self.missing, path),
            ),
            rules=RULES,
        )

    def note(self, where, what):
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def wait(self, true):
        with self.changed:
            assert self.changed.wait_for(true, timeout=20)

    def files(self):
        return self.laboratory.files_at(
            self.laboratory.timeline.snapshot_at(self.laboratory.target, None).seq
        )

    def close(self):
        self.pull.close()
        self.watcher.close()
        self.laboratory.close()


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def test_a_change_becomes_a_version_without_being_asked(watched):
    watched.laboratory.write("a", b"1")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    watched.laboratory.write("a", b"2")
    watched.wait(lambda: watched.files() == {"a": b"2"})
    watched.laboratory.write("deep/er/b", b"3")
    watched.wait(lambda: watched.files() == {"a": b"2", "deep/er/b": b"3"})
    os.unlink(watched.laboratory.path("a"))
    watched.wait(lambda: watched.files() == {"deep/er/b": b"3"})
    assert watched.problems == []


def test_what_changed_during_a_cut_is_captured_after_it(watched):
    watched.laboratory.write("a", b"1")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    watched.source.failure = UnreachableError("cut")
    calls = watched.source.calls
    watched.laboratory.write("b", b"2")
    while watched.source.calls == calls:
        time.sleep(0.01)
    watched.source.failure = None
    watched.wait(lambda: watched.files() == {"a": b"1", "b": b"2"})


def test_a_source_that_breaks_its_contract_is_reported_and_tried_again(watched):
    watched.laboratory.write("a", b"1")
    watched.source.failure = ProtocolError("nonsense")
    watched.pull.start()
    watched.wait(lambda: watched.problems)
    watched.source.failure = None
    watched.wait(lambda: watched.captured)
    assert watched.files() == {"a": b"1"}


def test_whatever_goes_wrong_protection_does_not_end_in_silence(watched):
    watched.laboratory.write("a", b"1")
    watched.source.failure = RuntimeError("a defect")
    watched.pull.start()
    watched.wait(lambda: watched.problems)
    assert "a defect" in str(watched.problems[0])
    watched.source.failure = None
    watched.wait(lambda: watched.captured)
    assert watched.files() == {"a": b"1"}


def test_a_root_that_goes_away_with_changes_pending_is_no_problem_to_others(watched):
    watched.laboratory.write("a", b"1")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    watched.laboratory.write("a", b"2")
    os.rename(watched.laboratory.root, watched.laboratory.root + ".gone")
    watched.wait(lambda: watched.missing)
    time.sleep(1)
    assert watched.problems == []
    assert watched.source.lists < 20, "it is not listed over and over"
    os.rename(watched.laboratory.root + ".gone", watched.laboratory.root)


def test_a_root_that_goes_away_is_said_once_and_its_history_stays(watched):
    watched.laboratory.write("a", b"1")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    os.rename(watched.laboratory.root, watched.laboratory.root + ".gone")
    watched.wait(lambda: watched.missing)
    assert watched.files() == {"a": b"1"}
    os.rename(watched.laboratory.root + ".gone", watched.laboratory.root)
    watched.laboratory.write("a", b"2")
    watched.wait(lambda: watched.files() == {"a": b"2"})
    assert watched.missing == [watched.laboratory.root]


def test_capture_now_takes_what_is_there_and_refuses_what_is_not_watched(watched):
    watched.laboratory.write("a", b"1")
    watched.laboratory.write("sub/b", b"2")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    watched.laboratory.write("sub/b", b"3")
    ((root, result),) = watched.pull.capture_now(watched.laboratory.path("sub"))
    assert root == watched.laboratory.root
    assert watched.laboratory.files_at(result.seq)["sub/b"] == b"3"
    with pytest.raises(NotFoundError):
        watched.pull.capture_now("/somewhere/else")


def test_progress_knows_the_roots_and_what_waits(watched):
    watched.laboratory.write("a", b"1")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    progress = watched.pull.progress()[watched.laboratory.root]
    assert progress.checked_ns > 0
    assert not progress.missing


def good_of(watched):
    return watched.pull.progress()[watched.laboratory.root].good_ns


def test_until_when_all_is_kept_follows_the_clock_and_stops_with_the_link(watched):
    watched.laboratory.write("a", b"1")
    watched.pull.start()
    assert watched.pull.wait_settled(20)
    began = time.time_ns()
    deadline = time.monotonic() + 20
    while good_of(watched) < began:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    watched.source.failure = UnreachableError("cut")
    calls = watched.source.calls
    while watched.source.calls < calls + 2:
        time.sleep(0.01)
    cut = time.time_ns()
    time.sleep(0.3)
    assert 0 < good_of(watched) <= cut
    watched.source.failure = None
    deadline = time.monotonic() + 20
    while good_of(watched) < cut:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nobody_says_until_when_all_is_kept_before_it_was_listed_or_once_it_is_gone(watched):
    assert watched.pull.progress() == {}
    watched.source.failure = UnreachableError("cut")
    watched.pull.start()
    assert watched.pull.progress() == {}
    watched.source.failure = None
    assert watched.pull.wait_settled(20)
    os.rename(watched.laboratory.root, watched.laboratory.root + ".gone")
    watched.wait(lambda: watched.missing)
    deadline = time.monotonic() + 20
    while good_of(watched):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.rename(watched.laboratory.root + ".gone", watched.laboratory.root)


def test_a_change_that_waits_holds_back_until_when_all_is_kept(tmp_path):
    watched = Watched(tmp_path)
    slow = CadenceRules(debounce_ns=3600 * 10**9)
    watched.pull = ServerPull(
        ServerId(LOCAL),
        watched.source,
        watched.laboratory.cycle,
        actor=ACTOR,
        clock=SystemClock(),
        reports=PullReports(captured=lambda *_: None, problem=lambda _: None),
        rules=slow,
    )
    try:
        watched.pull.start()
        assert watched.pull.wait_settled(20)
        watched.laboratory.write("a", b"1")
        deadline = time.monotonic() + 20
        while not watched.pull.progress()[watched.laboratory.root].pending:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        told = time.time_ns()
        time.sleep(1.2)
        assert 0 < good_of(watched) <= told
    finally:
        watched.close()
