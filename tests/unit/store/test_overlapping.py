# ruff: noqa: SLF001  what goes wrong inside has to be arranged inside
"""Transactions overlap: a long one keeps nobody waiting, and neither loses anything of the other."""

from __future__ import annotations

import threading

import pytest

from lastro.store.backends.memory import MemoryBackend
from lastro.store.check import check
from lastro.store.recovery import KeyFile
from lastro.store.repository import Repository
from tests.laboratory import ACTOR, StepClock
from tests.store_kit import commit, kinds, noise, server_draft

BIG = [bytes([number]) * 700_000 for number in range(8)]


def test_a_short_transaction_commits_while_a_long_one_is_open():
    backend = MemoryBackend()
    created = Repository.create(backend, actor=ACTOR, clock=StepClock())
    with created.repository as repository:
        with repository.begin() as long:
            kept = [long.put(data) for data in BIG]
            shared = long.put(b"the same in both")
            with repository.begin() as short:
                small = short.put(b"small")
                assert short.put(b"the same in both") == shared
                short.commit(server_draft("short"))
            assert repository.chunk(small) == b"small"
            assert not repository.has(kept[0])
            long.commit(server_draft("long"))
        assert [repository.chunk(chunk) for chunk in kept] == BIG
    with Repository.open(backend, KeyFile(created.key_file), clock=StepClock()) as reopened:
        assert [reopened.chunk(chunk) for chunk in (small, shared)] == [b"small", b"the same in both"]
        assert [record.record.kind for record in reopened.records()][-2:] == ["server", "server"]
        assert list(check(reopened, read_data=True)) == []


def test_many_threads_commit_and_every_record_finds_its_place():
    backend = MemoryBackend()
    created = Repository.create(backend, actor=ACTOR, clock=StepClock())
    with created.repository as repository:
        before = repository.head()[0]

        def work(name):
            for number in range(10):
                with repository.begin() as transaction:
                    transaction.put(f"{name} {number}".encode() * 100)
                    transaction.put(b"shared %d" % number)
                    transaction.commit(server_draft(f"{name}-{number}"))

        threads = [threading.Thread(target=work, args=(f"thread-{count}",)) for count in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = list(repository.records(after=before))
        assert [record.seq for record in records] == list(range(before + 1, before + 61))
        assert list(check(repository, read_data=True)) == []


@pytest.mark.parametrize("counts", [(1, 1), (1, 30), (30, 1), (30, 30)])
@pytest.mark.usefixtures("small_packs")
def test_overlapping_transactions_of_any_size_may_share_chunks(kit, counts):
    with kit.create() as repository:
        with repository.begin() as one, repository.begin() as two:
            chunks = [
                made.put(noise(number))
                for made, count in ((one, counts[0]), (two, counts[1]))
                for number in range(count)
            ]
            assert not repository.has(chunks[0])
            two.commit(server_draft("two"))
            assert one.chunk(chunks[0]) == noise(0)
            one.commit(server_draft("one"))
        assert [repository.chunk(chunk) for chunk in chunks[: counts[0]]] == [
            noise(n) for n in range(counts[0])
        ]
        assert repository.head()[0] == 4
        assert [*check(repository, read_data=True)] == []
    with kit.open() as reader:
        assert all(map(reader.has, chunks)) and reader.damage() == []


@pytest.mark.usefixtures("small_packs")
def test_a_transaction_dropped_beside_another_leaves_that_one_whole(kit):
    with kit.create() as repository:
        with repository.begin() as kept:
            with repository.begin() as dropped:
                for number in range(30):
                    dropped.put(noise(number))
            chunks = [kept.put(noise(number)) for number in range(40)]
            kept.commit(server_draft())
        assert [repository.chunk(chunk) for chunk in chunks] == [noise(number) for number in range(40)]
        assert [*check(repository, read_data=True)] == []


@pytest.mark.usefixtures("small_packs")
def test_threads_commit_beside_each_other(kit):
    with kit.create() as repository:
        failures, done = [], {}

        def work(worker):
            try:
                for step in range(8):
                    contents = [
                        noise(worker * 1000 + step * 20 + number) for number in range(1 if step % 2 else 12)
                    ]
                    done[worker, step] = commit(repository, *contents), contents
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == [] and len(kinds(repository)) == 3 + 32
        assert [*check(repository, read_data=True)] == []
    with kit.open() as reader:
        for chunks, contents in done.values():
            assert [reader.chunk(chunk) for chunk in chunks] == contents


def test_nobody_sees_an_index_half_made_anew(cached):
    with cached.create() as repository:
        chunks = commit(repository, *map(noise, range(5)))
        failures, stop = [], threading.Event()

        def read():
            while not stop.is_set():
                if not all(map(repository.has, chunks)) or repository.head()[0] != 3:
                    failures.append("gone")

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(30):
            repository._reload()
        stop.set()
        thread.join()
        assert failures == []
