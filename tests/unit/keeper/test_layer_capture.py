"""What a run made is recorded as the snapshot before with its changes, and as nothing that was ever live."""

from __future__ import annotations

import os

import pytest
from msgspec import structs

from lastro.capture.local import LocalSource
from lastro.capture.source import Root, Skipped
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.record import RecordKind
from lastro.domain.reference import AtId, AtTime
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError, ProtocolError
from lastro.keeper.layer_capture import capture_layer, changes_within
from lastro.store.tree import decode_tree_entry, walk
from tests.laboratory import ACTOR, Laboratory


class Place:
    """A watched root with a project in it, and a second tree that stands for the agent's view."""

    def __init__(self, top):
        self.root = f"{top}/root"
        self.project = f"{self.root}/srv/project"
        self.view = f"{top}/view"
        os.makedirs(self.project)
        os.makedirs(self.view)
        self.laboratory = Laboratory(self.root)

    def live(self, name, content):
        self.laboratory.write(f"srv/project/{name}", content)

    def agent(self, name, content):
        path = f"{self.view}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(os.path.dirname(path), 0o755)

    def capture(self):
        self.before = self.laboratory.timeline.snapshot_by_seq(self.laboratory.capture().seq)
        return self.before

    def collect(self, *changed, source=None):
        laboratory = self.laboratory
        return capture_layer(
            laboratory.repository,
            laboratory.state,
            laboratory.clock,
            source or Moved(LocalSource([Root(path=self.view)]), self.view, self.project),
            before=self.before,
            project=self.project,
            changed=changed,
            actor=ACTOR,
        )

    def tree(self, seq):
        laboratory = self.laboratory
        root = decode_tree_entry(laboratory.timeline.snapshot_by_seq(seq).root)
        return {path: entry for path, entry in walk(laboratory.repository, root) if path}

    def contents(self, seq):
        return {
            path.removeprefix("srv/project/"): content
            for path, content in self.laboratory.files_at(seq).items()
        }


class Moved:
    """The tree at ``path``, shown at ``shown``."""

    def __init__(self, source, path, shown):
        self.source, self.path, self.shown = source, path, shown

    def roots(self):
        return [Root(path=self.shown)]

    def list(self, root, paths=("",), *, recursive=True):
        assert root == self.shown
        return self.source.list(self.path, paths, recursive=recursive)

    def fetch(self, root, entries):
        assert root == self.shown
        return self.source.fetch(self.path, entries)


@pytest.fixture
def place(tmp_path):
    place = Place(os.path.realpath(tmp_path))
    yield place
    place.laboratory.close()


def paths(result):
    return [(change.path, change.kind.value) for change in result.changes.changes]


def test_only_the_named_paths_differ_from_the_snapshot_before(place):
    for name in ("kept", "changed", "gone", "d/e/deep"):
        place.live(name, name.encode())
    place.capture()
    place.agent("changed", b"by the agent")
    place.agent("kept", b"changed too, but not named")
    place.agent("new/one", b"1")
    place.agent("new/two", b"2")
    place.live("kept", b"a human's, meanwhile")
    result = place.collect("changed", "gone", "new")
    assert paths(result) == [
        ("changed", "changed"),
        ("gone", "removed"),
        ("new", "added"),
        ("new/one", "added"),
        ("new/two", "added"),
    ]
    assert place.contents(result.after) == {
        "kept": b"kept",
        "changed": b"by the agent",
        "d/e/deep": b"d/e/deep",
        "new/one": b"1",
        "new/two": b"2",
    }
    after = place.laboratory.timeline.snapshot_by_seq(result.after)
    assert after.target == Target(ServerId(LOCAL), TargetKind.RUN, place.root)
    assert (
        changes_within(place.laboratory.repository, place.before.root, after.root, "srv/project")
        == result.changes
    )
    assert (after.statistics.added, after.statistics.changed, after.statistics.removed) == (3, 1, 1)
    assert after.statistics.entries == place.before.statistics.entries + 2
    assert after.statistics.files == place.before.statistics.files + 1


def test_nothing_different_is_nothing_recorded(place):
    place.live("a", b"same")
    place.capture()
    place.agent("a", b"same")
    os.chmod(f"{place.view}/a", os.stat(f"{place.project}/a").st_mode)
    head = place.laboratory.repository.head()
    result = place.collect("a", "never/there")
    assert (result.after, paths(result)) == (place.before.seq, [])
    assert place.laboratory.repository.head() == head
    assert place.collect().after == place.before.seq


def test_a_directory_on_both_sides_stands_for_its_own_attributes(place):
    place.live("d/a", b"1")
    place.capture()
    place.agent("d/b", b"2")
    os.chmod(f"{place.view}/d", 0o700)
    result = place.collect("d")
    assert paths(result) == [("d", "changed")]
    assert place.contents(result.after) == {"d/a": b"1"}


def test_a_directory_becomes_a_file_and_a_file_a_directory(place):
    place.live("d/a", b"1")
    place.live("f", b"2")
    place.capture()
    place.agent("d", b"file")
    place.agent("f/a", b"3")
    place.agent("f/b/c", b"4")
    result = place.collect("d", "f")
    assert place.contents(result.after) == {"d": b"file", "f/a": b"3", "f/b/c": b"4"}


def test_a_path_in_a_directory_that_nobody_recorded_brings_the_way_to_it(place):
    place.live("a", b"1")
    place.capture()
    place.agent("made/meanwhile/x", b"agent")
    os.chmod(f"{place.view}/made", 0o711)
    result = place.collect("made/meanwhile/x", "made/meanwhile/gone")
    assert place.contents(result.after) == {"a": b"1", "made/meanwhile/x": b"agent"}
    assert place.tree(result.after)["srv/project/made"].mode == 0o711


def test_nothing_of_it_is_a_head_or_in_the_stat_cache(place):
    place.live("a", b"1")
    place.capture()
    laboratory = place.laboratory
    rows = list(laboratory.state.stat_rows(laboratory.target))
    place.agent("a", b"2")
    place.agent("b", b"3")
    result = place.collect("a", "b")
    assert result.after != place.before.seq
    assert laboratory.state.head(laboratory.target).seq == place.before.seq
    assert laboratory.state.targets() == [laboratory.target]
    assert laboratory.state.head(Target(ServerId(LOCAL), TargetKind.RUN, place.root)) is None
    assert list(laboratory.state.stat_rows(laboratory.target)) == rows
    again = laboratory.capture()
    assert (again.seq, again.unchanged) == (place.before.seq, True)


def test_collecting_twice_gives_the_same_changes(place):
    place.live("a", b"1")
    place.capture()
    place.agent("a", b"2")
    first, second = place.collect("a"), place.collect("a")
    assert first.changes == second.changes
    assert place.contents(first.after) == place.contents(second.after)


def test_links_among_the_named_paths_are_a_group(place):
    place.live("z", b"1")
    place.capture()
    place.agent("b", b"new")
    place.agent("d/c", b"other")
    os.link(f"{place.view}/b", f"{place.view}/z")
    os.link(f"{place.view}/b", f"{place.view}/d/a")
    result = place.collect("b", "d", "z")
    tree = place.tree(result.after)
    assert tree["srv/project/b"].type == "file"
    assert [
        (tree[f"srv/project/{name}"].type.value, tree[f"srv/project/{name}"].link_target)
        for name in ("d/a", "z")
    ] == [("hardlink", b"srv/project/b")] * 2


def test_a_link_to_what_is_not_named_is_a_file_of_its_own(place):
    place.live("a", b"1")
    place.capture()
    place.agent("outside", b"content")
    os.link(f"{place.view}/outside", f"{place.view}/named")
    result = place.collect("named")
    assert place.tree(result.after)["srv/project/named"].type == "file"
    assert place.contents(result.after)["named"] == b"content"


@pytest.mark.parametrize("removed", [False, True])
def test_other_names_of_a_file_keep_what_it_was(place, removed):
    place.live("a", b"one")
    for name in (f"{place.project}/m", f"{place.project}/n", f"{place.root}/outside"):
        os.link(f"{place.project}/a", name)
    place.capture()
    assert place.tree(place.before.seq)["srv/project/a"].type == "hardlink"  # "outside" comes first
    if not removed:
        place.agent("a", b"two")
    result = place.collect("a")
    assert place.contents(result.after) == {"outside": b"one"} | ({} if removed else {"a": b"two"})
    tree = place.tree(result.after)
    assert [tree[f"srv/project/{name}"].link_target for name in ("m", "n")] == [b"outside"] * 2


@pytest.mark.parametrize("removed", [False, True])
def test_the_first_of_a_group_is_replaced_and_the_next_takes_its_place(place, removed):
    place.live("d/a", b"one")
    for name in (f"{place.project}/m", f"{place.project}/n", f"{place.root}/zzz"):
        os.link(f"{place.project}/d/a", name)
    place.capture()
    if not removed:
        place.agent("d/a", b"two")
    result = place.collect("d" if removed else "d/a")
    assert place.contents(result.after) == {"m": b"one"} | ({} if removed else {"d/a": b"two"})
    tree = place.tree(result.after)
    assert [tree[name].link_target for name in ("srv/project/n", "zzz")] == [b"srv/project/m"] * 2
    assert "zzz" not in [path for path, _ in paths(result)]


def test_a_link_that_was_only_opened_for_writing_is_no_change(place):
    place.live("a", b"one")
    os.link(f"{place.project}/a", f"{place.project}/m")
    place.capture()
    for name in ("a", "m"):  # an overlay copies each up, and they are no group any more
        place.agent(name, b"one")
        os.chmod(f"{place.view}/{name}", os.stat(f"{place.project}/a").st_mode)
    result = place.collect("a", "m")
    assert (result.after, paths(result)) == (place.before.seq, [])


def test_what_cannot_be_read_stands_as_it_was_known(place):
    place.live("a", b"1")
    place.live("d/b", b"2")
    place.capture()
    place.agent("a", b"changed")
    place.agent("d/b", b"changed")
    source = Unreadable(LocalSource([Root(path=place.view)]), place.view, place.project)
    result = place.collect("a", "d/b", source=source)
    assert place.contents(result.after) == {"a": b"changed", "d/b": b"2"}
    (warning,) = place.laboratory.timeline.snapshot_by_seq(result.after).warnings
    assert (warning.path, warning.kind.value, warning.detail) == ("srv/project/d", "unreadable", "EACCES")


class Unreadable(Moved):
    def list(self, root, paths=("",), *, recursive=True):
        for item in super().list(root, paths, recursive=recursive):
            if item.path.startswith("d/"):
                yield Skipped(path="d", kind="unreadable", detail="EACCES")
            elif item.path != "d":
                yield item


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a//b", "a/./b"])
def test_an_impossible_path_is_refused(place, path):
    place.live("a", b"1")
    place.capture()
    head = place.laboratory.repository.head()
    with pytest.raises(ProtocolError):
        place.collect(path)
    assert place.laboratory.repository.head() == head


def test_a_source_that_lies_about_its_bytes_is_refused(place):
    place.live("a", b"1")
    place.capture()
    place.agent("a", b"2")

    class Liar(Moved):
        def fetch(self, root, entries):
            for event in super().fetch(root, entries):
                yield (
                    structs.replace(event, entry=structs.replace(event.entry, digest=bytes(32)))
                    if hasattr(event, "entry")
                    else event
                )

    with pytest.raises(ProtocolError):
        place.collect("a", source=Liar(LocalSource([Root(path=place.view)]), place.view, place.project))


def test_a_snapshot_that_does_not_hold_the_project_is_refused(place):
    place.capture()
    place.project = f"{place.root}/elsewhere"
    with pytest.raises(NotFoundError):
        place.collect("a")
    place.project = "/elsewhere"
    with pytest.raises(NotFoundError):
        place.collect("a")


# History ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(place):
    place.live("a", b"one")
    place.capture()
    place.agent("a", b"two")
    place.agent("new", b"agent")
    place.run = place.laboratory.timeline.snapshot_by_seq(place.collect("a", "new").after)
    return place


def test_history_knows_no_versions_of_what_never_was_live(run):
    timeline = run.laboratory.timeline
    located = timeline.locate(LOCAL, f"{run.project}/a")
    assert located.target == run.laboratory.target
    assert [version.seq for version in timeline.versions(located)] == [run.before.seq]
    assert timeline.targets() == [run.laboratory.target]
    assert [shown.seq for shown in timeline.timeline(None)] == [run.before.seq]
    assert timeline.count_snapshots() == 1
    assert timeline.find("new") == []
    assert timeline.snapshot_at(run.laboratory.target, None).seq == run.before.seq
    records = [stored.record.kind for stored in run.laboratory.repository.records()]
    assert records.count(RecordKind.SNAPSHOT) == 2


def test_it_is_asked_for_by_its_number_alone(run):
    timeline = run.laboratory.timeline
    located = timeline.locate(LOCAL, f"{run.project}/new")
    assert (
        timeline.snapshot_for(located, AtId(kind="snap", number=run.run.number, before=False)).seq
        == run.run.seq
    )
    assert (
        timeline.snapshot_for(located, AtId(kind="snap", number=run.before.number, before=False)).seq
        == run.before.seq
    )
    assert (
        timeline.snapshot_for(located, AtId(kind="snap", number=run.run.number, before=True)).seq
        == run.before.seq
    )
    assert timeline.snapshot_for(located, AtTime(run.run.time_ns)).seq == run.before.seq
    assert timeline.snapshot_for(located, None).seq == run.before.seq
    assert timeline.changes_of(run.run.seq).snapshot == run.run.number
