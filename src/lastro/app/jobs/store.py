"""``SqlJobs``: jobs in a database (``state/jobs.db``), by SQLAlchemy Core. See ``Jobs``.

What always holds: every change is one transaction, and is told after it; in one process whoever waits is woken by the change it waits for.
A worker is given a job and then accepts it by its first report: one that went away between the two began nothing, so the job is queued
again, whatever it is. A keeper that was away itself takes no worker for lost before it could have been heard of; and nobody is lost
because somebody set this machine's clock.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Connection, Engine, select

from lastro.app.encoding import encode
from lastro.app.jobs import LOST_S
from lastro.app.jobs.tables import (
    JOBS,
    METADATA,
    MOST_LINES,
    add_lines,
    begin_step,
    digest_of,
    end_steps,
    forget_old,
    insert_job,
    job_numbered,
    job_of,
    known_job,
    lines_of,
    printable_name,
    row_held,
    row_ticketed,
    set_job,
)
from lastro.domain.job import FINAL_JOB_STATES, Job, JobLine, JobOrder, JobOutcome, JobState
from lastro.domain.paths import to_bytes
from lastro.domain.progress import Progress
from lastro.errors import UnreachableError
from lastro.messages import N_

Changed = Callable[[Job, bool], None]
"""Hears of a job after each of its changes, and whether its state moved. Called in the thread that made the change; must not raise."""

MOST_ATTEMPTS: Final = 3
"""How often a repeatable job is begun."""
ACCEPT_S: Final = 10.0
"""How long a worker that was given a job has to accept it."""
KEPT_JOBS: Final = 10_000
KEPT_NS: Final = 30 * 86_400 * 1_000_000_000
_LOOK_S: Final = 1.0
"""Between two looks for lost workers, of which nobody tells."""
_OVER: Final = tuple(state.value for state in FINAL_JOB_STATES)


class SqlJobs:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        *,
        changed: Changed = lambda _job, _moved: None,
        now_ns: Callable[[], int] = time.time_ns,
        going_ns: Callable[[], int] = time.monotonic_ns,
        new_ticket: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._engine = engine
        self._changed = changed
        self._now_ns = now_ns
        self._new_ticket = new_ticket
        self._moved = threading.Condition()
        self._closed = False
        self._gone = False
        self._going_ns = going_ns
        self._opened_ns = going_ns()
        self._heard_ns: dict[int, int] = {}
        METADATA.create_all(engine)

    def release(self) -> None:
        """Let nobody wait any more: who waits for a job, or asks for one, hears that the keeper stops."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()

    def close(self) -> None:
        """Let go of the database, once whoever uses it has done so."""
        self.release()
        with self._moved:
            self._gone = True
            self._engine.dispose()

    def submit(self, order: JobOrder) -> Job:
        """See ``Jobs``."""
        with self._changing() as connection:
            known = known_job(connection, order)
            if known is not None:
                return known
            job = insert_job(connection, order, self._now_ns())
            forget_old(connection, ended_ns=self._now_ns() - KEPT_NS, number=job.number - KEPT_JOBS)
        return self._tell(job)

    def take(self, place: str, worker: str, *, timeout_s: float) -> Job | None:
        """See ``Jobs``."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._look_after_lost()
            with self._moved:
                if self._closed:
                    raise _stopping()
                job, goes = self._take_one(place, worker)
                if job is not None:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._moved.wait(min(left, _LOOK_S) if goes else left)
        self._tell(replace(job, ticket=""))
        return job

    def report(
        self,
        ticket: str,
        *,
        progress: Progress | None = None,
        step: str = "",
        events: Sequence[bytes] = (),
    ) -> bool:
        """See ``Jobs``."""
        now = self._now_ns()
        with self._changing() as connection:
            row = row_held(connection, ticket)
            values: dict[str, Any] = {"seen_ns": now}
            if not row.accepted:
                values.update(accepted=True, attempts=row.attempts + 1)
            if progress is not None:
                values["progress"] = encode(progress)
            if step:
                begin_step(connection, row.number, step, now)
            add_lines(connection, row.number, events, now)
            job = set_job(connection, row.number, **values)
            self._heard_ns[row.number] = self._going_ns()
        if progress is not None or step or events:
            self._tell(job, moved=False)
        return job.cancelling

    def order_by(self, ticket: str) -> JobOrder:
        """See ``Jobs``."""
        with self._changing() as connection:
            return job_of(connection, row_held(connection, ticket)).order

    def finish(self, ticket: str, outcome: JobOutcome) -> Job:
        """See ``Jobs``."""
        with self._changing() as connection:
            row = row_ticketed(connection, ticket)
            if row.state in _OVER:
                return job_of(connection, row)
            state = (
                JobState.DONE if outcome.reply else JobState.FAILED if outcome.failure else JobState.CANCELLED
            )
            job = self._end(connection, row.number, state, outcome)
        return self._tell(job)

    def cancel(self, number: int) -> Job:
        """See ``Jobs``."""
        with self._changing() as connection:
            job = job_numbered(connection, number)
            if job.state is JobState.QUEUED:
                job = self._end(connection, number, JobState.CANCELLED)
            elif job.state is JobState.RUNNING and not job.cancelling:
                job = set_job(connection, number, cancelling=True)
            else:
                return job
        return self._tell(job)

    def find(
        self, number: int, *, lines_after: int = 0, most_lines: int = MOST_LINES, until_over_s: float = 0.0
    ) -> tuple[Job, tuple[JobLine, ...]]:
        """See ``Jobs``."""
        deadline = time.monotonic() + until_over_s
        while True:
            self._look_after_lost()
            with self._moved:
                with self._changing() as connection:
                    job = job_numbered(connection, number)
                    lines = lines_of(connection, number, after=lines_after, most=most_lines)
                left = deadline - time.monotonic()
                if job.state in FINAL_JOB_STATES or left <= 0 or self._closed:
                    return job, lines
                self._moved.wait(min(left, _LOOK_S) if job.state is JobState.RUNNING else left)

    def newest(
        self,
        *,
        states: Sequence[JobState] = (),
        operation: str = "",
        subject: str = "",
        before: int = 0,
        limit: int = 50,
    ) -> list[Job]:
        """See ``Jobs``."""
        query = select(JOBS).order_by(JOBS.c.number.desc()).limit(limit)
        if states:
            query = query.where(JOBS.c.state.in_([state.value for state in states]))
        if operation:
            query = query.where(JOBS.c.operation == printable_name(operation))
        if subject:
            query = query.where(JOBS.c.subject == to_bytes(subject))
        if before:
            query = query.where(JOBS.c.number < before)
        self._look_after_lost()
        with self._changing() as connection:
            return [job_of(connection, row) for row in connection.execute(query).all()]

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction, which is there once this is left.

        Raises:
            UnreachableError: the jobs are closed, or their file cannot be used now.
        """
        with self._moved:
            if self._gone:
                raise _stopping()
            with self._engine.begin() as connection:
                yield connection

    def _take_one(self, place: str, worker: str) -> tuple[Job | None, bool]:
        """The oldest queued job of ``place``, given to ``worker``; without one, whether any job goes, whose worker could be lost."""
        with self._changing() as connection:
            row = connection.execute(
                select(JOBS)
                .where(JOBS.c.state == JobState.QUEUED.value, JOBS.c.place == place)
                .order_by(JOBS.c.number)
                .limit(1)
            ).first()
            if row is None:
                going = select(JOBS.c.number).where(JOBS.c.state == JobState.RUNNING.value).limit(1)
                return None, connection.execute(going).first() is not None
            ticket, now = self._new_ticket(), self._now_ns()
            self._heard_ns[row.number] = self._going_ns()
            job = set_job(
                connection,
                row.number,
                state=JobState.RUNNING.value,
                worker=printable_name(worker),
                ticket=digest_of(ticket),
                accepted=False,
                began_ns=row.began_ns or now,
                seen_ns=now,
            )
            return replace(job, ticket=ticket), True

    def _look_after_lost(self) -> None:
        """Jobs whose worker is gone: again, or over."""
        with self._changing() as connection:
            now, passed = self._now_ns(), self._going_ns()
            going = connection.execute(select(JOBS).where(JOBS.c.state == JobState.RUNNING.value)).all()
            self._heard_ns = {row.number: self._heard_ns.get(row.number, self._opened_ns) for row in going}
            lost = [row for row in going if self._is_lost(row, passed)]
            changed = [self._end_lost(connection, row, now) for row in lost]
        for job in changed:
            self._tell(job)

    def _is_lost(self, row: Any, passed_ns: int) -> bool:
        patience_s = LOST_S if row.accepted else ACCEPT_S
        return self._heard_ns[row.number] < passed_ns - int(patience_s * 1_000_000_000)

    def _end_lost(self, connection: Connection, row: Any, now_ns: int) -> Job:
        if row.cancelling:
            return self._end(connection, row.number, JobState.CANCELLED)
        if not row.accepted or (row.repeatable and row.attempts < MOST_ATTEMPTS):
            end_steps(connection, row.number, now_ns)
            return set_job(connection, row.number, state=JobState.QUEUED.value, ticket=None, worker="")
        return self._end(connection, row.number, JobState.INTERRUPTED)

    def _end(
        self, connection: Connection, number: int, state: JobState, outcome: JobOutcome | None = None
    ) -> Job:
        now, outcome = self._now_ns(), outcome or JobOutcome()
        end_steps(connection, number, now)
        reply, failure = outcome.reply or None, outcome.failure or None
        return set_job(connection, number, state=state.value, ended_ns=now, reply=reply, failure=failure)

    def _tell(self, job: Job, *, moved: bool = True) -> Job:
        with self._moved:
            self._moved.notify_all()
        self._changed(job, moved)
        return job


def _stopping() -> UnreachableError:
    return UnreachableError(N_("The keeper is being stopped."), hint=N_("Try again in a moment."))
