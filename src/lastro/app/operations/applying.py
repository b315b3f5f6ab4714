"""Carrying a plan out: snapshot of the present, apply in the caller's own process, snapshot of the result, record.

Inside a run (``Desk.records`` is false) there are no snapshots around it and no record: the run's own two hold all of it.

What was shown is what is done: an acceptance names the digest of the plan, and is refused if anything would be different now. A process
that dies in between leaves a note in ``state/applies``; whoever comes next finishes it first.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lastro.app.caller import Bytes, Caller
from lastro.app.desk import Desk
from lastro.app.operations.capture import offer_paths
from lastro.app.requests import (
    AppliedNote,
    ApplyRecord,
    ApplyRecorded,
    Captured,
    ContentRequest,
    ContentsRequest,
    Plan,
    RecordedEntry,
    Restoration,
    Touched,
    TouchedReply,
)
from lastro.app.unfinished import Unfinished, applying, end_apply, mark_of, unfinished_applies
from lastro.apply.destination import Content, NoteKind, Outcome, OutcomeKind
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, is_within, to_bytes
from lastro.domain.snapshot import Reason
from lastro.errors import ConflictError, DamagedError, LastroError, NotFoundError
from lastro.messages import N_
from lastro.restore.plan import plan_undo


def carry_out(
    desk: Desk, plan: Plan, contents: Mapping[str, RecordedEntry], *, approved: str, only_plan: bool
) -> Restoration:
    """Do what ``plan`` says if ``approved`` is its digest; only give it back if ``only_plan``, or nobody approved it.

    Raises:
        ConflictError: something changed since the plan was shown, or while it was carried out; nothing was done.
    """
    if only_plan or not plan.changes.changes:
        return Restoration(plan=plan, done=not plan.changes.changes)
    if approved and approved != plan.digest:
        raise ConflictError(
            N_("Something changed since the plan was shown; nothing was done."),
            hint=N_("Look at the new plan and decide again."),
        )
    if not approved:
        return Restoration(plan=plan, done=False)
    content = RecordedContent(desk.caller, _to_read(plan, contents))
    return carry_plan(desk, plan, content, of=plan.undoes)


def carry_plan(desk: Desk, plan: Plan, content: Content, *, of: int) -> Restoration:
    """Do what ``plan`` says with the bytes of ``content``: snapshot, apply, snapshot, record. ``of``: see ``domain.record.ApplyBody``.

    Raises:
        ConflictError: something changed while it was carried out; nothing was done.
    """
    paths = [change.path for change in plan.changes.changes]
    before = _capture_around(desk, plan.destination, paths)
    unfinished = Unfinished(
        apply_id=secrets.token_hex(6),
        destination=plan.destination,
        kind=plan.kind,
        of=of,
        before=before.seq if before else None,
        change_digest=plan.digest,
        paths=tuple(to_bytes(path) for path in paths),
        wanted=tuple(mark_of(change.after) for change in plan.changes.changes),
    )
    try:
        with applying(desk.places, unfinished):
            outcome = desk.destination(plan.destination).apply(unfinished.apply_id, plan.changes, content)
            return _conclude(
                desk, plan, unfinished, outcome, before_snapshot=before.snapshot if before else 0
            )
    except Exception:
        finish_unfinished(desk)
        raise


def _to_read(plan: Plan, contents: Mapping[str, RecordedEntry]) -> dict[str, RecordedEntry]:
    """The recorded files whose content the plan needs, in its order."""
    return {change.path: contents[change.path] for change in plan.changes.changes if change.path in contents}


def _capture_around(desk: Desk, directory: str, paths: Sequence[str]) -> Captured | None:
    """The paths as they are; ``None`` when the whole captured root that holds them is not there, or nothing is recorded here."""
    if not desk.records:
        return None
    try:
        return offer_paths(desk, directory, paths, recursive=False, reason=Reason.APPLY)
    except NotFoundError:
        return None


def _conclude(
    desk: Desk, plan: Plan, unfinished: Unfinished, outcome: Outcome, *, before_snapshot: int
) -> Restoration:
    if outcome.kind in {OutcomeKind.CONFLICT, OutcomeKind.ROLLED_BACK}:
        end_apply(desk.places, unfinished.apply_id)
        raise ConflictError(
            N_("{path} changed while it was being restored; nothing was done."),
            hint=N_("Look at the new plan and decide again."),
            path=outcome.conflicts[0].path if outcome.conflicts else plan.destination,
        )
    recorded, after_snapshot, notes = _record(desk, unfinished, outcome)
    return Restoration(
        plan=plan,
        done=True,
        apply=recorded.number,
        outcome=outcome.kind.value,
        before=before_snapshot,
        after=after_snapshot,
        notes=notes,
    )


def _record(
    desk: Desk, unfinished: Unfinished, outcome: Outcome
) -> tuple[ApplyRecorded, int, tuple[AppliedNote, ...]]:
    if not desk.records:
        end_apply(desk.places, unfinished.apply_id)
        return ApplyRecorded(number=0, seq=0), 0, _notes(outcome)
    paths = tuple(from_bytes(path) for path in unfinished.paths)
    after = _capture_around(desk, unfinished.destination, paths)
    notes = (*_notes(outcome), *_edited(desk, unfinished, outcome, after))
    recorded = desk.caller.call(
        "apply.record",
        ApplyRecord(
            destination=unfinished.destination,
            kind=unfinished.kind,
            of=unfinished.of,
            outcome=outcome.kind.value,
            paths=paths,
            before=unfinished.before,
            after=after.seq if after else None,
            change_digest=unfinished.change_digest,
            notes=notes,
        ),
    )
    assert isinstance(recorded, ApplyRecorded)
    end_apply(desk.places, unfinished.apply_id)
    return recorded, after.snapshot if after else 0, notes


def _edited(
    desk: Desk, unfinished: Unfinished, outcome: Outcome, after: Captured | None
) -> Iterator[AppliedNote]:
    """Paths that somebody else changed before ``after`` was taken. Not those of which something else is noted: they were left alone, or
    cannot be as they shall.
    """
    if after is None or not unfinished.wanted:
        return
    paths = tuple(from_bytes(path) for path in unfinished.paths)
    reply = desk.caller.call(
        "apply.touched", Touched(seq=after.seq, destination=unfinished.destination, paths=paths)
    )
    assert isinstance(reply, TouchedReply)
    found = {item.entry.path: item.entry for item in reply.items}
    noted = {conflict.path for conflict in outcome.conflicts}
    noted |= {note.path for note in outcome.notes if note.kind is not NoteKind.IN_PLACE}
    for path, wanted in zip(paths, unfinished.wanted, strict=True):
        there = mark_of(found.get(path))
        if wanted and there and there != wanted and not any(is_within(path, one) for one in noted):
            yield AppliedNote(path=path, kind=EDITED_SINCE)


def _notes(outcome: Outcome) -> tuple[AppliedNote, ...]:
    notes = [AppliedNote(path=note.path, kind=note.kind.value, detail=note.detail) for note in outcome.notes]
    notes += [
        AppliedNote(path=conflict.path, kind="conflict", detail=conflict.kept_as or "")
        for conflict in outcome.conflicts
    ]
    return tuple(notes)


def finish_unfinished(desk: Desk) -> Mapping[str, LastroError]:
    """Finish what a process that died in the middle of an apply left: roll back or forward, and record what was done.

    Returns why some could not be finished now, by destination: their disks may be away or read-only. They wait for the next time.
    """
    stuck: dict[str, LastroError] = {}
    for unfinished in unfinished_applies(desk.places):
        try:
            _finish(desk, unfinished)
        except LastroError as error:
            stuck[unfinished.destination] = error
    return stuck


def refuse_stuck(stuck: Mapping[str, LastroError], place: str) -> None:
    """Raise the error of an unfinished apply that holds ``place`` or lies in it; what is unfinished elsewhere is in nobody's way."""
    for destination, error in stuck.items():
        if is_within(place, destination) or is_within(destination, place):
            raise error


def _finish(desk: Desk, unfinished: Unfinished) -> None:
    if not os.path.isdir(unfinished.destination):
        end_apply(desk.places, unfinished.apply_id)
        return
    outcomes = dict(desk.destination(unfinished.destination).recover())
    outcome = outcomes.get(unfinished.apply_id)
    if outcome is not None and outcome.kind in {OutcomeKind.APPLIED, OutcomeKind.PARTIAL}:
        _record(desk, unfinished, outcome)
    elif outcome is None and _stands(desk, unfinished):
        # It was complete, only its record is missing.
        applied = tuple(from_bytes(path) for path in unfinished.paths)
        _record(desk, unfinished, Outcome(kind=OutcomeKind.APPLIED, applied=applied))
    end_apply(desk.places, unfinished.apply_id)


def _stands(desk: Desk, unfinished: Unfinished) -> bool:
    """Whether any touched path is not as the snapshot before has it, so that something was done."""
    paths = tuple(from_bytes(path) for path in unfinished.paths)
    if unfinished.before is None:
        return any(desk.destination(unfinished.destination).read(list(paths)).values())
    reply = desk.caller.call(
        "apply.touched", Touched(seq=unfinished.before, destination=unfinished.destination, paths=paths)
    )
    assert isinstance(reply, TouchedReply)
    before = {item.entry.path: item.entry for item in reply.items}
    live = desk.destination(unfinished.destination).read(list(paths))
    return bool(plan_undo(live, [], before, {}, list(live)).changes.changes)


EDITED_SINCE: Final = "edited_since"
"""Of a touched path: somebody else changed it before the snapshot after the apply was taken."""


class RecordedContent:
    """``Content`` for ``apply``: recorded files read through a ``Caller``, by the path they shall have.

    Small files come many to a call, in the order of ``items``: a call costs more than their bytes. At most ``_AHEAD_BYTES`` wait in memory.
    """

    def __init__(self, caller: Caller, items: Mapping[str, RecordedEntry]) -> None:
        self._caller = caller
        self._items = items
        self._small = {path: None for path, item in items.items() if _is_small(item.entry)}  # an ordered set
        self._ahead: dict[str, bytes] = {}

    def read(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """See ``apply.destination.Content``."""
        path = entry.path
        if path in self._small:
            self._read_ahead(path)
        if path in self._ahead:
            return iter([(0, self._ahead.pop(path))])
        item = self._items[path]
        reply = self._caller.call("content", ContentRequest(seq=item.seq, path=item.tree_path))
        assert isinstance(reply, Bytes)
        return reply.blocks

    def _read_ahead(self, path: str) -> None:
        """Fetch ``path`` and small files that come after it. If that fails, each is asked for by itself, and says what is wrong with it."""
        batch, size = [path], self._items[path].entry.size
        for other in self._small:
            if other == path:
                continue
            size += self._items[other].entry.size
            if size > _AHEAD_BYTES or len(batch) == _AHEAD_FILES:
                break
            batch.append(other)
        self._ahead.clear()
        for taken in batch:
            del self._small[taken]
        wanted = tuple(
            ContentRequest(seq=self._items[taken].seq, path=self._items[taken].tree_path) for taken in batch
        )
        try:
            reply = self._caller.call("contents", ContentsRequest(items=wanted))
            assert isinstance(reply, Bytes)
            content = b"".join(data for _, data in reply.blocks)
        except (DamagedError, NotFoundError):
            return
        position = 0
        for taken in batch:
            length = self._items[taken].entry.size
            self._ahead[taken] = content[position : position + length]
            position += length


_AHEAD_FILES = 256
_AHEAD_BYTES = 1024 * 1024
_SMALL_BYTES = 64 * 1024


def _is_small(entry: Entry) -> bool:
    return (
        entry.type is EntryType.FILE
        and entry.digest is not None
        and 0 < entry.size <= _SMALL_BYTES
        and not entry.holes
    )
