"""What ``diff`` and ``restore`` do differently inside a run, where nothing is captured, and only a part of the project is seen.

What always holds: what the run's role may not read is neither compared nor changed (a jail shows it empty), and neither are the directories
that hold it. User ids that the jail has no name for are no difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from lastro.app.caller import Bytes
from lastro.app.desk import Desk
from lastro.app.operations.capture import real_path
from lastro.app.operations.patches import TEXT_LIMIT, file_difference, lines_of
from lastro.app.requests import (
    Compare,
    ContentRequest,
    Diff,
    Difference,
    Entries,
    EntriesReply,
    FileDifference,
    SideOfDiff,
    Where,
    WhereReply,
)
from lastro.app.requests.history import Shown
from lastro.app.runs.scope import RunScope
from lastro.domain.changes import Change, diff
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import LOCAL
from lastro.domain.paths import join, parent_of
from lastro.domain.reference import AtNow, Reference
from lastro.errors import NotFoundError
from lastro.filesystem.beneath import read_at_most
from lastro.messages import N_

OVERFLOW: int = 65_534
"""What the kernel shows for a user or group id that a user namespace has no mapping for (``/proc/sys/kernel/overflowuid``)."""


def limited(
    live: Sequence[Entry], wanted: Sequence[Entry], *, directory: str, shown: Shown
) -> tuple[list[Entry], list[Entry]]:
    """``live`` and ``wanted`` (relative to ``directory``) without what a run is not shown, nor what only stands in its way."""
    scope = RunScope(run=0, project=shown.project, role=shown.role)
    seen = [entry for entry in live if scope.may_list(join(directory, entry.path), entry.type)]
    kept = {entry.path for entry in wanted}
    hidden = {entry.path for entry in live} - {entry.path for entry in seen}
    staying = {above for path in hidden for above in _above(path) if above not in kept}
    seen = [entry for entry in seen if entry.path not in staying]
    owners = {entry.path: entry for entry in seen}
    return seen, [_owned(entry, owners.get(entry.path)) for entry in wanted]


def _above(path: str) -> Iterator[str]:
    while path:
        path = parent_of(path)
        yield path


def _owned(entry: Entry, live: Entry | None) -> Entry:
    """The entry, with the live one's ids where they have no name here."""
    if live is None:
        return entry
    return msgspec.structs.replace(
        entry,
        uid=live.uid if live.uid == OVERFLOW else entry.uid,
        gid=live.gid if live.gid == OVERFLOW else entry.gid,
    )


# Comparing ----------------------------------------------------------------------------------------------------------------------------


def difference_in_run(desk: Desk, request: Diff) -> Difference:
    """As ``diff``; the present is read where it lies."""
    after = request.after or msgspec.structs.replace(request.before, at=AtNow())
    if not isinstance(request.before.at, AtNow) and not isinstance(after.at, AtNow):
        reply = desk.caller.call("compare", Compare(before=request.before, after=after, names=request.names))
        assert isinstance(reply, Difference)
        return reply
    one, other = _side(desk, request.before), _side(desk, after)
    if not one.entries and not other.entries:
        raise NotFoundError(
            N_("{path} was not there at that instant."),
            hint=N_("See its versions with 'lastro log {path}'."),
            path=one.said.path,
        )
    shown = one.shown or other.shown
    old, new = one.entries, other.entries
    if shown is not None:
        old, new = _comparable(one, shown), _comparable(other, shown)
    owners = {entry.path: entry for entry in old}
    new = [_owned_as(entry, owners.get(entry.path)) for entry in new]
    files = tuple(
        _file(change, one, other, names=request.names) for change in diff(old, new) if not _withheld(change)
    )
    return Difference(before=one.said, after=other.said, files=files)


class _Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side: what is said of it, its entries relative to its path, and where their bytes are."""

    said: SideOfDiff
    entries: list[Entry]
    read: Callable[[Entry], bytes | None]
    shown: Shown | None = None


def _side(desk: Desk, reference: Reference) -> _Side:
    return _live(desk, reference) if isinstance(reference.at, AtNow) else _recorded(desk, reference)


def _live(desk: Desk, reference: Reference) -> _Side:
    reply = desk.caller.call("where", Where(reference=msgspec.structs.replace(reference, at=None)))
    assert isinstance(reply, WhereReply)
    path = real_path(reply.path)
    directory, name = (path, "") if os.path.isdir(path) and not os.path.islink(path) else os.path.split(path)
    entries = [_relative(entry, name) for entry in desk.destination(directory).walk(name)]
    said = SideOfDiff(server=LOCAL, path=reply.path, snapshot=0, time_ns=desk.clock.wall_ns(), live=True)
    return _Side(said=said, entries=entries, read=lambda entry: _read_live(directory, join(name, entry.path)))


def _relative(entry: Entry, name: str) -> Entry:
    return msgspec.structs.replace(entry, path="") if name else entry


def _recorded(desk: Desk, reference: Reference) -> _Side:
    try:
        reply = desk.caller.call("entries", Entries(reference=reference))
    except NotFoundError:
        where = desk.caller.call("where", Where(reference=reference))
        assert isinstance(where, WhereReply)
        said = SideOfDiff(server=where.server, path=where.path, snapshot=where.snapshot, time_ns=0)
        return _Side(said=said, entries=[], read=lambda _: None)
    assert isinstance(reply, EntriesReply)
    places = {item.entry.path: ContentRequest(seq=item.seq, path=item.tree_path) for item in reply.items}

    def read(entry: Entry) -> bytes | None:
        if entry.digest is None:
            return None
        content = desk.caller.call("content", places[entry.path])
        assert isinstance(content, Bytes)
        whole = bytearray(content.size)
        for offset, data in content.blocks:
            whole[offset : offset + len(data)] = data
        return bytes(whole)

    said = SideOfDiff(server=reply.server, path=reply.path, snapshot=reply.snapshot, time_ns=reply.time_ns)
    return _Side(said=said, entries=[item.entry for item in reply.items], read=read, shown=reply.shown)


def _comparable(side: _Side, shown: Shown) -> list[Entry]:
    """The entries of a side that the run may see."""
    scope = RunScope(run=0, project=shown.project, role=shown.role)
    return [entry for entry in side.entries if scope.may_list(join(side.said.path, entry.path), entry.type)]


def _owned_as(entry: Entry, recorded: Entry | None) -> Entry:
    """The live entry, with the recorded ids where its own have no name here."""
    if recorded is None:
        return entry
    return msgspec.structs.replace(
        entry,
        uid=recorded.uid if entry.uid == OVERFLOW else entry.uid,
        gid=recorded.gid if entry.gid == OVERFLOW else entry.gid,
    )


def _file(change: Change, before: _Side, after: _Side, *, names: bool) -> FileDifference:
    return file_difference(
        change, names=names, lines=lambda: (_lines(change.before, before), _lines(change.after, after))
    )


def _withheld(change: Change) -> bool:
    """Whether a content is not there to compare with: never read, or not shown, as that of a hard link to what is hidden."""
    sides = [side for side in (change.before, change.after) if side is not None]
    return len(sides) == 2 and any(side.type is EntryType.FILE and side.digest is None for side in sides)


def _lines(entry: Entry | None, side: _Side) -> list[str] | None:
    if entry is None or entry.type is not EntryType.FILE:
        return []
    if entry.size > TEXT_LIMIT:
        return None
    content = side.read(entry)
    return None if content is None else lines_of(content)


def _read_live(directory: str, path: str) -> bytes | None:
    """At most ``TEXT_LIMIT`` bytes of a file of the present, no link followed; ``None`` for what cannot be read, or is longer."""
    try:
        content = read_at_most(directory, path, TEXT_LIMIT + 1)
    except OSError:
        return None
    return content if content is not None and len(content) <= TEXT_LIMIT else None
