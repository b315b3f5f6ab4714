"""A full or failing disk at every write loses nothing acknowledged, and what was refused is not half there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from lastro.errors import LastroError, StorageFullError
from lastro.store import pack, transaction
from lastro.store.backends.local import LocalBackend
from lastro.store.check import Severity, check
from tests.faults.recording import FailingSystem
from tests.store_kit import Kit, StillClock, Unsynced, entropy, server_draft


@pytest.fixture
def place():
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch):
    monkeypatch.setattr(transaction, "SPILL_SIZE", 2000)
    monkeypatch.setattr(transaction, "PACK_SIZE", 3000)
    monkeypatch.setattr(pack, "GROUP_SIZE", 1000)
    monkeypatch.setattr("lastro.store.writer.SEGMENT_SIZE", 3000)


COMMITS = ([b"one"], [entropy(n)(700) for n in range(8)], [entropy(50)(1900)], [entropy(51)(1900)], [b"last"])


def attempt(repository, contents, name):
    with repository.begin() as made:
        chunks = [made.put(content) for content in contents]
        made.commit(server_draft(name))
    return chunks


def backend_on(place, system):
    return LocalBackend(str(place / "repository"), system=system, reserve=0)


@pytest.fixture
def template(place):
    """A repository with one acknowledged commit, to be copied."""
    kit = Kit(backend=backend_on(place / "template", Unsynced()))
    (place / "template").mkdir()
    with kit.create() as repository:
        attempt(repository, [b"before"], "before")
    return kit, place / "template"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("lasting", [False, True])
def test_a_failing_write_loses_nothing_acknowledged(template, place, number, lasting):
    origin, source = template
    expected = StorageFullError if number == errno.ENOSPC else LastroError
    at, failed = 0, True
    while failed:
        scratch = place / "scratch"
        shutil.copytree(source, scratch)
        system = FailingSystem(at, number, lasting=lasting, inner=Unsynced())
        kit = Kit(backend=backend_on(scratch, system), seed=at * 100)
        kit.secret, kit.clock = origin.secret, StillClock(wall=1_800_000_000_000_000_000)
        acknowledged, refused = {}, []
        try:
            with kit.open(writable=True) as repository:
                for step, contents in enumerate(COMMITS):
                    try:
                        acknowledged[f"n{step}"] = attempt(repository, contents, f"n{step}"), contents
                    except expected:
                        refused.append(f"n{step}")
                heads = [(record.seq, record.id) for record in repository.records()]
        except expected:
            heads = []
        kit.backend = backend_on(scratch, Unsynced())
        with kit.open(writable=True) as repository:
            found = [(record.seq, record.id) for record in repository.records()]
            assert found[: len(heads)] == heads and len(found) <= 4 + len(COMMITS)
            assert len(found) >= 4 + len(acknowledged)
            for chunks, contents in acknowledged.values():
                assert [repository.chunk(chunk) for chunk in chunks] == contents
            attempt(repository, [b"after"], "after")
            found = list(check(repository, read_data=True))
            assert [item for item in found if item.severity is Severity.DAMAGE] == [], (at, refused)
        failed, at = system.failed, at + 1
        shutil.rmtree(scratch)
    assert at > 30


def test_the_reserve_stops_a_commit_before_it_starts(template):
    kit, source = template
    kit.backend = LocalBackend(str(source / "repository"), system=Unsynced(), reserve=0)
    with kit.open(writable=True) as repository:
        before = {name: repository.backend.size(name) for name in repository.backend.names("journal")}
        kit.backend._reserve = 1 << 60  # noqa: SLF001  the disk fills up
        for contents in COMMITS:
            with pytest.raises(StorageFullError) as raised:
                attempt(repository, contents, "refused")
            assert raised.value.hint and raised.value.retryable
        assert {name: repository.backend.size(name) for name in repository.backend.names("journal")} == before
        assert os.listdir(source / "repository" / "tmp") == []
        kit.backend._reserve = 0  # noqa: SLF001
        attempt(repository, [b"room again"], "kept")
        assert repository.head()[0] == 4
