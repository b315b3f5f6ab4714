"""What every implementation of ``Jobs`` does. ``KeptJobsSuite``: what holds also where jobs are over as soon as they are asked for."""

from __future__ import annotations

import threading

import pytest

from lastro.app.jobs import LOST_S
from lastro.app.jobs.store import ACCEPT_S, MOST_ATTEMPTS
from lastro.domain.job import JobOrder, JobOutcome, JobState
from lastro.domain.progress import Progress
from lastro.domain.record import Actor
from lastro.errors import ConflictError, NotFoundError, UnreachableError

ANA = Actor(kind="human", name="ana", uid=1)
BIA = Actor(kind="human", name="bia", uid=2)
ODD = "a\x1b\u202e\udcff<b>"
LONG_S = 20.0
"""Far longer than anything here takes: who waits so long waits for ever."""


def order(**fields):
    return JobOrder(**{"operation": "status", "request": b"{}", "asker": ANA, "place": "runner", **fields})


class Clock:
    def __init__(self):
        self.now = 1_900_000_000_000_000_000

    def __call__(self):
        return self.now

    def pass_s(self, seconds):
        self.now += int(seconds * 1_000_000_000)


class KeptJobsSuite:
    """Needs the fixture ``jobs``."""

    def test_what_was_asked_for_is_found_by_its_number(self, jobs):
        first, second = jobs.submit(order(subject=ODD)), jobs.submit(order(operation="repo.stats"))
        assert second.number > first.number
        assert jobs.find(first.number)[0] == first
        assert jobs.find(second.number)[0].order == order(operation="repo.stats")
        assert first.order.subject == ODD
        for number in (0, second.number + 1):
            with pytest.raises(NotFoundError):
                jobs.find(number)

    def test_the_newest_come_first_and_page_by_page(self, jobs):
        numbers = [jobs.submit(order(subject="ab"[number % 2])).number for number in range(7)]
        seen, before = [], 0
        while page := jobs.newest(before=before, limit=3):
            assert len(page) <= 3
            seen += [job.number for job in page]
            before = page[-1].number
        assert seen == numbers[::-1]
        assert [job.number for job in jobs.newest(subject="b")] == numbers[1::2][::-1]
        assert jobs.newest(operation="capture") == []
        assert jobs.newest(subject=ODD) == []

    def test_what_is_over_stays_over(self, jobs):
        job = jobs.submit(order())
        jobs.cancel(job.number)
        over = jobs.find(job.number)[0]
        assert over.state in {JobState.CANCELLED, JobState.DONE}
        assert jobs.cancel(job.number) == over


class JobsSuite(KeptJobsSuite):
    """Needs also the fixtures ``clock``, the jobs' own, and ``told``, the list of what ``changed`` was called with."""

    def begun(self, jobs, **fields):
        jobs.submit(order(**fields))
        job = jobs.take(fields.get("place", "runner"), "host/1", timeout_s=0)
        assert jobs.report(job.ticket) is False
        return job

    # Taking

    def test_the_oldest_of_a_place_is_taken_once(self, jobs):
        first, other, second = (
            jobs.submit(order(place=place)).number for place in ("runner", "keeper", "runner")
        )
        taken = [jobs.take("runner", "host/1", timeout_s=0) for _ in range(3)]
        assert [job and job.number for job in taken] == [first, second, None]
        assert jobs.take("keeper", "host/2", timeout_s=0).number == other
        assert {job.state for job in taken[:2]} == {JobState.RUNNING}
        assert taken[0].ticket != taken[1].ticket and all(len(job.ticket) >= 32 for job in taken[:2])

    def test_of_many_who_take_at_once_one_gets_it(self, jobs):
        numbers = [jobs.submit(order()).number for _ in range(20)]
        got, lock = [], threading.Lock()

        def take():
            while (job := jobs.take("runner", "host/1", timeout_s=0)) is not None:
                with lock:
                    got.append(job.number)

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == numbers

    def test_a_ticket_is_the_workers_alone(self, jobs):
        job = self.begun(jobs)
        assert job.ticket
        assert not jobs.find(job.number)[0].ticket and not jobs.newest()[0].ticket
        assert not jobs.cancel(job.number).ticket

    def test_who_waits_gets_what_comes(self, jobs):
        got = []
        thread = threading.Thread(target=lambda: got.append(jobs.take("runner", "host/1", timeout_s=LONG_S)))
        thread.start()
        number = jobs.submit(order()).number
        thread.join(LONG_S)
        assert [job.number for job in got] == [number]

    def test_who_waits_is_let_go(self, jobs):
        heard = []

        def take():
            try:
                jobs.take("runner", "host/1", timeout_s=300)
            except UnreachableError as error:
                heard.append(error)

        thread = threading.Thread(target=take)
        thread.start()
        jobs.release()
        thread.join(LONG_S)
        assert len(heard) == 1
        jobs.submit(order())
        with pytest.raises(UnreachableError):
            jobs.take("runner", "host/1", timeout_s=300)
        jobs.close()
        with pytest.raises(UnreachableError):
            jobs.newest()

    # Reporting

    def test_how_far_it_is(self, jobs, clock):
        job = self.begun(jobs)
        clock.pass_s(3)
        progress = Progress(phase="capture", files=3, path=ODD)
        jobs.report(job.ticket, progress=Progress(phase="x"), step="x", events=[b"1", b"2"])
        clock.pass_s(3)
        jobs.report(job.ticket, progress=progress, step="capture", events=[b"3"])
        found, lines = jobs.find(job.number)
        assert found.progress == progress and found.seen_ns == clock.now and found.attempts == 1
        first, second = found.steps
        assert (first.name, first.ended_ns - first.began_ns) == ("x", 3_000_000_000)
        assert (second.name, second.ended_ns) == ("capture", 0)
        assert [(line.number, line.event) for line in lines] == [(1, b"1"), (2, b"2"), (3, b"3")]
        assert [line.number for line in jobs.find(job.number, lines_after=1, most_lines=1)[1]] == [3]
        clock.pass_s(1)
        over = jobs.finish(job.ticket, JobOutcome(reply=b"{}"))
        assert [step.ended_ns for step in over.steps][1] == clock.now == over.ended_ns

    def test_who_asked_is_known_by_the_ticket_while_it_goes(self, jobs):
        job = self.begun(jobs, asker=BIA)
        assert jobs.order_by(job.ticket).asker == BIA
        jobs.finish(job.ticket, JobOutcome(reply=b"{}"))
        for ticket in (job.ticket, "", "0" * 32):
            with pytest.raises(NotFoundError):
                jobs.order_by(ticket)
            with pytest.raises(NotFoundError):
                jobs.report(ticket)

    # Its end

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [
            (JobOutcome(reply=b"{}"), JobState.DONE),
            (JobOutcome(failure=b"{}"), JobState.FAILED),
            (JobOutcome(), JobState.CANCELLED),
        ],
    )
    def test_it_ends_once(self, jobs, clock, outcome, state):
        job = self.begun(jobs)
        clock.pass_s(1)
        over = jobs.finish(job.ticket, outcome)
        assert (over.state, over.reply, over.failure) == (state, outcome.reply, outcome.failure)
        assert over.ended_ns - over.began_ns == 1_000_000_000
        clock.pass_s(100)
        for again in (JobOutcome(reply=b"2"), JobOutcome(failure=b"2"), JobOutcome()):
            assert jobs.finish(job.ticket, again) == over
        assert jobs.find(job.number)[0] == over
        with pytest.raises(NotFoundError):
            jobs.finish("0" * 32, outcome)
        with pytest.raises(NotFoundError):
            jobs.finish("", outcome)

    def test_who_waits_for_its_end_hears_it(self, jobs):
        job, got = self.begun(jobs), []
        thread = threading.Thread(target=lambda: got.append(jobs.find(job.number, until_over_s=LONG_S)[0]))
        thread.start()
        jobs.report(job.ticket)
        jobs.finish(job.ticket, JobOutcome(reply=b"{}"))
        thread.join(LONG_S)
        assert [one.state for one in got] == [JobState.DONE]
        assert jobs.find(self.begun(jobs).number, until_over_s=0.01)[0].state is JobState.RUNNING

    def test_cancelling(self, jobs):
        queued = jobs.submit(order()).number
        assert jobs.cancel(queued).state is JobState.CANCELLED
        assert jobs.take("runner", "host/1", timeout_s=0) is None
        job = self.begun(jobs)
        asked = jobs.cancel(job.number)
        assert (asked.state, asked.cancelling) == (JobState.RUNNING, True)
        assert jobs.report(job.ticket) is True
        assert jobs.finish(job.ticket, JobOutcome(reply=b"{}")).state is JobState.DONE
        with pytest.raises(NotFoundError):
            jobs.cancel(99)

    # Workers that are gone

    def test_what_was_never_accepted_is_given_to_the_next(self, jobs, clock):
        number = jobs.submit(order()).number
        for _ in range(MOST_ATTEMPTS + 2):
            gone = jobs.take("runner", "gone", timeout_s=0)
            assert gone.number == number
            clock.pass_s(ACCEPT_S)
            assert jobs.take("runner", "host/1", timeout_s=0) is None
            clock.pass_s(1)
        assert jobs.find(number)[0].state is JobState.QUEUED
        with pytest.raises(NotFoundError):
            jobs.report(gone.ticket)
        with pytest.raises(NotFoundError):
            jobs.finish(gone.ticket, JobOutcome(reply=b"{}"))

    def test_a_lost_worker_ends_what_could_be_done_twice(self, jobs, clock):
        job = self.begun(jobs)
        clock.pass_s(LOST_S)
        assert jobs.find(job.number)[0].state is JobState.RUNNING
        clock.pass_s(1)
        over = jobs.find(job.number)[0]
        assert over.state is JobState.INTERRUPTED and over.ended_ns == clock.now
        assert jobs.finish(job.ticket, JobOutcome(reply=b"{}")) == over

    def test_who_reports_is_not_lost(self, jobs, clock):
        job = self.begun(jobs)
        for _ in range(5):
            clock.pass_s(LOST_S - 1)
            jobs.report(job.ticket)
        assert jobs.newest()[0].state is JobState.RUNNING

    def test_what_may_be_repeated_is_begun_again_but_not_for_ever(self, jobs, clock):
        number = jobs.submit(order(repeatable=True)).number
        tickets = set()
        for attempt in range(MOST_ATTEMPTS):
            job = jobs.take("runner", "host/1", timeout_s=0)
            assert job.number == number
            tickets.add(job.ticket)
            jobs.report(job.ticket)
            assert jobs.find(number)[0].attempts == attempt + 1
            clock.pass_s(LOST_S + 1)
        assert jobs.take("runner", "host/1", timeout_s=0) is None
        assert jobs.find(number)[0].state is JobState.INTERRUPTED
        assert len(tickets) == MOST_ATTEMPTS

    def test_a_lost_worker_of_what_was_cancelled_ends_it(self, jobs, clock):
        job = self.begun(jobs, repeatable=True)
        jobs.cancel(job.number)
        clock.pass_s(LOST_S + 1)
        assert jobs.find(job.number)[0].state is JobState.CANCELLED

    # Keys

    def test_one_key_of_one_asker_is_one_job(self, jobs):
        job = jobs.submit(order(key="k"))
        assert jobs.submit(order(key="k")) == job
        assert jobs.submit(order(key="k", asker=BIA)).number != job.number
        assert jobs.submit(order()).number != jobs.submit(order()).number
        for other in ({"request": b'{"x":1}'}, {"operation": "capture"}):
            with pytest.raises(ConflictError):
                jobs.submit(order(key="k", **other))
        taken = jobs.take("runner", "host/1", timeout_s=0)
        jobs.finish(taken.ticket, JobOutcome(reply=b"{}"))
        assert jobs.submit(order(key="k")).state is JobState.DONE

    # Telling

    def test_every_change_is_told_and_whether_it_moved(self, jobs, clock, told):
        job = self.begun(jobs)
        jobs.report(job.ticket, progress=Progress(phase="x"))
        jobs.cancel(job.number)
        jobs.finish(job.ticket, JobOutcome())
        states = [(one.state.value, moved) for one, moved in told]
        running = "running"
        assert states == [
            ("queued", True),
            (running, True),
            (running, False),
            (running, True),
            ("cancelled", True),
        ]
        told.clear()
        self.begun(jobs)
        clock.pass_s(LOST_S + 1)
        jobs.newest()
        assert [one.state.value for one, moved in told if moved][-1] == "interrupted"
        assert not any(one.ticket for one, _moved in told)
