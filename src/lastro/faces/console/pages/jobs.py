"""Jobs: what this machine was asked to do, how far it is, and what became of it."""

from __future__ import annotations

import re
from typing import Final

from lastro.app.operation import find_operation
from lastro.app.permissions import Right
from lastro.app.requests.jobs import CancelJob, JobDetail, JobsList, JobsReply, JobSummary, ShowJob
from lastro.domain.job import FINAL_JOB_STATES, JobState
from lastro.errors import LastroError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.job_replies import Outcome, outcome_of
from lastro.faces.translation import gettext as _
from lastro.faces.wording import job_words
from lastro.faces.wording.events import said_of
from lastro.faces.wording.progress_words import describe
from lastro.faces.wording.shell import command
from lastro.faces.wording.speaker import PlainSpeaker

PAGE_LENGTH: Final = 50
LINES: Final = 200
MOST_LINES: Final = 2000
"""Lines of a log on one page; the command line shows all."""

_SUBJECTS: Final = {"proposal": "/proposals/{}", "run": "/runs/{}", "job": "/jobs/{}"}
_SUBJECT: Final = re.compile(r"(proposal|run|job)-([1-9][0-9]{0,17})")


def jobs(asked: Asked) -> Answer:
    """A page of jobs, newest first."""
    state = asked.text("state")
    request = JobsList(
        state=state if state in set(JobState) else "",
        subject=asked.text("subject"),
        before=asked.count("before", 0, 10**15),
        limit=PAGE_LENGTH,
    )
    reply = asked.visit.call("job.list", request)
    assert isinstance(reply, JobsReply)
    words = ["lastro", "job", "list"]
    for name, value in (("--state", request.state), ("--subject", request.subject)):
        words += [name, value] if value else []
    values = {
        "reply": reply,
        "chosen": request,
        "states": job_words.JOB_STATES,
        "title_of": title_of,
        "place_of": place_of,
        "describe": describe,
        "command": command(*words),
    }
    return Page(template="jobs.html", values=values, part="rows" if asked.part == "rows" else "")


def job(asked: Asked) -> Answer:
    """One job, whole; or what its log says after a line."""
    number = asked.number("job")
    lines = min(max(asked.count("lines", LINES, MOST_LINES), 1), MOST_LINES)
    request = ShowJob(job=f"job-{number}", lines_after=asked.count("after", 0, 10**15), lines=lines)
    detail = asked.visit.call("job.show", request)
    assert isinstance(detail, JobDetail)
    summary = detail.summary
    over = JobState(summary.state) in FINAL_JOB_STATES
    speaker = PlainSpeaker(asked.zone)
    values = {
        "detail": detail,
        "summary": summary,
        "over": over,
        "states": job_words.JOB_STATES,
        "title": title_of(summary),
        "place": place_of(summary.subject),
        "said": [(line, said_of(line.event.kind, line.event.parameters, speaker)) for line in detail.log],
        "last": detail.log[-1].number if detail.log else request.lines_after,
        "paused": asked.ticked("paused"),
        "outcome": _outcome(detail) if summary.state == JobState.DONE.value else None,
        "percent": job_words.percent(summary.progress) if summary.progress else None,
        "progress": describe(summary.progress) if summary.progress else "",
        "left": job_words.left(asked.now_ns - summary.began_ns, detail.usual_ns) if summary.began_ns else "",
        "phase": job_words.phase,
        "most_lines": MOST_LINES,
        "command": command("lastro", "job", "logs", f"job-{number}", *(() if over else ("--follow",))),
    }
    part = asked.part if asked.part in {"detail", "tail"} else ""
    return Page(template="job.html", values=values, part=part)


def cancel(asked: Asked) -> Answer:
    """End a job as soon as it can be."""
    number = asked.number("job")
    detail = asked.visit.call("job.cancel", CancelJob(job=f"job-{number}"))
    assert isinstance(detail, JobDetail)
    was_over = JobState(detail.summary.state) in FINAL_JOB_STATES - {JobState.CANCELLED}
    return Redirect(to=f"/jobs/{number}", said="job_over" if was_over else "job_cancelled")


def title_of(summary: JobSummary) -> str:
    """What a job does, in words; the operation's name where this version does not know it."""
    try:
        return _(find_operation(summary.operation).summary)
    except LastroError:
        return summary.operation


def place_of(subject: str) -> str:
    """The page of what a job is about; empty where there is none."""
    found = _SUBJECT.fullmatch(subject)
    return _SUBJECTS[found[1]].format(found[2]) if found else ""


def _outcome(detail: JobDetail) -> Outcome:
    return outcome_of(detail.summary.operation, detail.reply.encode("utf-8"))


WAYS = (
    Way(path="/jobs", handler=jobs, right=Right.LOOK),
    Way(path="/jobs/{job}", handler=job, right=Right.LOOK),
    Way(path="/jobs/{job}/cancel", handler=cancel, right=Right.OPERATE, methods=("POST",)),
)
