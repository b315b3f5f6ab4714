"""Renames, for people: a file that went and one that came with the same content. Pure.

A change set knows no renames, and nothing here changes one: approving or undoing goes by the two halves. What always holds: each removed
path has at most one new name, each new path at most one old one, and the answer does not depend on the order of the changes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import Digest
from lastro.domain.paths import is_within, name_of, parent_of, relative_to, tree_order


def find_renames(changes: Sequence[Change]) -> dict[str, str]:
    """New path → old path, in tree order of the new one. Empty files are never renamed: they are all alike.

    Of several with the same content, those of the same name go together first, then those of the same directory, then the rest in tree
    order; whoever is left over was just added or removed.
    """
    removed = _by_digest((change.path, change.before) for change in changes if change.after is None)
    added = _by_digest((change.path, change.after) for change in changes if change.before is None)
    found: dict[str, str] = {}
    for digest, new_paths in added.items():
        found |= _paired(removed.get(digest, []), new_paths)
    return {path: found[path] for path in sorted(found, key=tree_order)}


def renamed_directories(changes: Sequence[Change], renames: Mapping[str, str]) -> dict[str, str]:
    """New directory → old directory, for those that moved whole: the old one is gone, the new one was not there, and whatever lies in
    either lies in the other at the same place with the same content. Of nested ones only the topmost.
    """
    gone = _Side((change.path, change.before) for change in changes if change.after is None)
    made = _Side((change.path, change.after) for change in changes if change.before is None)
    candidates: dict[str, str] = {}
    for new, old in renames.items():
        for new_top, old_top in _same_tails(new, old):
            if gone.has_directory(old_top) and made.has_directory(new_top):
                candidates.setdefault(new_top, old_top)
    found: dict[str, str] = {}
    for new in sorted(candidates, key=tree_order):
        old = candidates[new]
        covered = any(is_within(new, top) for top in found) or old in found.values()
        if not covered and _is_moved(gone.below(old), made.below(new), old, new, renames):
            found[new] = old
    return found


class _Side:
    """What went, or what came: entries by path, and all below a path at once."""

    def __init__(self, sides: Iterable[tuple[str, Entry | None]]) -> None:
        self._entries = {path: entry for path, entry in sides if entry is not None}
        self._paths = sorted(self._entries, key=tree_order)
        self._orders = [tree_order(path) for path in self._paths]

    def has_directory(self, path: str) -> bool:
        entry = self._entries.get(path)
        return entry is not None and entry.type is EntryType.DIRECTORY

    def below(self, path: str) -> list[Entry]:
        """Everything below ``path``, in tree order."""
        found = []
        for place in range(bisect_left(self._orders, tree_order(path)) + 1, len(self._paths)):
            if not is_within(self._paths[place], path):
                break
            found.append(self._entries[self._paths[place]])
        return found


def _is_moved(
    gone: Sequence[Entry], made: Sequence[Entry], old: str, new: str, renames: Mapping[str, str]
) -> bool:
    return len(gone) == len(made) and all(
        relative_to(one.path, old) == relative_to(other.path, new)
        and one.type is other.type
        and (one.size, one.digest) == (other.size, other.digest)
        and renames.get(other.path, one.path) == one.path
        for one, other in zip(gone, made, strict=True)
    )


def _by_digest(sides: Iterable[tuple[str, Entry | None]]) -> dict[Digest, list[str]]:
    found: dict[Digest, list[str]] = {}
    for path, entry in sides:
        if (
            entry is not None
            and entry.type is EntryType.FILE
            and entry.size
            and entry.digest
            and not entry.torn
        ):
            found.setdefault(entry.digest, []).append(path)
    return {digest: sorted(paths, key=tree_order) for digest, paths in found.items()}


def _paired(old_paths: Sequence[str], new_paths: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    old_left, new_left = list(old_paths), list(new_paths)
    for likeness in (name_of, parent_of, _nothing):
        found |= _paired_by(likeness, old_left, new_left)
        taken = set(found.values())
        old_left = [path for path in old_left if path not in taken]
        new_left = [path for path in new_left if path not in found]
    return found


def _paired_by(
    likeness: Callable[[str], str], old_paths: Sequence[str], new_paths: Sequence[str]
) -> dict[str, str]:
    waiting: dict[str, list[str]] = {}
    for path in reversed(old_paths):
        waiting.setdefault(likeness(path), []).append(path)
    return {path: like.pop() for path in new_paths if (like := waiting.get(likeness(path)))}


def _nothing(_: str) -> str:
    return ""


def _same_tails(new: str, old: str) -> Iterable[tuple[str, str]]:
    """The directories above both, as long as what lies between is called the same."""
    while new and old and name_of(new) == name_of(old):
        new, old = parent_of(new), parent_of(old)
        yield new, old
