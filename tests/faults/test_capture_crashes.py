"""Laws 1 and 2 for captures: whenever the power goes, every acknowledged snapshot reads back whole, and capturing goes on."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from lastro.capture.source import ChangedPath
from lastro.errors import LastroError
from lastro.store import pack, transaction
from lastro.store.backends.local import LocalBackend
from lastro.store.check import Severity, check
from tests.faults.recording import FailingSystem, RecordingSystem, crash_states, materialize
from tests.laboratory import Laboratory


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch):
    """Bulk captures are reached with little data."""
    monkeypatch.setattr(transaction, "SPILL_SIZE", 20_000)
    monkeypatch.setattr(transaction, "PACK_SIZE", 30_000)
    monkeypatch.setattr(pack, "GROUP_SIZE", 10_000)


def short_story(laboratory, acknowledge):
    """A bulk capture, and one of a changed file."""
    for number in range(4):
        laboratory.write(f"bulk/{number}", os.urandom(9000))
    laboratory.write("small", b"1")
    acknowledge(laboratory.capture())
    laboratory.write("small", b"2")
    acknowledge(laboratory.changed("small"))


def story(laboratory, acknowledge):
    """Captures of every kind: bulk, one changed file, a deletion, a moved directory, nothing changed."""
    short_story(laboratory, acknowledge)
    os.unlink(laboratory.path("bulk", "3"))
    acknowledge(laboratory.changed("bulk/3"))
    os.rename(laboratory.path("bulk"), laboratory.path("moved"))
    acknowledge(
        laboratory.capture(
            [
                ChangedPath(root=laboratory.root, path="bulk"),
                ChangedPath(root=laboratory.root, path="moved", recursive=True),
            ]
        )
    )
    acknowledge(laboratory.capture())


def files_now(laboratory):
    found = {}
    for parent, _, names in os.walk(laboratory.root):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, laboratory.root)] = file.read()
    return found


def make_laboratory(tmp_path, system, secret=None, place="disk"):
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    backend = LocalBackend(str(tmp_path / place / "repository"), system=system, reserve=0)
    return Laboratory(os.path.realpath(root), backend=backend, secret=secret)


@pytest.mark.slow
def test_a_crash_at_any_write_loses_no_acknowledged_snapshot(tmp_path):
    (tmp_path / "disk").mkdir()
    system = RecordingSystem(str(tmp_path / "disk"))
    laboratory = make_laboratory(tmp_path, system)
    story(laboratory, lambda result: system.mark((result.seq, files_now(laboratory))))
    laboratory.close()
    tried = 0
    for state in crash_states(system.recording(), seed=3):
        if not state.marks:
            continue
        place = tmp_path / "after"
        place.mkdir()
        materialize(state, str(place))
        survivor = make_laboratory(tmp_path, None, secret=laboratory.secret, place="after")
        for seq, files in state.marks:
            assert survivor.files_at(seq) == files, state
        damage = [
            item for item in check(survivor.repository, read_data=True) if item.severity is Severity.DAMAGE
        ]
        assert damage == [], state
        after = survivor.capture()
        assert survivor.files_at(after.seq) == files_now(survivor), state
        survivor.close()
        shutil.rmtree(place)
        tried += 1
    assert tried > 30


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_write_loses_no_acknowledged_snapshot(tmp_path, number):
    failed, at = True, 0
    while failed:
        at += 1
        place = f"disk-{number}-{at}"
        (tmp_path / place).mkdir()
        shutil.rmtree(tmp_path / "root", ignore_errors=True)
        first = make_laboratory(tmp_path, None, place=place)
        secret = first.secret
        first.close()
        acknowledged = []
        system = FailingSystem(at, number)
        failed = False
        laboratory = None
        try:
            laboratory = make_laboratory(tmp_path, system, secret=secret, place=place)
            short_story(laboratory, lambda result: acknowledged.append((result.seq, files_now(laboratory))))  # noqa: B023
        except (LastroError, OSError):
            failed = True
        finally:
            if laboratory is not None:
                laboratory.close()
        survivor = make_laboratory(tmp_path, None, secret=secret, place=place)
        for seq, files in acknowledged:
            assert survivor.files_at(seq) == files
        after = survivor.capture()
        assert survivor.files_at(after.seq) == files_now(survivor)
        survivor.close()
    assert at > 20
