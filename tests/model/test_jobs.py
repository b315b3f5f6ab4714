"""Jobs against a plain dictionary: whatever askers, workers and clocks do, with keepers that go and come back, the two say the same."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from lastro.app.jobs import LOST_S
from lastro.app.jobs.opening import open_database
from lastro.app.jobs.store import ACCEPT_S, MOST_ATTEMPTS, SqlJobs
from lastro.domain.job import FINAL_JOB_STATES, JOB_TRANSITIONS, JobOutcome, JobState
from lastro.errors import ConflictError, NotFoundError
from tests.conformance.jobs import ANA, BIA, Clock, order

pytestmark = pytest.mark.slow

_SECOND = 1_000_000_000
_OUTCOMES = {
    JobState.DONE: JobOutcome(reply=b"{}"),
    JobState.FAILED: JobOutcome(failure=b"{}"),
    JobState.CANCELLED: JobOutcome(),
}


class JobsModel(RuleBasedStateMachine):
    tickets = Bundle("tickets")

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="lastro-jobs-")
        self.clock = Clock()
        self.moves = {}
        self.model = {}
        self.by_key = {}
        self.open()

    def open(self):
        engine = open_database(os.path.join(self.directory.name, "jobs.db"), set_aside=pytest.fail)
        self.jobs = SqlJobs(engine, now_ns=self.clock, going_ns=self.clock, changed=self.changed)
        self.opened = self.clock.now

    def changed(self, job, moved):
        before = self.moves.get(job.number)
        if before is not None and before is not job.state:
            assert job.state in JOB_TRANSITIONS[before] and moved
        self.moves[job.number] = job.state

    def teardown(self):
        self.jobs.close()
        self.directory.cleanup()

    # What people and programs ask

    @rule(
        place=st.sampled_from(["runner", "keeper"]),
        repeatable=st.booleans(),
        key=st.sampled_from(["", "", "k"]),
        asker=st.sampled_from([ANA, BIA]),
        request=st.sampled_from([b"{}", b'{"a":1}']),
    )
    def submit(self, place, repeatable, key, asker, request):
        asked = order(place=place, repeatable=repeatable, key=key, asker=asker, request=request)
        known = self.by_key.get((asker.name, key)) if key else None
        if known is not None and self.model[known]["request"] != request:
            with pytest.raises(ConflictError):
                self.jobs.submit(asked)
            return
        number = self.jobs.submit(asked).number
        if known is not None:
            assert number == known
            return
        assert number == max(self.model, default=0) + 1
        self.model[number] = {
            "state": JobState.QUEUED,
            "place": place,
            "repeatable": repeatable,
            "request": request,
            "ticket": None,
            "attempts": 0,
            "accepted": False,
            "cancelling": False,
            "seen": 0,
        }
        if key:
            self.by_key[asker.name, key] = number

    @rule(which=st.integers(0, 8))
    def cancel(self, which):
        self.lose()
        number = which + 1
        if number not in self.model:
            with pytest.raises(NotFoundError):
                self.jobs.cancel(number)
            return
        self.jobs.newest()
        self.jobs.cancel(number)
        job = self.model[number]
        if job["state"] is JobState.QUEUED:
            job["state"] = JobState.CANCELLED
        elif job["state"] is JobState.RUNNING:
            job["cancelling"] = True

    # Workers

    @rule(target=tickets, place=st.sampled_from(["runner", "keeper"]))
    def take(self, place):
        self.lose()
        waiting = [
            number
            for number, job in self.model.items()
            if job["state"] is JobState.QUEUED and job["place"] == place
        ]
        taken = self.jobs.take(place, "host/1", timeout_s=0)
        if not waiting:
            assert taken is None
            return "0" * 32
        assert taken.number == min(waiting)
        self.model[taken.number].update(
            state=JobState.RUNNING, ticket=taken.ticket, accepted=False, seen=self.clock.now
        )
        return taken.ticket

    def holding(self, ticket):
        return next((job for job in self.model.values() if job["ticket"] == ticket), None)

    @rule(ticket=tickets)
    def report(self, ticket):
        self.jobs.newest()
        self.lose()
        job = self.holding(ticket)
        if job is None or job["state"] is not JobState.RUNNING:
            with pytest.raises(NotFoundError):
                self.jobs.report(ticket)
            return
        assert self.jobs.report(ticket) is job["cancelling"]
        job["attempts"] += not job["accepted"]
        job.update(accepted=True, seen=self.clock.now)

    @rule(ticket=tickets, state=st.sampled_from(sorted(_OUTCOMES)))
    def finish(self, ticket, state):
        self.end(ticket, state)

    @rule(ticket=consumes(tickets), state=st.sampled_from(sorted(_OUTCOMES)))
    def finish_and_go(self, ticket, state):
        self.end(ticket, state)

    def end(self, ticket, state):
        self.jobs.newest()
        self.lose()
        job = self.holding(ticket)
        if job is None:
            with pytest.raises(NotFoundError):
                self.jobs.finish(ticket, _OUTCOMES[state])
            return
        if job["state"] is JobState.RUNNING:
            job["state"] = state
        assert self.jobs.finish(ticket, _OUTCOMES[state]).state is job["state"]

    # Time, and keepers that go

    @rule(seconds=st.sampled_from([1, ACCEPT_S - 1, ACCEPT_S + 1, LOST_S + 1]))
    def wait(self, seconds):
        self.clock.pass_s(seconds)

    @rule()
    def restart(self):
        self.jobs.close()
        self.open()

    def lose(self):
        """What the clock did to those whose workers are not heard of."""
        for job in self.model.values():
            if job["state"] is not JobState.RUNNING:
                continue
            patience = LOST_S if job["accepted"] else ACCEPT_S
            if max(job["seen"], self.opened) >= self.clock.now - patience * _SECOND:
                continue
            if job["cancelling"]:
                job["state"] = JobState.CANCELLED
            elif not job["accepted"] or (job["repeatable"] and job["attempts"] < MOST_ATTEMPTS):
                job.update(state=JobState.QUEUED, ticket=None)
            else:
                job["state"] = JobState.INTERRUPTED

    @invariant()
    def both_say_the_same(self):
        self.lose()
        found = {job.number: job for job in self.jobs.newest(limit=1000)}
        assert set(found) == set(self.model)
        for number, expected in self.model.items():
            job = found[number]
            assert (job.state, job.attempts) == (expected["state"], expected["attempts"])
            assert job.cancelling == expected["cancelling"]
            assert bool(job.ended_ns) == (job.state in FINAL_JOB_STATES)
            assert bool(job.reply) == (job.state is JobState.DONE)
            assert bool(job.failure) == (job.state is JobState.FAILED)
            assert self.moves[number] is job.state


TestJobs = JobsModel.TestCase
