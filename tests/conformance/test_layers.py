"""What every ``Layer`` keeps: the same work of an agent gives the same change set, whatever view it was done in."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings

from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.domain.changes import ChangeSet, diff
from lastro.keeper.layer_capture import capture_layer
from tests import hard_files
from tests.agent_work import WORK, make_project
from tests.capabilities import has_capability, needs
from tests.conformance.layers import LAYERS, NEEDS, MemoryRun
from tests.laboratory import ACTOR, Laboratory
from tests.memory_layer import listing

pytestmark = [pytest.mark.needs("names of any bytes", "user xattrs")]


@pytest.fixture(params=LAYERS)
def name(request):
    for capability in NEEDS.get(request.param, ()):
        needs(has_capability(capability), capability)
    return request.param


class Place:
    """A captured project without hard links (an overlay parts them, a copy does not), and runs on it."""

    def __init__(self, top):
        self.top = top
        self.project = f"{top}/project"
        os.mkdir(self.project)
        make_project(self.project)
        os.unlink(f"{self.project}/d/e/a")
        self.laboratory = Laboratory(self.project)
        self.before = self.laboratory.timeline.snapshot_by_seq(self.laboratory.capture().seq)

    def run(self, name):
        directory = tempfile.mkdtemp(dir=self.top)
        return LAYERS[name](self.project, directory)

    def collect(self, layer):
        laboratory = self.laboratory
        return capture_layer(
            laboratory.repository,
            laboratory.state,
            laboratory.clock,
            layer.source(),
            before=self.before,
            project=self.project,
            changed=layer.changed(),
            actor=ACTOR,
        )


@pytest.fixture
def place():
    with hard_files.place() as top:
        place = Place(top)
        yield place
        place.laboratory.close()


def oracle(place, work):
    """The change set by two complete listings of a plain directory."""
    run = MemoryRun(place.project, tempfile.mkdtemp(dir=place.top))
    before = listing(run.layer.before)
    run.work(work)
    changes = diff(before, listing(run.layer.after))
    return ChangeSet(tuple(change for change in changes if change.path.partition("/")[0] != ".git"))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(WORK)
@pytest.mark.slow
def test_the_change_set_is_that_of_two_complete_listings(name, work):
    top = tempfile.mkdtemp(prefix="lastro-test-")
    place = Place(top)
    try:
        run = place.run(name)
        run.work(work)
        found = place.collect(run.layer).changes
        expected = oracle(place, work)
        assert described(found) == described(expected)
        assert found.digest == expected.digest
    finally:
        place.laboratory.close()
        shutil.rmtree(top)


def described(changes):
    return [
        (change.path, change.kind.value, change.fields, change.after and change.after.type)
        for change in changes.changes
    ]


def test_a_layer_nobody_worked_in_is_empty(name, place):
    run = place.run(name)
    assert (dict(run.layer.manifest()), list(run.layer.changed())) == ({}, [])
    result = place.collect(run.layer)
    assert (result.after, result.changes.changes) == (place.before.seq, ())
    assert place.laboratory.timeline.count_snapshots() == 1


def test_what_is_only_touched_is_no_change(name, place):
    run = place.run(name)
    run.work(
        [("touch", b"a", 5), ("append", b"d/a", b""), ("write", b"b", b"linked"), ("chmod", b"d/e/b", 0o644)]
    )
    result = place.collect(run.layer)
    assert (result.after, result.changes.changes) == (place.before.seq, ())


def test_the_repository_of_the_project_is_left_out(name, place):
    run = place.run(name)
    run.work(
        [
            ("write", b".git/HEAD", b"x"),
            ("write", b".git/hooks", b"x"),
            ("append", b"a", b"x"),
            ("mkdir", b"e"),
            ("write", b"e/.git", b"x"),
        ]
    )
    assert list(run.layer.changed()) == ["a", "e", "e/.git"]
    assert set(run.layer.manifest()) == {"a", "e", "e/.git"}
    assert [change.path for change in place.collect(run.layer).changes.changes] == ["a", "e", "e/.git"]


def test_a_manifest_differs_where_the_agent_worked(name, place):
    run = place.run(name)
    run.work([("write", b"e", b"1"), ("unlink", b"a")])
    first = dict(run.layer.manifest())
    run.work([("write", b"e", b"2"), ("replace", b"d/a", b"new"), ("mkdir", b"d/b/x")])
    second = dict(run.layer.manifest())
    assert {path for path in first | second if first.get(path) != second.get(path)} == {"e", "d/a"}


def test_a_layer_has_a_size_and_can_be_removed(name, place):
    run = place.run(name)
    before = run.layer.size()
    run.work([("write", b"e", b"x" * 100_000)])
    after = run.layer.size()
    assert after.bytes >= before.bytes + 100_000
    assert after.files == before.files + 1
    run.layer.remove()
    assert os.path.exists(f"{place.project}/a")


def test_the_source_is_the_whole_project_under_its_own_path(name, place):
    run = place.run(name)
    run.work([("write", b"d/new", b"1"), ("remove", b"d/e")])
    source = run.layer.source()
    assert [root.path for root in source.roots()] == [place.project]
    live = {each.path for each in LocalSource([Root(path=place.project)]).list(place.project)}
    gone = {path for path in live if path == "d/e" or path.startswith("d/e/")}
    assert {each.path for each in source.list(place.project)} == live - gone | {"d/new"}
    assert source.changes(None, 0).overflow == (place.project,)


def test_special_files_are_what_they_are(name, place):
    run = place.run(name)
    run.work([("fifo", b"e")])
    (change,) = place.collect(run.layer).changes.changes
    assert (change.path, change.after.type) == ("e", "fifo")
