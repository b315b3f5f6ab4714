"""The keeper's end of runs' sockets: opened with a run, closed with its agent, found again by the next keeper."""

from __future__ import annotations

import os
import secrets

import pytest

from lastro.app.keeper_process import keeper
from lastro.app.opening import create_repository
from lastro.app.places import places_of
from lastro.app.requests.runs import BeginMemory, BeginRun, RecordRunState
from lastro.app.runs.memories import KeeperMemories
from lastro.app.socket_caller import SocketCaller
from lastro.app.wiring import open_caller, person
from lastro.domain.clock import SystemClock
from lastro.errors import DeniedError
from tests.run_kit import caller_at, running


@pytest.fixture
def places(tmp_path):
    made = places_of(os.path.realpath(tmp_path / "home"))
    create_repository(made, person(), SystemClock())
    return made


def begin(caller):
    order = BeginRun(
        id=secrets.token_hex(16),
        project="/srv/p",
        role="client-agent",
        agent="generic",
        command=("true",),
        purpose="",
        policy_digest="",
    )
    return caller.call("runs.begin", order)


def test_a_running_keeper_opens_and_closes_with_the_run(places):
    with keeper(places, emit=lambda _: None):
        caller = open_caller(places, actor=person(), clock=SystemClock())
        assert isinstance(caller, SocketCaller)
        begun = begin(caller)
        assert begun.memory == places.memory_socket(begun.run)
        inside = caller_at(begun.memory)
        with pytest.raises(DeniedError):
            inside.call("runs.begin", BeginMemory(run=begun.run))
        caller.call("runs.state", RecordRunState(run=begun.run, state="running"))
        assert os.path.exists(begun.memory)
        caller.call("runs.state", RecordRunState(run=begun.run, state="collecting"))
        assert not os.path.exists(os.path.dirname(begun.memory))
        assert caller.call("runs.memory", BeginMemory(run=begun.run)).memory == ""


def test_the_directory_that_a_jail_shows_outlasts_the_keeper(places):
    with keeper(places, emit=lambda _: None):
        begun = begin(open_caller(places, actor=person(), clock=SystemClock()))
        directory = os.path.dirname(begun.memory)
        shown = os.stat(directory).st_ino
    assert os.listdir(directory) == []
    with keeper(places, emit=lambda _: None):
        again = open_caller(places, actor=person(), clock=SystemClock())
        assert again.call("runs.memory", BeginMemory(run=begun.run)).memory == begun.memory
        assert os.stat(directory).st_ino == shown
        assert os.path.exists(begun.memory)


def test_what_is_left_of_runs_that_are_over_is_swept(tmp_path):
    with running(os.path.realpath(tmp_path)) as kit:
        over = kit.begin()
        left = os.path.dirname(kit.memories.open(over))
        kit.memories.close_all()
        kit.enter(over, "cancelled")
        unknown = os.path.dirname(kit.places.memory_socket(4_711))
        os.mkdir(unknown)
        kept = os.path.dirname(kit.places.memory_socket(kit.run))
        strange = f"{kit.places.socket_directory}/memory-x"
        os.mkdir(strange)
        assert os.path.isdir(left)
        KeeperMemories(kit.places, kit.services, kit.loop)
        assert not os.path.exists(left)
        assert not os.path.exists(unknown)
        assert os.path.isdir(kept)
        assert os.path.isdir(strange)
