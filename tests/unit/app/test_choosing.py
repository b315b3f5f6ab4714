"""A restore of only some of what lies below a directory: exactly that, and nothing beside it."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lastro.app.operations.restore import restore
from lastro.app.requests import Restore
from lastro.domain.paths import is_within
from lastro.domain.reference import AtId, Reference
from lastro.errors import NotFoundError, ProtocolError
from tests.decision_kit import Office

FILES = {"a": b"1", "d/x": b"2", "d/y": b"3", "d/e/z": b"4", "f": b"5"}
PLACES = (*FILES, "d", "d/e", "")


def brought_back(office, desk, *only, **fields):
    reference = Reference(server="local", path=office.root, at=AtId("snap", 1, before=False))
    request = Restore(reference=reference, only=only, **fields)
    plan = restore(desk, request).plan
    if not plan.changes.changes:
        return plan
    done = restore(desk, Restore(reference=reference, only=only, approved=plan.digest, **fields))
    assert done.done and done.plan.digest == plan.digest
    return plan


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    only=st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True),
    gone=st.sets(st.sampled_from(["a", "d", "d/x", "d/e", "f"])),
    edited=st.sets(st.sampled_from(sorted(FILES))),
)
def test_what_was_chosen_is_as_it_was_and_everything_else_as_it_is(tmp_path_factory, only, gone, edited):
    office = Office.made(str(tmp_path_factory.mktemp("office")), FILES)
    then = office.live()
    for path in edited:
        office.write(path, b"edited")
    for path in sorted(gone):
        place = f"{office.root}/{path}"
        if os.path.isdir(place):
            shutil.rmtree(place)
        elif os.path.exists(place):
            os.unlink(place)
    office.write("later", b"new")
    live = office.live()
    with office.desk() as desk:
        brought_back(office, desk, *only)
    now = office.live()
    for path in now.keys() | live.keys() | then.keys():
        chosen = any(is_within(path, one) for one in only)
        above = any(is_within(one, path) for one in only)
        if chosen or (above and path not in live):
            assert now.get(path, "gone") == then.get(path, "gone"), path
        else:
            assert now.get(path, "gone") == live.get(path, "gone"), path


def test_a_directory_above_is_left_as_it_is(tmp_path):
    office = Office.made(str(tmp_path), FILES)
    os.unlink(f"{office.root}/d/x")
    os.chmod(f"{office.root}/d", 0o700)
    with office.desk() as desk:
        plan = brought_back(office, desk, "d/x")
    assert [change.path for change in plan.changes.changes] == ["project/d/x"]
    assert os.stat(f"{office.root}/d").st_mode & 0o777 == 0o700
    assert office.read("d/x") == b"2"


def test_a_hard_link_alone_becomes_its_file(tmp_path):
    office = Office.made(str(tmp_path), {"kept": b"x"}, owner=None)
    os.link(f"{office.root}/kept", f"{office.root}/same")
    with office.desk() as desk:
        office.capture(desk)
    os.unlink(f"{office.root}/same")
    office.write("kept", b"changed")
    with office.desk() as desk:
        reference = Reference(server="local", path=office.root, at=AtId("snap", 2, before=False))
        plan = restore(desk, Restore(reference=reference, only=("same",))).plan
        restore(desk, Restore(reference=reference, only=("same",), approved=plan.digest))
    assert (office.read("same"), office.read("kept")) == (b"x", b"changed")


def test_into_another_directory_comes_only_what_was_chosen(tmp_path):
    office = Office.made(str(tmp_path), FILES)
    with office.desk() as desk:
        brought_back(office, desk, "d/e", to=str(tmp_path / "out"))
    found = {
        os.path.relpath(os.path.join(parent, name), tmp_path / "out")
        for parent, _directories, names in os.walk(tmp_path / "out")
        for name in names
    }
    assert found == {"project/d/e/z"}


@pytest.mark.parametrize(
    ("path", "error"), [("never", NotFoundError), ("../a", ProtocolError), ("/etc", ProtocolError)]
)
def test_what_was_not_there_is_refused(tmp_path, path, error):
    office = Office.made(str(tmp_path), FILES)
    with office.desk() as desk, pytest.raises(error):
        brought_back(office, desk, "a", path)
