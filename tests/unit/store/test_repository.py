"""A repository is made, opened, written to and read."""

import threading
from itertools import pairwise

import pytest

from lastro.domain.record import CLOCK_JUMP_NS, RecordKind, RepositoryBody, decode_body, record_id
from lastro.errors import (
    ConflictError,
    FormatError,
    LimitError,
    LockedError,
    NoRepositoryError,
    NotFoundError,
    WrongKeyError,
)
from lastro.store import transaction
from lastro.store.check import check
from lastro.store.layout import encode_checked
from lastro.store.recovery import KeyFile, RecoveryKey
from lastro.store.repository import Repository
from tests.store_kit import ACTOR, Kit, StillClock, commit, kinds, noise, server_draft


def test_a_new_repository_begins_with_its_own_record(kit):
    with kit.create() as repository:
        first = next(repository.records())
        birth = decode_body(first.record, RepositoryBody)
        assert (first.seq, first.record.kind) == (0, RecordKind.REPOSITORY)
        assert (birth.repository, birth.public_key) == (repository.id, repository.public_key)
        assert first.record.actor == ACTOR
        assert kinds(repository) == ["repository", "key", "key"]
        assert all(word in kit.backend.read("README") for word in (b"python3 RESTORE.py", b"repo check"))
        assert b"restore [SNAPSHOT] DIRECTORY" in kit.backend.read("RESTORE.py")


def test_key_file_and_recovery_key_open_it_and_others_do_not(kit):
    kit.create().close()
    other = Kit(seed=5)
    other.create().close()
    for secret in (kit.secret, RecoveryKey(kit.recovery_key.lower())):
        Repository.open(kit.backend, secret, clock=kit.clock).close()
    for secret in (other.secret, RecoveryKey(other.recovery_key), KeyFile(b""), RecoveryKey("AAAA")):
        with pytest.raises(WrongKeyError):
            Repository.open(kit.backend, secret, clock=kit.clock)


def test_there_is_one_repository_at_a_place(kit):
    kit.create().close()
    with pytest.raises(ConflictError):
        kit.create()
    del kit.backend.objects["format"]
    with pytest.raises(ConflictError) as raised:
        kit.create()
    assert "interrupted" in str(raised.value)


def test_nothing_is_no_repository(kit):
    kit.secret = KeyFile(b"")
    with pytest.raises(NoRepositoryError):
        kit.open()


def test_a_format_of_the_future_is_refused(kit):
    kit.create().close()
    kit.backend.objects["format"] = encode_checked({"format": "2", "id": "x"})
    with pytest.raises(FormatError):
        kit.open()


def test_two_writers_are_refused_and_readers_are_not(kit):
    with kit.create() as repository:
        with pytest.raises(LockedError):
            kit.open(writable=True)
        with kit.open() as reader, pytest.raises(LockedError):
            reader.begin()
        repository.append(server_draft())
    kit.open(writable=True).close()


def test_a_failed_opening_leaves_no_lock(kit):
    kit.create().close()
    with pytest.raises(WrongKeyError):
        Repository.open(kit.backend, KeyFile(b"no"), clock=kit.clock, writable=True)
    kit.open(writable=True).close()


def test_what_was_committed_reads_back_after_reopening(kit):
    with kit.create() as repository:
        chunks = commit(repository, b"one", noise(2), b"")
    for writable in (False, True):
        with kit.open(writable=writable) as repository:
            assert [repository.chunk(chunk) for chunk in chunks] == [b"one", noise(2), b""]
            assert kinds(repository)[-1] == "server"
            assert all(map(repository.has, chunks))


@pytest.mark.usefixtures("small_packs")
def test_a_large_transaction_goes_into_packs(kit):
    with kit.create() as repository, repository.begin() as made:
        chunks = [made.put(noise(number), metadata=number % 3 == 0) for number in range(60)]
        assert [made.chunk(chunk) for chunk in chunks] == [noise(number) for number in range(60)]
        assert all(map(made.has, chunks))
        assert made.stored == 60 * 500
        made.commit(server_draft())
        statistics = repository.statistics()
        assert statistics.packs >= 5 and statistics.chunks == 60
        assert statistics.bytes["data"] > 20_000 and statistics.bytes["meta"] > 10_000
    with kit.open() as repository:
        assert [repository.chunk(chunk) for chunk in chunks] == [noise(number) for number in range(60)]
        assert [*check(repository, read_data=True)] == []


@pytest.mark.usefixtures("small_packs")
def test_what_is_stored_is_not_stored_again(kit):
    with kit.create() as repository:
        commit(repository, *map(noise, range(20)))
        before = repository.statistics()
        with repository.begin() as made:
            for number in range(20):
                made.put(noise(number))
            assert made.stored == 0
            made.put(b"new")
            made.put(b"new")
            assert made.stored == 3
            made.commit()
        after = repository.statistics()
        assert after.bytes["data"] == before.bytes["data"] and after.chunks == before.chunks + 1


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.usefixtures("small_packs")
def test_a_dropped_transaction_leaves_nothing_to_be_seen(kit, count):
    with kit.create() as repository:
        head = repository.head()
        with repository.begin() as made:
            chunks = [made.put(noise(number)) for number in range(count)]
        assert repository.head() == head and kinds(repository) == ["repository", "key", "key"]
        if count == 1:
            assert not repository.has(chunks[0])
        with kit.open() as reader:
            assert reader.head() == head
        commit(repository, *map(noise, range(count)))
        assert [repository.chunk(chunk) for chunk in chunks] == [noise(number) for number in range(count)]


@pytest.mark.usefixtures("small_packs")
def test_packs_of_an_interrupted_transaction_serve_the_next_attempt(kit):
    with kit.create() as repository, repository.begin() as made:
        for number in range(40):
            made.put(noise(number))
    with kit.open(writable=True) as repository:
        size = repository.statistics().bytes["data"]
        with repository.begin() as made:
            for number in range(40):
                made.put(noise(number))
            assert made.stored < 40 * 500
            made.commit(server_draft())
        assert repository.statistics().bytes["data"] < 2 * size
        assert [*check(repository, read_data=True)] == []


def test_an_empty_commit_is_nothing(kit):
    with kit.create() as repository, repository.begin() as made:
        before = dict(kit.backend.objects)
        assert made.commit() == []
        assert kit.backend.objects == before


def test_chunks_may_be_committed_without_a_record(kit):
    with kit.create() as repository:
        (chunk,) = commit(repository, b"alone", drafts=0)
    with kit.open() as repository:
        assert repository.chunk(chunk) == b"alone"


def test_a_chunk_has_a_limit(kit):
    with kit.create() as repository, repository.begin() as made, pytest.raises(LimitError):
        made.put(bytes(transaction.CHUNK_LIMIT + 1))


def test_a_chunk_that_is_not_there_is_not_found(kit):
    with kit.create() as repository, pytest.raises(NotFoundError):
        repository.chunk(b"x" * 32)


@pytest.mark.usefixtures("small_packs")
def test_threads_read_while_one_writes(kit):
    with kit.create() as repository:
        chunks = commit(repository, *map(noise, range(30)))
        failures = []

        def read():
            try:
                for _ in range(5):
                    assert [repository.chunk(chunk) for chunk in chunks] == [
                        noise(number) for number in range(30)
                    ]
                    assert len(list(repository.records())) >= 4
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            commit(repository, noise(100 + number))
        for thread in threads:
            thread.join()
        assert failures == []


@pytest.mark.usefixtures("small_packs")
def test_a_reader_follows_a_running_writer(kit):
    with kit.create() as repository, kit.open() as reader:
        small = commit(repository, b"small")
        large = commit(repository, *map(noise, range(20)))
        assert not reader.has(small[0])
        reader.refresh()
        assert reader.chunk(small[0]) == b"small" and reader.chunk(large[-1]) == noise(19)
        assert reader.head() == repository.head()
        assert reader.damage() == []


def test_records_are_chained_and_signed(kit):
    with kit.create() as repository:
        for number in range(5):
            repository.append(server_draft(f"n{number}"))
        records = list(repository.records())
        for before, record in pairwise(records):
            assert record.seq == before.seq + 1
            assert record.record.previous == before.id == record_id(before.raw)
        assert repository.head() == (7, records[-1].id)
        assert list(repository.records(5)) == records[6:]
        assert list(repository.records(99)) == []


def test_many_records_come_in_order(kit):
    with kit.create() as repository:
        with repository.begin() as made:
            stored = made.commit(*[server_draft(f"n{number}") for number in range(600)])
        assert list(repository.records(2)) == stored


def test_a_record_has_a_limit(kit, monkeypatch):
    monkeypatch.setattr("lastro.store.log.RECORD_LIMIT", 1000)
    with kit.create() as repository:
        with pytest.raises(LimitError):
            repository.append(server_draft("x" * 1000))
        assert repository.append(server_draft()).seq == 3


def jumps(repository):
    return [record.record.clock_jump for record in repository.records(2)]


def test_a_jump_of_the_wall_clock_is_marked_and_the_time_never_bent(kit):
    with kit.create() as repository:
        times = []
        for step in (0, CLOCK_JUMP_NS - 10**9, CLOCK_JUMP_NS + 10**9, 0, -CLOCK_JUMP_NS - 10**9, 0):
            kit.clock.wall += step
            times.append(kit.clock.wall + 10**9)
            repository.append(server_draft())
        assert jumps(repository) == [False, False, True, False, True, False]
        assert [record.record.time_ns for record in repository.records(2)] == times


def test_a_machine_that_sleeps_makes_no_jump(kit):
    with kit.create() as repository:
        repository.append(server_draft())
        kit.clock.wall += 10**15
        kit.clock.monotonic += 10**15
        repository.append(server_draft())
        assert jumps(repository) == [False, False]


def test_a_clock_behind_the_newest_record_is_a_jump_at_the_start_of_a_process(kit):
    kit.create().close()
    kit.clock = StillClock(wall=1, monotonic=0)
    with kit.open(writable=True) as repository:
        repository.append(server_draft())
        repository.append(server_draft())
        assert jumps(repository) == [True, False]
