"""What became of a job, in a few words: its operation's reply summed up, and where to look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from lastro.app.encoding import decode
from lastro.app.operation import find_operation
from lastro.errors import LastroError
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain
from lastro.faces.wording.history_words import OUTCOMES


class Outcome(NamedTuple):
    """``lines``: what there is to say. ``links``: path of a page → its word. ``good``: whether all is as it was wanted."""

    lines: tuple[str, ...] = ()
    links: Mapping[str, str] = {}
    good: bool = True


def outcome_of(operation: str, reply: bytes) -> Outcome:
    """What the reply (JSON) of an operation says; nothing where this version does not know it."""
    try:
        known = decode(reply, find_operation(operation).reply)
    except LastroError:
        return Outcome()
    sum_up = _SUMMARIES.get(type(known).__name__)
    return sum_up(known) if sum_up else Outcome()


def _captured(reply: Any) -> Outcome:
    lines = [ngettext("{count} snapshot", "{count} snapshots", len(reply.snapshots))]
    for one in reply.snapshots[:20]:
        state = _("nothing had changed") if one.unchanged else plain.size(one.statistics.bytes_read)
        lines.append(f"{plain.snapshot(one.snapshot)} · {plain.place(one.server, one.path)} · {state}")
    warnings = sum(len(one.warnings) for one in reply.snapshots)
    if warnings:
        lines.append(ngettext("{count} warning", "{count} warnings", warnings))
    return Outcome(tuple(lines), {"/history": _("History")}, not warnings)


def _restored(reply: Any) -> Outcome:
    if not reply.done:
        changes = len(reply.plan.changes.changes)
        text = ngettext("{count} path would change", "{count} paths would change", changes)
        return Outcome((text,))
    if not reply.apply:
        return Outcome((_("Nothing differed."),))
    known = reply.outcome in OUTCOMES
    lines = [plain.apply(reply.apply), *([_(OUTCOMES[reply.outcome])] if known else [])]
    if reply.notes:
        lines.append(ngettext("{count} note", "{count} notes", len(reply.notes)))
    return Outcome((" · ".join(lines),), good=reply.outcome not in {"conflict", "rolled_back", "partial"})


def _decided(reply: Any) -> Outcome:
    restored = _restored(reply)
    number = getattr(reply, "proposal", 0)
    links = {f"/proposals/{number}": f"proposal-{number}"} if number else {}
    if reply.conflicts:
        text = ngettext("{count} path is in conflict", "{count} paths are in conflict", len(reply.conflicts))
        return Outcome((text,), links, good=False)
    return restored._replace(links=links)


def _ran(reply: Any) -> Outcome:
    links = {f"/runs/{reply.run}": f"run-{reply.run}"}
    if reply.proposal:
        links[f"/proposals/{reply.proposal}"] = f"proposal-{reply.proposal}"
    return Outcome((), links, reply.state not in {"failed", "blocked", "timed_out"})


def _checked(reply: Any) -> Outcome:
    seen = _(
        "{records} records, {packs} packs, {size} were looked at.",
        records=reply.records,
        packs=reply.packs,
        size=plain.size(reply.bytes),
    )
    return _found(reply, seen)


def _audited(reply: Any) -> Outcome:
    seen = _(
        "{records} records, {decisions} decisions, {approvals} approvals were verified.",
        records=reply.records,
        decisions=reply.decisions,
        approvals=reply.approvals,
    )
    return _found(reply, seen)


def _found(reply: Any, seen: str) -> Outcome:
    if reply.sound:
        return Outcome((_("All is sound."), seen))
    findings = ngettext("{count} finding", "{count} findings", len(reply.findings))
    return Outcome((findings, seen), good=False)


_SUMMARIES: Final[Mapping[str, Callable[[Any], Outcome]]] = {
    "CaptureReply": _captured,
    "Restoration": _restored,
    "Decided": _decided,
    "RunReply": _ran,
    "CheckReply": _checked,
    "AuditReply": _audited,
}
"""By the name of the reply's type, so that no operation is imported for a page that does not show it."""
