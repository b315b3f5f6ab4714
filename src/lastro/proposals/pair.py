"""The pair of snapshots behind a proposal, as the change set that a human is asked about.

What always holds: paths are relative to the proposal's target; a hard link names the first member of its group relative to the target, or,
where that is in no change of the target, is the file itself. So one pair has one change set, and one digest, wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from msgspec import Struct

from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType, differing
from lastro.domain.ids import Digest
from lastro.domain.paths import from_bytes, is_within, join, relative_to
from lastro.domain.record import RecordKind, decode_body
from lastro.domain.snapshot import SnapshotBody
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.hunks import TEXT_LIMIT
from lastro.store.content import read_content
from lastro.store.repository import Repository
from lastro.store.tree import TreeEntry, decode_tree_entry, diff, lookup, to_entry


class Side(Struct, frozen=True, kw_only=True):
    """One side of a pair: the snapshot record ``seq``, its tree, and where the proposal's target lies in that (``""``: it is its root)."""

    seq: int
    number: int
    place: str
    root: TreeEntry


class Recorded(Struct, frozen=True, kw_only=True):
    """An entry of a side, its path relative to the target, and the path in the side's tree that holds its content."""

    entry: Entry
    tree_path: str


class Pair(Struct, frozen=True, kw_only=True):
    """Both sides, and what differs. ``raw_digest``: of the same with hard links as the snapshots have them, which is how a capture names
    what it recorded.
    """

    before: Side
    after: Side
    changes: ChangeSet
    raw_digest: Digest


def read_pair(repository: Repository, *, before: int, after: int, target: str) -> Pair:
    """The pair of the snapshot records ``before`` and ``after`` (``seq``), seen from the directory ``target``.

    Raises:
        NotFoundError: one is no snapshot, or does not hold ``target``.
        DamagedError: what has to be read is not what was written.
    """
    old, new = side_of(repository, before, target), side_of(repository, after, target)
    found = list(
        diff(repository, lookup(repository, old.root, old.place), lookup(repository, new.root, new.place))
    )
    raw = ChangeSet(tuple(found))
    if not any(map(_is_linked, found)):  # as most are: then there is nothing to see otherwise
        return Pair(before=old, after=new, raw_digest=raw.digest, changes=raw)
    paths = {change.path for change in found}
    changes = (
        Change(
            path=change.path,
            before=_seen(repository, old, change.before, paths),
            after=_seen(repository, new, change.after, paths),
        )
        for change in found
    )
    return Pair(
        before=old,
        after=new,
        raw_digest=raw.digest,
        changes=ChangeSet(
            tuple(
                change
                for change in changes
                if change.before is None or change.after is None or differing(change.before, change.after)
            )
        ),
    )


def _is_linked(change: Change) -> bool:
    return any(side is not None and side.type is EntryType.HARDLINK for side in (change.before, change.after))


def side_of(repository: Repository, seq: int, target: str) -> Side:
    """The snapshot record ``seq`` as one side.

    Raises:
        NotFoundError: it is no snapshot, or does not hold ``target``.
    """
    stored = repository.record(seq)
    if stored is None or stored.record.kind != RecordKind.SNAPSHOT:
        raise NotFoundError(N_("Record {seq} is not a snapshot."), seq=seq)
    assert stored.record.target is not None
    captured = from_bytes(stored.record.target.path)
    if not is_within(target, captured):
        raise NotFoundError(
            N_("snap-{number} holds {captured}, and {target} does not lie there."),
            number=stored.record.number,
            captured=captured,
            target=target,
        )
    root = decode_tree_entry(decode_body(stored.record, SnapshotBody).root)
    return Side(seq=seq, number=stored.record.number, place=relative_to(target, captured), root=root)


def recorded(repository: Repository, side: Side, entries: Iterable[Entry]) -> tuple[Recorded, ...]:
    """Where the content of ``entries``, which ``read_pair`` gave for ``side``, is."""
    found = []
    for entry in entries:
        path = join(side.place, entry.path)
        if entry.type is EntryType.FILE:
            path = _holder(repository, side, path)[0]
        found.append(Recorded(entry=entry, tree_path=path))
    return tuple(found)


def content_of(repository: Repository, side: Side, path: str, *, limit: int = TEXT_LIMIT) -> bytes | None:
    """The content of the file at ``path`` (relative to the target); ``None`` for what is no file, is longer than ``limit`` bytes, or was
    never read.

    Raises:
        DamagedError: it is not what was written.
    """
    entry = _holder(repository, side, join(side.place, path))[1]
    if entry is None or entry.type is not EntryType.FILE or entry.digest is None or entry.size > limit:
        return None
    content = bytearray(entry.size)
    for offset, data in read_content(repository, entry):
        content[offset : offset + len(data)] = data
    return bytes(content)


def _holder(repository: Repository, side: Side, path: str) -> tuple[str, TreeEntry | None]:
    """What holds the content of ``path`` of the side's tree: itself, or the first member of its hard-link group."""
    entry = lookup(repository, side.root, path)
    if entry is not None and entry.type is EntryType.HARDLINK and entry.link_target is not None:
        path = from_bytes(entry.link_target)
        entry = lookup(repository, side.root, path)
    return path, entry


def _seen(repository: Repository, side: Side, entry: Entry | None, paths: Collection[str]) -> Entry | None:
    """``entry`` with its hard link as seen from the target."""
    if entry is None or entry.type is not EntryType.HARDLINK or entry.link_target is None:
        return entry
    if is_within(entry.link_target, side.place):
        first = relative_to(entry.link_target, side.place)
        if first in paths:
            return msgspec.structs.replace(entry, link_target=first)
    leader = lookup(repository, side.root, entry.link_target)
    return entry if leader is None else to_entry(leader, entry.path)


class PairContents:
    """The contents of a pair's files, read when they are asked for: what ``selecting`` composes hunks of."""

    def __init__(self, repository: Repository, pair: Pair) -> None:
        self._repository = repository
        self._pair = pair

    def before(self, path: str) -> bytes:
        """The file at ``path`` as it was.

        Raises:
            UsageError: it is no file, too long, or was never read, so there are no hunks of it.
        """
        return self._text(self._pair.before, path)

    def after(self, path: str) -> bytes:
        """The file at ``path`` as it is proposed.

        Raises:
            UsageError: as for ``before``.
        """
        return self._text(self._pair.after, path)

    def _text(self, side: Side, path: str) -> bytes:
        content = content_of(self._repository, side, path)
        if content is None:
            raise UsageError(
                N_("{path} is no text of which parts can be chosen."),
                hint=N_("Choose the whole file instead."),
                path=path,
            )
        return content
