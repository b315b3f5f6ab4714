from __future__ import annotations

import errno
import os
from contextlib import suppress

import pytest
from typing_extensions import override

from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from tests.faults.recording import FailingSystem, RecordingSystem, crash_states, materialize

NAMES = ("open", "write", "set_mode", "sync", "rename", "sync")
"""Every call that changes the disk, in order."""
OLD, NEW = b"old content", b"new content, and longer"


def test_the_file_is_replaced_and_has_the_mode_asked_for(tmp_path):
    path = f"{tmp_path}/file-\udcff"
    before = os.umask(0o077)
    try:
        write_atomically(path, OLD, system=System())
        assert os.stat(os.fsencode(path)).st_mode & 0o7777 == 0o600
        write_atomically(path, NEW, mode=0o644, system=System())
    finally:
        os.umask(before)
    assert os.stat(os.fsencode(path)).st_mode & 0o7777 == 0o644
    with open(os.fsencode(path), "rb") as file:
        assert file.read() == NEW
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("existing", [True, False])
def test_after_any_crash_the_old_or_the_new_is_there_and_after_the_end_the_new(tmp_path, existing):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    if existing:
        (scratch / "file").write_bytes(OLD)
    system = RecordingSystem(str(scratch))
    write_atomically(f"{scratch}/file", NEW, system=system)
    system.mark("done")
    seen = set()
    for number, state in enumerate(crash_states(system.recording(), seed=1)):
        crashed = tmp_path / str(number)
        crashed.mkdir()
        materialize(state, str(crashed))
        found = (crashed / "file").read_bytes() if (crashed / "file").exists() else None
        assert found in ({NEW} if "done" in state.marks else {NEW, OLD if existing else None}), str(state)
        seen.add(found)
        write_atomically(f"{crashed}/file", b"again", system=System())
        assert (crashed / "file").read_bytes() == b"again"
    assert seen == {NEW, OLD if existing else None}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatever_fails_the_old_or_the_new_is_whole_and_nothing_is_left_behind(tmp_path, number):
    calls = 0
    while True:
        (tmp_path / "file").write_bytes(OLD)
        system = FailingSystem(calls, number)
        with suppress(OSError):
            write_atomically(f"{tmp_path}/file", NEW, system=system)
        if not system.failed:
            break
        renamed = calls > NAMES.index("rename")
        assert (tmp_path / "file").read_bytes() == (NEW if renamed else OLD)
        assert os.listdir(tmp_path) == ["file"]
        calls += 1
    assert calls == len(NAMES)
    assert (tmp_path / "file").read_bytes() == NEW


def test_a_leftover_of_a_crash_is_no_obstacle(tmp_path):
    names = []

    class Dying(System):
        @override
        def rename(self, *arguments):
            names.append(arguments[1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(f"{tmp_path}/file", OLD, system=Dying())
    assert [os.fsencode(name) for name in os.listdir(tmp_path)] == names
    write_atomically(f"{tmp_path}/file", NEW, system=System())
    assert os.listdir(tmp_path) == ["file"]


def test_without_a_directory_nothing_is_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(f"{tmp_path}/gone/file", NEW, system=System())
