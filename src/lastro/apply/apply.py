"""Carrying out a change set in an open destination, and finishing what a crash interrupted.

What always holds, at any instant: before the first exchange everything can be taken back, and any trouble does so; after it everything can
be finished, from what is on the disk alone. Order: look, announce (``staging``), stage and verify, announce (``ready``), put in place unit
by unit, announce (``placed``), attributes and tidying, take the announcement back. See ``apply.intent`` for the phases.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from lastro.apply.attributes import LOCKS
from lastro.apply.destination import Conflict, Content, Note, NoteKind, Outcome, OutcomeKind
from lastro.apply.finishing import finish, loosen, roll_back
from lastro.apply.intent import Intent, Phase, Touched, write_intent
from lastro.apply.placing import Placer
from lastro.apply.plan import Index, Plan, Unit, UnitKind, make_plan, written_in_place
from lastro.apply.reading import highest_missing
from lastro.apply.site import Site
from lastro.apply.staging import stage
from lastro.apply.verifying import verify, verify_units
from lastro.domain.changes import ChangeSet
from lastro.domain.entry import Entry
from lastro.domain.paths import parent_of, tree_order
from lastro.errors import DeniedError, LastroError, StorageFullError
from lastro.messages import N_

FORBIDDEN: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.EBUSY, errno.EXDEV, errno.EROFS, errno.ETXTBSY}
)
"""What the system answers when it will not let this process change that place; trying again does not help."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_OWNER_WORKS: Final = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where one apply happens: the open destination, the directory of intents, and what identifies the destination after a crash."""

    site: Site
    intents: str
    destination: str
    made: tuple[str, ...] = ()

    @property
    def inode(self) -> int:
        """The destination's inode number."""
        return os.fstat(self.site.root).st_ino

    def announce(self, intent: Intent) -> Intent:
        """Make ``intent`` durable; returns it."""
        write_intent(self.intents, intent, system=self.site.system)
        return intent


def run_apply(work: Work, changes: ChangeSet, content: Content) -> Outcome:
    """Apply ``changes`` (in tree order). See ``Destination.apply`` for what is returned and raised.

    Raises:
        OSError: a disk failed; ``trouble`` says it as an error of ours. Nothing was changed, or the intent waits for ``run_recover``.
    """
    site = work.site
    verified = verify(site, changes, made=bool(work.made))
    if verified.conflicts:
        return Outcome(kind=OutcomeKind.CONFLICT, conflicts=verified.conflicts)
    observed = {
        change.path: change.before for change in verified.changes.changes if change.before is not None
    }
    in_place = written_in_place(observed, changes.changes) | dict.fromkeys(verified.mounted, "mount")
    plan = make_plan(
        changes, in_place=in_place, highest_missing=lambda path: highest_missing(site.root, path)
    )
    conflicts = verify_units(site, plan, verified.changes)
    if conflicts:
        return Outcome(kind=OutcomeKind.CONFLICT, conflicts=tuple(conflicts))
    written = [unit.path for unit in plan.units if unit.kind is UnitKind.WRITE]
    notes = [Note(path=path, kind=NoteKind.IN_PLACE, detail=in_place[path]) for path in written]
    intent = Intent(
        apply_id=site.apply_id,
        destination=work.destination,
        inode=work.inode,
        phase=Phase.STAGING,
        changes=verified.changes,
        plan=structs.replace(plan, notes=(*plan.notes, *notes)),
        touched=_touched(site, plan),
        made=work.made,
    )
    return _carry_out(work, intent, content)


def run_recover(work: Work, intent: Intent) -> Outcome:
    """Take back, or finish, what a crash left of one apply.

    Raises:
        OSError: a disk failed; the intent still waits.
    """
    placer = Placer(site=work.site, index=Index(intent.changes, intent.plan))
    loosen(work.site, intent.touched)
    begun = intent.phase is Phase.READY and any(placer.has_happened(unit) for unit in intent.plan.units)
    if intent.phase is Phase.PLACED:
        return finish(placer, work.intents, intent)
    if not begun:
        roll_back(work.site, work.intents, intent, system=work.site.system)
        return Outcome(kind=OutcomeKind.ROLLED_BACK)
    return _place_all(work, placer, intent, begun=True)


def trouble(error: OSError, destination: str) -> LastroError:
    """A failing system call, as an error of ours."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageFullError(
            N_("There is no room in {destination}"),
            destination=destination,
            hint=N_("Make room, then try again."),
        )
    if error.errno in FORBIDDEN:
        return DeniedError(
            N_("{destination} may not be changed: {reason}"),
            destination=destination,
            reason=reason,
            hint=N_("Run it as a user who may write there, or restore to another directory with --to."),
        )
    return LastroError(
        N_("{destination} could not be changed: {reason}"),
        destination=destination,
        reason=reason,
        hint=N_("Look at the disk. What was begun is finished or taken back the next time."),
    )


def _carry_out(work: Work, intent: Intent, content: Content) -> Outcome:
    site = work.site
    if not intent.plan.units and not intent.plan.attributes and not intent.made:
        return Outcome(kind=OutcomeKind.APPLIED, notes=intent.plan.notes)
    try:
        work.announce(intent)
        loosen(site, intent.touched)
        plan = stage(site, intent.plan, intent.changes, content)
        ready = structs.replace(intent, phase=Phase.READY, plan=plan)
        if plan.units:
            work.announce(ready)
    except BaseException:
        _take_back(work, intent)
        raise
    placer = Placer(site=site, index=Index(ready.changes, plan), staged_inodes=_staged_inodes(site, plan))
    return _place_all(work, placer, ready, begun=False)


def _take_back(work: Work, intent: Intent) -> None:
    """Roll back in the middle of an error. If that fails too, the intent stays for ``run_recover``, and the first error is told."""
    try:
        roll_back(work.site, work.intents, intent, system=work.site.system)
    except OSError:
        return


def _place_all(work: Work, placer: Placer, intent: Intent, *, begun: bool) -> Outcome:
    """Put every unit in place, then finish; or, when the very first is in conflict or forbidden, take everything back."""
    site = work.site
    done: list[Unit] = []
    conflicts: list[Conflict] = []
    notes = list(intent.plan.notes)
    for unit in intent.plan.units:
        try:
            found = placer.place(unit)
        except OSError as error:
            if placer.has_happened(unit) or (begun and error.errno not in FORBIDDEN):
                raise
            if not begun:
                _take_back(work, intent)
                raise
            notes.append(
                Note(path=unit.path, kind=NoteKind.NOT_PERMITTED, detail=errno.errorcode[error.errno or 0])
            )
            site.remove(unit.staged(site.apply_id))
            continue
        if found and not begun:
            _take_back(work, intent)
            return Outcome(kind=OutcomeKind.CONFLICT, conflicts=tuple(found))
        if found:
            conflicts += found
            _drop(site, unit)
        else:
            done.append(unit)
            begun = True
    for path in dict.fromkeys(parent_of(unit.path) for unit in intent.plan.units):
        site.sync(path)
    skipped = set(intent.plan.skipped)
    applied = [
        change.path
        for unit in done
        for change in placer.index.within(unit.path)
        if change.path not in skipped
    ]
    outcome = Outcome(
        kind=OutcomeKind.APPLIED, applied=tuple(applied), notes=tuple(notes), conflicts=tuple(conflicts)
    )
    placed = structs.replace(
        intent, phase=Phase.PLACED, plan=structs.replace(intent.plan, units=tuple(done)), outcome=outcome
    )
    return finish(placer, work.intents, work.announce(placed))


def _drop(site: Site, unit: Unit) -> None:
    """Remove our own new version of a unit in conflict. What others wrote is in place again, or has a visible name."""
    for place in (unit.staged(site.apply_id), unit.writing(site.apply_id)):
        site.remove(place)
    if unit.kind is UnitKind.WRITE:
        site.remove(unit.aside(site.apply_id))


def _staged_inodes(site: Site, plan: Plan) -> dict[str, int]:
    found = {}
    for unit in plan.units:
        status = site.status(unit.staged(site.apply_id))
        if status is not None:
            found[unit.path] = status.inode
    return found


def _touched(site: Site, plan: Plan) -> tuple[Touched, ...]:
    """The directories in which something will be put, as they are now; outer ones first."""
    paths = sorted({parent_of(unit.path) for unit in plan.units}, key=tree_order)
    entries = [(path, site.read(path)) for path in paths]
    return tuple(
        Touched(
            path=path,
            mtime_ns=entry.mtime_ns,
            mode=entry.mode,
            flags=entry.flags,
            loosened=bool(entry.flags & LOCKS) or _shuts_its_owner_out(entry),
        )
        for path, entry in entries
        if entry is not None
    )


def _shuts_its_owner_out(entry: Entry) -> bool:
    return os.geteuid() == entry.uid != 0 and entry.mode & _OWNER_WORKS != _OWNER_WORKS
