"""What operations that bring back are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.history import RecordedEntry
from lastro.domain.changes import ChangeSet
from lastro.domain.reference import Reference
from lastro.messages import N_

_REFERENCE = parameter(
    N_("What: SERVER[:PATH][@AT], or a path of this machine."), cli="reference", metavar="REF"
)
_PLAN = parameter(N_("Only show what would change."))
_HIDDEN = parameter(N_("Digest of the plan that was shown and accepted."), cli="hidden")


class Restore(Struct, frozen=True, kw_only=True):
    """Bring a path back as it was. Shows the plan first; a snapshot of what is there now is taken before anything changes."""

    reference: Annotated[Reference, _REFERENCE]
    to: Annotated[
        str, parameter(N_("Put it into this directory instead of its own place."), metavar="DIR")
    ] = ""
    keep: Annotated[bool, parameter(N_("Leave files alone that did not exist then."))] = False
    only: Annotated[
        tuple[str, ...],
        parameter(N_("Only this path below it, with all it holds (may be repeated)."), metavar="PATH"),
    ] = ()
    plan: Annotated[bool, _PLAN] = False
    approved: Annotated[str, _HIDDEN] = ""


class Undo(Struct, frozen=True, kw_only=True):
    """Take an apply, a proposal or a run back, by default the last apply. An undo can be undone."""

    apply: Annotated[
        str,
        parameter(
            N_("Which: proposal-N, run-N or apply-N; the last apply if not given."),
            cli="argument",
            metavar="WHAT",
        ),
    ] = ""
    file: Annotated[
        tuple[str, ...], parameter(N_("Only this file of a proposal (may be repeated)."), metavar="FILE")
    ] = ()
    hunk: Annotated[
        tuple[str, ...],
        parameter(N_("Only this hunk of a proposal: FILE:N (may be repeated)."), metavar="FILE:N"),
    ] = ()
    plan: Annotated[bool, _PLAN] = False
    approver: Annotated[str, parameter(N_("Sign as this approver."), metavar="NAME")] = ""
    passphrase: Annotated[
        str, parameter(N_("Read the approver key's passphrase from standard input."), cli="secret")
    ] = ""
    approved: Annotated[str, _HIDDEN] = ""


class PlanWarning(Struct, frozen=True, kw_only=True):
    """Something to know before saying yes. ``code``: ``changed_since`` (not as the apply left it), ``not_empty`` (kept:
    it holds something newer), ``not_stored`` (its content could not be read when it was captured), ``torn``, ``last_version``, ``no_room``
    (of the destination itself: less is free there than would be written).
    """

    code: str
    path: str
    detail: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """What would change where: ``changes`` from the live state to the wanted one. ``digest`` (hex) is what an acceptance names."""

    kind: str
    server: str
    destination: str
    snapshot: int
    time_ns: int
    changes: ChangeSet
    digest: str
    warnings: tuple[PlanWarning, ...] = ()
    undoes: int = 0
    """The apply that would be taken back; 0 for a restore."""
    free: int | None = None
    """Bytes that are free at the destination, where that is known."""


class AppliedNote(Struct, frozen=True, kw_only=True):
    """Something not exactly as recorded, or in the way. ``kind``: a ``NoteKind``, ``conflict`` or ``edited_since`` (somebody else changed
    it before the snapshot after the apply was taken); of a proposal that is applied also ``commits`` (brought as the ref ``detail``),
    ``commits_gone`` and ``commits_refused``.
    """

    path: str
    kind: str
    detail: str = ""


class Restoration(Struct, frozen=True, kw_only=True):
    """A plan, and what became of it. ``apply`` is 0 while it is only a plan, or when nothing differed."""

    plan: Plan
    done: bool
    apply: int = 0
    outcome: str = ""
    before: int = 0
    after: int = 0
    notes: tuple[AppliedNote, ...] = ()


class ApplyPair(Struct, frozen=True, kw_only=True):
    """Which apply, for undo: its number, 0 for the last."""

    number: int = 0


class ApplyReply(Struct, frozen=True, kw_only=True):
    """An apply as recorded, with what its touched paths were before and after it; a path that is in neither list was not there.

    Entries' paths are relative to ``destination``.
    """

    number: int
    seq: int
    time_ns: int
    server: str
    destination: str
    kind: str
    of: int
    outcome: str
    paths: tuple[str, ...]
    before_snapshot: int
    before: tuple[RecordedEntry, ...]
    after: tuple[RecordedEntry, ...]
    edited: tuple[str, ...] = ()
    """Paths that somebody else changed before the snapshot after it was taken: what is recorded there is not what was applied."""


class Touched(Struct, frozen=True, kw_only=True):
    """Paths of a directory, as snapshot record ``seq`` has them."""

    seq: int
    destination: str
    paths: tuple[str, ...]


class TouchedReply(Struct, frozen=True, kw_only=True):
    """What was there, paths relative to the directory."""

    items: tuple[RecordedEntry, ...]


class ApplyRecord(Struct, frozen=True, kw_only=True):
    """What an apply did, for the log. ``before``, ``after``: ``seq`` of the snapshots around it."""

    destination: str
    kind: str
    of: int
    outcome: str
    paths: tuple[str, ...]
    before: int | None
    after: int | None
    change_digest: str
    notes: tuple[AppliedNote, ...] = ()


class ApplyRecorded(Struct, frozen=True, kw_only=True):
    """The number of the apply that was recorded."""

    number: int
    seq: int
