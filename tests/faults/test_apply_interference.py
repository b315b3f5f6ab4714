"""Others at work in the destination at every call of an apply: edits are never lost, planted links lead nowhere; and failing disks."""

from __future__ import annotations

import contextlib
import errno
import os

import pytest

from lastro.apply.destination import OutcomeKind
from lastro.errors import DeniedError, LastroError, LockedError, StorageFullError
from tests.capabilities import is_root, needs
from tests.conformance.trees import Stored, directory, fifo, file, symlink, tree
from tests.faults.destinations import Home, exact, part, recovered, scenes, small_scene
from tests.faults.injection import FailingSystem, InjectingSystem, UnsyncedSystem
from tests.faults.scratch import scratch_directory

PRECIOUS = b"precious edit of somebody else"


def replace_file(path: bytes) -> None:
    with open(path + b".theirs", "wb") as out:
        out.write(PRECIOUS)
    os.replace(path + b".theirs", path)


def overwrite(path: bytes) -> None:
    with open(path, "r+b") as out:
        out.write(PRECIOUS)


def append(path: bytes) -> None:
    with open(path, "ab") as out:
        out.write(PRECIOUS)


def create(path: bytes) -> None:
    with open(path, "xb") as out:
        out.write(PRECIOUS)


def put_below(path: bytes) -> None:
    create(os.path.join(path, b"theirs"))


EDITS = [
    ("d/changed", replace_file),
    ("d/changed", overwrite),
    ("d/changed", append),
    ("d/removed", replace_file),
    ("d/removed", append),
    ("d/new", create),
    ("d/new", replace_file),
    ("gone", put_below),
    ("gone/inside", append),
    ("gone/inside", replace_file),
    ("becomes-file/x", overwrite),
    ("becomes-file", put_below),
    ("becomes-directory", append),
    ("becomes-directory", replace_file),
    ("new", create),
    ("h1", replace_file),
]


def count_calls(first, second) -> int:
    with scratch_directory() as scratch:
        home = Home(scratch)
        home.fill(first)
        system = InjectingSystem(lambda _count, _name: None, UnsyncedSystem())
        home.destination(system).apply("x", home.changes_to(second), Stored(first, second))
        return system.count


@pytest.mark.parametrize(("path", "edit"), EDITS, ids=[f"{edit.__name__} {path}" for path, edit in EDITS])
def test_an_edit_of_somebody_else_is_never_lost(path, edit):
    first, second = part(path)
    edited, calls = 0, count_calls(first, second)
    for moment in range(calls):
        with scratch_directory() as scratch:
            home = Home(scratch)
            home.fill(first)
            changes = home.changes_to(second)
            did = []

            def at(count, _name, *, moment=moment, home=home, did=did):
                if count == moment:
                    with contextlib.suppress(OSError):
                        edit(os.fsencode(os.path.join(home.place, path)))
                        did.append(True)

            system = InjectingSystem(at, UnsyncedSystem())
            outcome = home.destination(system).apply("x", changes, Stored(first, second))
            if did:
                edited += 1
                assert any(PRECIOUS in content for content in home.every_content()), (moment, outcome)
            assert home.staging_left() == [], moment
            assert home.pending() == []
            if outcome.kind is OutcomeKind.CONFLICT:
                assert outcome.applied == ()
            assert all(
                conflict.kept_as is None for conflict in outcome.conflicts
            )  # one edit is given back its place
            if did and path in {conflict.path for conflict in outcome.conflicts}:
                assert PRECIOUS in in_place(home, path), moment
    assert edited


def test_two_edits_of_one_path_are_both_kept():
    first, second = small_scene()
    both = 0
    for moment in range(count_calls(first, second)):
        with scratch_directory() as scratch:
            home = Home(scratch)
            home.fill(first)
            path = os.path.join(home.place, "d/changed")

            done = []

            def at(count, _name, *, moment=moment, path=path, done=done):
                if count in {moment, moment + 1}:
                    done.append(b"%d" % (count - moment))
                    with open(path + ".theirs", "wb") as out:
                        out.write(PRECIOUS + b"%d" % (count - moment))
                    os.replace(path + ".theirs", path)

            outcome = home.destination(InjectingSystem(at, UnsyncedSystem())).apply(
                "x", home.changes_to(second), Stored(first, second)
            )
            contents = home.every_content()
            assert PRECIOUS + done[-1] in contents, moment
            kept = [conflict.kept_as for conflict in outcome.conflicts if conflict.kept_as is not None]
            if kept:
                both += 1
                assert PRECIOUS + b"0" in contents
                assert os.path.lexists(os.path.join(home.place, kept[0]))
            assert home.staging_left() == []
    assert both


def in_place(home: Home, path: str) -> bytes:
    """The bytes at ``path``, or of what somebody put below it."""
    place = os.path.join(home.place, path)
    with open(os.path.join(place, "theirs") if os.path.isdir(place) else place, "rb") as found:
        return found.read()


@pytest.mark.parametrize("path", ["d/changed", "d/removed"])
def test_who_held_the_old_file_open_finds_what_they_wrote(path):
    first, second = small_scene()
    lost, kept = set(), 0
    for moment in range(count_calls(first, second)):
        with scratch_directory() as scratch:
            home = Home(scratch)
            home.fill(first)
            names = []
            with open(os.path.join(home.place, path), "ab", buffering=0) as held:

                def at(count, name, *, moment=moment, held=held, names=names):
                    if count == moment:
                        held.write(PRECIOUS)
                        names.append(name)

                system = InjectingSystem(at, UnsyncedSystem())
                outcome = home.destination(system).apply("x", home.changes_to(second), Stored(first, second))
            kept += any(conflict.kept_as is not None for conflict in outcome.conflicts)
            if not any(PRECIOUS in content for content in home.every_content()):
                lost.update(names or ["nothing was written"])
    assert kept
    # Between the last look and the unlink nobody can tell; and what is written to a file that is gone is its writer's affair.
    assert lost <= {"remove", "sync", "set_mtime"}


def test_somebodys_change_of_attributes_is_not_overruled():
    first, second = part("d")
    with scratch_directory() as scratch:
        home = Home(scratch)
        home.fill(first)
        place = os.path.join(home.place, "d/mode")

        def at(count, _name):
            if count == 0:
                os.chmod(place, 0o611)

        system = InjectingSystem(at, UnsyncedSystem())
        outcome = home.destination(system).apply("x", home.changes_to(second), Stored(first, second))
        assert [
            (conflict.path, conflict.found and conflict.found.mode) for conflict in outcome.conflicts
        ] == [("d/mode", 0o611)]
        assert os.stat(place).st_mode & 0o7777 == 0o611
        assert outcome.kind is OutcomeKind.PARTIAL


def test_a_conflict_in_the_middle_leaves_the_others_applied():
    first, second = small_scene()
    kinds = set()
    for moment in range(count_calls(first, second)):
        with scratch_directory() as scratch:
            home = Home(scratch)
            home.fill(first)

            def at(count, _name, *, moment=moment, home=home):
                if count == moment:
                    with contextlib.suppress(OSError):
                        append(os.fsencode(os.path.join(home.place, "d/removed")))

            outcome = home.destination(InjectingSystem(at, UnsyncedSystem())).apply(
                "x", home.changes_to(second), Stored(first, second)
            )
            kinds.add(outcome.kind)
            if outcome.kind is OutcomeKind.PARTIAL:
                assert [conflict.path for conflict in outcome.conflicts] == ["d/removed"]
                assert "d/changed" in outcome.applied
                found = home.destination().read(["d/changed", "d/new", "d/removed"])
                assert all(found.values())
    assert kinds >= {OutcomeKind.APPLIED, OutcomeKind.PARTIAL}


class Outside:
    """What lies outside of the destination, and must be the same afterwards, attributes and all."""

    def __init__(self, scratch: str) -> None:
        self.path = os.path.join(scratch, "outside")
        for name in ("changed", "removed", "mode", "inside", "x", "y"):
            os.makedirs(os.path.join(self.path, "deeper"), exist_ok=True)
            with open(os.path.join(self.path, name), "wb") as out:
                out.write(b"untouched")
        self.before = self.look()

    def look(self):
        found = {}
        for parent, directories, files in os.walk(self.path):
            for name in (".", *directories, *files):
                full = os.path.join(parent, name)
                status = os.lstat(full)
                found[full] = (
                    status.st_mode,
                    status.st_uid,
                    status.st_gid,
                    status.st_mtime_ns,
                    status.st_nlink,
                    os.listxattr(full),
                )
        return found


def plant_for_directory(home: Home, outside: Outside, path: str) -> None:
    """The directory is moved away, and a link out of the destination stands in its place."""
    place = os.path.join(home.place, path)
    os.rename(place, place + ".moved")
    os.symlink(outside.path, place)


def plant_for_file(home: Home, outside: Outside, path: str) -> None:
    place = os.path.join(home.place, path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)
    os.symlink(os.path.join(outside.path, "changed"), place)


def plant_for_staged(home: Home, outside: Outside, path: str) -> None:
    """Every staged file is swapped for a link, as the owner of the directory could."""
    parent = os.path.join(home.place, path)
    for name in os.listdir(parent):
        place = os.path.join(parent, name)
        if name.startswith(".lastro-") and not os.path.isdir(place):
            os.unlink(place)
            os.symlink(os.path.join(outside.path, "changed"), place)


PLANTS = [
    ("d", plant_for_directory),
    ("gone", plant_for_directory),
    ("becomes-file", plant_for_directory),
    ("d/changed", plant_for_file),
    ("d/removed", plant_for_file),
    ("d/mode", plant_for_file),
    ("d/new", plant_for_file),
    ("h1", plant_for_file),
    ("d", plant_for_staged),
    ("", plant_for_staged),
    ("pipes", plant_for_staged),
]


PLANTED_SCENES = {
    "": (tree(), tree(fifo("pipe", mode=0o622), file("f", b"new", mode=0o4711), data=(b"new",))),
    "pipes": (
        tree(directory("pipes")),
        tree(directory("pipes"), fifo("pipes/pipe", mode=0o622), symlink("pipes/link", "x")),
    ),
}


@pytest.mark.parametrize(
    ("path", "plant"), PLANTS, ids=[f"{plant.__name__} {path}" for path, plant in PLANTS]
)
def test_a_planted_link_never_leads_outside(path, plant):
    first, second = PLANTED_SCENES.get(path) or part(path)
    planted, calls = 0, count_calls(first, second)
    for moment in range(calls):
        with scratch_directory() as scratch:
            home, outside = Home(scratch), Outside(scratch)
            home.fill(first)
            changes = home.changes_to(second)
            did = []

            def at(count, _name, *, moment=moment, home=home, outside=outside, did=did):
                if count == moment:
                    with contextlib.suppress(OSError):
                        plant(home, outside, path)
                        did.append(True)

            with contextlib.suppress(LastroError):
                home.destination(InjectingSystem(at, UnsyncedSystem())).apply(
                    "x", changes, Stored(first, second)
                )
            with contextlib.suppress(LastroError):
                recovered(home)
            planted += bool(did)
            assert outside.look() == outside.before, moment
    assert planted


@pytest.mark.parametrize(
    ("name", "number", "lasting"),
    [
        ("small", errno.ENOSPC, True),
        ("locked", errno.EIO, False),
        pytest.param("forth", errno.ENOSPC, True, marks=pytest.mark.slow),
        pytest.param("forth", errno.EIO, False, marks=pytest.mark.slow),
        pytest.param("back", errno.ENOSPC, False, marks=pytest.mark.slow),
        pytest.param("back", errno.EIO, True, marks=pytest.mark.slow),
        pytest.param("locked", errno.ENOSPC, True, marks=pytest.mark.slow),
    ],
)
def test_a_failing_disk_leaves_all_as_before_or_to_be_finished(name, number, lasting):
    if name == "locked":
        needs(is_root(), "root, for immutable files")
    first, second = small_scene() if name == "small" else scenes()[name]
    for moment in range(count_calls(first, second) + 1):
        with scratch_directory() as scratch:
            home = Home(scratch)
            home.fill(first)
            before = exact(home)
            changes = home.changes_to(second)
            system = FailingSystem(moment, number, lasting=lasting, inner=UnsyncedSystem())
            try:
                home.destination(system).apply("x", changes, Stored(first, second))
                raised = None
            except LastroError as error:
                raised = error
            assert (raised is not None and isinstance(raised, StorageFullError)) == (
                raised is not None and number == errno.ENOSPC
            )
            assert system.failed or raised is None
            if raised is not None and not home.pending():
                assert exact(home) == before, moment
            outcomes = recovered(home)
            assert all(not outcome.conflicts for outcome in outcomes), moment
            assert home.staging_left() == []
            assert home.pending() == []
            if raised is None or any(outcome.kind is OutcomeKind.APPLIED for outcome in outcomes):
                assert home.is_in(second), (moment, home.differences(second))
            else:
                assert home.is_in(first), (moment, home.differences(first))
    assert not system.failed


def test_being_forbidden_at_the_first_step_changes_nothing():
    first, second = small_scene()
    seen, calls = set(), count_calls(first, second)
    for moment in range(calls):
        with scratch_directory() as scratch:
            home = Home(scratch)
            home.fill(first)
            before = exact(home)
            system = FailingSystem(moment, errno.EBUSY, inner=UnsyncedSystem())
            try:
                outcome = home.destination(system).apply("x", home.changes_to(second), Stored(first, second))
            except DeniedError:
                if not home.pending():
                    seen.add("denied")
                    assert exact(home) == before
            else:
                seen.add(outcome.kind)
                left = {note.path for note in outcome.notes if note.detail == "EBUSY"}
                assert left or moment == calls - 1  # the last call only makes the end durable
                assert {path for path, *_ in home.differences(second)} == left
            recovered(home)
            assert home.staging_left() == []
    assert seen >= {"denied", OutcomeKind.PARTIAL}


def test_two_applies_to_one_destination_at_a_time_are_refused():
    first, second = small_scene()
    with scratch_directory() as scratch:
        home = Home(scratch)
        home.fill(first)
        changes = home.changes_to(second)
        refused = []

        def at(_count, _name):
            for attempt in (
                lambda: home.destination().apply("y", changes, Stored()),
                home.destination().recover,
            ):
                with pytest.raises(LockedError):
                    attempt()
                refused.append(True)

        outcome = home.destination(InjectingSystem(at, UnsyncedSystem())).apply(
            "x", changes, Stored(first, second)
        )
        assert outcome.kind is OutcomeKind.APPLIED
        assert refused


def test_an_interrupted_apply_is_finished_before_the_next_begins():
    first, second = small_scene()
    with scratch_directory() as scratch:
        home = Home(scratch)
        home.fill(first)
        changes = home.changes_to(second)
        for moment in range(count_calls(first, second)):
            system = FailingSystem(moment, errno.EIO, inner=UnsyncedSystem())
            with contextlib.suppress(LastroError):
                home.destination(system).apply("x", changes, Stored(first, second))
            if home.pending():
                break
        with pytest.raises(LockedError) as caught:
            home.destination().apply("y", changes, Stored(first, second))
        assert caught.value.parameters["apply_id"] == "x"
        assert recovered(home)
        assert home.is_in(second)
