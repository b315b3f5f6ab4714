"""A restore whose process dies at any write is finished by the next one: rolled back or forward, and recorded if anything was done."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from msgspec import structs

from lastro.app.operations.applying import finish_unfinished
from lastro.app.operations.capture import capture
from lastro.app.operations.repository import init
from lastro.app.operations.restore import restore, undo
from lastro.app.places import places_of
from lastro.app.requests import Capture, Init, Log, Restore, Undo
from lastro.app.wiring import open_desk
from lastro.apply.local import LocalDestination
from lastro.domain.ids import LOCAL
from lastro.domain.reference import AtId, Reference
from lastro.errors import ConflictError
from tests.faults.injection import InjectingSystem


class Died(BaseException):
    pass


@pytest.fixture
def home(tmp_path):
    root = os.path.realpath(tmp_path / "root")
    os.makedirs(f"{root}/sub")
    for name, text in (("a", "one"), ("sub/b", "one"), ("gone", "one")):
        write(f"{root}/{name}", text)
    places = places_of(os.path.realpath(tmp_path / "home"))
    with open_desk(places) as desk:
        init(desk, Init())
        capture(desk, Capture(references=(Reference(server=LOCAL, path=root, at=None),)))
    write(f"{root}/a", "two")
    os.unlink(f"{root}/gone")
    write(f"{root}/new", "two")
    return places, root


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def state(root):
    found = {}
    for parent, directories, names in os.walk(root):
        directories.sort()
        for name in names:
            with open(os.path.join(parent, name), encoding="utf-8") as file:
                found[os.path.relpath(os.path.join(parent, name), root)] = file.read()
    return found


THEN = {"a": "one", "sub/b": "one", "gone": "one"}
NOW = {"a": "two", "sub/b": "one", "new": "two"}


def reference(root):
    return Reference(server=LOCAL, path=root, at=AtId("snap", 1, before=False))


def applies(desk):
    return [item for item in desk.caller.call("log", Log()).items if item.kind == "apply"]


def test_a_process_that_dies_at_any_write_of_an_apply(home):
    places, root = home
    finished, at = False, 0
    outcomes = set()
    while not finished:
        at += 1

        def die(count, _name, at=at):
            if count == at:
                raise Died

        with open_desk(places) as desk:
            before = len(applies(desk))
            dying = replace(
                desk,
                destination=lambda path: LocalDestination(
                    path, intents=places.intents, system=InjectingSystem(die)
                ),
            )
            plan = restore(desk, Restore(reference=reference(root), plan=True)).plan
            try:
                restore(dying, Restore(reference=reference(root), approved=plan.digest))
                finished = True
            except Died:
                pass
        with open_desk(places) as desk:
            finish_unfinished(desk)
            now = state(root)
            assert now in (THEN, NOW), at
            assert len(applies(desk)) - before == (now == THEN), at
            assert os.listdir(f"{places.state}/applies") == []
            assert not [name for name in os.listdir(root) if name.startswith(".lastro")]
            outcomes.add(now == THEN)
            if now == THEN:
                plan = undo(desk, Undo(plan=True)).plan
                undo(desk, Undo(approved=plan.digest))
                assert state(root) == NOW
    assert outcomes == {True, False}
    assert at > 20


def test_what_was_shown_is_what_is_done_or_nothing(home):
    places, root = home
    with open_desk(places) as desk:
        plan = restore(desk, Restore(reference=reference(root), plan=True)).plan
        write(f"{root}/a", "three")
        with pytest.raises(ConflictError):
            restore(desk, Restore(reference=reference(root), approved=plan.digest))
        assert state(root) == NOW | {"a": "three"}
        assert applies(desk) == []


def test_undo_says_what_was_changed_since_and_keeps_it(home):
    places, root = home
    with open_desk(places) as desk:
        plan = restore(desk, Restore(reference=reference(root), plan=True)).plan
        restore(desk, Restore(reference=reference(root), approved=plan.digest))
        write(f"{root}/a", "edited by hand")
        plan = undo(desk, Undo(plan=True)).plan
        assert [(warning.code, os.path.basename(warning.path)) for warning in plan.warnings] == [
            ("changed_since", "a")
        ]
        undo(desk, Undo(approved=plan.digest))
        assert state(root) == NOW
        plan = undo(desk, Undo(plan=True)).plan
        undo(desk, Undo(approved=plan.digest))
        assert state(root)["a"] == "edited by hand"


def test_what_cannot_be_finished_stands_only_in_its_own_way(home, tmp_path):
    places, root = home

    def die(count, _name):
        if count == 20:
            raise Died

    with open_desk(places) as desk:
        dying = replace(
            desk,
            destination=lambda path: LocalDestination(
                path, intents=places.intents, system=InjectingSystem(die)
            ),
        )
        inside = f"{root}/sub"  # another directory stands in its place below, as where a disk is not mounted
        wanted = Reference(server=LOCAL, path=f"{inside}/b", at=AtId("snap", 1, before=False))
        os.unlink(f"{inside}/b")
        plan = restore(desk, Restore(reference=wanted, plan=True)).plan
        assert plan.destination == inside
        with pytest.raises(Died):
            restore(dying, Restore(reference=wanted, approved=plan.digest))
    os.rename(inside, tmp_path / "away")
    os.mkdir(inside)
    with open_desk(places) as desk:
        with pytest.raises(ConflictError, match="is not the directory"):
            restore(desk, Restore(reference=wanted, plan=True))
        with pytest.raises(ConflictError, match="is not the directory"):
            restore(desk, Restore(reference=reference(root), plan=True))
        elsewhere = Restore(reference=wanted, to=str(tmp_path / "elsewhere"))
        plan = restore(desk, structs.replace(elsewhere, plan=True)).plan
        assert restore(desk, structs.replace(elsewhere, approved=plan.digest)).done
        assert state(tmp_path / "elsewhere") == {"b": "one"}
    os.rmdir(inside)
    os.rename(tmp_path / "away", inside)
    with open_desk(places) as desk:
        assert finish_unfinished(desk) == {}
        assert os.listdir(f"{places.state}/applies") == []


def test_a_restore_into_new_directories_is_undone_with_them(home, tmp_path):
    places, root = home
    to = os.path.realpath(tmp_path) + "/some/where"
    with open_desk(places) as desk:
        asked = Restore(reference=reference(root), to=to)
        plan = restore(desk, asked).plan
        restore(desk, Restore(reference=reference(root), to=to, approved=plan.digest))
        assert state(f"{to}/root") == THEN
        plan = undo(desk, Undo(plan=True)).plan
        undo(desk, Undo(approved=plan.digest))
        assert not os.path.exists(os.path.dirname(to))


def test_directories_above_come_back_as_they_were(home):
    places, root = home
    os.chmod(f"{root}/sub", 0o750)
    with open_desk(places) as desk:
        capture(desk, Capture(references=(Reference(server=LOCAL, path=root, at=None),)))
        shutil.rmtree(f"{root}/sub")
        asked = Reference(server=LOCAL, path=f"{root}/sub/b", at=None)
        plan = restore(desk, Restore(reference=asked)).plan
        restore(desk, Restore(reference=asked, approved=plan.digest))
        assert os.stat(f"{root}/sub").st_mode & 0o777 == 0o750


def test_many_small_files_come_back_whole(tmp_path):
    root = os.path.realpath(tmp_path / "many")
    os.makedirs(root)
    expected = {}
    for number in range(700):
        expected[f"{number:03d}"] = f"content {number}\n" * (number % 300)
        write(f"{root}/{number:03d}", expected[f"{number:03d}"])
    with open_desk(places_of(os.path.realpath(tmp_path / "home"))) as desk:
        init(desk, Init())
        capture(desk, Capture(references=(Reference(server=LOCAL, path=root, at=None),)))
        shutil.rmtree(root)
        asked = Reference(server=LOCAL, path=root, at=None)
        plan = restore(desk, Restore(reference=asked)).plan
        restore(desk, Restore(reference=asked, approved=plan.digest))
    assert state(root) == expected
