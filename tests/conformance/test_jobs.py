"""``SqlJobs`` on disk and in memory, and the jobs of the console's tests."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from lastro.app.jobs import LOST_S
from lastro.app.jobs.opening import open_database, open_jobs
from lastro.app.jobs.store import KEPT_JOBS, KEPT_NS, SqlJobs
from lastro.app.jobs.tables import MOST_LINES, MOST_STEPS
from lastro.app.jobs.waiting import FewWait
from lastro.app.opening import open_services
from lastro.app.wiring import person
from lastro.catalogue.database import FOREIGN_SUFFIX, open_memory
from lastro.domain.clock import SystemClock
from lastro.domain.job import JobOutcome, JobState
from lastro.errors import NotFoundError
from tests.conformance.jobs import Clock, JobsSuite, KeptJobsSuite, order
from tests.console_kit import ImmediateJobs
from tests.decision_kit import Office


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


def made(engine, clock, told=None, **fields):
    told = [] if told is None else told
    return SqlJobs(
        engine, now_ns=clock, going_ns=clock, changed=lambda job, moved: told.append((job, moved)), **fields
    )


class TestInMemory(JobsSuite):
    @pytest.fixture
    def jobs(self, clock, told):
        jobs = made(open_memory(), clock, told)
        yield jobs
        jobs.close()


class TestOnDisk(JobsSuite):
    @pytest.fixture
    def path(self, tmp_path):
        return str(tmp_path / os.fsdecode(b"jobs-\xff.db"))

    @pytest.fixture
    def jobs(self, path, clock, told):
        jobs = made(open_database(path, set_aside=pytest.fail), clock, told)
        yield jobs
        jobs.close()

    def again(self, path, clock):
        return made(open_database(path, set_aside=pytest.fail), clock)

    def test_everything_is_there_after_a_restart(self, jobs, path, clock):
        job = self.begun(jobs, repeatable=True, key="k", subject="s")
        jobs.report(job.ticket, step="x", events=[b"1"])
        before = jobs.find(job.number)
        jobs.close()
        again = self.again(path, clock)
        assert again.find(job.number) == before
        assert again.submit(order(key="k", repeatable=True, subject="s")).number == job.number
        assert again.finish(job.ticket, JobOutcome(reply=b"{}")).state is JobState.DONE
        again.close()

    def test_a_keeper_that_was_away_waits_for_its_workers_anew(self, jobs, path, clock):
        job = self.begun(jobs)
        jobs.close()
        clock.pass_s(10 * LOST_S)
        again = self.again(path, clock)
        assert again.find(job.number)[0].state is JobState.RUNNING
        clock.pass_s(LOST_S + 1)
        assert again.find(job.number)[0].state is JobState.INTERRUPTED
        again.close()

    def test_neither_ticket_nor_key_stands_in_the_file(self, jobs, path):
        job = self.begun(jobs, key="the-key-of-ana")
        jobs.close()
        raw = b""
        for name in os.listdir(os.fsencode(os.path.dirname(path))):
            with open(os.path.join(os.fsencode(os.path.dirname(path)), name), "rb") as file:
                raw += file.read()
        assert b"host/1" in raw
        assert job.ticket.encode() not in raw and b"the-key-of-ana" not in raw

    def test_the_file_is_the_owners_alone(self, jobs, path):
        jobs.submit(order())
        assert os.stat(path).st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_moved_aside_and_said(tmp_path, content):
    path = str(tmp_path / "jobs.db")
    with open(path, "wb") as file:
        file.write(content)
    events = []
    jobs = open_jobs(path, publish=events.append)
    assert jobs.submit(order()).number == 1
    jobs.close()
    (problem, _job) = events
    assert problem.kind == "problem"
    with open(problem.parameters["parameters"]["path"], "rb") as file:
        assert file.read() == content


@pytest.mark.parametrize(
    "table", ["CREATE TABLE jobs (number INTEGER)", "CREATE TABLE photographs (taken INTEGER)"]
)
def test_a_file_of_somebody_else_is_moved_aside_whole(tmp_path, table):
    path = str(tmp_path / "jobs.db")
    theirs = sqlite3.connect(path)
    theirs.execute(table)
    theirs.execute(f"INSERT INTO {table.split()[2]} VALUES (7)")
    theirs.commit()
    theirs.close()
    events = []
    open_jobs(path, publish=events.append).close()
    assert [event.kind for event in events] == ["problem"]
    kept = sqlite3.connect(path + FOREIGN_SUFFIX)
    assert kept.execute(f"SELECT * FROM {table.split()[2]}").fetchall() == [(7,)]
    kept.close()
    events.clear()
    open_jobs(path, publish=events.append).close()
    assert not events


def test_changes_are_told_as_events_without_a_place_in_the_log(tmp_path):
    events = []
    jobs = open_jobs(str(tmp_path / "jobs.db"), publish=events.append)
    jobs.submit(order(subject="proposal-9"))
    jobs.close()
    (event,) = events
    assert (event.kind, event.seq) == ("job", None)
    said = {name: event.parameters[name] for name in ("number", "state", "operation", "subject", "moved")}
    assert said == {
        "number": 1,
        "state": "queued",
        "operation": "status",
        "subject": "proposal-9",
        "moved": True,
    }


class TestThinning:
    @pytest.fixture
    def jobs(self, clock):
        jobs = made(open_memory(), clock)
        yield jobs
        jobs.close()

    def over(self, jobs):
        number = jobs.submit(order()).number
        jobs.cancel(number)
        return number

    def test_what_ended_long_ago_is_forgotten_and_its_number_never_given_again(self, jobs, clock):
        gone, waits = self.over(jobs), jobs.submit(order()).number
        clock.now += KEPT_NS
        kept = self.over(jobs)
        assert [job.number for job in jobs.newest()] == [kept, waits, gone]
        clock.now += 1
        last = self.over(jobs)
        assert [job.number for job in jobs.newest()] == [last, kept, waits]
        with pytest.raises(NotFoundError):
            jobs.find(gone)

    def test_only_so_many_are_kept(self, jobs, monkeypatch):
        monkeypatch.setattr("lastro.app.jobs.store.KEPT_JOBS", 5)
        waits = jobs.submit(order()).number
        numbers = [self.over(jobs) for _ in range(20)]
        assert [job.number for job in jobs.newest()] == [*numbers[:-6:-1], waits]
        assert KEPT_JOBS == 10_000

    def test_a_log_keeps_its_last_lines_and_steps(self, jobs):
        jobs.submit(order())
        ticket = jobs.take("runner", "host/1", timeout_s=0).ticket
        for _ in range(3):
            jobs.report(ticket, events=[b"x"] * (MOST_LINES // 2))
        for number in range(MOST_STEPS + 5):
            jobs.report(ticket, step=f"s{number}")
        job, lines = jobs.find(1)
        assert len(lines) == MOST_LINES and lines[-1].number == 3 * (MOST_LINES // 2)
        assert len(job.steps) == MOST_STEPS and job.steps[-1].name == f"s{MOST_STEPS + 4}"


class TestImmediate(KeptJobsSuite):
    @pytest.fixture
    def jobs(self, tmp_path):
        office = Office.made(str(tmp_path), {"a": b"one\n"})
        with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
            yield ImmediateJobs(services)


@pytest.mark.parametrize("jump_s", [365 * 86_400, -365 * 86_400], ids=["forward", "back"])
def test_a_clock_that_is_set_makes_no_worker_lost_and_keeps_no_lost_one(clock, jump_s):
    passed = Clock()
    jobs = SqlJobs(open_memory(), now_ns=clock, going_ns=passed)
    jobs.submit(order())
    ticket = jobs.take("runner", "host/1", timeout_s=0).ticket
    jobs.report(ticket)
    clock.pass_s(jump_s)
    assert jobs.find(1)[0].state is JobState.RUNNING
    passed.pass_s(LOST_S + 1)
    assert jobs.find(1)[0].state is JobState.INTERRUPTED
    jobs.close()


def test_only_some_wait_at_the_same_time_and_the_others_hear_at_once(clock):
    jobs = SqlJobs(open_memory(), now_ns=clock, going_ns=clock)
    jobs.submit(order())
    few, waiting, heard = FewWait(jobs, most=2), threading.Semaphore(0), []
    find = jobs.find

    def seen(number, **fields):
        if fields["until_over_s"]:
            waiting.release()
        return find(number, **fields)

    jobs.find = seen
    threads = [
        threading.Thread(target=lambda: heard.append(few.find(1, until_over_s=60.0)[0].state), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert all(waiting.acquire(timeout=30) for _ in threads)
    assert few.find(1, until_over_s=60.0)[0].state is JobState.QUEUED and not heard
    few.cancel(1)
    for thread in threads:
        thread.join(30)
    assert heard == [JobState.CANCELLED] * 2
    assert few.find(1, until_over_s=60.0)[0].state is JobState.CANCELLED
    jobs.close()
