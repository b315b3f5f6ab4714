"""Settling the chosen part of a proposal with what is live."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.apply.destination import OutcomeKind
from lastro.apply.memory import MemoryDestination
from lastro.apply.plan import make_plan
from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet, diff
from lastro.domain.entry import EntryType, Xattr, differing
from lastro.domain.paths import is_within
from lastro.proposals.merge import merge
from lastro.proposals.settling import Obstacle, directories_to_list, paths_to_read, settle
from tests.conformance.trees import directory, file, hard_link, root_entry, symlink
from tests.strategies import CONTENTS, tree_pairs, trees
from tests.unit.proposals.texts import edited


class Place:
    """A destination, what is recorded, and what settling writes: everything that is between a proposal and a disk."""

    def __init__(self, entries, contents):
        self.contents = dict(contents)
        self.destination = MemoryDestination(entries, contents)
        self.applies = 0

    def read(self, entry):
        data = self.contents[entry.digest]
        if data:
            yield 0, data

    def settle(self, selected, composed=None):
        live = self.destination.read(paths_to_read(selected))
        below = [
            entry.path
            for top in directories_to_list(selected, live)
            for entry in self.destination.walk(top)
            if entry.path != top
        ]
        return settle(selected, composed or {}, live, below, Between(self, selected))

    def apply(self, settlement):
        self.contents |= {digest_of(data): data for data in settlement.written.values()}
        self.applies += 1
        return self.destination.apply(f"apply-{self.applies}", settlement.changes, self)

    def state(self):
        found = {}
        for entry in self.destination.walk(""):
            key = self.destination.content(entry.path) if entry.type is EntryType.FILE else b""
            found[entry.path] = (entry, key)
        return found


class Between:
    def __init__(self, place, selected):
        self._place = place
        self._changes = {change.path: change for change in selected.changes}

    def before(self, path):
        return self._place.contents.get(self._changes[path].before.digest)

    def after(self, path):
        return self._place.contents.get(self._changes[path].after.digest)

    def live(self, path):
        return self._place.destination.content(path)


def change_set(before, after):
    return ChangeSet(tuple(diff(before, after)))


def is_makeable(entries):
    return all(entry.type is not EntryType.SOCKET and not entry.torn for entry in entries)


@given(tree_pairs())
def test_where_live_is_as_before_exactly_what_was_selected_is_written(pair):
    before, after = pair
    if not is_makeable([*before.values(), *after.values()]):
        return
    selected = change_set(before.values(), after.values())
    place = Place(before.values(), CONTENTS)
    settlement = place.settle(selected)
    assert settlement.changes == selected
    assert not (settlement.skipped or settlement.merged or settlement.conflicts or settlement.written)
    outcome = place.apply(settlement)
    assert outcome.kind is OutcomeKind.APPLIED
    again = place.settle(selected)
    assert not again.conflicts
    assert not again.changes.changes
    assert set(again.skipped) == {change.path for change in selected.changes}
    undone = place.settle(selected.inverse)
    assert not undone.conflicts
    assert place.apply(undone).kind is OutcomeKind.APPLIED
    assert not list(diff(place.destination.walk(""), before.values()))


@given(tree_pairs(), trees(most=4), st.data())
@settings(max_examples=150)
def test_whatever_is_live_nothing_is_lost_and_nothing_contradicts_itself(pair, meddled, data):
    before, after = pair
    if not is_makeable([*before.values(), *after.values(), *meddled.values()]):
        return
    start = data.draw(st.sampled_from([before, after, meddled]))
    other = data.draw(st.sampled_from([before, after, meddled]))
    paths = sorted({path for tree in (start, other) for path in tree})
    taken = data.draw(st.sets(st.sampled_from(paths)))
    live = mixed(start, other, taken)
    if live is None:
        return
    selected = change_set(before.values(), after.values())
    place = Place(live, CONTENTS)
    was = place.state()
    settlement = place.settle(selected)
    if settlement.conflicts:
        assert not settlement.changes.changes
        return
    make_plan(settlement.changes)
    outcome = place.apply(settlement)
    now = place.state()
    known = {change.path for change in selected.changes}
    links = {
        entry.path
        for tree in (before, after, meddled)
        for entry in tree.values()
        if entry.type is EntryType.HARDLINK
    }
    if outcome.kind is not OutcomeKind.APPLIED:
        assert now == was  # another name of a file, or what stands above, is told only by the destination
        return
    if not links:
        assert {path: found for path, found in was.items() if path not in known} == {
            path: found for path, found in now.items() if path in was and path not in known
        }
        again = place.settle(selected)
        assert not again.conflicts
        assert not again.changes.changes


def mixed(start, other, taken):
    """A tree that is partly one and partly the other; ``None`` when that is none."""
    found = {}
    for path in sorted({*start, *other}, key=lambda path: tuple(path.split("/"))):
        entry = (other if path in taken else start).get(path)
        above = found.get(path.rpartition("/")[0]) if path else root_entry()
        if entry is None or entry.type is EntryType.HARDLINK or path == "":
            if path == "":
                found[path] = start[path]
            continue
        if above is not None and above.type is EntryType.DIRECTORY:
            found[path] = entry
    return [found[path] for path in found]


def line(number):
    return b"line %d\n" % number


@st.composite
def situations(draw):
    """Files as they were, as the agent left them, and as a human did meanwhile."""
    sides = ({}, {}, {})
    for name in ("a", "b", "c"):
        base = [line(number) for number in range(draw(st.integers(0, 25)))]
        agent = edited(base, draw, new=lambda number: b"agent %d\n" % number)
        human = edited(base, draw, new=lambda number: b"human %d\n" % number)
        modes = [draw(st.sampled_from([0o644, 0o644, 0o755, 0o600])) for _ in range(3)]
        texts = [b"".join(lines) for lines in (base, agent, human)]
        there = [draw(st.integers(0, 9)) > 0 for _ in range(3)]
        for side, text, mode, is_there in zip(sides, texts, modes, there, strict=True):
            if is_there:
                side[name] = file(name, text, mode=mode), text
    return sides


def tree_of(side):
    return [root_entry(), *(entry for entry, _ in side.values())]


@given(situations())
@settings(max_examples=200)
def test_no_line_of_a_human_is_lost_and_no_change_of_the_agent_is_half_done(situation):
    before, agent, human = situation
    contents = {entry.digest: text for side in situation for entry, text in side.values()}
    selected = change_set(tree_of(before), tree_of(agent))
    place = Place(tree_of(human), contents)
    settlement = place.settle(selected)
    was = place.state()
    if settlement.conflicts:
        assert not settlement.changes.changes
        assert {path for path, _ in settlement.conflicts} <= {change.path for change in selected.changes}
        return
    assert place.apply(settlement).kind is OutcomeKind.APPLIED
    now = place.state()
    known = {change.path for change in selected.changes}
    for path, (entry, text) in was.items():
        mine = [each for each in text.splitlines() if each.startswith(b"human")]
        if path not in known:
            assert now[path] == (entry, text)
        elif path in now:
            assert [each for each in now[path][1].splitlines() if each.startswith(b"human")] == mine
        else:
            assert not mine
    for path, (_, text) in agent.items():
        if path in known:
            theirs = [each for each in text.splitlines() if each.startswith(b"agent")]
            assert [each for each in now[path][1].splitlines() if each.startswith(b"agent")] == theirs
    again = place.settle(selected)
    assert not again.conflicts
    assert not again.changes.changes
    assert set(settlement.merged) | set(settlement.skipped) <= known


@given(situations())
def test_an_undo_takes_back_what_the_agent_did_and_leaves_what_a_human_did_since(situation):
    before, agent, _ = situation
    contents = {entry.digest: text for side in situation for entry, text in side.values()}
    selected = change_set(tree_of(before), tree_of(agent))
    place = Place(tree_of(agent), contents)
    if "a" in agent:  # a human goes on working, far from the rest
        entry, text = agent["a"]
        more = text + b"".join(b"far %d\n" % number for number in range(3)) + b"human\n"
        place.contents[digest_of(more)] = more
        later = file("a", more, mode=entry.mode)
        edit = ChangeSet((Change(path="a", before=entry, after=later),))
        assert place.destination.apply("human", edit, place).kind is OutcomeKind.APPLIED
    settlement = place.settle(selected.inverse)
    if settlement.conflicts:
        return
    assert place.apply(settlement).kind is OutcomeKind.APPLIED
    now = place.state()
    for path, (_, text) in before.items():
        if path != "a":
            assert now[path][1] == text
    if "a" in agent:
        assert b"human\n" in now["a"][1]


def settled(before, after, live, *, contents=(), below=(), composed=None):
    """One change of one path, with what is live there."""
    path = next(entry.path for entry in (before, after) if entry is not None)
    contents = {digest_of(data): data for data in contents}
    selected = ChangeSet((Change(path=path, before=before, after=after),))

    class Content:
        def before(self, _):
            return contents.get(before.digest)

        def after(self, _):
            return contents.get(after.digest)

        def live(self, _):
            return contents.get(live.digest)

    return settle(selected, composed or {}, {path: live}, below, Content())


A, B, C = (b"1\n2\n3\n4\n5\n6\n" + each for each in (b"", b"7\n", b"8\n"))
TOP = b"0\n" + A


@pytest.mark.parametrize(
    ("before", "after", "live", "obstacle"),
    [
        (file("f", A), file("f", B), file("f", C), Obstacle.CONTENT),
        (file("f", A), file("f", B), None, Obstacle.REMOVED),
        (file("f", A), file("f", B), symlink("f", "t"), Obstacle.TYPE),
        (file("f", A), file("f", B), directory("f"), Obstacle.TYPE),
        (file("f", A), None, file("f", B), Obstacle.CHANGED),
        (file("f", A), None, file("f", A, mode=0o600), Obstacle.CHANGED),
        (None, file("f", A), file("f", B), Obstacle.EXISTS),
        (None, directory("f"), file("f", B), Obstacle.EXISTS),
        (file("f", A), file("f", A, mode=0o755), file("f", A, mode=0o700), Obstacle.ATTRIBUTES),
        (symlink("f", "a"), symlink("f", "b"), symlink("f", "c"), Obstacle.ATTRIBUTES),
        (file("f", b"\0a"), file("f", b"\0b"), file("f", b"\0c"), Obstacle.BINARY),
        (file("f", A), file("f", B), file("f", TOP, torn=True), Obstacle.UNSETTLED),
        (file("f", A), file("f", B), file("f", TOP, digest=None), Obstacle.UNSETTLED),
        (file("f", A), file("f", B), file("f", b"cannot be had"), Obstacle.UNSETTLED),
        (file("f", A), file("f", B), file("f", TOP, size=2_000_000), Obstacle.BINARY),
        (file("f", A), symlink("f", "b"), file("f", B), Obstacle.TYPE),
    ],
)
def test_what_cannot_be_merged_is_a_conflict_that_says_why(before, after, live, obstacle):
    settlement = settled(before, after, live, contents=(A, B, C, TOP, b"\0a", b"\0b", b"\0c"))
    assert settlement.conflicts == (("f", obstacle),)
    assert settlement.changes == ChangeSet()
    assert (obstacle is Obstacle.CONTENT) == (b"<<<<<<<" in settlement.texts.get("f", b""))


def test_two_far_edits_and_two_attributes_merge():
    before, after = file("f", A), file("f", B, mode=0o755)
    live = file("f", TOP, xattrs=(Xattr("user.mine", b"1"),))
    settlement = settled(before, after, live, contents=(A, B, TOP))
    (change,) = settlement.changes.changes
    assert change.before == live
    assert settlement.written == {"f": b"0\n" + B}
    assert (change.after.mode, change.after.xattrs) == (0o755, live.xattrs)
    assert change.after.digest == digest_of(b"0\n" + B)
    assert settlement.merged == ("f",)


def test_content_of_one_and_attributes_of_the_other_merge_without_reading():
    live = file("f", C)
    settlement = settled(file("f", A), file("f", A, mode=0o755), live)
    assert [change.after for change in settlement.changes.changes] == [replace(live, mode=0o755)]
    settlement = settled(file("f", A), file("f", B), file("f", A, mode=0o600))
    (change,) = settlement.changes.changes
    assert (change.after.digest, change.after.mode) == (digest_of(B), 0o600)
    assert settlement.written == {}


def test_a_human_who_did_the_same_and_more_has_nothing_to_be_written():
    settlement = settled(file("f", A), file("f", B), file("f", b"0\n" + B), contents=(A, B, b"0\n" + B))
    assert settlement.changes == ChangeSet()
    assert settlement.skipped == ("f",)
    assert settlement.merged == ("f",)


def test_a_file_that_is_not_what_was_looked_at_any_more_is_not_merged():
    before, after, live = file("f", A), file("f", B), file("f", TOP)
    selected = ChangeSet((Change(path="f", before=before, after=after),))

    class Content:
        def before(self, _):
            return A

        def after(self, _):
            return B

        def live(self, _):
            return b"-1\n" + TOP

    settlement = settle(selected, {}, {"f": live}, (), Content())
    assert settlement.conflicts == (("f", Obstacle.UNSETTLED),)


def test_the_same_content_is_not_merged_but_its_attributes_are():
    live = file("f", B, uid=7)
    settlement = settled(file("f", A), file("f", B, mode=0o755), live)
    assert [change.after for change in settlement.changes.changes] == [replace(live, mode=0o755)]
    assert settlement.written == {}


def test_composed_content_is_what_is_wanted():
    before, after = file("f", A), file("f", B)
    settlement = settled(before, after, before, composed={"f": B})
    assert settlement.written == {"f": B}
    live = file("f", TOP)
    assert settled(before, after, live, contents=(A, TOP), composed={"f": B}).written == {"f": b"0\n" + B}
    assert merge(A, TOP, B).content == b"0\n" + B


@pytest.mark.parametrize("after", [None, file("d", b"x"), symlink("d", "x")])
def test_a_directory_that_holds_something_unknown_stays(after):
    selected = [
        Change(path="d", before=directory("d"), after=after),
        Change(path="d/f", before=file("d/f", A), after=None),
    ]
    place = Place(
        [root_entry(), directory("d"), file("d/f", A), directory("d/e"), file("d/e/new", B)],
        {digest_of(A): A, digest_of(B): B},
    )
    was = place.state()
    settlement = place.settle(ChangeSet(tuple(selected)))
    assert settlement.conflicts == (("d", Obstacle.NOT_EMPTY),)
    assert place.state() == was


def test_hard_links_are_settled_by_the_file_they_share():
    first = file("a", A)
    link = hard_link(first, "b")
    place = Place([root_entry(), first, link, file("c", A)], {digest_of(A): A, digest_of(B): B})
    gone = ChangeSet((Change(path="b", before=link, after=None),))
    assert place.settle(gone).changes == gone
    other = ChangeSet((Change(path="c", before=hard_link(first, "c"), after=None),))
    assert place.settle(other).conflicts == (("c", Obstacle.CHANGED),)
    made = ChangeSet((Change(path="b", before=None, after=link),))
    assert place.settle(made).skipped == ("b",)
    # Nobody looked at the file that it is a name of: what applies it will.
    live = place.destination.read(["b"])
    assert settle(gone, {}, live, (), Between(place, gone)).changes == gone
    assert settle(other, {}, place.destination.read(["c"]), (), Between(place, other)).conflicts


def test_a_hard_link_that_becomes_a_file_of_its_own_and_back():
    first = file("a", A)
    place = Place([root_entry(), first, hard_link(first, "b")], {digest_of(A): A})
    apart = ChangeSet((Change(path="b", before=hard_link(first, "b"), after=file("b", A)),))
    for selected, names in ((apart, 1), (apart.inverse, 2)):
        assert place.settle(selected).changes == selected
        assert place.apply(place.settle(selected)).kind is OutcomeKind.APPLIED
        assert place.destination.read(["b"])["b"].nlink == names
        assert place.settle(selected).skipped == ("b",)


def test_only_the_topmost_directories_that_go_are_listed():
    entries = [directory("d"), directory("d/e"), file("d/e/f", A), directory("k"), directory("g")]
    selected = ChangeSet(
        tuple(
            Change(
                path=entry.path, before=entry, after=replace(entry, mode=0o700) if entry.path == "k" else None
            )
            for entry in entries
        )
    )
    live = {entry.path: entry for entry in entries} | {"g": None}
    assert directories_to_list(selected, live) == ["d"]
    assert not any(is_within("d-x", top) for top in directories_to_list(selected, live))
    assert differing(entries[0], replace(entries[0], mode=0o700))
