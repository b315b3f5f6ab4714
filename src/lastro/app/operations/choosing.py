"""A restore of only some of what lies below a directory. Pure: of what was recorded, and of what is live, what was chosen.

What always holds: what was not chosen is in neither, so no plan touches it; a directory above what was chosen is made where it is missing,
and left as it is where it stands. A hard link whose file was not chosen becomes that file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from lastro.app.requests import EntriesReply, RecordedEntry
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import check_relative, join, parent_of
from lastro.errors import NotFoundError
from lastro.messages import N_


def chosen(recorded: EntriesReply, only: Sequence[str]) -> EntriesReply:
    """``recorded`` with only the paths ``only`` (relative to it), what lies below them, and the directories above them.

    Raises:
        NotFoundError: one of them was not there.
        ProtocolError: one is no clean relative path.
    """
    items = {item.entry.path: item for item in recorded.items}
    for path in only:
        if check_relative(path) not in items:
            raise NotFoundError(
                N_("{path} was not there at that instant."),
                hint=N_("See its versions with 'lastro log {path}'."),
                path=join(recorded.path, path),
            )
    choice = _Choice(only)
    kept = {path: item for path, item in items.items() if choice.touches(path)}
    whole = tuple(_standing_alone(item, kept, items) for item in kept.values())
    return msgspec.structs.replace(recorded, items=whole)


def of_chosen(
    live: Iterable[Entry], wanted: Iterable[Entry], only: Sequence[str]
) -> tuple[list[Entry], list[Entry]]:
    """Of what is live and what is wanted, both in tree order: what was chosen, and what is in the way of a directory above it."""
    choice = _Choice(only)
    near = [entry for entry in live if choice.touches(entry.path)]
    standing = {
        entry.path for entry in near if entry.type is EntryType.DIRECTORY and not choice.holds(entry.path)
    }
    return (
        [entry for entry in near if entry.path not in standing],
        [entry for entry in wanted if entry.path not in standing],
    )


class _Choice:
    """What was chosen, to be asked about one path after the other."""

    def __init__(self, only: Iterable[str]) -> None:
        self._only = frozenset(only)
        self._above = frozenset(above for path in self._only for above in _upwards(path))

    def holds(self, path: str) -> bool:
        """Whether it was chosen itself, or lies below what was."""
        return any(place in self._only for place in (path, *_upwards(path)))

    def touches(self, path: str) -> bool:
        """Whether it was chosen, or lies above what was."""
        return path in self._above or self.holds(path)


def _upwards(path: str) -> Iterator[str]:
    """The directories above a relative path, the nearest first; the last is ``""``."""
    while path:
        path = parent_of(path)
        yield path


def _standing_alone(
    item: RecordedEntry, kept: Collection[str], items: dict[str, RecordedEntry]
) -> RecordedEntry:
    first = item.entry.link_target
    if item.entry.type is not EntryType.HARDLINK or first is None or first in kept or first not in items:
        return item
    leader = items[first]
    entry = msgspec.structs.replace(leader.entry, path=item.entry.path)
    return RecordedEntry(entry=entry, seq=leader.seq, tree_path=leader.tree_path)
