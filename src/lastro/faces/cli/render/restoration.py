"""``lastro restore`` and ``lastro undo``: the plan before, and what became of it after."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import Any, Final

from lastro.app.requests import AppliedNote, Plan, PlanWarning, Restoration
from lastro.domain.changes import ChangeKind
from lastro.domain.paths import join, parent_of, printable, relative_to
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.changes import SIGNS, in_words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain
from lastro.faces.wording.restore_words import NOTES, VERBS, WARNINGS

__all__ = ["NOTES", "VERBS", "WARNINGS", "restoration"]

_MOST_NOTES: Final = 30
"""Lines; somebody who is not root gets two for every file of another owner."""


def restoration(reply: Restoration, request: Any, context: Context) -> None:
    """See the module."""
    if not reply.plan.changes.changes:
        context.terminal.line(_nothing(reply.plan, request))
        for warning in reply.plan.warnings:
            context.terminal.warn(words.warning(_warning(warning, reply.plan), context))
    elif reply.done:
        _done(reply, context)
    else:
        _planned(reply.plan, context)


def _nothing(plan: Plan, request: Any) -> str:
    if plan.undoes:
        return _("Everything is as it was before {apply} already.", apply=plain.apply(plan.undoes))
    path = request.to or request.reference.path or plan.destination
    return _("{place} is so already; nothing to do.", place=plain.place(plan.server, path))


def _planned(plan: Plan, context: Context) -> None:
    terminal = context.terminal
    terminal.line(terminal.style(_title(plan, context), bold=True))
    base = _common_directory(plan)
    rows = []
    for change in plan.changes.changes:
        path = printable(relative_to(change.path, base)) or "."
        rows.append(
            [SIGNS[change.kind][0], _(VERBS[change.kind]), path, in_words(change.before, change.after)]
        )
    for change, line in zip(plan.changes.changes, words.columns(rows), strict=True):
        terminal.line("  " + terminal.style(line, fg=SIGNS[change.kind][1]))
    terminal.line(_counts(plan))
    for warning in plan.warnings:
        terminal.warn(words.warning(_warning(warning, plan), context))
    if not context.places.memory:  # inside a run nothing is
        terminal.note(_("What is there now is kept in a snapshot first, so 'lastro undo' takes this back."))


def _title(plan: Plan, context: Context) -> str:
    place = _place(plan)
    if plan.undoes:
        return _("Undo {apply} in {place}:", apply=plain.apply(plan.undoes), place=place)
    when, ago = words.moment(plan.time_ns, context), words.ago(plan.time_ns, context)
    name = plain.snapshot(plan.snapshot)
    return _(
        "Restore into {place} what {name} of {time} has ({age}):", place=place, name=name, time=when, age=ago
    )


def _common_directory(plan: Plan) -> str:
    """The lowest directory, relative to the destination, that holds every path of the plan."""
    parents = [parent_of(change.path).split("/") for change in plan.changes.changes]
    together = takewhile(lambda names: len(set(names)) == 1, zip(*parents, strict=False))
    return "/".join(names[0] for names in together)


def _place(plan: Plan) -> str:
    return plain.place(plan.server, join(plan.destination, _common_directory(plan)))


def _counts(plan: Plan) -> str:
    counts = Counter(change.kind for change in plan.changes.changes)
    parts = []
    if count := counts[ChangeKind.ADDED]:
        parts.append(ngettext("{count} to add", "{count} to add", count))
    if count := counts[ChangeKind.CHANGED]:
        parts.append(ngettext("{count} to change", "{count} to change", count))
    if count := counts[ChangeKind.REMOVED]:
        parts.append(ngettext("{count} to delete", "{count} to delete", count))
    if plan.changes.written and plan.free is not None:
        parts.append(
            _(
                "{size} to write, {free} free there",
                size=plain.size(plan.changes.written),
                free=plain.size(plan.free),
            )
        )
    return ", ".join(parts)


def _warning(warning: PlanWarning, plan: Plan) -> str:
    path = join(plan.destination, warning.path)
    text = WARNINGS.get(warning.code, "{path}: {code} {detail}")
    return _(text, path=path, code=warning.code, detail=warning.detail)


def _done(reply: Restoration, context: Context) -> None:
    terminal, plan = context.terminal, reply.plan
    place = _place(plan)
    name = plain.apply(reply.apply)
    if reply.outcome in {"conflict", "rolled_back"}:
        terminal.line(_("{name}: nothing was changed in {place}.", name=name, place=place))
    elif reply.outcome == "partial":
        terminal.line(_("{name}: done in part in {place}.", name=name, place=place))
    else:
        terminal.line(_how_many(reply, place))
    for note in reply.notes[:_MOST_NOTES]:
        terminal.warn(words.warning(_note(note, plan), context))
    if (hidden := len(reply.notes) - _MOST_NOTES) > 0:
        text = ngettext("{count} more; --json shows all", "{count} more; --json shows all", hidden)
        terminal.warn(words.warning(text, context))
    if reply.apply and reply.outcome in {"applied", "partial"}:
        terminal.note(_("Take it back: lastro undo {name}", name=name))


def _how_many(reply: Restoration, place: str) -> str:
    count, name = len(reply.plan.changes.changes), plain.apply(reply.apply)
    if not reply.apply:  # inside a run, which records nothing of it
        return ngettext(
            "{count} path restored in {place}.", "{count} paths restored in {place}.", count, place=place
        )
    if reply.plan.undoes:
        return ngettext(
            "{name}: {count} path undone in {place}.",
            "{name}: {count} paths undone in {place}.",
            count,
            name=name,
            place=place,
        )
    return ngettext(
        "{name}: {count} path restored in {place}.",
        "{name}: {count} paths restored in {place}.",
        count,
        name=name,
        place=place,
    )


def _note(note: AppliedNote, plan: Plan) -> str:
    path = join(plan.destination, note.path)
    return _(NOTES.get(note.kind, "{path}: {kind} {detail}"), path=path, kind=note.kind, detail=note.detail)
