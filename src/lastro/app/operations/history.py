"""Operations that read history: ``log``, ``cat``, ``find``, and the steps ``entries`` and ``content``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from lastro.app.caller import Bytes
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.capture import real_path
from lastro.app.requests import (
    Cat,
    ContentRequest,
    ContentsRequest,
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
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.paths import is_within, join, relative_to
from lastro.domain.reference import At, AtNow, Reference
from lastro.domain.snapshot import Snapshot
from lastro.domain.target import TargetKind
from lastro.errors import LimitError, NotFoundError, UsageError
from lastro.history.answers import Apply, Located, TimelineSnapshot, Version
from lastro.messages import N_
from lastro.store.content import read_content
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


def locate(services: Services, reference: Reference) -> Located:
    """Where history keeps a path. One of this machine that history does not know is looked for behind the links above it.

    Raises:
        NotFoundError: no captured root holds it.
        UsageError: several roots have such a path.
    """
    timeline, path = services.timeline, reference.path
    behind = real_path(path) if reference.server == LOCAL and path.startswith("/") else path
    if behind == path:
        return timeline.locate(reference.server, path)
    try:
        located = timeline.locate(reference.server, path)
    except NotFoundError:
        return timeline.locate(reference.server, behind)
    if located.path and not timeline.versions(located, limit=1):
        with contextlib.suppress(NotFoundError):
            return timeline.locate(reference.server, behind)
    return located


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


# Contents -----------------------------------------------------------------------------------------------------------------------------


def cat(services: Services, request: Cat) -> Bytes:
    """The content of one file at an instant."""
    standing = stand(services, request.reference, last=False)
    path, entry = standing.located.path, standing.entry
    if entry.type is EntryType.HARDLINK:
        path, entry = _leader(services, standing, entry)
    return content(
        services, ContentRequest(seq=standing.snapshot.seq, path=path), expect=standing.located.absolute
    )


def content(services: Services, request: ContentRequest, *, expect: str = "") -> Bytes:
    """The bytes of a recorded file, by snapshot record and path in its tree."""
    snapshot = services.timeline.snapshot_by_seq(request.seq)
    entry = lookup(services.repository, decode_tree_entry(snapshot.root), request.path)
    shown = expect or join(snapshot.target.path, request.path)
    if entry is None:
        raise NotFoundError(N_("{path} was not there in snap-{number}."), path=shown, number=snapshot.number)
    if entry.type is not EntryType.FILE:
        raise UsageError(
            N_("{path} is not a file."),
            hint=N_("List a directory's history with 'lastro log {path}'."),
            path=shown,
        )
    if entry.digest is None:
        raise NotFoundError(
            N_("The content of {path} could not be read when snap-{number} was taken."),
            hint=N_("See 'lastro log {path}' for other versions."),
            path=shown,
            number=snapshot.number,
        )
    return Bytes(size=entry.size, digest=entry.digest, blocks=read_content(services.repository, entry))


def contents(services: Services, request: ContentsRequest) -> Bytes:
    """The bytes of small recorded files, one after the other.

    Raises:
        LimitError: together they are larger than ``CONTENTS_LIMIT``.
    """
    pieces: list[tuple[int, bytes]] = []
    size = 0
    for item in request.items:
        one = content(services, item)
        size += one.size
        if size > CONTENTS_LIMIT:
            raise LimitError(
                N_("Files of more than {limit} bytes were asked for at once."), limit=CONTENTS_LIMIT
            )
        whole = bytearray(one.size)
        for offset, data in one.blocks:
            whole[offset : offset + len(data)] = data
        pieces.append((size - one.size, bytes(whole)))
    return Bytes(size=size, digest=b"", blocks=iter(pieces))


CONTENTS_LIMIT = 4 * 1024 * 1024
"""Bytes of one ``contents`` reply."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at a reference: the snapshot, and the tree entry in it. ``last``: an earlier one than asked, for it was gone by then."""

    located: Located
    snapshot: Snapshot
    entry: TreeEntry
    last: bool


def stand(services: Services, reference: Reference, *, last: bool) -> Standing:
    """What stands at ``reference``. ``last``: without an instant, the last version that existed of what is gone.

    Raises:
        NotFoundError: nothing stood there then.
    """
    located = locate(services, reference)
    bound = services.timeline.bound(reference.at)
    snapshot = services.timeline.snapshot_for(located, reference.at)
    entry = _entry_in(services, snapshot, located.path)
    if snapshot is not None and entry is not None:
        return Standing(located=located, snapshot=snapshot, entry=entry, last=False)
    removed = next(
        (
            version
            for version in services.timeline.versions(located, bound=bound)
            if version.operation == "removed"
        ),
        None,
    )
    if last and removed is not None and (reference.at is None or isinstance(reference.at, AtNow)):
        snapshot = services.timeline.snapshot_at(located.target, removed.seq - 1)
        entry = _entry_in(services, snapshot, located.path)
        if snapshot is not None and entry is not None:
            return Standing(located=located, snapshot=snapshot, entry=entry, last=True)
    raise _nothing(located, reference.at, removed)


def _nothing(located: Located, at: At | None, removed: Version | None) -> NotFoundError:
    if at is None and removed is not None:
        return NotFoundError(
            N_("{path} is deleted since snap-{number}."),
            hint=N_("Its last version: add '@snap-{number}^'. All versions: 'lastro log {path}'."),
            path=located.absolute,
            number=removed.snapshot,
        )
    return NotFoundError(
        N_("{path} was not there at that instant."),
        hint=N_("See its versions with 'lastro log {path}'."),
        path=located.absolute,
    )


def _entry_in(services: Services, snapshot: Snapshot | None, path: str) -> TreeEntry | None:
    return lookup(services.repository, decode_tree_entry(snapshot.root), path) if snapshot else None


def _leader(services: Services, standing: Standing, link: TreeEntry) -> tuple[str, TreeEntry]:
    path = to_entry(link, standing.located.path).link_target or ""
    entry = _entry_in(services, standing.snapshot, path)
    if entry is None:
        raise NotFoundError(
            N_("{path} is a hard link to {target}, which was not captured."),
            path=standing.located.absolute,
            target=path,
        )
    return path, entry


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
        name="cat",
        request=Cat,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=cat,
        summary=N_("The content of a file as it was."),
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
    Operation(
        name="contents",
        request=ContentsRequest,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=contents,
        summary=N_("The bytes of many small recorded files."),
        internal=True,
    ),
    Operation(
        name="content",
        request=ContentRequest,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=content,
        summary=N_("The bytes of one recorded file."),
        internal=True,
    ),
)
