"""An approval whose process is killed at any instant is finished or taken up by the next one; so is an undo. Nothing is applied twice."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import tempfile
from dataclasses import replace

import pytest

from lastro.app.places import places_of
from lastro.apply.local import LocalDestination
from lastro.errors import LastroError
from tests.decision_kit import Office
from tests.faults.injection import FailingSystem, InjectingSystem

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

FILES = {"a": b"one\ntwo\nthree\n", "gone": b"gone\n", "d/x": b"x\n"}
EDITS = {"a": b"one\nTWO\nthree\n", "gone": None, "new/n": b"new\n", "d/x": b"X\n"}
WANTED = {"a": EDITS["a"], "new": None, "new/n": b"new\n", "d": None, "d/x": b"X\n"}
_PATIENCE_S = 60


@pytest.fixture
def prepared(tmp_path):
    """A home with one proposal; a copy of it for every instant, at the same path."""
    shm = "/dev/shm"
    base = tempfile.mkdtemp(dir=shm if os.access(shm, os.W_OK) else str(tmp_path))
    top = f"{base}/top"
    os.mkdir(top)
    office = Office.made(top, FILES)
    with office.desk() as desk:
        office.propose(desk, EDITS)
    kept = f"{base}/kept"
    shutil.copytree(top, kept, symlinks=True)

    def anew():
        shutil.rmtree(top)
        shutil.copytree(kept, top, symlinks=True)
        return Office(places_of(f"{top}/home"), f"{top}/project", office.owner)

    yield anew
    shutil.rmtree(base)


class Killed:
    """Kills this process at instant ``at``: before or after a call to the keeper, or before one that changes the destination."""

    def __init__(self, desk, at):
        self.at, self.count, self.inner = at, 0, desk.caller
        self.desk = replace(
            desk,
            caller=self,
            destination=lambda path: LocalDestination(
                path, intents=desk.places.intents, system=InjectingSystem(lambda *_: self.instant())
            ),
        )

    def instant(self):
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(self, name, request):
        self.instant()
        reply = self.inner.call(name, request)
        self.instant()
        return reply

    def __getattr__(self, name):
        return getattr(self.inner, name)


def killed_at(office, at, act):
    """Whether a process that does ``act`` was killed at instant ``at``; it may end before."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(_PATIENCE_S)
            with office.desk() as desk:
                act(Killed(desk, at).desk)
            os._exit(0)
        except BaseException:  # noqa: BLE001  it is a process of its own
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) == (os.waitstatus_to_exitcode(status) == 0), status
    return os.WIFSIGNALED(status)


def files(office):
    return {path: content for path, content in office.live().items() if not path.startswith(".lastro")}


def test_an_approval_that_is_killed_at_any_instant(prepared):
    at, states = 0, set()
    while True:
        at += 1
        office = prepared()
        before = office.live()
        if not killed_at(office, at, lambda desk, office=office: office.approve(desk, 1)):
            break
        with office.desk() as desk:
            states.add(office.state(desk, 1))
            if office.state(desk, 1) != "applied":
                assert office.approve(desk, 1).done, at
            shown = office.show(desk, 1)
            assert shown.state == "applied", at
            assert files(office) == WANTED == office.live(), at
            assert [one.state for one in shown.transitions].count("applied") == 1, at
            assert len(shown.applies) == 1, at
            assert len([one for one in shown.decisions if one.verdict == "approve"]) == 1, at
            assert os.listdir(f"{office.places.state}/applies") == []
            office.sound(desk)
            if at % 5 == 0:
                office.undo(desk)
                assert office.live() == before, at
                assert office.state(desk, 1) == "undone"
    assert states >= {"open", "approved", "applying", "verifying", "applied"}
    assert at > 40


def test_an_undo_that_is_killed_at_any_instant(prepared):
    at, states = 0, set()
    while True:
        at += 1
        office = prepared()
        before = office.live()
        with office.desk() as desk:
            office.approve(desk, 1)
        if not killed_at(office, at, lambda desk, office=office: office.undo(desk, "proposal-1")):
            break
        with office.desk() as desk:
            states |= {(one.proposal, one.state) for one in office.proposals(desk)}
            office.undo(desk, "proposal-1")
            assert office.live() == before, at
            assert len(office.proposals(desk)) <= 2, at
            office.sound(desk)
    assert states >= {(1, "applied"), (2, "open"), (2, "approved"), (2, "applying"), (2, "applied")}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_takes_no_more(prepared, number):
    """Nothing is applied, or all of it; and the next approval does it."""
    at, finished = 0, False
    while not finished:
        office = prepared()
        before = office.live()
        failing = FailingSystem(at, number, lasting=number == errno.ENOSPC)
        with office.desk() as desk:
            sick = replace(
                desk,
                destination=lambda path, failing=failing, office=office: LocalDestination(
                    path, intents=office.places.intents, system=failing
                ),
            )
            with contextlib.suppress(LastroError, OSError):
                office.approve(sick, 1)
            finished = not failing.failed
        with office.desk() as desk:
            state = office.state(desk, 1)
            assert state in {"approved", "applied", "applying"}, at
            if state == "approved":
                assert files(office) == before, at
            if state != "applied":
                office.approve(desk, 1)
            assert office.live() == WANTED, at
            assert len(office.show(desk, 1).applies) == 1, at
            office.sound(desk)
        at += 3


def test_a_path_that_may_not_be_changed_in_the_middle_is_told(prepared):
    """Past the first exchange there is no way back: the rest is applied, and both the record and the reply name what is not."""
    at, told = 0, 0
    failing = None
    while failing is None or failing.failed:
        office = prepared()
        failing = FailingSystem(at, errno.EACCES)
        with office.desk() as desk:
            sick = replace(
                desk,
                destination=lambda path, failing=failing, office=office: LocalDestination(
                    path, intents=office.places.intents, system=failing
                ),
            )
            try:
                done = office.approve(sick, 1)
            except (LastroError, OSError):
                done = None
            missing = {path for path, content in WANTED.items() if office.live().get(path, b"") != content}
            if done is not None and done.done and missing:
                told += 1
                noted = {note.path for note in done.notes}
                assert done.outcome == "partial"
                assert all(path in noted or path.split("/", maxsplit=1)[0] in noted for path in missing), at
                assert office.show(desk, 1).transitions[-1].detail == "partial"
            office.sound(desk)
        at += 1
    assert told > 0


def test_two_who_approve_at_once(prepared):
    """Both say yes to the same plan; it is applied once, and whoever was late is told."""
    for _ in range(5):
        office = prepared()
        children = []
        for _child in range(3):
            child = os.fork()
            if child == 0:
                try:
                    signal.alarm(_PATIENCE_S)
                    with office.desk() as desk:
                        office.approve(desk, 1)
                    os._exit(0)
                except LastroError as error:
                    os._exit(error.exit_code)
                except BaseException:  # noqa: BLE001  it is a process of its own
                    os._exit(99)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes.count(0) >= 1
        assert set(codes) <= {0, 2, 7, 11}, codes
        with office.desk() as desk:
            shown = office.show(desk, 1)
            assert (shown.state, len(shown.applies), len(shown.decisions)) == ("applied", 1, 1)
            assert office.live() == WANTED
            office.sound(desk)
