# ruff: noqa: SLF001  what goes wrong inside has to be arranged inside
"""Where commits lie, and what happens when one fails."""

import os

import msgspec
import pytest

from lastro.chunking.digest import digest_of
from lastro.errors import DamagedError
from lastro.store import journal
from lastro.store.backends.local import LocalBackend
from lastro.store.check import check
from tests.store_kit import Kit, commit, kinds, noise, server_draft


def test_the_journal_rolls_over_and_states_what_was_before(kit, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT_SIZE", 3000)
    monkeypatch.setattr("lastro.store.writer.SEGMENT_SIZE", 3000)
    with kit.create() as repository:
        chunks = [commit(repository, noise(number, 900))[0] for number in range(8)]
    segments = list(kit.backend.names("journal"))
    assert len(segments) >= 4
    with kit.open(writable=True) as repository:
        chunks += commit(repository, b"after")
        assert [len(repository.chunk(chunk)) for chunk in chunks] == [900] * 8 + [5]
        assert len(list(kit.backend.names("journal"))) == len(segments) + 1
        assert [*check(repository, read_data=True)] == []


def test_nothing_is_appended_to_a_segment_of_another_writer(kit):
    kit.create().close()
    (before,) = kit.backend.names("journal")
    content = kit.backend.read(before)
    with kit.open(writable=True) as repository:
        repository.append(server_draft())
    assert kit.backend.read(before) == content
    assert len(list(kit.backend.names("journal"))) == 2


def test_a_chunk_is_never_taken_for_another(kit):
    with kit.create() as repository:
        one, two = commit(repository, b"one", b"two")
        with pytest.raises(DamagedError) as raised:
            repository.chunk_at(one, repository._index.locate(two))
        assert raised.value.parameters["chunk"] == one.hex()
        assert raised.value.parameters["object"].startswith("journal/")


@pytest.mark.usefixtures("small_packs")
def test_a_pack_sealed_anew_is_not_the_one_that_was_named(kit):
    """As somebody with the key could make it: every frame opens, and yet these are not the bytes that were acknowledged."""
    with kit.create() as repository:
        commit(repository, noise(1, 2500))
        (name,) = kit.backend.names("data")
        builder = repository._writer.new_pack("data")
        builder.add(repository.chunk_id(digest_of(noise(1, 2500))), noise(1, 2500))
        parts = builder.finish()[1]
        assert sum(map(len, parts)) == kit.backend.size(name)
        kit.backend.objects[name] = b"".join(parts)
        assert [item.code for item in check(repository)] == []
        assert [item.code for item in check(repository, read_data=True)] == ["pack_damaged"]


@pytest.mark.usefixtures("small_packs")
def test_each_pack_is_listed_once(kit):
    with kit.create() as repository:
        for number in range(3):
            commit(repository, *map(noise, range(number * 10, number * 10 + 10)))
        assert len(list(kit.backend.names("index"))) == 3


@pytest.mark.usefixtures("small_packs")
def test_a_reader_between_two_commits_sees_no_gap(kit, monkeypatch):
    """The writer commits to the journal and then to the log, just after the reader has looked at the journal."""
    with kit.create() as repository:
        reader = kit.open()
        real, pending = kit.backend.names, [True]

        def look(prefix):
            if prefix == "log" and pending:
                pending.clear()
                commit(repository, b"small")
                commit(repository, *map(noise, range(10)))
            return real(prefix)

        monkeypatch.setattr(kit.backend, "names", look)
        with reader:
            reader.refresh()
            assert reader.damage() == [] and reader.head() == repository.head()
            assert len(kinds(reader)) == 5


def test_a_failed_journal_append_is_stated_and_nothing_more_goes_there(kit, monkeypatch):
    with kit.create() as repository:
        appender = repository._writer._segment.appender
        extend = kit.backend.extend
        monkeypatch.setattr(kit.backend, "extend", lambda name, data: (extend(name, data[:100]), _fail()))
        with pytest.raises(OSError, match="no"):
            commit(repository, b"half")
        monkeypatch.undo()
        assert len(kinds(repository)) == 3
        (chunk,) = commit(repository, b"whole")
        assert appender is not repository._writer._segment.appender
        assert [*check(repository, read_data=True)] == []
    with kit.open() as reader:
        assert len(kinds(reader)) == 4 and reader.chunk(chunk) == b"whole" and reader.damage() == []


@pytest.mark.usefixtures("small_packs")
def test_after_a_failure_of_unknown_outcome_the_truth_is_read_again(kit, monkeypatch):
    """The log segment was made, and yet the call failed."""
    with kit.create() as repository:
        put = kit.backend.put

        def fail(name, parts):
            put(name, parts)
            if name.startswith("log"):
                _fail()

        monkeypatch.setattr(kit.backend, "put", fail)
        with pytest.raises(OSError, match="no"):
            commit(repository, *map(noise, range(20)))
        monkeypatch.undo()
        commit(repository, b"next")
        assert kinds(repository)[3:] == ["server", "server"]
        assert [*check(repository, read_data=True)] == []


def _fail():
    raise OSError("no")


@pytest.mark.usefixtures("small_packs")
def test_a_local_repository_is_the_same(tmp_path):
    kit = Kit(backend=LocalBackend(str(tmp_path / "r")))
    with kit.create() as repository:
        chunks = commit(repository, *map(noise, range(20))) + commit(repository, b"small")
    with kit.open(writable=True) as repository:
        assert [*check(repository, read_data=True)] == []
        assert [repository.chunk(chunk) for chunk in chunks] == [*map(noise, range(20)), b"small"]


def test_an_error_of_a_record_says_which(kit):
    with kit.create() as repository:
        repository.append(server_draft())
        damaged = msgspec.structs.replace(repository._index.record(3), flaw="signature", seq=4)
        with repository._index.change():
            repository._index.add_record(damaged)
        with pytest.raises(DamagedError) as raised:
            list(repository.records())
        assert raised.value.parameters["seq"] == 4
        assert len(list(repository.records(past_damage=True))) == 4


def test_damage_that_was_mended_is_forgotten(cached):
    with cached.create() as repository:
        commit(repository, b"one")
    (name,) = cached.backend.names("journal")
    sound = cached.backend.objects[name]
    cached.backend.objects[name] = sound[:-40] + bytes([sound[-40] ^ 1]) + sound[-39:]
    os.unlink(cached.cache)
    with cached.open() as repository:
        assert [item.object for item in repository.damage()] == [name]
        assert len(kinds(repository)) == 3
    cached.backend.objects[name] = sound
    with cached.open() as repository:
        assert repository.damage() == [] and len(kinds(repository)) == 4


def test_writing_goes_on_beside_damage_and_the_damage_stays_known(kit):
    """What is lost is lost; captures go on, and the next segment states that more was acknowledged than can be read."""
    with kit.create() as repository:
        commit(repository, b"one")
        commit(repository, b"two")
    (name,) = kit.backend.names("journal")
    sound = kit.backend.objects[name]
    kit.backend.objects[name] = sound[:-40] + bytes([sound[-40] ^ 1]) + sound[-39:]
    with kit.open(writable=True) as repository:
        commit(repository, b"three")
    with kit.open() as repository:
        assert [item.object for item in repository.damage()] == [name]
        assert len(kinds(repository)) == 5
        assert {item.object for item in check(repository)} == {name}
