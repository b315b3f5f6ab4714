"""What to write now: the chosen part of a proposal, settled with what is live. Pure.

    live is as it was before        → write what is wanted
    live is as it is wanted         → skip it
    live is something else          → merge it: text line by line, attributes one by one
    it cannot be merged             → conflict; then nothing at all is written

What always holds: a path that is not in the chosen part is never touched; what a human added since survives, or is in a conflict; and the
result does not contradict itself. Undo asks the same question with the inverse change set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import COMPARED, Entry, EntryType, compared, differing
from lastro.domain.paths import is_within, parent_of, tree_order
from lastro.proposals.hunks import TEXT_LIMIT
from lastro.proposals.merge import conflict_text, merge


class SettlingContents(Protocol):
    """The bytes of files that have to be merged, none larger than ``hunks.TEXT_LIMIT``. ``None``: they cannot be had."""

    def before(self, path: str) -> bytes | None:
        """What the file held before, as the chosen change set says it."""
        ...

    def live(self, path: str) -> bytes | None:
        """What it holds now. Bytes of another digest than the live entry's count as a file that is changing."""
        ...

    def after(self, path: str) -> bytes | None:
        """What it shall hold. Not asked for what is in ``composed``."""
        ...


class Obstacle(StrEnum):
    """Why a path could not be settled."""

    CONTENT = "content"
    """Both changed the same lines."""
    BINARY = "binary"
    """Both changed it, and it is no text, or too large to be merged."""
    ATTRIBUTES = "attributes"
    """Both changed the same attribute, or what a link or device points to."""
    TYPE = "type"
    """What is there now is of another type than what was there, or than what is wanted."""
    EXISTS = "exists"
    """It is new, and something else is there by now."""
    REMOVED = "removed"
    """It is to be changed, and is not there any more."""
    CHANGED = "changed"
    """It is to be removed, and was changed since."""
    NOT_EMPTY = "not_empty"
    """It is a directory that is to go, and holds something that the proposal does not know."""
    UNSETTLED = "unsettled"
    """It is changing right now, or cannot be read."""


class Settlement(Struct, frozen=True, kw_only=True):
    """What to give to ``Destination.apply``: ``changes``, from live to wanted; empty as soon as there is one conflict.

    ``written``: the content of files in ``changes`` that is neither the proposal's nor live: composed or merged. ``skipped``: paths that
    are as wanted already. ``merged``: paths where the live version had changed too. ``texts``: for conflicts where both changed the same
    lines, the merge with markers around those.
    """

    changes: ChangeSet
    written: Mapping[str, bytes] = {}
    skipped: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, Obstacle], ...] = ()
    texts: Mapping[str, bytes] = {}


def paths_to_read(selected: ChangeSet) -> list[str]:
    """The paths that ``settle`` has to be told the live state of: what changes, and what hard links of either side name; in tree order."""
    paths = {change.path for change in selected.changes}
    for change in selected.changes:
        for side in (change.before, change.after):
            if side is not None and side.type is EntryType.HARDLINK and side.link_target is not None:
                paths.add(side.link_target)
    return sorted(paths, key=tree_order)


def directories_to_list(selected: ChangeSet, live: Mapping[str, Entry | None]) -> list[str]:
    """The topmost live directories that would go: what lies in them is ``below``."""
    found: list[str] = []
    for change in selected.changes:
        covered = bool(found) and is_within(change.path, found[-1])
        if not covered and _is_directory(live.get(change.path)) and not _is_directory(change.after):
            found.append(change.path)
    return found


def settle(
    selected: ChangeSet,
    composed: Mapping[str, bytes],
    live: Mapping[str, Entry | None],
    below: Sequence[str],
    content: SettlingContents,
) -> Settlement:
    """Bring ``selected`` (from before to wanted, in tree order) onto what is live.

    ``composed``: the wanted content of files of which only some hunks were chosen. ``live``: what ``paths_to_read`` are now, as a
    ``Destination`` reads them (``None``: nothing). ``below``: every live path in ``directories_to_list``.
    """
    known = {change.path for change in selected.changes}
    occupied = _above(path for path in below if path not in known)
    changes: list[Change] = []
    written: dict[str, bytes] = {}
    skipped: list[str] = []
    merged: list[str] = []
    writing: set[str] = set()
    conflicts: list[tuple[str, Obstacle]] = []
    texts: dict[str, bytes] = {}
    for change in selected.changes:
        settled = _settled(change, composed, live, content, writing=writing)
        if isinstance(settled, _Conflict):
            conflicts.append((change.path, settled.why))
            if settled.text is not None:
                texts[change.path] = settled.text
        elif change.path in occupied and _goes(change, live):
            conflicts.append((change.path, Obstacle.NOT_EMPTY))
        elif settled.change is None:
            skipped.append(change.path)
        else:
            changes.append(settled.change)
            writing.add(change.path)
            if settled.content is not None:
                written[change.path] = settled.content
        if isinstance(settled, _Settled) and settled.merged:
            merged.append(change.path)
    if conflicts:
        return Settlement(changes=ChangeSet(), conflicts=tuple(conflicts), texts=texts)
    return Settlement(
        changes=ChangeSet(tuple(changes)), written=written, skipped=tuple(skipped), merged=tuple(merged)
    )


class _Conflict(Struct, frozen=True):
    """Why one path could not be settled, and the text with markers if there is one."""

    why: Obstacle
    text: bytes | None = None


class _Settled(Struct, frozen=True, kw_only=True):
    """What to do with one path: nothing where ``change`` is ``None``."""

    change: Change | None = None
    content: bytes | None = None
    merged: bool = False


def _settled(
    change: Change,
    composed: Mapping[str, bytes],
    live: Mapping[str, Entry | None],
    content: SettlingContents,
    *,
    writing: Collection[str],
) -> _Settled | _Conflict:
    now = live[change.path]
    if now is not None and now.torn:
        return _Conflict(Obstacle.UNSETTLED)
    before, after = change.before, change.after
    as_before, as_after = _is_as(now, before, live), _is_as(now, after, live)
    if as_before and as_after:
        as_after = _has_joined(change, writing)
    if as_after:
        return _Settled()
    if as_before or _may_be_the_link(now, before, live):
        return _Settled(change=change, content=composed.get(change.path))
    if now is None or before is None or after is None or not before.type is now.type is after.type:
        return _Conflict(_misfit(now, change))
    return _merged(_Three(before, now, after), composed, content)


def _has_joined(change: Change, writing: Collection[str]) -> bool:
    """Whether a name of one file, which is as before and as wanted at once, is where it is to be: it joined the others. It is not when it
    has still to leave them, or to follow one that leaves.
    """
    before, after = change.before, change.after
    if before is None or before.type is not EntryType.HARDLINK:
        return True
    return after is not None and after.type is EntryType.HARDLINK and after.link_target not in writing


def _misfit(now: Entry | None, change: Change) -> Obstacle:
    """Why what is live can be no version of what is changed."""
    if now is None:
        return Obstacle.REMOVED
    if change.after is None:
        return Obstacle.CHANGED
    return Obstacle.EXISTS if change.before is None else Obstacle.TYPE


def _is_as(now: Entry | None, recorded: Entry | None, live: Mapping[str, Entry | None]) -> bool:
    """Whether the live state counts as the recorded one. A live hard link is a file that shares its inode with what it names."""
    if now is None or recorded is None:
        return now is recorded
    if recorded.type is not EntryType.HARDLINK:
        return not differing(recorded, now)
    first = live.get(recorded.link_target or "")
    is_linked = first is not None and (first.dev, first.inode) == (now.dev, now.inode)
    return is_linked and _looks_like(now, recorded)


def _may_be_the_link(now: Entry | None, before: Entry | None, live: Mapping[str, Entry | None]) -> bool:
    """Whether it is a name of several, and nobody looked at the one that ``before`` names. What applies it looks, and leaves it if not."""
    return (
        now is not None
        and before is not None
        and before.type is EntryType.HARDLINK
        and before.link_target not in live
        and now.nlink > 1
        and _looks_like(now, before)
    )


def _looks_like(now: Entry, link: Entry) -> bool:
    return now.type is EntryType.FILE and all(
        getattr(link, name) == getattr(now, name) for name in _OF_THE_LINK
    )


_CONTENT: Final = frozenset({"type", "size", "link_target", "rdev", "digest"})
_OF_THE_LINK: Final = tuple(name for name in COMPARED if name not in _CONTENT)
"""The attributes that a hard link shows of its file."""


class _Three(Struct, frozen=True):
    """One path as it was, as it is, and as it is wanted: all of one type."""

    before: Entry
    now: Entry
    wanted: Entry


def _merged(three: _Three, composed: Mapping[str, bytes], content: SettlingContents) -> _Settled | _Conflict:
    fields: dict[str, object] = {}
    for name in COMPARED:
        if name in {"size", "digest"}:
            continue
        before, now, wanted = (compared(entry, name) for entry in (three.before, three.now, three.wanted))
        if before != now != wanted != before:
            return _Conflict(Obstacle.ATTRIBUTES)
        fields[name] = getattr(three.now if before == wanted else three.wanted, name)
    made = _content(three, composed, content)
    if isinstance(made, _Conflict):
        return made
    entry = replace(made.entry, **fields)
    if not differing(entry, three.now):
        return _Settled(merged=True)
    return _Settled(
        change=Change(path=three.before.path, before=three.now, after=entry),
        content=made.content,
        merged=True,
    )


class _Made(Struct, frozen=True):
    """An entry whose content is settled, and that content where it is new."""

    entry: Entry
    content: bytes | None = None


def _content(three: _Three, composed: Mapping[str, bytes], content: SettlingContents) -> _Made | _Conflict:
    """The merged content, on the entry whose other fields it goes with."""
    path = three.before.path
    if three.before.type is not EntryType.FILE:
        return _Made(three.wanted)
    before, now, wanted = (entry.digest for entry in (three.before, three.now, three.wanted))
    if before is None or now is None or wanted is None:
        return _Conflict(Obstacle.UNSETTLED)
    if wanted in {before, now}:
        return _Made(three.now)
    if before == now:
        return _Made(three.wanted, composed.get(path))
    if any(entry.size > TEXT_LIMIT for entry in (three.before, three.now, three.wanted)):
        return _Conflict(Obstacle.BINARY)
    return _text(three, composed, content)


def _text(three: _Three, composed: Mapping[str, bytes], content: SettlingContents) -> _Made | _Conflict:
    path = three.before.path
    base, ours = content.before(path), content.live(path)
    theirs = composed[path] if path in composed else content.after(path)
    if base is None or ours is None or theirs is None or digest_of(ours) != three.now.digest:
        return _Conflict(Obstacle.UNSETTLED)
    outcome = merge(base, ours, theirs)
    if outcome.content is None:
        text = conflict_text(base, ours, theirs) if outcome.conflicts else None
        return _Conflict(Obstacle.BINARY if text is None else Obstacle.CONTENT, text)
    made = replace(
        three.wanted, size=len(outcome.content), digest=digest_of(outcome.content), holes=(), torn=False
    )
    return _Made(made, outcome.content)


def _above(paths: Iterable[str]) -> set[str]:
    """Every directory above any of ``paths``."""
    above: set[str] = set()
    for path in paths:
        directory = path
        while directory:
            directory = parent_of(directory)
            if directory in above:
                break
            above.add(directory)
    return above


def _goes(change: Change, live: Mapping[str, Entry | None]) -> bool:
    return _is_directory(live[change.path]) and not _is_directory(change.after)


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.type is EntryType.DIRECTORY
