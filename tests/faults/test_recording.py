"""The recorder is what every crash test trusts, so its own claims come first: what is synced survives, what is not may go."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager

import pytest

from lastro.filesystem.system import System
from tests.capabilities import needs
from tests.faults.disk import read_inode
from tests.faults.recording import (
    FailingSystem,
    InjectingSystem,
    RecordingSystem,
    clear_flags,
    crash_states,
    materialize,
)


@contextmanager
def opened(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def create(system, directory, name, data, *, sync=True):
    descriptor = system.open(directory, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        system.write(descriptor, data)
        if sync:
            system.sync(descriptor)
    finally:
        os.close(descriptor)


def tree(path):
    """Everything below a directory as ``{relative path: bytes, target or None}``."""
    found = {}
    for parent, directories, files in os.walk(path):
        for name in (*directories, *files):
            full = os.path.join(parent, name)
            inode = read_inode(os.fsencode(full), with_data=True)
            found[os.path.relpath(full, path)] = None if stat.S_ISDIR(inode.kind) else inode.data
    return found


def shown(system, tmp_path, **options):
    """``{variant: tree}`` for the last crash point."""
    states = [state for state in crash_states(system.recording(), **options) if state.next_call == "the end"]
    result = {}
    for state in states:
        place = tmp_path / f"shown-{state.variant}"
        materialize(state, str(place))
        result[state.variant] = tree(place)
    return result


@pytest.fixture
def scratch(tmp_path):
    place = tmp_path / "scratch"
    (place / "tmp").mkdir(parents=True)
    (place / "data").mkdir()
    (place / "old").write_bytes(b"old content")
    return place


def test_what_was_there_before_is_durable(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    before = tree(scratch)
    assert shown(system, tmp_path) == dict.fromkeys(("all", "strict", "torn", "zeros"), before)


def test_write_sync_rename_without_the_directories_sync_may_vanish(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch / "tmp") as temporary, opened(scratch / "data") as data:
        create(system, temporary, b"X", b"hello")
        system.rename(temporary, b"X", data, b"pack")
        states = shown(system, tmp_path / "unsynced")
        assert states["all"]["data/pack"] == b"hello"
        assert not {"data/pack", "tmp/X"} & states["strict"].keys()
        system.sync(data)
        assert shown(system, tmp_path / "synced")["strict"]["data/pack"] == b"hello"


def test_a_renamed_file_that_was_not_synced_is_empty(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        create(system, directory, b"new", b"0123456789", sync=False)
        system.rename(directory, b"new", directory, b"old")
        system.sync(directory)
    states = shown(system, tmp_path)
    assert states["strict"]["old"] == b""
    assert states["torn"]["old"] == b"01234"
    assert states["zeros"]["old"] == bytes(10)
    assert states["all"]["old"] == b"0123456789"


def test_an_append_is_torn_until_its_data_is_synced(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        create(system, directory, b"journal", b"first.")
        system.sync(directory)
        journal = system.open(directory, b"journal", os.O_WRONLY | os.O_APPEND)
        system.write(journal, b"second")
        states = shown(system, tmp_path / "unsynced")
        assert {variant: found["journal"] for variant, found in states.items()} == {
            "all": b"first.second",
            "strict": b"first.",
            "torn": b"first.sec",
            "zeros": b"first." + bytes(6),
        }
        system.sync_data(journal)
        os.close(journal)
    assert {found["journal"] for found in shown(system, tmp_path / "synced").values()} == {b"first.second"}


def test_an_overwrite_in_the_middle_is_torn_in_the_middle(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        old = system.open(directory, b"old", os.O_WRONLY)
        system.write_at(old, b"NEW!", 4)
        os.close(old)
    states = shown(system, tmp_path)
    assert states["all"]["old"] == b"old NEW!ent"
    assert states["torn"]["old"] == b"old NEntent"
    assert states["strict"]["old"] == b"old content"


def test_exchange_remove_truncate_and_links(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        create(system, directory, b"other", b"other content")
        system.make_link(directory, b"old", directory, b"linked")
        system.exchange(directory, b"old", directory, b"other")
        system.make_symlink(directory, b"link", b"nowhere\xff")
        system.make_directory(directory, b"empty")
        system.remove_directory(directory, b"empty")
        system.make_node(directory, b"fifo", stat.S_IFIFO | 0o600)
        states = shown(system, tmp_path / "unsynced")
        assert states["all"]["old"] == b"other content"
        assert states["all"]["other"] == states["all"]["linked"] == b"old content"
        assert states["all"]["link"] == b"nowhere\xff"
        assert states["strict"].keys() == {"tmp", "data", "old"}
        assert states["strict"]["old"] == b"old content"
        system.sync(directory)
        system.remove(directory, b"linked")
        old = system.open(directory, b"other", os.O_WRONLY)
        system.truncate(old, 3)
        os.close(old)
    states = shown(system, tmp_path / "synced")
    assert states["all"]["other"] == b"old"
    assert states["strict"]["linked"] == states["strict"]["other"] == b"old content"


def test_hard_links_stay_links(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        system.make_link(directory, b"old", directory, b"linked")
    shown(system, tmp_path)
    assert os.stat(tmp_path / "shown-all" / "linked").st_nlink == 2


def test_attributes_are_dropped_without_sync_and_kept_with_it(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory, opened(scratch / "old") as old:
        system.set_mode(old, 0o4711)
        system.set_xattr(b"/proc/self/fd/%d/old" % directory, b"user.note", b"1")
        system.set_mtime(directory, b"old", 1_000_000_007)
        before = {state.variant: state for state in crash_states(system.recording())}
        system.sync(old)
        after = {state.variant: state for state in crash_states(system.recording())}
    for states, name in ((before, "before"), (after, "after")):
        for variant in ("all", "strict"):
            materialize(states[variant], str(tmp_path / name / variant))
    for place in ("before/all", "after/all", "after/strict"):
        path = tmp_path / place / "old"
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o4711, 1_000_000_007)
        assert os.getxattr(path, "user.note") == b"1"
    status = (tmp_path / "before" / "strict" / "old").stat()
    assert stat.S_IMODE(status.st_mode) != 0o4711
    assert status.st_mtime_ns != 1_000_000_007


def test_an_open_with_truncation_is_recorded(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        os.close(system.open(directory, b"old", os.O_WRONLY | os.O_TRUNC))
    states = shown(system, tmp_path)
    assert (states["all"]["old"], states["strict"]["old"]) == (b"", b"old content")


def test_marks_are_seen_from_then_on(scratch):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        create(system, directory, b"a", b"1")
        system.mark("acknowledged")
        create(system, directory, b"b", b"2")
    marks = [state.marks for state in crash_states(system.recording()) if state.variant == "all"]
    assert marks == [(), (), (), *[("acknowledged",)] * 4]


def test_what_others_do_is_taken_in_as_durable(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        create(system, directory, b"ours", b"ours", sync=False)
        (scratch / "theirs").write_bytes(b"theirs")
        (scratch / "old").write_bytes(b"edited")
        system.absorb()
    states = shown(system, tmp_path)
    assert states["strict"]["theirs"] == b"theirs"
    assert states["strict"]["old"] == b"edited"
    assert "ours" not in states["strict"]


def test_a_reused_inode_number_is_another_file(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        for number in range(8):
            create(system, directory, b"same", b"%d" % number)
            system.sync(directory)
            if number < 7:
                system.remove(directory, b"same")
    assert shown(system, tmp_path)["strict"]["same"] == b"7"


def test_outside_of_the_scratch_directory_is_refused(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(tmp_path) as directory, pytest.raises(AssertionError, match="outside"):
        create(system, directory, b"x", b"")


def test_a_mix_keeps_what_was_synced(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch) as directory:
        create(system, directory, b"sure", b"sure")
        system.sync(directory)
        create(system, directory, b"maybe", b"maybe", sync=False)
    seen = set()
    for seed in range(20):
        found = shown(system, tmp_path / str(seed), seed=seed)["mix"]
        assert found["sure"] == b"sure"
        seen.add(found.get("maybe"))
    assert {None, b"", b"maybe"} <= seen


@pytest.mark.needs("root")
def test_immutable_files_come_back_and_can_be_cleared(scratch, tmp_path):
    system = RecordingSystem(str(scratch))
    with opened(scratch / "old") as old:
        try:
            system.set_flags(old, 0x10)
        except OSError as error:
            needs(not error, f"inode flags: {error}")
    state = [*crash_states(system.recording())][-1]
    materialize(state, str(tmp_path / "there"))
    with pytest.raises(PermissionError):
        (tmp_path / "there" / "old").unlink()
    clear_flags(str(tmp_path))
    (tmp_path / "there" / "old").unlink()


def test_every_call_can_fail_and_a_write_fails_halfway(scratch):
    with opened(scratch) as directory:
        with pytest.raises(OSError, match="No space") as caught:
            create(FailingSystem(1), directory, b"half", b"0123456789")
        assert caught.value.errno == errno.ENOSPC
        assert (scratch / "half").read_bytes() == b"01234"
        with pytest.raises(OSError, match="Input/output"):
            create(FailingSystem(2, errno.EIO), directory, b"whole", b"0123456789")
        fine = FailingSystem(3)
        create(fine, directory, b"fine", b"")
        assert not fine.failed
        full = FailingSystem(0, lasting=True)
        for name in (b"one", b"two"):
            with pytest.raises(OSError, match="No space"):
                create(full, directory, name, b"")
        full.remove(directory, b"fine")


def test_injection_sees_each_mutating_call_before_it_happens(scratch):
    seen = []
    system = InjectingSystem(lambda count, name: seen.append((count, name, (scratch / "new").exists())))
    with opened(scratch) as directory:
        os.close(system.open(directory, b"old", os.O_RDONLY))
        create(system, directory, b"new", b"")
    assert seen == [(0, "open", False), (1, "write", True), (2, "sync", True)]


def test_the_recorder_changes_nothing_that_the_real_system_would_not(tmp_path):
    for system_of in (lambda _: System(), RecordingSystem):
        place = tmp_path / system_of.__name__
        place.mkdir()
        system = system_of(str(place))
        with opened(place) as directory:
            create(system, directory, b"a", b"1")
            system.make_directory(directory, b"d")
            system.rename_new(directory, b"a", directory, b"b")
            with pytest.raises(FileExistsError):
                system.rename_new(directory, b"b", directory, b"d")
    found = [tree(place) for place in tmp_path.iterdir()]
    assert found[0] == found[1] == {"b": b"1", "d": None}
