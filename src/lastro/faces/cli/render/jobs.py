"""``lastro job``: the list of jobs, and one job with its log."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.failure import Failure
from lastro.app.requests.jobs import JobDetail, JobsReply, JobSummary
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.events import TerminalSpeaker
from lastro.faces.translation import gettext as _
from lastro.faces.translation import sentence
from lastro.faces.wording import job_words
from lastro.faces.wording.events import lines_of
from lastro.faces.wording.instants import duration
from lastro.faces.wording.progress_words import describe

_WORTH_SAYING_NS: Final = 1_000_000_000


def jobs(reply: JobsReply, request: Any, context: Context) -> None:
    """One job a line, newest first."""
    if not reply.jobs:
        context.terminal.note(
            _("No job. The console and the API make them; a command is carried out at once.")
        )
        return
    for line in words.columns([_row(one, context) for one in reply.jobs]):
        context.terminal.line(line)
    if reply.more:
        last = reply.jobs[-1].job
        context.terminal.note(_("There are older ones: --before {number}", number=last))
    del request


def _row(one: JobSummary, context: Context) -> list[str]:
    return [
        job_words.job(one.job),
        words.colored(job_words.JOB_STATES, one.state, context),
        words.ago(one.asked_ns, context),
        printable(one.actor),
        printable(one.operation),
        words.shortened(printable(one.subject), 60),
    ]


def job(reply: JobDetail, request: Any, context: Context) -> None:
    """One job, whole."""
    terminal, summary = context.terminal, reply.summary
    state = words.colored(job_words.JOB_STATES, summary.state, context)
    ending = f"  {_('it is being cancelled')}" if summary.cancelling and not summary.ended_ns else ""
    terminal.line(f"{terminal.style(job_words.job(summary.job), bold=True)}  {state}{ending}")
    for line in words.columns([row for row in _about(reply, context) if row[1]]):
        terminal.line(f"  {line}")
    for step in reply.steps:
        took = duration((step.ended_ns or context.now_ns) - step.began_ns)
        name = job_words.phase(step.name)
        terminal.line(f"  {words.moment(step.began_ns, context)}  {name}  {took}")
    speaker = TerminalSpeaker(context)
    for logged in reply.log:
        for line in lines_of(logged.event, speaker):
            terminal.line(f"  {line}")
    if reply.failure is not None:
        _failure(reply.failure, context)
    del request


def _about(reply: JobDetail, context: Context) -> list[list[str]]:
    summary = reply.summary
    goes = summary.began_ns and not summary.ended_ns
    took = summary.ended_ns - summary.began_ns if summary.began_ns and summary.ended_ns else 0
    return [
        [_("operation"), printable(summary.operation)],
        [_("about"), printable(summary.subject)],
        [_("by"), printable(summary.actor)],
        [_("asked"), words.moment(summary.asked_ns, context)],
        [_("took"), duration(took) if took >= _WORTH_SAYING_NS else ""],
        [_("so far"), describe(summary.progress) if goes and summary.progress else ""],
        [_("left"), job_words.left(context.now_ns - summary.began_ns, reply.usual_ns) if goes else ""],
    ]


def _failure(failure: Failure, context: Context) -> None:
    text = sentence(failure.message, failure.parameters)
    context.terminal.line(context.terminal.style(text, fg="red"))
    if failure.hint:
        context.terminal.line(sentence(failure.hint, failure.parameters))
