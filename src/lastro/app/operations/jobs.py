"""Jobs in the keeper: what was asked for through the console or the API, and how it goes."""

from __future__ import annotations

from typing import Final

from lastro.app.encoding import decode
from lastro.app.events import Event
from lastro.app.failure import Failure
from lastro.app.numbers import number_of
from lastro.app.operation import Effect, Nothing, Operation, Place, find_operation
from lastro.app.permissions import Right, right_of
from lastro.app.requests.jobs import (
    CancelJob,
    FinishJob,
    JobDetail,
    JobReported,
    JobsList,
    JobsReply,
    JobSummary,
    JobTaken,
    LoggedEvent,
    ReportJob,
    ShowJob,
    TakeJob,
)
from lastro.app.services import Services
from lastro.app.states import state_named
from lastro.domain.job import Job, JobOutcome, JobState
from lastro.errors import LastroError, NotFoundError
from lastro.messages import N_

MOST: Final = 1000
MOST_LINES: Final = 10_000
LONGEST_WAIT_S: Final = 60.0
_ALIKE: Final = 20
"""Earlier jobs of the same operation that say how long one takes."""


def list_jobs(services: Services, request: JobsList) -> JobsReply:
    """Jobs, newest first."""
    states = (state_named(JobState, request.state),) if request.state else ()
    limit = min(max(1, request.limit), MOST)
    found = services.jobs.newest(
        states=states, subject=request.subject, before=max(0, request.before), limit=limit + 1
    )
    return JobsReply(jobs=tuple(summary_of(job) for job in found[:limit]), more=len(found) > limit)


def show_job(services: Services, request: ShowJob) -> JobDetail:
    """One job, with its log."""
    job, lines = services.jobs.find(
        _named(services, request.job),
        lines_after=max(0, request.lines_after),
        most_lines=min(max(0, request.lines), MOST_LINES),
        until_over_s=min(max(0.0, request.wait_s), LONGEST_WAIT_S),
    )
    return JobDetail(
        summary=summary_of(job),
        worker=job.worker,
        attempts=job.attempts,
        steps=job.steps,
        log=tuple(LoggedEvent(number=line.number, event=decode(line.event, Event)) for line in lines),
        usual_ns=_usual(services, job),
        reply=_reply_for(services, job),
        failure=decode(job.failure, Failure) if job.failure else None,
    )


def cancel_job(services: Services, request: CancelJob) -> JobDetail:
    """End a job as soon as it can be."""
    number = _named(services, request.job)
    services.jobs.cancel(number)
    return show_job(services, ShowJob(job=f"job-{number}"))


def take_job(services: Services, request: TakeJob) -> JobTaken:
    """Give a worker its next job."""
    timeout_s = min(max(0.0, request.timeout_s), LONGEST_WAIT_S)
    return JobTaken(job=services.jobs.take(request.place, request.worker, timeout_s=timeout_s))


def report_job(services: Services, request: ReportJob) -> JobReported:
    """Hear how far a job is."""
    cancel = services.jobs.report(
        request.ticket, progress=request.progress, step=request.step, events=request.events
    )
    return JobReported(cancel=cancel)


def finish_job(services: Services, request: FinishJob) -> Nothing:
    """Hear that a job is over."""
    services.jobs.finish(request.ticket, JobOutcome(reply=request.reply, failure=request.failure))
    return Nothing()


def summary_of(job: Job) -> JobSummary:
    """A job as lists and events say it."""
    return JobSummary(
        job=job.number,
        state=job.state.value,
        operation=job.order.operation,
        subject=job.order.subject,
        actor=job.order.asker.name or job.order.asker.kind,
        asked_ns=job.asked_ns,
        began_ns=job.began_ns,
        ended_ns=job.ended_ns,
        cancelling=job.cancelling,
        progress=job.progress,
    )


def _named(services: Services, text: str) -> int:
    if text:
        return number_of(text, "job")
    newest = services.jobs.newest(limit=1)
    if not newest:
        raise NotFoundError(
            N_("There is no job yet."),
            hint=N_("Jobs are what is asked for in the console; a command is carried out at once."),
        )
    return newest[0].number


def _reply_for(services: Services, job: Job) -> str:
    """The reply of a job, for whoever asks now: what only an owner may ask for may hold keys, and is for who asked for it alone."""
    try:
        is_for_all = right_of(find_operation(job.order.operation)) is not Right.ADMINISTER
    except LastroError:
        is_for_all = False
    return job.reply.decode("utf-8", "replace") if is_for_all or job.order.asker == services.actor else ""


def _usual(services: Services, job: Job) -> tuple[int, int]:
    alike = services.jobs.newest(states=(JobState.DONE,), operation=job.order.operation, limit=_ALIKE)
    times = [other.ended_ns - other.began_ns for other in alike if other.number != job.number]
    return (min(times), max(times)) if times else (0, 0)


OPERATIONS = (
    Operation(
        name="job.list",
        request=JobsList,
        reply=JobsReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_jobs,
        summary=N_("List jobs: what the console and the API asked this machine to do."),
    ),
    Operation(
        name="job.show",
        request=ShowJob,
        reply=JobDetail,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show_job,
        summary=N_("Show one job, how far it is, and its log."),
    ),
    Operation(
        name="job.cancel",
        request=CancelJob,
        reply=JobDetail,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=cancel_job,
        summary=N_("End a job as soon as it can be; what it did stays."),
    ),
    Operation(
        name="job.take",
        request=TakeJob,
        reply=JobTaken,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=take_job,
        summary=N_("Give a worker its next job."),
        internal=True,
    ),
    Operation(
        name="job.report",
        request=ReportJob,
        reply=JobReported,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=report_job,
        summary=N_("Hear how far a job is."),
        internal=True,
    ),
    Operation(
        name="job.finish",
        request=FinishJob,
        reply=Nothing,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=finish_job,
        summary=N_("Hear that a job is over."),
        internal=True,
    ),
)
