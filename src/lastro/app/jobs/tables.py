"""The tables of jobs, and rows of them as nouns.

What always holds: text that may be no UTF-8 (what a job is about, where its progress is) is kept as bytes; a ticket and a key are kept as
digests, so that who reads the file can use neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from blake3 import blake3
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    select,
    update,
)
from sqlalchemy import insert as insert_into

from lastro.app.encoding import decode, encode
from lastro.domain.job import FINAL_JOB_STATES, Job, JobLine, JobOrder, JobState, JobStep
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.progress import Progress
from lastro.domain.record import Actor
from lastro.errors import ConflictError, NotFoundError
from lastro.messages import N_

MOST_LINES: Final = 10_000
"""Lines of one job's log that are kept."""
MOST_STEPS: Final = 200
"""Steps of one job that are kept: a worker may name many phases."""

_FORGOTTEN_AT_ONCE: Final = 100

METADATA = MetaData()
JOBS = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("operation", String, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("asker", LargeBinary, nullable=False),
    Column("place", String, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("once", LargeBinary, unique=True),
    Column("repeatable", Boolean, nullable=False),
    Column("state", String, nullable=False),
    Column("asked_ns", BigInteger, nullable=False),
    Column("began_ns", BigInteger, nullable=False, default=0),
    Column("ended_ns", BigInteger, nullable=False, default=0),
    Column("seen_ns", BigInteger, nullable=False, default=0),
    Column("worker", String, nullable=False, default=""),
    Column("ticket", LargeBinary, unique=True),
    Column("accepted", Boolean, nullable=False, default=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("cancelling", Boolean, nullable=False, default=False),
    Column("progress", LargeBinary),
    Column("reply", LargeBinary),
    Column("failure", LargeBinary),
    Index("jobs_by_state", "state", "number"),
    Index("jobs_by_subject", "subject", "number"),
    Index("jobs_by_operation", "operation", "number"),
    sqlite_autoincrement=True,  # the number of a job that was thinned out is never given again
)
STEPS = Table(
    "job_steps",
    METADATA,
    Column("job", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=False, default=0),
)
LINES = Table(
    "job_lines",
    METADATA,
    Column("job", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time_ns", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),
)


def digest_of(ticket: str) -> bytes:
    """What is kept of a ticket."""
    return blake3(ticket.encode("utf-8", "surrogateescape")).digest()


def once_of(order: JobOrder) -> bytes | None:
    """What two orders have in common that shall make one job: asker and key. Nobody gets another one's job by guessing its key."""
    if not order.key:
        return None
    asker = encode([order.asker.kind, order.asker.name, order.asker.uid])
    return blake3(asker + b"\0" + order.key.encode("utf-8", "surrogateescape")).digest()


def values_of(order: JobOrder) -> Mapping[str, Any]:
    """The columns of an order."""
    return {
        "operation": order.operation,
        "request": order.request,
        "asker": encode(order.asker),
        "place": order.place,
        "subject": to_bytes(order.subject),
        "once": once_of(order),
        "repeatable": order.repeatable,
    }


def known_job(connection: Connection, order: JobOrder) -> Job | None:
    """The job that the same asker ordered by the same key.

    Raises:
        ConflictError: that was for something else.
    """
    if not order.key:
        return None
    row = connection.execute(select(JOBS).where(JOBS.c.once == once_of(order))).first()
    if row is None:
        return None
    if (row.operation, row.request) != (order.operation, order.request):
        raise ConflictError(
            N_("job-{number} was asked for with the same key, and is about something else."),
            hint=N_("Use a new key for each thing that is asked for."),
            number=row.number,
        )
    return job_of(connection, row)


def insert_job(connection: Connection, order: JobOrder, now_ns: int) -> Job:
    """A queued job of ``order``."""
    key = connection.execute(
        insert_into(JOBS).values(**values_of(order), state=JobState.QUEUED.value, asked_ns=now_ns)
    ).inserted_primary_key
    assert key is not None
    return job_numbered(connection, key[0])


def set_job(connection: Connection, number: int, **values: Any) -> Job:
    """The job with these columns changed."""
    connection.execute(update(JOBS).where(JOBS.c.number == number).values(**values))
    return job_numbered(connection, number)


def job_numbered(connection: Connection, number: int) -> Job:
    """The job of this number.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute(select(JOBS).where(JOBS.c.number == number)).first()
    if row is None:
        raise NotFoundError(N_("There is no job-{number}."), hint=N_("See 'lastro job list'."), number=number)
    return job_of(connection, row)


def row_ticketed(connection: Connection, ticket: str) -> Row[Any]:
    """The row whose worker has this ticket, whether it goes or is over.

    Raises:
        NotFoundError: there is none.
    """
    row = None
    if ticket:
        row = connection.execute(select(JOBS).where(JOBS.c.ticket == digest_of(ticket))).first()
    if row is None:
        raise NotFoundError(
            N_("Nobody has a job by this ticket any more."),
            hint=N_("Its worker was not heard of for too long; it was given to another one, or ended."),
        )
    return row


def row_held(connection: Connection, ticket: str) -> Row[Any]:
    """As ``row_ticketed``, of a job that goes.

    Raises:
        NotFoundError: there is none.
    """
    row = row_ticketed(connection, ticket)
    if row.state != JobState.RUNNING.value:
        raise NotFoundError(N_("job-{number} is over."), number=row.number)
    return row


def begin_step(connection: Connection, job: int, name: str, now_ns: int) -> None:
    """End the step that goes, and begin one called ``name``."""
    end_steps(connection, job, now_ns)
    last = connection.execute(select(func.max(STEPS.c.number)).where(STEPS.c.job == job)).scalar() or 0
    connection.execute(
        insert_into(STEPS).values(job=job, number=last + 1, name=printable_name(name), began_ns=now_ns)
    )
    connection.execute(delete(STEPS).where(STEPS.c.job == job, STEPS.c.number <= last + 1 - MOST_STEPS))


def end_steps(connection: Connection, job: int, now_ns: int) -> None:
    """End the step that goes, if one does."""
    connection.execute(update(STEPS).where(STEPS.c.job == job, STEPS.c.ended_ns == 0).values(ended_ns=now_ns))


def printable_name(text: str) -> str:
    """A code as a database takes it."""
    return text.encode("utf-8", "replace").decode("utf-8")[:200]


def add_lines(connection: Connection, job: int, events: Sequence[bytes], now_ns: int) -> None:
    """Lines at the end of a job's log; its oldest go when there are too many."""
    if not events:
        return
    last = connection.execute(select(func.max(LINES.c.number)).where(LINES.c.job == job)).scalar() or 0
    connection.execute(
        insert_into(LINES),
        [
            {"job": job, "number": last + position, "time_ns": now_ns, "event": event}
            for position, event in enumerate(events, start=1)
        ],
    )
    oldest = last + len(events) - MOST_LINES
    connection.execute(delete(LINES).where(LINES.c.job == job, LINES.c.number <= oldest))


def lines_of(connection: Connection, job: int, *, after: int, most: int) -> tuple[JobLine, ...]:
    """The last ``most`` lines of a job's log that come after line ``after``, oldest first."""
    rows = connection.execute(
        select(LINES)
        .where(LINES.c.job == job, LINES.c.number > after)
        .order_by(LINES.c.number.desc())
        .limit(most)
    ).all()
    return tuple(JobLine(number=row.number, time_ns=row.time_ns, event=row.event) for row in reversed(rows))


def job_of(connection: Connection, row: Row[Any]) -> Job:
    """A row with its steps."""
    steps = connection.execute(select(STEPS).where(STEPS.c.job == row.number).order_by(STEPS.c.number))
    return Job(
        number=row.number,
        order=JobOrder(
            operation=row.operation,
            request=row.request,
            asker=decode(row.asker, Actor),
            place=row.place,
            subject=from_bytes(row.subject),
            repeatable=row.repeatable,
        ),
        state=JobState(row.state),
        asked_ns=row.asked_ns,
        began_ns=row.began_ns,
        ended_ns=row.ended_ns,
        seen_ns=row.seen_ns,
        worker=row.worker,
        attempts=row.attempts,
        cancelling=row.cancelling,
        progress=decode(row.progress, Progress) if row.progress else None,
        reply=row.reply or b"",
        failure=row.failure or b"",
        steps=tuple(
            JobStep(number=step.number, name=step.name, began_ns=step.began_ns, ended_ns=step.ended_ns)
            for step in steps
        ),
    )


def forget_old(connection: Connection, *, ended_ns: int, number: int) -> None:
    """Forget jobs that ended before ``ended_ns``, and those that are over up to ``number``; some at a time."""
    old = (
        select(JOBS.c.number)
        .where(JOBS.c.state.in_([state.value for state in FINAL_JOB_STATES]))
        .where((JOBS.c.ended_ns < ended_ns) | (JOBS.c.number <= number))
        .order_by(JOBS.c.number)
        .limit(_FORGOTTEN_AT_ONCE)
    )
    numbers = [row.number for row in connection.execute(old)]
    for table, column in ((LINES, LINES.c.job), (STEPS, STEPS.c.job), (JOBS, JOBS.c.number)):
        connection.execute(delete(table).where(column.in_(numbers)))
