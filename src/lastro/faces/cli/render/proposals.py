"""``lastro proposal list`` and ``show``: the inbox, and one proposal as a human decides on it.

What an agent wrote is shown with every control character made visible; it cannot steer the terminal or pass for our own words.
"""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests.proposals import (
    ProposalReply,
    ProposalsReply,
    ProposalSummary,
    ShownDecision,
    ShownFile,
    ShownHunk,
)
from lastro.domain.paths import from_bytes, printable
from lastro.domain.proposal import Selection
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.changes import in_words
from lastro.faces.cli.render.difference import visible
from lastro.faces.cli.render.runs import steps
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain, review_words

_SIGNS: Final = {
    "added": ("+", "green"),
    "removed": ("-", "red"),
    "changed": ("~", "yellow"),
    "renamed": (">", "cyan"),
}
_COLORS: Final = {"+": "green", "-": "red"}
_WAITING: Final = frozenset({"open", "conflict", "held", "changes_requested", "approved", "partly_approved"})


def proposals(reply: ProposalsReply, request: Any, context: Context) -> None:
    """One proposal a line, the riskiest first."""
    terminal = context.terminal
    if not reply.proposals:
        terminal.note(_("Nothing waits for you. What agents propose with 'lastro run' appears here."))
        return
    for line in words.columns([_row(one, context) for one in reply.proposals]):
        terminal.line(line)
    if reply.more:
        terminal.note(_("There are more; --limit 0 shows all."))
    del request


def _row(one: ProposalSummary, context: Context) -> list[str]:
    checks = ngettext("{count} check failed", "{count} checks failed", one.failed_checks)
    return [
        review_words.proposal(one.proposal, one.revision),
        words.colored(review_words.PROPOSAL_STATES, one.state, context),
        words.colored(review_words.RISKS, one.risk, context),
        words.ago(one.time_ns, context),
        ngettext("{count} path", "{count} paths", one.files),
        checks if one.failed_checks else "",
        printable(one.target),
        words.shortened(plain.one_line(one.purpose), 50),
    ]


def proposal(reply: ProposalReply, request: Any, context: Context) -> None:
    """One proposal: who and why, how it was made, checks, what it changes, what was decided, what to do."""
    _head(reply, context)
    _checks(reply, context)
    for file in reply.files:
        _file(file, context, names=getattr(request, "names", False))
    _totals(reply, context)
    for decision in reply.decisions:
        _decision(decision, context)
    _next(reply, context)


def _head(reply: ProposalReply, context: Context) -> None:
    terminal = context.terminal
    name = review_words.proposal(reply.proposal, reply.revision)
    state = words.colored(review_words.PROPOSAL_STATES, reply.state, context)
    risk = words.colored(review_words.RISKS, reply.risk, context)
    terminal.line(f"{terminal.style(name, bold=True)}  {state}  {risk}")
    for line in words.columns(_facts(reply, context)):
        terminal.line(f"  {line}")
    if reply.enforcement is not None and reply.enforcement.degraded:
        text = _("Not enforced here: {what}", what=review_words.degraded(reply.enforcement.degraded))
        terminal.line(words.warning(text, context))
    for path in reply.outside:
        terminal.line(words.warning(_("{path}: its role may not write it", path=path), context))
    for line in steps(reply.steps):
        terminal.line(f"  {line}")
    for text in reply.last_words.splitlines()[-5:]:
        terminal.line(f"  | {printable(text)}")


def _facts(reply: ProposalReply, context: Context) -> list[list[str]]:
    rows = [[_("in"), printable(reply.target)], [_("asked"), plain.one_line(reply.purpose)]]
    if reply.run:
        agent = f"{review_words.run(reply.run)}, {printable(reply.agent)} ({printable(reply.role)})"
        rows.append([_("made by"), agent])
    if reply.of:
        rows.append([_("takes back"), review_words.proposal(reply.of)])
    rows.append([_("asked by"), f"{printable(reply.actor)}, {words.ago(reply.time_ns, context)}"])
    if reply.usage is not None:
        used = reply.usage
        tokens = used.tokens_in + used.tokens_out
        rows.append([_("used"), review_words.usage(tokens=tokens, money=used.money, wall_ns=used.wall_ns)])
    if reply.enforcement is not None:
        rows.append([_("confined"), _("in a {view}", view=review_words.enforcement(reply.enforcement))])
    rows.append([_("snapshots"), f"{plain.snapshot(reply.before)} → {plain.snapshot(reply.after)}"])
    if reply.state in _WAITING:
        rows.append([_("expires"), words.moment(reply.expires_ns, context)])
    return rows


def _checks(reply: ProposalReply, context: Context) -> None:
    for check in reply.checks:
        verdict = words.colored(review_words.VERDICTS, check.verdict, context)
        context.terminal.line(f"  {_('check')} {printable(check.name)}: {verdict}")
        if check.verdict in {"failed", "timed_out"}:
            for text in check.output.splitlines()[-10:]:
                context.terminal.line(f"    | {visible(text)}")


def _file(file: ShownFile, context: Context, *, names: bool) -> None:
    terminal = context.terminal
    sign, color = _SIGNS[file.kind]
    path = printable(file.path) or "."
    title = f"{sign} {printable(file.old_path)} → {path}" if file.old_path else f"{sign} {path}"
    notes = [in_words(file.before, file.after)] if not file.old_path else []
    if file.flags:
        notes.append(terminal.style(review_words.flags(file.flags), fg="red"))
    if file.steps:
        numbers = ", ".join(map(str, file.steps))
        notes.append(ngettext("step {numbers}", "steps {numbers}", len(file.steps), numbers=numbers))
    if file.needed > 1:
        notes.append(_("wants {count} approvals", count=file.needed))
    said = "; ".join(filter(None, notes))
    terminal.line(terminal.style(title, fg=color, bold=True) + (f"  ({said})" if said else ""))
    if names:
        return
    if not file.text and "digest" in file.fields:
        terminal.line(_("  The content is not text, or too long to show."))
    for hunk in file.hunks:
        _hunk(file, hunk, context)


def _hunk(file: ShownFile, hunk: ShownHunk, context: Context) -> None:
    terminal = context.terminal
    place = f"-{hunk.before_line},{hunk.before_count} +{hunk.after_line},{hunk.after_count}"
    terminal.line(terminal.style(f"@@ {place} @@ {printable(file.path)}:{hunk.number}", fg="cyan"))
    for line in hunk.lines:
        terminal.line(terminal.style(visible(line), fg=_COLORS.get(line[:1])))


def _totals(reply: ProposalReply, context: Context) -> None:
    hunks = sum(len(file.hunks) for file in reply.files)
    parts = [ngettext("{count} path", "{count} paths", len(reply.files))]
    if hunks:
        parts.append(ngettext("{count} hunk", "{count} hunks", hunks))
    context.terminal.note(", ".join(parts))


def _decision(decision: ShownDecision, context: Context) -> None:
    terminal = context.terminal
    verdict = (
        _(review_words.DECISIONS[decision.verdict])
        if decision.verdict in review_words.DECISIONS
        else printable(decision.verdict)
    )
    parts = [
        words.moment(decision.time_ns, context),
        printable(decision.actor),
        verdict,
        _selection(decision.selection),
        _("signed by {name}", name=decision.signer or decision.key_id) if decision.signed else "",
        _("revision {number}", number=decision.revision) if not decision.counts else "",
        _("alone: nobody else is enrolled") if decision.single_user else "",
    ]
    terminal.line("  " + "  ".join(filter(None, parts)))
    for comment in decision.comments:
        place = printable(from_bytes(comment.path))
        if place and comment.lines:
            place += f":{comment.lines[0]}-{comment.lines[1]}"
        for text in comment.text.splitlines():
            terminal.line(f"    | {f'{place}: ' if place else ''}{printable(text)}")


def _selection(selection: Selection) -> str:
    if selection.whole:
        return ""
    chosen = [printable(from_bytes(path)) for path in selection.files]
    chosen += [
        f"{printable(from_bytes(one.path))}:{number}" for one in selection.hunks for number in one.numbers
    ]
    return _("only {what}", what=", ".join(chosen))


def _next(reply: ProposalReply, context: Context) -> None:
    terminal, name = context.terminal, review_words.proposal(reply.proposal)
    if reply.needed > 1 and reply.state == "open":
        text = _("{given} of {needed} approvals are given.", given=reply.approvals, needed=reply.needed)
        terminal.note(text)
    if reply.state in {"open", "approved", "partly_approved"}:
        terminal.note(_("Apply it: lastro proposal approve {name} (whole, --file or --hunk)", name=name))
        terminal.note(_("Else: lastro proposal edit, comment or reject {name}", name=name))
    elif reply.state == "conflict":
        terminal.note(_("Bring it up to date: lastro proposal rebase {name}", name=name))
    elif reply.state == "applied":
        terminal.note(_("Take it back: lastro undo {name}", name=name))
