"""``diff``: what differs between two states. Comparing with the present takes a snapshot of it first, so both sides are recorded."""

from __future__ import annotations

import msgspec

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.capture import capture_here
from lastro.app.operations.patches import TEXT_LIMIT, file_difference, lines_of
from lastro.app.operations.standing import Standing, locate, stand
from lastro.app.requests import (
    CaptureReply,
    CaptureServer,
    Compare,
    Diff,
    Difference,
    FileDifference,
    SideOfDiff,
    Where,
    WhereReply,
)
from lastro.app.services import Services
from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import LOCAL
from lastro.domain.paths import join
from lastro.domain.reference import AtId, AtNow, Reference
from lastro.errors import NotFoundError
from lastro.messages import N_
from lastro.store.content import read_content
from lastro.store.tree import TreeEntry, decode_tree_entry, diff, lookup


def difference(desk: Desk, request: Diff) -> Difference:
    """Compare two states; without a second one, a recorded state with the present."""
    if not desk.records:
        from lastro.app.operations.inside_run import difference_in_run  # noqa: PLC0415  only inside a run

        return difference_in_run(desk, request)
    before = request.before
    if request.after is None and before.at is None:
        before = _pinned(
            before, _where(desk, before).snapshot
        )  # what stands now, before the present is captured
    before = _recorded(desk, before)
    after = _recorded(desk, request.after or msgspec.structs.replace(request.before, at=AtNow()))
    reply = desk.caller.call("compare", Compare(before=before, after=after, names=request.names))
    assert isinstance(reply, Difference)
    live = request.after is None or isinstance(request.after.at, AtNow)
    return (
        msgspec.structs.replace(reply, after=msgspec.structs.replace(reply.after, live=True))
        if live
        else reply
    )


def _recorded(desk: Desk, reference: Reference) -> Reference:
    """The reference itself, or for the live state the snapshot of it that is taken now."""
    if not isinstance(reference.at, AtNow):
        return reference
    if reference.server == LOCAL:
        absolute = reference.path if reference.path.startswith("/") else _where(desk, reference).path
        return _pinned(reference, capture_here(desk, absolute).snapshot)
    reply = desk.caller.call("capture.server", CaptureServer(server=reference.server, path=reference.path))
    assert isinstance(reply, CaptureReply)
    return _pinned(reference, max(captured.snapshot for captured in reply.snapshots))


def _pinned(reference: Reference, snapshot: int) -> Reference:
    return (
        msgspec.structs.replace(reference, at=AtId("snap", snapshot, before=False)) if snapshot else reference
    )


def _where(desk: Desk, reference: Reference) -> WhereReply:
    reply = desk.caller.call("where", Where(reference=reference))
    assert isinstance(reply, WhereReply)
    return reply


def compare(services: Services, request: Compare) -> Difference:
    """What differs between two recorded states, each path relative to what was asked."""
    before, after = _side(services, request.before), _side(services, request.after)
    if before[1] is None and after[1] is None:
        stand(services, request.before, last=False)  # raises what there is to say
    changes = diff(services.repository, before[1], after[1])
    files = tuple(
        _file_difference(services, change, before, after, names=request.names) for change in changes
    )
    return Difference(before=before[0], after=after[0], files=files)


def _side(
    services: Services, reference: Reference
) -> tuple[SideOfDiff, TreeEntry | None, TreeEntry | None, str]:
    """A side, the tree entry that stands there (``None``: nothing does), the root of its tree, and its path in that."""
    try:
        standing: Standing = stand(services, reference, last=False)
    except NotFoundError:
        located = locate(services, reference)
        snapshot = services.timeline.snapshot_for(located, reference.at)
        side = SideOfDiff(
            server=located.server.name,
            path=located.absolute,
            snapshot=snapshot.number if snapshot else 0,
            time_ns=snapshot.time_ns if snapshot else 0,
        )
        return side, None, None, located.path
    snapshot = standing.snapshot
    side = SideOfDiff(
        server=standing.located.server.name,
        path=standing.located.absolute,
        snapshot=snapshot.number,
        time_ns=snapshot.time_ns,
    )
    return side, standing.entry, decode_tree_entry(snapshot.root), standing.located.path


def _file_difference(
    services: Services,
    change: Change,
    before: tuple[SideOfDiff, TreeEntry | None, TreeEntry | None, str],
    after: tuple[SideOfDiff, TreeEntry | None, TreeEntry | None, str],
    *,
    names: bool,
) -> FileDifference:
    return file_difference(
        change,
        names=names,
        lines=lambda: (_text(services, change.before, before), _text(services, change.after, after)),
    )


def _text(
    services: Services, entry: Entry | None, side: tuple[SideOfDiff, TreeEntry | None, TreeEntry | None, str]
) -> list[str] | None:
    """The lines of one side; none for what is not there or no file; ``None`` for what is not text, too long, or was never read."""
    if entry is None or entry.type is not EntryType.FILE:
        return []
    if entry.size > TEXT_LIMIT or entry.digest is None or side[2] is None:
        return None
    tree_entry = lookup(services.repository, side[2], join(side[3], entry.path))
    if tree_entry is None:
        return None
    content = bytearray(entry.size)
    for offset, data in read_content(services.repository, tree_entry):
        content[offset : offset + len(data)] = data
    return lines_of(content)


OPERATIONS = (
    Operation(
        name="diff",
        request=Diff,
        reply=Difference,
        effect=Effect.READ,
        place=Place.CALLER,
        run=difference,
        summary=N_("What differs between two states, or between a recorded state and now."),
        details=N_(
            "With one reference, the present is captured first and compared with it, so what you see is recorded."
        ),
    ),
    Operation(
        name="compare",
        request=Compare,
        reply=Difference,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=compare,
        summary=N_("What differs between two recorded states."),
        internal=True,
    ),
)
