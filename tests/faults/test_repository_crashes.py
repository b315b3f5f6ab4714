"""Laws 1 and 2: a crash at any write leaves a repository in which every acknowledged record reads back whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from lastro.domain.entry import EntryType
from lastro.errors import ConflictError, NoRepositoryError
from lastro.store import pack, transaction
from lastro.store.backends.local import LocalBackend
from lastro.store.check import Severity, check
from lastro.store.content import ContentWriter, read_content
from lastro.store.repository import Repository
from lastro.store.tree import TreeEntry, update, walk
from tests.faults.recording import RecordingSystem, crash_states, materialize
from tests.store_kit import ACTOR, Kit, StillClock, Unsynced, entropy, server_draft, snapshot_draft


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch):
    monkeypatch.setattr(transaction, "SPILL_SIZE", 3000)
    monkeypatch.setattr(transaction, "PACK_SIZE", 5000)
    monkeypatch.setattr(pack, "GROUP_SIZE", 2000)
    monkeypatch.setattr("lastro.store.writer.SEGMENT_SIZE", 6000)


@pytest.fixture
def place():
    """A scratch directory in memory where there is one: hundreds of repositories are made and removed in it."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


class World:
    """A repository whose every write is recorded, and what was acknowledged of it."""

    def __init__(self, place):
        place.mkdir()
        self.system = RecordingSystem(str(place))
        self.kit = Kit(backend=self.backend(place))
        self.root = None

    def backend(self, place):
        return LocalBackend(str(place / "repository"), system=self.system, reserve=0)

    def capture(self, repository, files):
        """A snapshot with ``{name: content}`` changed; marked when it is acknowledged."""
        with repository.begin() as made:
            edits = {} if self.root else {"": TreeEntry(type=EntryType.DIRECTORY)}
            for name, content in files.items():
                writer = ContentWriter(made, made.chunker)
                writer.write(0, content)
                written = writer.finish()
                edits[name] = TreeEntry(content=written.content, digest=written.digest, size=written.size)
            self.root = update(repository if not made.stored else made, made, self.root, edits)
            (record,) = made.commit(snapshot_draft(self.root))
        self.system.mark((record.raw, self.root, dict(files)))


def everything_of(repository, root):
    """Every file of a tree with its content."""
    return {
        path: b"".join(data for _, data in read_content(repository, entry))
        for path, entry in walk(repository, root)
        if entry.type is EntryType.FILE
    }


def verify(kit, marks):
    """Everything acknowledged by ``marks`` reads back, the repository is sound, and it takes more."""
    with kit.open(writable=True) as repository:
        records = {record.raw for record in repository.records()}
        content = {}
        for raw, root, files in marks:
            assert raw in records
            content |= files
            assert everything_of(repository, root) == content
        assert [item for item in check(repository, read_data=True) if item.severity is Severity.DAMAGE] == []
        assert repository.damage() == []
        repository.append(server_draft("after the crash"))
    with kit.open() as repository:
        assert [record.record.kind for record in repository.records()][-1] == "server"
        assert [*check(repository)] == []


def distinct(recording, seed):
    """The states that differ in what is below the root."""
    seen = set()
    for state in crash_states(recording, seed=seed):
        shape = (len(state.marks), _shape(state.inodes, 0))
        if shape not in seen:
            seen.add(shape)
            yield state


def _shape(inodes, number):
    return tuple(
        (name, inodes[child].data or _shape(inodes, child))
        for name, child in sorted(inodes[number].entries.items())
    )


def crash_everywhere(world, place, *, seed=7):
    count = 0
    for count, state in enumerate(distinct(world.system.recording(), seed), 1):
        scratch = place / "state"
        materialize(state, str(scratch))
        kit = Kit(
            backend=LocalBackend(str(scratch / "repository"), system=Unsynced(), reserve=0), seed=1000 + count
        )
        kit.secret, kit.clock = world.kit.secret, StillClock(wall=1_800_000_000_000_000_000)
        try:
            yield state, kit
        except AssertionError as error:
            raise AssertionError(f"after {state}") from error
        finally:
            shutil.rmtree(scratch)
    assert count > 20


def noise(number, size=700):
    return entropy(number)(size)


def test_acknowledged_captures_survive_a_crash_at_every_write(place):
    world = World(place / "world")
    with world.kit.create() as repository:
        world.system.mark("created")
        world.capture(repository, {"a": b"first", "b": noise(1)})
        world.capture(repository, {"a": b"second"})
        world.capture(repository, {f"bulk{number}": noise(number) for number in range(12)})
        world.capture(repository, {"c": noise(50, 2500)})
        world.capture(repository, {"d": noise(51, 2500)})  # rolls the journal over
    with world.kit.open(writable=True) as repository:
        world.capture(repository, {"a": b"third"})
    for state, kit in crash_everywhere(world, place):
        if state.marks:
            verify(kit, state.marks[1:])


def test_writers_that_die_are_followed_by_others(place):
    """Nobody closes anything: each writer finds what the one before left open."""
    world = World(place / "world")
    world.kit.create().close()
    world.system.mark("created")
    for number in range(3):
        world.kit.backend = world.backend(place / "world")
        repository = world.kit.open(writable=True)
        world.capture(repository, {"a": noise(number)})
        with repository.begin() as made:  # packs that are never listed
            for part in range(10):
                made.put(noise(100 + number * 10 + part))
        die(repository)
    for state, kit in crash_everywhere(world, place):
        if state.marks:
            verify(kit, state.marks[1:])


def die(repository):
    """The process ends: descriptors go, and nothing is written any more."""
    os.close(repository._writer._lock._descriptor)  # noqa: SLF001  what the kernel does
    repository._writer._lock._descriptor = -1  # noqa: SLF001
    repository.close()


def test_a_crash_while_making_a_repository_leaves_one_or_none(place):
    world = World(place / "world")
    world.kit.create().close()
    outcomes = set()
    for _, kit in crash_everywhere(world, place):
        try:
            verify(kit, [])
            outcomes.add("whole")
        except NoRepositoryError:
            try:
                Repository.create(kit.backend, actor=ACTOR, clock=kit.clock).repository.close()
                outcomes.add("nothing")
            except ConflictError:
                outcomes.add("a beginning")
    assert outcomes == {"whole", "nothing", "a beginning"}
