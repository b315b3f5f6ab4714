"""``lastro run`` and ``lastro runs``: how a run ended, the list of runs, and one run whole."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.runs import RunDetail, RunReply, RunsReply, RunSummary, RunTranscript, TranscriptLine
from lastro.domain.paths import from_bytes, printable
from lastro.domain.run import RunFacts, RunStep
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain, review_words

_MOST_PATHS = 6


def ended(reply: RunReply, request: Any, context: Context) -> None:
    """How a run ended, and what to do next."""
    terminal = context.terminal
    name = terminal.style(review_words.run(reply.run), bold=True)
    state = words.colored(review_words.RUN_STATES, reply.state, context)
    if reply.state == "queued":
        terminal.line(_("{name} waits for a runner: lastro runner serve", name=review_words.run(reply.run)))
        return
    usage = review_words.usage(tokens=reply.tokens, money=reply.money, wall_ns=reply.wall_ns)
    parts = [
        f"{name}  {state}",
        ngettext("{count} path changed", "{count} paths changed", reply.files),
        usage,
    ]
    terminal.line("  ".join(parts))
    if reply.cause not in {"", "exited"}:
        terminal.warn(words.warning(review_words.cause(reply.cause), context))
    elif reply.exit_status:
        text = _(
            "The agent ended with status {status}; what counts is what it changed.", status=reply.exit_status
        )
        terminal.warn(words.warning(text, context))
    if reply.degraded:
        text = _("Not enforced here: {what}", what=review_words.degraded(reply.degraded))
        terminal.warn(words.warning(text, context))
    for path in reply.outside[:_MOST_PATHS]:
        terminal.warn(words.warning(_("{path}: its role may not write it", path=path), context))
    if reply.failed_checks:
        text = ngettext("{count} check failed", "{count} checks failed", reply.failed_checks)
        terminal.warn(words.warning(text, context))
    if reply.proposal:
        _next(reply.proposal, reply.risk, context)
    del request


def _next(proposal: int, risk: str, context: Context) -> None:
    terminal, name = context.terminal, review_words.proposal(proposal)
    shown = words.colored(review_words.RISKS, risk, context) if risk else ""
    terminal.line("  ".join(filter(None, (terminal.style(name, bold=True), shown))))
    terminal.note(_("Look at it: lastro proposal show {name}", name=name))


def runs(reply: RunsReply, request: Any, context: Context) -> None:
    """One run a line, newest first."""
    if not reply.runs:
        context.terminal.note(_("No run yet. In a project: lastro run -- COMMAND"))
        return
    for line in words.columns([_row(run, context) for run in reply.runs]):
        context.terminal.line(line)
    if reply.more:
        context.terminal.note(_("There are older ones; --limit 0 shows all."))
    del request


def _row(run: RunSummary, context: Context) -> list[str]:
    return [
        review_words.run(run.run),
        words.colored(review_words.RUN_STATES, run.state, context),
        words.ago(run.began_ns, context),
        printable(run.agent),
        printable(run.project),
        review_words.proposal(run.proposal) if run.proposal else "",
        words.shortened(plain.one_line(run.purpose), 60),
    ]


def run(reply: RunDetail, request: Any, context: Context) -> None:
    """One run, whole."""
    terminal = context.terminal
    state = words.colored(review_words.RUN_STATES, reply.state, context)
    terminal.line(f"{terminal.style(review_words.run(reply.run), bold=True)}  {state}")
    for line in words.columns([row for row in _about(reply) if row[1]]):
        terminal.line(f"  {line}")
    for one in reply.transitions:
        word = words.colored(review_words.RUN_STATES, one.state, context)
        terminal.line(f"  {words.moment(one.time_ns, context)}  {word}")
    if reply.facts is not None:
        _facts(reply.facts, context)
    del request


def _about(reply: RunDetail) -> list[list[str]]:
    return [
        [_("project"), printable(reply.project)],
        [_("asked"), plain.one_line(reply.purpose)],
        [_("by"), printable(reply.actor)],
        [_("agent"), f"{printable(reply.agent)} ({printable(reply.role)})"],
        [_("before"), plain.snapshot(reply.before) if reply.before else ""],
        [_("after"), plain.snapshot(reply.after) if reply.after else ""],
        [_("proposal"), review_words.proposal(reply.proposal) if reply.proposal else ""],
        [_("goes on with"), review_words.run(reply.resumes) if reply.resumes else ""],
        [_("brings up to date"), review_words.proposal(reply.rebases) if reply.rebases else ""],
    ]


def _facts(facts: RunFacts, context: Context) -> None:
    terminal = context.terminal
    if facts.enforcement is not None:
        terminal.line(_("Confined in a {view}.", view=review_words.enforcement(facts.enforcement)))
        if facts.enforcement.degraded:
            text = _("Not enforced here: {what}", what=review_words.degraded(facts.enforcement.degraded))
            terminal.line(text)
    for refused in facts.refused:
        terminal.line(_("Refused: {what}", what=refused))
    for line in steps(facts.steps):
        terminal.line(f"  {line}")
    if facts.last_words:
        terminal.line(_("Its last words:"))
        for text in facts.last_words.splitlines():
            terminal.line(f"  | {printable(text)}")


def steps(items: tuple[RunStep, ...]) -> list[str]:
    """One step a line: its number and what it changed."""
    lines = []
    for step in items:
        paths = ", ".join(printable(from_bytes(path)) for path in step.paths[:_MOST_PATHS])
        if (more := len(step.paths) - _MOST_PATHS) > 0:
            paths += " " + ngettext("and {count} more", "and {count} more", more)
        mark = "" if step.exact else " " + _("(about)")
        lines.append(_("step {number}{mark}: {paths}", number=step.number, mark=mark, paths=paths or "-"))
    return lines


def transcript(reply: RunTranscript, request: Any, context: Context) -> None:
    """What was said and done, oldest first."""
    terminal = context.terminal
    if not reply.kept:
        terminal.note(_("What it said is not kept any more; its steps are."))
    elif not reply.lines:
        terminal.note(_("It said nothing yet."))
    if reply.cut:
        terminal.note(_("The beginning is left out."))
    for line in reply.lines:
        for text in _spoken(line):
            terminal.line(f"  {words.moment(line.time_ns, context)}  {text}")
    del request


def _spoken(line: TranscriptLine) -> list[str]:
    if line.kind == "step":
        paths = [printable(from_bytes(path)) for path in line.paths]
        count = ngettext("{count} path changed", "{count} paths changed", len(paths) + line.more)
        return [
            _("step {number}: {changed}", number=line.step, changed=count),
            *[f"    {path}" for path in paths],
        ]
    mark = {"error": "!", "tool": ">", "tool_result": "<"}.get(line.kind, "|")
    name = f"{printable(line.name)} " if line.kind in {"tool", "tool_result"} and line.name else ""
    return [f"{mark} {name}{printable(text)}" for text in line.text.split("\n")]
