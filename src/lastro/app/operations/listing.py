"""Operations that list what a directory held: ``ls``, and the step ``causes``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import islice

import msgspec

from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.standing import Standing, stand
from lastro.app.requests.listing import Cause, Causes, CausesReply, ListedEntry, Listing, ListPlace
from lastro.app.services import Services
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, join, name_of, to_bytes
from lastro.domain.snapshot import Reason
from lastro.domain.target import TargetKind
from lastro.errors import NotFoundError
from lastro.history.answers import Neighbours, Version
from lastro.history.directories import Directories
from lastro.messages import N_
from lastro.store.directory import leaves, read_leaf
from lastro.store.tree import TreeEntry, to_entry


def list_place(services: Services, request: ListPlace) -> Listing:
    """What a directory held at an instant."""
    standing = stand(services, request.reference, last=False)
    located, snapshot = standing.located, standing.snapshot
    directories = Directories(services.timeline.projection)
    of_run = snapshot.target.kind is TargetKind.RUN
    around = (
        Neighbours(standing=0, older=0, newer=0, count=0)
        if of_run
        else directories.neighbours(located, snapshot.seq)
    )
    asked = max(0, request.limit)
    found = list(islice(_entries(services, standing, request), asked + 1 if asked else None))
    shown = found[:asked] if asked else found
    return Listing(
        server=located.server.name,
        target=located.target.path,
        path=located.absolute,
        snapshot=snapshot.number,
        seq=snapshot.seq,
        time_ns=snapshot.time_ns,
        itself=_with_changes(services, standing, [ListedEntry(entry=to_entry(standing.entry, ""))])[0],
        items=tuple(_with_changes(services, standing, shown)),
        more=len(found) > len(shown),
        standing=around.standing,
        older=around.older,
        newer=around.newer,
        changes=around.count,
    )


def _entries(services: Services, standing: Standing, request: ListPlace) -> Iterator[ListedEntry]:
    """The names after the one that was given, in their order; deleted ones among them if they are asked for."""
    if not standing.entry.is_directory:
        return iter(())
    there = (
        ListedEntry(entry=to_entry(entry, from_bytes(entry.name)))
        for entry in _names_after(services, standing.entry, to_bytes(request.after))
    )
    if not request.deleted or standing.snapshot.target.kind is TargetKind.RUN:
        return there
    most = request.limit + 1 if request.limit > 0 else 0
    page = list(islice(there, most or None))
    gone = Directories(services.timeline.projection).deleted(
        standing.located,
        bound=standing.snapshot.seq,
        after=request.after,
        until=page[-1].entry.path if most and len(page) == most else "",
        limit=most,
    )
    return merge(page, map(_gone, gone), key=lambda item: to_bytes(item.entry.path))


def _names_after(services: Services, directory: TreeEntry, after: bytes) -> Iterator[TreeEntry]:
    """The entries whose names come after ``after``; of a large directory, only the pieces that hold them are read."""
    assert directory.subtree is not None
    pieces = leaves(services.repository, directory.subtree)
    first = max(0, bisect_right(pieces, after, key=lambda piece: piece[0]) - 1)
    for _name, leaf in pieces[first:]:
        for entry in read_leaf(services.repository, leaf):
            if entry.name > after:
                yield entry


def _gone(version: Version) -> ListedEntry:
    entry = Entry(
        path=name_of(version.path), type=EntryType(version.type), size=version.size, torn=version.torn
    )
    return ListedEntry(entry=entry, deleted=True)


def _with_changes(services: Services, standing: Standing, items: list[ListedEntry]) -> list[ListedEntry]:
    """The items with the last change of each."""
    located, snapshot = standing.located, standing.snapshot
    if snapshot.target.kind is TargetKind.RUN:
        return items
    paths = {item.entry.path: join(located.path, item.entry.path) for item in items}
    versions = Directories(services.timeline.projection).last_changes(
        located.target, paths.values(), bound=snapshot.seq
    )
    known: dict[int, Cause] = {}
    changed = []
    for item in items:
        version = versions.get(paths[item.entry.path])
        if version is not None:
            if version.seq not in known:
                known[version.seq] = cause_of(services, version.seq, version.reason)
            item = msgspec.structs.replace(  # noqa: PLW2901  the same item, with more known of it
                item,
                snapshot=version.snapshot,
                changed_ns=version.time_ns,
                cause=known[version.seq],
            )
        changed.append(item)
    return changed


def causes(services: Services, request: Causes) -> CausesReply:
    """What the changes that snapshot records brought came from."""
    found = [
        cause_of(services, seq, services.timeline.snapshot_by_seq(seq).reason.value) for seq in request.seqs
    ]
    return CausesReply(causes=tuple(found))


def cause_of(services: Services, seq: int, reason: str) -> Cause:
    """What the changes of snapshot record ``seq`` came from; ``reason`` is why that snapshot was taken."""
    if reason == Reason.FIRST:
        return Cause(kind="first")
    apply = Directories(services.timeline.projection).apply_of(seq) if reason == Reason.APPLY else None
    if apply is None:
        return Cause(kind="unknown")
    body = apply.body
    if body.kind != "proposal":
        return Cause(kind=body.kind, apply=apply.number, actor=apply.actor)
    proposal = body.of or 0
    return Cause(
        kind="proposal",
        apply=apply.number,
        proposal=proposal,
        run=_run_of(services, proposal),
        actor=apply.actor,
    )


def _run_of(services: Services, proposal: int) -> int:
    """The run that made a proposal; 0 where a human did, or its record cannot be read."""
    try:
        return services.inbox.proposal(proposal, now_ns=services.clock.wall_ns()).proposal.run or 0
    except NotFoundError:
        return 0


OPERATIONS = (
    Operation(
        name="ls",
        request=ListPlace,
        reply=Listing,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_place,
        summary=N_("What a directory held at an instant."),
        details=N_(
            "With the last change of each name, and what it came from. '--deleted' shows what was gone, too."
        ),
    ),
    Operation(
        name="causes",
        request=Causes,
        reply=CausesReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=causes,
        summary=N_("What the changes of snapshots came from."),
        internal=True,
    ),
)
