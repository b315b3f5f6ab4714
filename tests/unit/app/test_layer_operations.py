"""``capture.layer`` through a desk, and what history answers afterwards."""

from __future__ import annotations

import os

import pytest

from lastro.agents.copied import CopyLayer, prepare_copy
from lastro.app.encoding import decode, encode
from lastro.app.operations.capture import capture
from lastro.app.operations.difference import difference
from lastro.app.operations.repository import init
from lastro.app.places import places_of
from lastro.app.requests import Capture, CapturePlace, Diff, Find, Init, Log
from lastro.app.requests.runs import CaptureLayer, LayerCaptured
from lastro.app.wiring import open_desk
from lastro.domain.changes import ChangeSet
from lastro.domain.ids import LOCAL
from lastro.domain.reference import AtId, Reference
from lastro.errors import NotFoundError
from tests.agent_work import perform


@pytest.fixture
def desk(tmp_path):
    with open_desk(places_of(os.path.realpath(tmp_path / "home"))) as desk:
        init(desk, Init())
        yield desk


@pytest.fixture
def project(tmp_path):
    project = os.path.realpath(tmp_path / "project")
    os.makedirs(f"{project}/src")
    with open(f"{project}/src/kept", "w", encoding="utf-8") as file:
        file.write("one\ntwo\n")
    return project


def reference(path, number=None):
    return Reference(
        server=LOCAL, path=path, at=None if number is None else AtId("snap", number, before=False)
    )


def collect(desk, project, tmp_path, work):
    before = capture(desk, Capture(references=(reference(project),))).snapshots[0].seq
    directory = os.path.realpath(tmp_path / "run")
    os.mkdir(directory)
    prepare_copy(project, directory)
    layer = CopyLayer(project, directory)
    perform(f"{directory}/copy", work)
    with desk.caller.offer(layer.source()) as offer:
        request = CaptureLayer(
            offer=offer, project=project, before=before, changed=tuple(layer.changed()), run=1
        )
        return desk.caller.call("capture.layer", request)


WORK = [("append", b"src/kept", b"three\n"), ("write", b"src/not-utf-8-\xff", b"new\n")]


@pytest.mark.needs("names of any bytes")
def test_a_layer_is_recorded_and_answered_with_both_sides(desk, project, tmp_path):
    reply = collect(desk, project, tmp_path, WORK)
    assert isinstance(reply, LayerCaptured)
    assert reply.paths == ("src/kept", "src/not-utf-8-\udcff")
    assert reply.after > reply.before
    assert ChangeSet(reply.changes).digest.hex() == reply.digest
    assert decode(encode(reply), LayerCaptured) == reply


def test_an_empty_layer_is_the_snapshot_before(desk, project, tmp_path):
    reply = collect(desk, project, tmp_path, [("touch", b"src/kept", 1)])
    assert (reply.after, reply.digest, reply.paths, reply.changes) == (reply.before, "", (), ())


@pytest.mark.needs("names of any bytes")
def test_the_run_is_in_no_log_and_no_search_and_can_be_compared_by_number(desk, project, tmp_path):
    collect(desk, project, tmp_path, WORK)
    logged = desk.caller.call("log", Log())
    assert [(item.kind, item.number) for item in logged.items] == [("snapshot", 1)]
    assert desk.caller.call("find", Find(name="not-utf-8*")).items == ()
    assert desk.caller.call("capture.place", CapturePlace(path=f"{project}/src")).root == project
    shown = difference(desk, Diff(before=reference(project, 1), after=reference(project, 2)))
    assert [file.path for file in shown.files] == ["src/kept", "src/not-utf-8-\udcff"]
    assert "+three" in str(shown.files[0].patch)
    again = capture(desk, Capture(references=(reference(project),))).snapshots[0]
    assert (again.snapshot, again.unchanged) == (1, True)


def test_a_source_that_nobody_offers_is_said(desk, project):
    seq = capture(desk, Capture(references=(reference(project),))).snapshots[0].seq
    with pytest.raises(NotFoundError):
        desk.caller.call(
            "capture.layer", CaptureLayer(offer="none", project=project, before=seq + 9, changed=())
        )
