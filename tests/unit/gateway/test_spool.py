"""The spool on real files: what it took survives a full disk and a power cut, and only one process writes."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from lastro.errors import LockedError, StorageFullError
from lastro.gateway.spool import Spool
from tests.faults.injection import UnsyncedSystem
from tests.faults.recording import FailingSystem, RecordingSystem, crash_states, materialize

KEY = b"k" * 32


def spool_in(place, system=None):
    return Spool(str(place), KEY, system=system or UnsyncedSystem())


def kept(place):
    """Everything that a new process finds."""
    spool = spool_in(place)
    try:
        contents = [spool.read(name) for name in spool.sealed()]
        assert all(not content.damaged for content in contents)
        return [frame for content in contents for frame in content.frames]
    finally:
        spool.close()


def test_what_was_taken_is_there_for_the_next_process(tmp_path):
    spool = spool_in(tmp_path)
    spool.append(b"one")
    spool.rotate(spool.prepare())
    spool.append(b"two")
    assert [spool.read(name).frames for name in spool.sealed()] == [(b"one",)]
    spool.close()
    assert kept(tmp_path) == [b"one", b"two"]


def test_a_dropped_file_is_gone_and_one_set_aside_stays(tmp_path):
    spool = spool_in(tmp_path)
    for content in (b"one", b"two"):
        spool.append(content)
        spool.rotate(None)
    first, second = spool.sealed()
    spool.drop(first)
    path = spool.set_aside(second)
    spool.close()
    assert kept(tmp_path) == []
    assert os.path.exists(path)
    assert not (tmp_path / first).exists()


def test_numbers_are_never_used_again(tmp_path):
    spool = spool_in(tmp_path)
    spool.append(b"one")
    spool.rotate(None)
    path = spool.set_aside(spool.sealed()[0])
    spool.close()
    spool = spool_in(tmp_path)
    spool.append(b"two")
    spool.rotate(None)
    assert spool.set_aside(spool.sealed()[0]) != path
    spool.close()


def test_two_gateways_on_one_home_are_refused(tmp_path):
    spool = spool_in(tmp_path)
    with pytest.raises(LockedError) as raised:
        spool_in(tmp_path)
    assert str(tmp_path) in str(raised.value) and raised.value.hint
    spool.close()
    spool.close()
    spool_in(tmp_path).close()


def test_it_is_its_owners_alone(tmp_path):
    spool = spool_in(tmp_path / "spool")
    spool.append(b"one")
    modes = {
        stat.S_IMODE(os.stat(tmp_path / "spool" / name).st_mode) for name in os.listdir(tmp_path / "spool")
    }
    assert modes == {0o600} and stat.S_IMODE(os.stat(tmp_path / "spool").st_mode) == 0o700
    spool.close()


@pytest.mark.parametrize("lasting", [False, True])
def test_a_failing_disk_loses_nothing_that_was_taken(tmp_path, lasting):
    at, failed = 1, True
    while failed:
        place = tmp_path / str(at)
        system = FailingSystem(at, errno.ENOSPC, lasting=lasting, inner=UnsyncedSystem())
        spool = spool_in(place, system)
        taken, refused = [], []
        for number in range(6):
            content = b"note %d" % number
            try:
                spool.append(content)
                taken.append(content)
            except StorageFullError as error:
                refused.append((content, error.hint))
            if number == 3:
                spool.rotate(None)
        spool.close()
        assert kept(place) == taken
        assert lasting or len(refused) <= 1
        assert all(hint for _, hint in refused)
        failed, at = system.failed, at + 1
    assert at > 8


def test_a_power_cut_loses_nothing_that_was_synced(tmp_path):
    place, other = tmp_path / "scratch", tmp_path / "state"
    (place / "spool").mkdir(parents=True)
    system = RecordingSystem(str(place))
    spool = spool_in(place / "spool", system)
    for number in range(4):
        content = b"note %d" % number
        spool.append(content)
        if number == 1:
            spool.rotate(None)
            system.mark("nothing")
        else:
            spool.sync(spool.duplicate())
            system.mark(content if number != 2 else b"note 2")
    spool.close()
    states = 0
    for state in crash_states(system.recording(), seed=1):
        target = other / str(states)
        target.mkdir(parents=True)
        materialize(state, str(target))
        states += 1
        again = spool_in(target / "spool")
        found = [frame for name in again.sealed() for frame in again.read(name).frames]
        again.close()
        assert {mark for mark in state.marks if isinstance(mark, bytes)} <= set(found)
        assert set(found) <= {b"note %d" % number for number in range(4)}
    assert states > 10
