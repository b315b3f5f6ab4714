"""A worker: what it takes, accepts, reports and ends. Jobs are real, in memory; what is carried out is the test's."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from lastro.app.encoding import decode
from lastro.app.events import Event
from lastro.app.failure import Failure
from lastro.app.jobs.interrupting import CancelledError
from lastro.app.jobs.reporting import Reporter
from lastro.app.jobs.store import SqlJobs
from lastro.app.jobs.working import JobWorker
from lastro.app.operation import find_operation
from lastro.catalogue.database import open_memory
from lastro.domain.job import JobOutcome, JobState
from lastro.domain.progress import Progress
from lastro.errors import ConflictError, NotFoundError, UnreachableError
from tests.conformance.jobs import LONG_S, order

pytestmark = pytest.mark.slow


class CallerOfJobs:
    """The keeper's steps, without a keeper. ``away``: how many calls of a step find nobody."""

    def __init__(self, jobs):
        self.services = SimpleNamespace(jobs=jobs)
        self.away = {}
        self.called = []

    def call(self, name, request):
        self.called.append(name)
        if self.away.get(name):
            self.away[name] -= 1
            raise UnreachableError("away")
        return find_operation(name).run(self.services, request)

    def close(self):
        pass


@pytest.fixture
def jobs():
    jobs = SqlJobs(open_memory())
    yield jobs
    jobs.close()


@pytest.fixture
def caller(jobs):
    return CallerOfJobs(jobs)


@contextmanager
def working(caller, carry_out, **fields):
    worker = JobWorker(connect=lambda: caller, carry_out=carry_out, **fields)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        caller.services.jobs.release()
        worker.end(LONG_S)


def report_on(report):
    """Report as long work does, until it is broken off."""
    for number in range(int(LONG_S * 100)):
        report(Progress(phase="x", files=number))
        time.sleep(0.01)


def over(jobs, number):
    job = jobs.find(number, until_over_s=LONG_S)[0]
    assert job.ended_ns, job
    return job


def test_what_is_said_stands_in_the_job_and_its_end_too(jobs, caller):
    def carry_out(_job, report, tell):
        report(Progress(phase="trees", files=3))
        tell(Event(kind="a", time_ns=1))
        tell(Event(kind="b", time_ns=2, parameters={"path": "\udcff"}))
        return {"said": "\udcff"}

    with working(caller, carry_out):
        job = over(jobs, jobs.submit(order()).number)
    assert job.state is JobState.DONE and decode(job.reply, dict) == {"said": "\udcff"}
    assert job.progress == Progress(phase="trees", files=3)
    assert [step.name for step in job.steps] == ["trees"]
    _, lines = jobs.find(job.number)
    assert [decode(line.event, Event).kind for line in lines] == ["a", "b"]


@pytest.mark.parametrize("error", [ConflictError("{a} changed.", a="x"), ZeroDivisionError("a defect")])
def test_whatever_is_raised_is_the_jobs_failure_and_the_next_one_is_taken(jobs, caller, error):
    def carry_out(job, _report, _tell):
        if job.number == 1:
            raise error
        return {}

    with working(caller, carry_out, most_at_once=1):
        first, second = (jobs.submit(order()).number for _ in range(2))
        assert over(jobs, first).state is JobState.FAILED
        assert over(jobs, second).state is JobState.DONE
    failure = decode(jobs.find(first)[0].failure, Failure)
    assert failure.code == ("conflict" if isinstance(error, ConflictError) else "failed")


def test_nothing_is_begun_that_the_keeper_has_not_heard_is_begun(jobs, caller):
    begun = []
    caller.away["job.report"] = 1
    with working(caller, lambda job, _report, _tell: begun.append(job.number) or {}):
        unheard, heard = (jobs.submit(order()).number for _ in range(2))
        assert over(jobs, heard).state is JobState.DONE
    assert begun == [heard]
    job = jobs.find(unheard)[0]
    assert (job.state, job.attempts) == (JobState.RUNNING, 0)  # given to the next one, when its time is over


def test_what_may_be_broken_off_ends_when_it_is_cancelled_and_nothing_else_does(jobs, caller):
    begun, go_on = threading.Semaphore(0), threading.Event()

    def carry_out(job, report, _tell):
        begun.release()
        if job.order.operation == "restore":
            assert go_on.wait(LONG_S)
            report(Progress(phase="x"))
            return {}
        report_on(report)
        return {}

    with working(caller, carry_out):
        reading, applying = (jobs.submit(order(operation=name)).number for name in ("status", "restore"))
        for _ in range(2):
            assert begun.acquire(timeout=LONG_S)
        for number in (reading, applying):
            assert jobs.cancel(number).cancelling
        assert over(jobs, reading).state is JobState.CANCELLED
        assert jobs.find(applying)[0].state is JobState.RUNNING
        go_on.set()
        assert over(jobs, applying).state is JobState.DONE


def test_what_the_keeper_broke_off_is_cancelled_and_no_failure(jobs, caller):
    cancelled = threading.Event()

    def carry_out(_job, report, _tell):
        cancelled.wait(LONG_S)
        while True:  # hears of it, and meets the keeper's own error before it can say so
            try:
                report_on(report)
            except CancelledError as error:
                raise ConflictError("The source went away.") from error

    with working(caller, carry_out):
        number = jobs.submit(order(operation="capture")).number
        while jobs.find(number)[0].attempts == 0:
            time.sleep(0.01)
        jobs.cancel(number)
        cancelled.set()
        assert over(jobs, number).state is JobState.CANCELLED


def test_a_worker_that_stops_leaves_what_can_be_begun_again(jobs, caller):
    begun = threading.Event()

    def carry_out(_job, report, _tell):
        begun.set()
        report_on(report)
        return {}

    with working(caller, carry_out):
        number = jobs.submit(order(repeatable=True)).number
        assert begun.wait(LONG_S)
    assert jobs.find(number)[0].state is JobState.RUNNING
    assert "job.finish" not in caller.called


def test_its_end_is_said_until_it_is_heard(jobs, caller):
    caller.away["job.finish"] = 2
    with working(caller, lambda *_: {}):
        assert over(jobs, jobs.submit(order()).number).state is JobState.DONE
    assert caller.called.count("job.finish") == 3


def test_a_keeper_that_is_away_is_asked_again(jobs, caller):
    caller.away["job.take"] = 1
    with working(caller, lambda *_: {}):
        assert over(jobs, jobs.submit(order()).number).state is JobState.DONE


def test_no_more_at_once_than_it_was_told(jobs, caller):
    begun, go_on = threading.Semaphore(0), threading.Event()

    def carry_out(*_):
        begun.release()
        assert go_on.wait(LONG_S)
        return {}

    with working(caller, carry_out, most_at_once=2):
        numbers = [jobs.submit(order()).number for _ in range(3)]
        for _ in range(2):
            assert begun.acquire(timeout=LONG_S)
        states = [jobs.find(number)[0].state for number in numbers]
        assert states == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED]
        go_on.set()
        assert [over(jobs, number).state for number in numbers] == [JobState.DONE] * 3


def test_only_jobs_of_its_place(jobs, caller):
    with working(caller, lambda *_: {}, place="keeper"):
        other = jobs.submit(order(place="runner")).number
        assert over(jobs, jobs.submit(order(place="keeper")).number).state is JobState.DONE
    assert jobs.find(other)[0].state is JobState.QUEUED


def test_a_job_that_was_taken_away_is_broken_off(jobs, caller):
    number = jobs.submit(order()).number
    taken = jobs.take("runner", "host/1", timeout_s=0)
    reporter = Reporter(caller, taken, stopping=threading.Event(), every_s=0.01)
    assert reporter.accept()
    jobs.finish(taken.ticket, JobOutcome())
    with pytest.raises(CancelledError):
        report_on(reporter.report(interruptible=True))
    reporter.close()
    assert not Reporter(caller, taken, stopping=threading.Event()).accept()
    with pytest.raises(NotFoundError):
        jobs.report(taken.ticket)
    assert jobs.find(number)[0].state is JobState.CANCELLED
