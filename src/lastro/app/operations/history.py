"""Operations that read history: ``log``, ``find``, and the steps ``entries`` and ``where``. Contents are in ``contents``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.standing import locate, stand
from lastro.app.requests import (
    Entries,
    EntriesReply,
    Find,
    FindReply,
    FoundItem,
    Log,
    LogItem,
    LogReply,
    RecordedEntry,
    Where,
    WhereReply,
)
from lastro.app.services import Services
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import ServerId
from lastro.domain.paths import is_within, join, relative_to
from lastro.domain.reference import Reference
from lastro.domain.target import TargetKind
from lastro.history.answers import Apply, Located, TimelineSnapshot, Version
from lastro.messages import N_
from lastro.store.tree import TreeEntry, decode_tree_entry, lookup, to_entry, walk

# What happened ------------------------------------------------------------------------------------------------------------------------


def log(services: Services, request: Log) -> LogReply:
    """What happened: versions of a file, snapshots that changed a directory, or everything; with the applies among them."""
    reference = request.reference
    bound = _before(services.timeline.bound(reference.at) if reference else None, request.before)
    asked = request.limit + 1 if request.limit else 0
    located = _located(services, reference) if reference else None
    if located is not None and located.path and not _is_directory(services, located):
        versions = services.timeline.versions(located, bound=bound, limit=asked)
        items = [_version_item(located, version) for version in versions]
    else:
        snapshots = services.timeline.timeline(located, bound=bound, limit=asked)
        names = {server.id: server.name for server in services.timeline.servers()}
        items = [_snapshot_item(snapshot, names, located) for snapshot in snapshots]
        concerning = (
            _apply_item(apply, names)
            for apply in _applies(services, bound, most=asked)
            if _concerns(apply, located)
        )
        items += islice(concerning, asked or None)
        items.sort(key=lambda item: item.seq, reverse=True)
    more = bool(request.limit) and len(items) > request.limit
    return LogReply(
        items=tuple(items[: request.limit] if request.limit else items),
        path=located.absolute if located else "",
        more=more,
    )


def _before(bound: int | None, before: int) -> int | None:
    """The highest ``seq`` of a page: what belongs to the instant that was asked for, and is older than ``before`` (0: any)."""
    if not before:
        return bound
    return before - 1 if bound is None else min(bound, before - 1)


def _applies(services: Services, bound: int | None, *, most: int) -> Iterator[Apply]:
    """The applies that are not after ``bound``, newest first, read a few at a time: of many only the first ones may concern a page."""
    while True:
        found = services.timeline.applies(limit=most, bound=bound)
        yield from found
        if not most or len(found) < most:
            return
        bound = found[-1].seq - 1


def _located(services: Services, reference: Reference) -> Located | None:
    """Where history keeps a reference; ``None`` for a whole server with several roots or none."""
    if reference.path:
        return locate(services, reference)
    server = services.timeline.server(reference.server)
    targets = services.timeline.targets(server.id)
    return Located(server=server, target=targets[0], path="") if len(targets) == 1 else None


def _is_directory(services: Services, located: Located) -> bool:
    newest = services.timeline.versions(located, limit=1)
    return bool(newest) and newest[0].type == EntryType.DIRECTORY


def _version_item(located: Located, version: Version) -> LogItem:
    return LogItem(
        kind="version",
        number=version.snapshot,
        seq=version.seq,
        time_ns=version.time_ns,
        server=located.server.name,
        path=located.absolute,
        reason=version.reason,
        operation=version.operation,
        size=version.size if version.type == EntryType.FILE else None,
        digest=version.digest.hex() if version.digest else "",
        torn=version.torn,
    )


def _snapshot_item(
    snapshot: TimelineSnapshot, names: Mapping[ServerId, str], located: Located | None
) -> LogItem:
    return LogItem(
        kind="snapshot",
        number=snapshot.snapshot,
        seq=snapshot.seq,
        time_ns=snapshot.time_ns,
        server=names.get(snapshot.target.server, snapshot.target.server),
        path=located.absolute if located else snapshot.target.path,
        reason=snapshot.reason,
        added=snapshot.added,
        changed=snapshot.changed,
        removed=snapshot.removed,
        paths=snapshot.paths,
        warnings=snapshot.warnings,
    )


def _apply_item(apply: Apply, names: Mapping[ServerId, str]) -> LogItem:
    directory = apply.body.destination.decode("utf-8", "surrogateescape")
    paths = [path.decode("utf-8", "surrogateescape") for path in apply.body.paths]
    return LogItem(
        kind="apply",
        number=apply.number,
        seq=apply.seq,
        time_ns=apply.time_ns,
        server=names.get(apply.server, apply.server),
        path=directory,
        reason=apply.body.kind,
        operation=apply.body.outcome,
        changed=len(paths),
        paths=tuple(join(directory, path) for path in paths[:3]),
        warnings=len(apply.body.warnings),
        actor=apply.actor,
    )


def _concerns(apply: Apply, located: Located | None) -> bool:
    if located is None:
        return True
    directory = apply.body.destination.decode("utf-8", "surrogateescape")
    touched = (join(directory, path.decode("utf-8", "surrogateescape")) for path in apply.body.paths)
    return apply.server == located.server.id and any(is_within(path, located.absolute) for path in touched)


# What was kept ------------------------------------------------------------------------------------------------------------------------


def entries(services: Services, request: Entries) -> EntriesReply:
    """The recorded entries at and below a reference, with where their contents are."""
    standing = stand(services, request.reference, last=request.last)
    top, seq = standing.located.path, standing.snapshot.seq
    root = decode_tree_entry(standing.snapshot.root)
    inner = (
        walk(services.repository, standing.entry, top) if request.recursive else iter([(top, standing.entry)])
    )
    items = (_recorded(services, root, path, tree_entry, top=top, seq=seq) for path, tree_entry in inner)
    return EntriesReply(
        server=standing.located.server.name,
        target=standing.located.target.path,
        path=standing.located.absolute,
        snapshot=standing.snapshot.number,
        seq=seq,
        time_ns=standing.snapshot.time_ns,
        last=standing.last,
        items=tuple(items),
        proposed=standing.snapshot.target.kind is TargetKind.RUN,
    )


def _recorded(
    services: Services, root: TreeEntry, path: str, tree_entry: TreeEntry, *, top: str, seq: int
) -> RecordedEntry:
    """An entry relative to ``top``. A hard link whose first member lies outside becomes the file itself."""
    entry = to_entry(tree_entry, path)
    tree_path = path
    first = entry.link_target
    if entry.type is EntryType.HARDLINK and first is not None:
        if is_within(first, top):
            entry = msgspec.structs.replace(entry, link_target=relative_to(first, top))
        elif (leader := lookup(services.repository, root, first)) is not None:
            tree_path, entry = first, to_entry(leader, path)
    return RecordedEntry(entry=_moved(entry, relative_to(path, top)), seq=seq, tree_path=tree_path)


def _moved(entry: Entry, path: str) -> Entry:
    return msgspec.structs.replace(entry, path=path)


def where(services: Services, request: Where) -> WhereReply:
    """The absolute path that a reference means."""
    located = locate(services, request.reference)
    snapshot = services.timeline.snapshot_for(located, request.reference.at)
    return WhereReply(
        server=located.server.name,
        target=located.target.path,
        path=located.absolute,
        snapshot=snapshot.number if snapshot else 0,
    )


def find(services: Services, request: Find) -> FindReply:
    """Paths of all history by name."""
    server = services.timeline.server(request.server).id if request.server else None
    names = {known.id: known.name for known in services.timeline.servers()}
    found = services.timeline.find(
        request.name, server=server, deleted=request.deleted, limit=request.limit + 1 if request.limit else 0
    )
    items = tuple(
        FoundItem(
            server=names.get(item.target.server, item.target.server),
            path=join(item.target.path, item.path),
            type=item.version.type,
            size=item.version.size,
            snapshot=item.version.snapshot,
            time_ns=item.version.time_ns,
            versions=item.versions,
            deleted_ns=item.deleted_ns,
        )
        for item in found
    )
    more = bool(request.limit) and len(items) > request.limit
    return FindReply(items=items[: request.limit] if request.limit else items, more=more)


OPERATIONS = (
    Operation(
        name="log",
        request=Log,
        reply=LogReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=log,
        summary=N_("What happened to a file, below a directory, or to everything."),
        details=N_("Newest first. Deleted files have a history too."),
    ),
    Operation(
        name="find",
        request=Find,
        reply=FindReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=find,
        summary=N_("Look for files by name in all of history, deleted ones too."),
        details=N_("Prints the command that brings each one back."),
    ),
    Operation(
        name="entries",
        request=Entries,
        reply=EntriesReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=entries,
        summary=N_("The recorded entries at and below a reference."),
        internal=True,
    ),
    Operation(
        name="where",
        request=Where,
        reply=WhereReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=where,
        summary=N_("The absolute path that a reference means."),
        internal=True,
    ),
)
