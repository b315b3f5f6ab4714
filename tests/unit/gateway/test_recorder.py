"""The recorder: what began is accounted for, what ended is kept once, and a full or failing disk stops calls instead of losing them."""

from __future__ import annotations

import errno
import os
import shutil
import threading

import pytest

from lastro.errors import LastroError, LockedError, StorageFullError
from lastro.gateway import recorder as recording
from lastro.gateway.exchange import Bodies, ExchangeOutcome
from lastro.gateway.exchange_records import decrypted_exchanges
from lastro.gateway.ledger import Spent
from lastro.gateway.recorder import Recorder, spool_key
from lastro.gateway.settings import Scope
from lastro.gateway.spool import Spool
from lastro.gateway.spool_notes import encode_began, encode_ended, interrupt
from lastro.store.check import check
from tests.exchange_kit import ACTOR, Desk, begin, bodies, finish, name_of
from tests.faults.injection import FailingSystem, UnsyncedSystem


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def found_in(repository):
    return {recorded.began.id: (recorded, found) for recorded, found in decrypted_exchanges(repository)}


def test_what_ended_is_kept_with_its_bodies(desk):
    with desk.open() as (repository, ledger, recorder):
        for number in range(5):
            recorder.begin(begin(number))
        for number in range(5):
            recorder.end(finish(number), bodies(f"ask {number}") if number else None)
        assert recorder.flush()
        found = found_in(repository)
        assert sorted(found) == [name_of(number) for number in range(5)]
        assert found[name_of(0)][1] is None
        assert found[name_of(3)][1] == bodies("ask 3")
        assert ledger.spent(Scope.ALL, "") == Spent(60, 65, 5)
    assert desk.reports == []
    assert os.listdir(desk.spool_place) == ["lock"]


def test_it_commits_by_itself_soon(desk):
    with desk.open() as (repository, _, recorder):
        seen = threading.Event()
        recorder.begin(begin(1))
        recorder.end(finish(1), bodies())
        for _ in range(500):
            if found_in(repository):
                break
            seen.wait(0.01)
        assert found_in(repository)


def test_closing_commits_what_ended_and_keeps_what_runs(desk):
    with desk.open(interval_s=60) as (_, _, recorder):
        for number in (1, 2):
            recorder.begin(begin(number))
        recorder.end(finish(1), bodies())
    with desk.open(interval_s=60) as (repository, ledger, _):
        found = found_in(repository)
        assert {name: recorded.ended.outcome for name, (recorded, _) in found.items()} == {
            name_of(1): ExchangeOutcome.ANSWERED,
            name_of(2): ExchangeOutcome.INTERRUPTED,
        }
        assert ledger.spent(Scope.KEY, "k1") == Spent(12 + 70, 13 + 700, 2)
    assert [report.parameters for report in desk.reports] == [{"count": 1}]
    with desk.open() as (repository, _, _):
        assert len(found_in(repository)) == 2


def test_what_runs_long_is_carried_from_file_to_file(desk):
    with desk.open(interval_s=60) as (_, _, recorder):
        recorder.begin(begin(0))
        for number in range(1, 4):
            recorder.begin(begin(number))
            recorder.end(finish(number), bodies())
            assert recorder.flush()
        assert len(os.listdir(desk.spool_place)) <= 2
    with desk.open() as (repository, _, _):
        assert found_in(repository)[name_of(0)][0].ended.outcome is ExchangeOutcome.INTERRUPTED


def test_what_is_committed_already_is_not_committed_again(desk):
    with desk.open() as (_, _, recorder):
        for number in (1, 2):
            recorder.begin(begin(number))
            recorder.end(finish(number), bodies())
    with desk.kit.open() as repository:
        key = spool_key(repository)
    spool = Spool(desk.spool_place, key, system=UnsyncedSystem())
    for content in (
        encode_began(begin(1)),
        encode_ended(found_exchange(1), bodies()),
        encode_began(begin(2)),
        encode_ended(found_exchange(3), bodies()),
        encode_ended(found_exchange(3), bodies()),
    ):
        spool.append(content)
    spool.close()
    with desk.open() as (repository, ledger, _):
        assert [recorded.began.id for recorded, _ in decrypted_exchanges(repository)] == [
            name_of(number) for number in (1, 2, 3)
        ]
        assert ledger.spent(Scope.ALL, "").requests == 3


def found_exchange(number):
    return interrupt(begin(number))


def test_large_bodies_are_kept_too(desk):
    large = Bodies(request=os.urandom(recording.PASSING), sent=b"s", sent_path="/", answer=b"a" * 9)
    with desk.open(interval_s=60) as (repository, _, recorder):
        recorder.begin(begin(1))
        recorder.end(finish(1), large)
        assert recorder.flush()
        assert found_in(repository)[name_of(1)][1] == large


def test_large_bodies_that_a_crash_took_are_said_to_be_lost(desk):
    with desk.open():
        pass
    with desk.kit.open() as repository:
        key = spool_key(repository)
    spool = Spool(desk.spool_place, key, system=UnsyncedSystem())
    spool.append(encode_ended(found_exchange(1), bodies(), elsewhere=True))
    spool.close()
    with desk.open() as (repository, _, _):
        recorded, found = found_in(repository)[name_of(1)]
        assert (recorded.bodies_lost, found) == (True, None)


def test_damage_is_reported_and_what_can_be_read_is_kept(desk):
    with desk.open(interval_s=60) as (_, _, recorder):
        for number in range(3):
            recorder.begin(begin(number))
    (name,) = [name for name in os.listdir(desk.spool_place) if name != "lock"]
    path = f"{desk.spool_place}/{name}"
    with open(path, "r+b") as file:
        file.seek(70)
        file.write(b"\xee")
    with desk.open() as (repository, _, _):
        assert sorted(found_in(repository)) == [name_of(1), name_of(2)]
    assert desk.reports[0].parameters["count"] == 1
    assert os.path.exists(desk.reports[0].parameters["path"])
    assert len(desk.reports) == 2


def test_a_torn_end_is_normal(desk):
    with desk.open(interval_s=60) as (_, _, recorder):
        for number in range(3):
            recorder.begin(begin(number))
    (name,) = [name for name in os.listdir(desk.spool_place) if name != "lock"]
    path = f"{desk.spool_place}/{name}"
    os.truncate(path, os.path.getsize(path) - 20)
    with desk.open() as (repository, _, _):
        assert sorted(found_in(repository)) == [name_of(0), name_of(1)]
    assert [set(report.parameters) for report in desk.reports] == [{"count"}]


def test_an_end_without_a_beginning_is_told(desk):
    with desk.open() as (repository, _, recorder):
        recorder.end(finish(1), None)
        assert recorder.flush() and found_in(repository) == {}
    assert [report.parameters for report in desk.reports] == [{"exchange": name_of(1)}]


class Filling(UnsyncedSystem):
    """A disk that is full while ``full`` says so."""

    full = False

    def write(self, descriptor, data):
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(descriptor, data)


def test_on_a_full_disk_nothing_begins_and_what_ends_is_kept(desk):
    system = Filling()
    with desk.open(interval_s=60, system=system) as (repository, _, recorder):
        recorder.begin(begin(1))
        system.full = True
        with pytest.raises(StorageFullError) as raised:
            recorder.begin(begin(2))
        assert raised.value.hint and raised.value.retryable
        recorder.end(finish(1), bodies())
        assert desk.reports
        system.full = False
        assert recorder.flush()
        assert list(found_in(repository)) == [name_of(1)]
        recorder.begin(begin(3))
        recorder.end(finish(3), None)
    with desk.open() as (repository, _, _):
        assert list(found_in(repository)) == [name_of(1), name_of(3)]


def test_what_runs_survives_a_file_that_an_error_closed(desk):
    system = Filling()
    with desk.open(interval_s=60, system=system) as (_, _, recorder):
        recorder.begin(begin(1))
        system.full = True
        with pytest.raises(StorageFullError):
            recorder.begin(begin(2))
        system.full = False
        recorder.begin(begin(3))
        recorder.end(finish(3), None)
        assert recorder.flush()
    with desk.open() as (repository, _, _):
        found = found_in(repository)
        assert {name: recorded.ended.outcome for name, (recorded, _) in found.items()} == {
            name_of(1): ExchangeOutcome.INTERRUPTED,
            name_of(3): ExchangeOutcome.ANSWERED,
        }


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatever_write_fails_what_began_is_accounted_for(tmp_path, number):
    at, failed = 0, True
    while failed:
        place = tmp_path / str(at)
        place.mkdir()
        desk = Desk(place)
        with desk.open():
            pass
        system = FailingSystem(at, number, inner=UnsyncedSystem())
        desk.disk = system
        begun = calls(desk)
        desk.disk = UnsyncedSystem()
        with desk.open() as (repository, _, _):
            found = [recorded.began.id for recorded, _ in decrypted_exchanges(repository)]
            assert list(check(repository)) == []
        assert len(found) == len(set(found)), at
        assert begun <= set(found), at
        failed, at = system.failed, at + (1 if number == errno.ENOSPC else 3)
        assert all(
            "path" not in report.parameters or "damaged" not in report.msgid for report in desk.reports
        )
        shutil.rmtree(place)
    assert at > 20


def calls(desk):
    """Some exchanges on a disk that fails once; the ids of those that were let begin."""
    begun = set()
    try:
        with desk.open(interval_s=60) as (_, _, recorder):
            for number in range(6):
                try:
                    recorder.begin(begin(number))
                except StorageFullError:
                    recorder.flush(0.3)
                    continue
                begun.add(name_of(number))
                if number % 3:
                    recorder.end(finish(number), bodies())
                if number % 2:
                    recorder.flush(0.3)
    except LastroError:
        pass  # it failed while the gateway started, or while it ended
    return begun


def test_while_the_repository_takes_nothing_no_call_begins_and_nothing_is_lost(desk):
    with desk.open(interval_s=0.01) as (repository, _, recorder):
        recorder.begin(begin(1))
        recorder.end(finish(1), bodies())
        assert recorder.flush()
        repository.backend._reserve = 1 << 60  # noqa: SLF001  the disk fills up
        recorder.begin(begin(2))
        recorder.end(finish(2), bodies())
        assert not recorder.flush(0.2)
        assert recorder.failure is not None
        with pytest.raises(StorageFullError):
            recorder.begin(begin(3))
        repository.backend._reserve = 0  # noqa: SLF001
        assert recorder.flush()
        recorder.begin(begin(3))
        recorder.end(finish(3), None)
    with desk.open() as (repository, _, _):
        assert list(found_in(repository)) == [name_of(number) for number in (1, 2, 3)]


def test_two_gateways_on_one_home_are_refused(desk):
    with desk.open() as (repository, ledger, _):
        with pytest.raises(LockedError), desk.kit.open(writable=True):
            pass
        with pytest.raises(LockedError):
            Recorder(
                repository,
                ledger,
                Spool(desk.spool_place, spool_key(repository), system=UnsyncedSystem()),
                actor=ACTOR,
                report=desk.reports.append,
            )


def test_many_threads_of_calls_lose_nothing(desk):
    with desk.open(interval_s=0.001) as (repository, _, recorder):

        def work(first):
            for number in range(first, first + 40):
                recorder.begin(begin(number))
                recorder.end(finish(number), bodies(f"ask {number}"))

        threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert recorder.flush()
        found = [recorded.began.id for recorded, _ in decrypted_exchanges(repository)]
        assert len(found) == len(set(found)) == 160
    assert desk.reports == []


def test_whoever_listened_being_gone_stops_nothing(desk, caplog):
    class Gone(list):
        def append(self, _):
            raise BrokenPipeError

    desk.reports = Gone()
    with desk.open(interval_s=0.01) as (repository, _, recorder):
        recorder.end(finish(9), None)
        repository.backend._reserve = 1 << 60  # noqa: SLF001
        recorder.begin(begin(1))
        recorder.end(finish(1), bodies())
        assert not recorder.flush()
        repository.backend._reserve = 0  # noqa: SLF001
        assert recorder.flush()
        assert list(found_in(repository)) == [name_of(1)]
    assert name_of(9) in caplog.text
