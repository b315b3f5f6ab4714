"""What operations on jobs are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.events import Event
from lastro.app.failure import Failure
from lastro.app.operation import parameter
from lastro.domain.job import Job, JobStep
from lastro.domain.progress import Progress
from lastro.messages import N_

_JOB = parameter(N_("Which: job-N; the last one if not given."), cli="argument", metavar="JOB")


class JobsList(Struct, frozen=True, kw_only=True):
    """Jobs: what was asked for in the console or by the API, and is carried out by this machine."""

    state: Annotated[
        str,
        parameter(
            N_("Only these: queued, running, done, failed, cancelled or interrupted."), metavar="STATE"
        ),
    ] = ""
    subject: Annotated[str, parameter(N_("Only about this: proposal-9, a path."), metavar="WHAT")] = ""
    before: Annotated[int, parameter(N_("Only jobs with a smaller number."), metavar="N")] = 0
    limit: Annotated[int, parameter(N_("Show at most this many."), short="-n", least=0)] = 50


class JobSummary(Struct, frozen=True, kw_only=True):
    """A job in a list. ``actor``: who asked."""

    job: int
    state: str
    operation: str
    subject: str
    actor: str
    asked_ns: int
    began_ns: int = 0
    ended_ns: int = 0
    cancelling: bool = False
    progress: Progress | None = None


class JobsReply(Struct, frozen=True, kw_only=True):
    """Newest first. ``more``: there are older ones (ask for those ``before`` the last)."""

    jobs: tuple[JobSummary, ...]
    more: bool = False


class ShowJob(Struct, frozen=True, kw_only=True):
    """One job, with its log."""

    job: Annotated[str, _JOB] = ""
    lines_after: Annotated[int, parameter(N_("Only lines of its log after this one."), cli="hidden")] = 0
    lines: Annotated[
        int, parameter(N_("Show at most this many of the last lines of its log."), short="-n")
    ] = 200
    wait_s: Annotated[float, parameter(N_("Wait so many seconds for its end."), cli="hidden")] = 0.0


class LoggedEvent(Struct, frozen=True, kw_only=True):
    """A line of a job's log; ``number`` counts from 1."""

    number: int
    event: Event


class JobDetail(Struct, frozen=True, kw_only=True):
    """One job. ``usual_ns``: how long jobs of this operation took before, from the fastest to the slowest of the last ones (none: 0, 0).

    ``log``: its last lines. ``reply``: JSON of what its operation replied (empty for others than the asker where
    only an owner may ask for it); ``failure``: why it failed.
    """

    summary: JobSummary
    worker: str
    attempts: int
    steps: tuple[JobStep, ...]
    log: tuple[LoggedEvent, ...]
    usual_ns: tuple[int, int] = (0, 0)
    reply: str = ""
    failure: Failure | None = None


class CancelJob(Struct, frozen=True, kw_only=True):
    """End a job as soon as it can be; what it did stays."""

    job: Annotated[str, _JOB] = ""


# Steps, between a worker and the keeper -------------------------------------------------------------------------------------------------


class TakeJob(Struct, frozen=True, kw_only=True):
    """Ask for the next job of ``place``, waiting for one."""

    worker: str
    place: str = "runner"
    timeout_s: float = 20.0


class JobTaken(Struct, frozen=True, kw_only=True):
    """The job, with its ticket; ``None`` where none came."""

    job: Job | None = None


class ReportJob(Struct, frozen=True, kw_only=True):
    """Its worker lives, and this is how far it is. ``events``: JSON of ``app.events.Event`` each."""

    ticket: str
    progress: Progress | None = None
    step: str = ""
    events: tuple[bytes, ...] = ()


class JobReported(Struct, frozen=True, kw_only=True):
    """``cancel``: somebody wants it to end."""

    cancel: bool


class FinishJob(Struct, frozen=True, kw_only=True):
    """It is over: JSON of its reply, or of its failure; neither where it was cancelled."""

    ticket: str
    reply: bytes = b""
    failure: bytes = b""
