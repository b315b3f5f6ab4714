"""A restore's job as its page shows it: the plan in counts and rows, how far it is, and whether the result is what was wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests import ApplyPair, ApplyReply, Plan, Restoration, Restore, Undo
from lastro.domain.changes import Change, ChangeKind
from lastro.domain.entry import Entry, EntryType, differing
from lastro.domain.job import FINAL_JOB_STATES, Job
from lastro.domain.paths import join, printable
from lastro.errors import LastroError
from lastro.faces.console.asked import Asked
from lastro.faces.console.properties import Property, properties_of, summary
from lastro.faces.wording.progress_words import describe
from lastro.faces.wording.restore_words import VERBS, note_text, warning_text

MOST_PATHS: Final = 300
"""Paths of a plan that a page shows."""
MOST_NOTES: Final = 50


class PlanRow(NamedTuple):
    """One path of a plan. ``warnings``: what deserves a second look."""

    path: str
    kind: str
    verb: str
    text: str
    warnings: tuple[str, ...]


class ShownPlan(NamedTuple):
    """A plan. ``left``: paths that are not among the rows; ``bytes``: what would be written."""

    plan: Plan
    rows: tuple[PlanRow, ...]
    left: int
    added: int
    changed: int
    removed: int
    rights: int
    bytes: int
    warnings: tuple[str, ...]
    place: str


class Verified(NamedTuple):
    """Whether what was brought back is, in the snapshot taken afterwards, what it should be. ``other``: paths that are not, in words."""

    known: bool
    equal: int = 0
    other: tuple[str, ...] = ()


class ShownJob(NamedTuple):
    """``stage``: ``waiting``, ``failed``, ``plan`` or ``done``."""

    stage: str
    progress: str = ""
    problem: LastroError | None = None
    shown: ShownPlan | None = None
    reply: Restoration | None = None
    notes: tuple[str, ...] = ()
    more_notes: int = 0
    verified: Verified | None = None


def view_of(asked: Asked, job: Job, request: Restore | Undo) -> ShownJob:
    """The job, as its page shows it."""
    if job.state not in FINAL_JOB_STATES:
        return ShownJob("waiting", progress=describe(job.progress) if job.progress else "")
    try:
        reply = asked.visit.reply_of(job)
    except LastroError as error:
        return ShownJob("failed", problem=error)
    assert isinstance(reply, Restoration)
    shown = shown_plan(reply.plan)
    if request.plan or not reply.done:
        return ShownJob("plan", shown=shown, reply=reply)
    notes = tuple(note_text(note, reply.plan) for note in reply.notes)
    return ShownJob(
        "done",
        shown=shown,
        reply=reply,
        notes=notes[:MOST_NOTES],
        more_notes=max(0, len(notes) - MOST_NOTES),
        verified=_verified(asked, reply),
    )


def shown_plan(plan: Plan) -> ShownPlan:
    """A plan in counts and rows."""
    changes = plan.changes.changes
    kinds = Counter(change.kind for change in changes)
    return ShownPlan(
        plan=plan,
        rows=tuple(_row(change) for change in changes[:MOST_PATHS]),
        left=max(0, len(changes) - MOST_PATHS),
        added=kinds[ChangeKind.ADDED],
        changed=kinds[ChangeKind.CHANGED],
        removed=kinds[ChangeKind.REMOVED],
        rights=sum(not {"mode", "uid", "gid", "xattrs"}.isdisjoint(change.fields) for change in changes),
        bytes=plan.changes.written,
        warnings=tuple(warning_text(warning, plan) for warning in plan.warnings),
        place=printable(f"{plan.server}:{plan.destination}"),
    )


def _row(change: Change) -> PlanRow:
    properties: list[Property] = properties_of(change.before, change.after)
    return PlanRow(
        path=printable(change.path) or ".",
        kind=change.kind.value,
        verb=VERBS[change.kind],
        text=summary(change.before, change.after),
        warnings=tuple(row.warning for row in properties if row.warning),
    )


def _verified(asked: Asked, reply: Restoration) -> Verified | None:
    """Each path of the plan as the snapshot after it has it, against what it should be."""
    if not reply.apply:
        return None
    if not reply.after:
        return Verified(known=False)
    found = asked.visit.step(Right.LOOK, "apply.show", ApplyPair(number=reply.apply))
    assert isinstance(found, ApplyReply)
    there: Mapping[str, Entry] = {item.entry.path: item.entry for item in found.after}
    other = tuple(
        printable(join(reply.plan.destination, change.path))
        for change in reply.plan.changes.changes
        if not _as_wanted(there.get(change.path), change.after)
    )
    return Verified(known=True, equal=len(reply.plan.changes.changes) - len(other), other=other[:MOST_NOTES])


def _as_wanted(there: Entry | None, wanted: Entry | None) -> bool:
    if there is None or wanted is None:
        return there is wanted
    if EntryType.HARDLINK in {there.type, wanted.type}:
        return True  # which name of a file is the file depends on what else was looked at
    return not differing(there, wanted)
