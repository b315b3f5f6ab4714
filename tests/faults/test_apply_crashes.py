"""A crash at every write of an apply, with what was not synced dropped: afterwards it is wholly undone or wholly done."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from typing_extensions import override

from lastro.apply.destination import OutcomeKind
from lastro.domain.changes import Change, ChangeSet
from tests.conformance.trees import Stored, Tree, directory, file, tree, trees
from tests.faults.destinations import Home, exact, part, recovered, scenes, small_scene
from tests.faults.recording import RecordingSystem, crash_states, materialize
from tests.faults.scratch import scratch_directory


class WithoutExchange(RecordingSystem):
    """A file system that knows ``RENAME_NOREPLACE`` only."""

    @override
    def exchange(self, directory, name, new_directory, new_name):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class WithoutFlags(WithoutExchange):
    """A file system that knows no flag of renameat2."""

    @override
    def rename_new(self, directory, name, new_directory, new_name):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def record(scratch: str, system_of, first: Tree, second: Tree):
    """Apply ``second`` to a home in ``first``; returns the home and the recording."""
    home = Home(scratch)
    home.fill(first)
    changes = home.changes_to(second)
    system = system_of(scratch)
    outcome = home.destination(system).apply("crashing", changes, Stored(first, second))
    assert outcome.kind is OutcomeKind.APPLIED, outcome
    assert home.is_in(second), home.differences(second)
    system.mark("applied")
    return home, system.recording()


def check_every_crash(home: Home, recording, first: Tree, second: Tree) -> set[str]:
    """Recover from each crash state; returns which ends there were."""
    ends = set()
    for state in crash_states(recording, seed=7):
        with scratch_directory() as scratch:
            materialize(state, scratch)
            left = Home(scratch)
            left.came_from(home)
            outcomes = recovered(left)
            assert all(not outcome.conflicts for outcome in outcomes), (str(state), outcomes)
            assert left.pending() == [], str(state)
            assert left.staging_left() == [], str(state)
            if left.is_in(second):
                ends.add("after")
            else:
                assert left.is_in(first), (
                    str(state),
                    outcomes,
                    left.differences(first),
                    left.differences(second),
                )
                assert not state.marks, str(state)
                ends.add("before")
            ends |= {outcome.kind.value for outcome in outcomes}
    return ends


def check_scene(system_of, first: Tree, second: Tree) -> None:
    with scratch_directory() as scratch:
        home, recording = record(scratch, system_of, first, second)
        assert check_every_crash(home, recording, first, second) == {
            "before",
            "after",
            "rolled_back",
            "applied",
        }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "back")) for name in scenes()]
)
def test_after_a_crash_at_any_write_all_is_as_before_or_as_after(name):
    check_scene(RecordingSystem, *scenes()[name])


@pytest.mark.parametrize("system_of", [WithoutExchange, WithoutFlags])
@pytest.mark.parametrize("path", ["d", "becomes-file", "becomes-directory", "link"])
def test_also_where_the_file_system_cannot_exchange(system_of, path):
    check_scene(system_of, *part(path))


@pytest.mark.slow
@pytest.mark.parametrize("system_of", [WithoutExchange, WithoutFlags])
@pytest.mark.parametrize("name", scenes())
def test_also_whole_scenes_where_the_file_system_cannot_exchange(system_of, name):
    check_scene(system_of, *scenes()[name])


@pytest.mark.slow
@settings(max_examples=15)
@given(first=trees(), second=trees())
def test_after_a_crash_between_any_two_trees(first, second):
    with scratch_directory() as scratch:
        home, recording = record(scratch, RecordingSystem, first, second)
        check_every_crash(home, recording, first, second)


def test_a_destination_that_was_made_goes_again_with_a_roll_back(tmp_path):
    home = Home(str(tmp_path))
    home.place = str(tmp_path / "new" / "place")
    wanted = tree(directory("d"), file("d/f", b"x"), data=(b"x",))
    changes = ChangeSet(tuple(Change(path=entry.path, before=None, after=entry) for entry in wanted.entries))
    system = RecordingSystem(str(tmp_path))
    assert home.destination(system).apply("x", changes, Stored(wanted)).kind is OutcomeKind.APPLIED
    assert home.is_in(wanted)
    ends = set()
    for state in crash_states(system.recording(), seed=3):
        with scratch_directory() as scratch:
            materialize(state, scratch)
            left = Home(scratch)
            left.place = os.path.join(scratch, "new", "place")
            if os.path.exists(left.place) or not left.pending():
                left.came_from(home)
                recovered(left)
                there = os.path.exists(os.path.join(scratch, "new"))
                assert not there or left.is_in(wanted), (str(state), left.differences(wanted))
                ends.add(there)
    assert ends == {False, True}


def test_a_roll_back_gives_directories_their_times_back(tmp_path):
    first, second = small_scene()
    home, recording = record(str(tmp_path / "original"), RecordingSystem, first, second)
    before = None
    for state in crash_states(recording):
        if state.variant != "all":
            continue
        scratch = tmp_path / f"crash-{state.point}"
        materialize(state, str(scratch))
        left = Home(str(scratch))
        left.came_from(home)
        if before is None:
            before = exact_times(left)
        if [outcome.kind for outcome in recovered(left)] == [OutcomeKind.ROLLED_BACK]:
            assert exact_times(left) == before, str(state)


def exact_times(home: Home):
    return {path: entry.mtime_ns for path, entry in exact(home).items()}


def test_recovering_twice_or_with_a_crash_while_recovering_ends_the_same(tmp_path):
    first, second = small_scene()
    home, recording = record(str(tmp_path / "original"), RecordingSystem, first, second)
    chosen = [state for state in crash_states(recording) if state.variant == "all"][::4]
    for state in chosen:
        scratch = str(tmp_path / f"crash-{state.point}")
        materialize(state, scratch)
        left = Home(scratch)
        left.came_from(home)
        system = RecordingSystem(scratch)
        left.destination(system).recover()
        assert left.is_in(first) or left.is_in(second)
        for again in crash_states(system.recording()):
            with scratch_directory() as second_scratch:
                materialize(again, second_scratch)
                twice = Home(second_scratch)
                twice.came_from(left)
                recovered(twice)
                assert twice.is_in(first) or twice.is_in(second), (str(state), str(again))
                assert not twice.staging_left()
                assert not twice.pending()


def test_before_the_first_exchange_it_rolls_back_and_from_then_on_forward():
    first, second = small_scene()
    with scratch_directory() as original:
        home, recording = record(original, RecordingSystem, first, second)
        exchange = next(index for index, call in enumerate(recording.calls) if call.name == "exchange")
        kinds = {True: set(), False: set()}
        for state in crash_states(recording):
            with scratch_directory() as scratch:
                materialize(state, scratch)
                left = Home(scratch)
                left.came_from(home)
                if state.variant == "all":
                    kinds[state.point <= exchange].update(outcome.kind for outcome in recovered(left))
        assert kinds == {True: {OutcomeKind.ROLLED_BACK}, False: {OutcomeKind.APPLIED}}
