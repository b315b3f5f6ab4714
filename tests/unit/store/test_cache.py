# ruff: noqa: SLF001  what goes wrong inside has to be arranged inside
"""Law 5: the index is a cache. It may vanish, be damaged or lie, and no answer changes."""

import os
import sqlite3

import pytest

from lastro.store.backends.memory import MemoryBackend
from lastro.store.check import check
from tests.store_kit import Kit, commit, kinds, noise


def answers(repository, chunks):
    return ([repository.chunk(chunk) for chunk in chunks], list(repository.records()), repository.head())


@pytest.mark.usefixtures("small_packs")
def test_a_deleted_cache_changes_no_answer(cached):
    with cached.create() as repository:
        chunks = commit(repository, *map(noise, range(20))) + commit(repository, b"small")
        before = answers(repository, chunks)
    for _ in range(2):
        with cached.open() as repository:
            assert answers(repository, chunks) == before
        os.unlink(cached.cache)
    with cached.open(writable=True) as repository:
        os.unlink(cached.cache)  # under its feet
        chunks += commit(repository, b"more")
        before = answers(repository, chunks)
    with cached.open() as repository:
        assert answers(repository, chunks) == before


@pytest.mark.usefixtures("small_packs")
def test_a_cache_is_used(cached, monkeypatch):
    with cached.create() as repository:
        chunks = commit(repository, *map(noise, range(20)))
    read = []
    monkeypatch.setattr(
        MemoryBackend,
        "read",
        lambda self, name, *at, real=MemoryBackend.read: read.append(name) or real(self, name, *at),
    )
    with cached.open() as repository:
        assert repository.has(chunks[0])
    assert not [name for name in read if name.startswith(("index", "log", "data"))]


@pytest.mark.parametrize("damage", ["noise", "empty", "foreign", "directory"])
def test_a_cache_that_is_none_is_thrown_away(cached, damage):
    with cached.create() as repository:
        chunks = commit(repository, b"one")
        before = answers(repository, chunks)
    for suffix in ("-wal", "-shm"):
        if os.path.exists(cached.cache + suffix):
            os.unlink(cached.cache + suffix)
    os.unlink(cached.cache)
    if damage == "directory":
        os.mkdir(cached.cache)
    elif damage == "foreign":
        other = Kit(seed=9, cache=cached.cache)
        other.create().close()
    else:
        with open(cached.cache, "wb") as file:
            file.write(b"" if damage == "empty" else os.urandom(20_000))
    with cached.open(writable=True) as repository:
        assert answers(repository, chunks) == before
        commit(repository, b"two")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET start = start + 1",
        "UPDATE chunks SET id = zeroblob(32) WHERE id = (SELECT id FROM chunks LIMIT 1)",
        "UPDATE chunks SET object = object + 1",
        "UPDATE objects SET name = 'journal/x' WHERE name LIKE 'journal/%'",
        "UPDATE objects SET scanned = scanned + 1000",
        "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)",
        "DELETE FROM records WHERE seq = 1",
        "UPDATE records SET signature = zeroblob(64)",
        "UPDATE records SET raw = (SELECT raw FROM records WHERE seq = 0)",
        "DELETE FROM objects",
        "DROP TABLE chunks",
        "DROP TABLE records",
    ],
)
@pytest.mark.usefixtures("small_packs")
def test_a_cache_that_lies_is_found_out(cached, statement):
    with cached.create() as repository:
        chunks = commit(repository, *map(noise, range(20))) + commit(repository, b"one")
        before = answers(repository, chunks)
    with sqlite3.connect(cached.cache) as database:
        database.execute(statement)
    database.close()
    with cached.open() as repository:
        assert not repository.has(bytes(32))
        assert answers(repository, chunks) == before
    with cached.open(writable=True) as repository:
        commit(repository, b"two")
        assert [*check(repository)] == []


def test_a_cache_that_knows_more_than_the_objects_is_thrown_away(cached):
    """As after a power cut that took an append which a reader had seen already."""
    with cached.create() as repository:
        commit(repository, b"kept")
    (name,) = cached.backend.names("journal")
    before = cached.backend.objects[name]
    with cached.open(writable=True) as repository:
        commit(repository, b"lost")
    newest = max(cached.backend.names("journal"))
    cached.backend.objects[newest] = cached.backend.objects[newest][:-16]
    with cached.open(writable=True) as repository:
        assert len(kinds(repository)) == 4
        chunks = commit(repository, b"again")
        assert repository.chunk(chunks[0]) == b"again"
    assert cached.backend.objects[name] == before
    with cached.open() as repository:
        assert len(kinds(repository)) == 5 and [*check(repository)] == []


def test_a_disk_full_of_other_things_stops_no_commit_for_the_cache(cached, monkeypatch):
    with cached.create() as repository:
        real = repository._index.add_record

        def fail(_):
            monkeypatch.setattr(repository._index, "add_record", real)
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(repository._index, "add_record", fail)
        chunks = commit(repository, b"kept")
        assert repository.chunk(chunks[0]) == b"kept" and len(kinds(repository)) == 4
        chunks += commit(repository, b"and more")
    with cached.open() as repository:
        assert repository.chunk(chunks[1]) == b"and more"


@pytest.mark.usefixtures("small_packs")
def test_packs_are_found_without_their_index(kit):
    with kit.create() as repository:
        chunks = commit(repository, *map(noise, range(20)))
    for name in list(kit.backend.names("index")):
        del kit.backend.objects[name]
    with kit.open() as reader:
        assert [reader.chunk(chunk) for chunk in chunks] == [noise(number) for number in range(20)]
    with kit.open(writable=True) as repository:
        commit(repository, b"more")
        assert list(kit.backend.names("index"))  # made anew
        assert [*check(repository, read_data=True)] == []
