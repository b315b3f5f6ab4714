"""What was captured before, asked about what is listed now: does it still stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from lastro.capture.source import Skipped
from lastro.domain.entry import Entry, EntryType, stat_key
from lastro.domain.paths import check_relative, is_within, tree_order
from lastro.domain.target import Target
from lastro.errors import ProtocolError
from lastro.keeper.capture_state import CaptureState, StatRow
from lastro.messages import N_
from lastro.store.repository import Repository
from lastro.store.tree import TreeEntry, to_tree_entry, walk

Known = Callable[[str], tuple[TreeEntry | None, StatRow | None]]
"""What the newest tree and the stat cache say of a path."""


class KnownInOrder:
    """``Known`` for paths asked in tree order: tree and stat cache are each read once, from start to end, in bounded memory."""

    def __init__(
        self, repository: Repository, state: CaptureState, target: Target, root: TreeEntry | None
    ) -> None:
        self._tree: Iterator[tuple[str, TreeEntry]] = walk(repository, root) if root is not None else iter(())
        self._rows = state.stat_rows(target)
        self._entry = next(self._tree, None)
        self._row = next(self._rows, None)

    def __call__(self, path: str) -> tuple[TreeEntry | None, StatRow | None]:
        """The recorded entry and stat row of ``path``, which must not come before the path asked last."""
        order = tree_order(path)
        while self._entry is not None and tree_order(self._entry[0]) < order:
            self._entry = next(self._tree, None)
        while self._row is not None and tree_order(self._row.path) < order:
            self._row = next(self._rows, None)
        entry = self._entry[1] if self._entry is not None and self._entry[0] == path else None
        row = self._row if self._row is not None and self._row.path == path else None
        return entry, row


def vouched(item: Entry, before: TreeEntry | None, row: StatRow | None) -> TreeEntry | None:
    """The entry to record without reading the file, when the content of ``before`` still stands for it."""
    if (
        before is None
        or row is None
        or before.type is not EntryType.FILE
        or before.digest is None
        or before.torn
    ):
        return None
    listed = (item.size, item.mtime_ns, item.ctime_ns)
    if row.key != stat_key(item) or (before.size, before.mtime_ns, before.ctime_ns) != listed:
        return None
    return to_tree_entry(msgspec.structs.replace(item, digest=before.digest), before.content)


def same_but_content(item: Entry, before: TreeEntry | None) -> bool:
    """Whether everything but content and subtree is as recorded. A listed entry never has a digest."""
    if before is None:
        return False
    return msgspec.structs.replace(before, content=None, digest=None, subtree=None) == to_tree_entry(item)


def checked_listing(listing: Iterable[Entry | Skipped], top: str) -> Iterator[Entry | Skipped]:
    """The listing of ``top`` with its paths checked: inside ``top``, clean, entries in strictly growing tree order.

    Raises:
        ProtocolError: the source breaks its contract.
    """
    last: tuple[bytes, ...] | None = None
    for item in listing:
        check_relative(item.path)
        if not is_within(item.path, top):
            raise ProtocolError(
                N_("The listing of {top} has {path} in it."), top=ascii(top), path=ascii(item.path)
            )
        if isinstance(item, Entry):
            order = tree_order(item.path)
            if last is not None and order <= last:
                raise ProtocolError(
                    N_("The listing of {top} is not in order at {path}."),
                    top=ascii(top),
                    path=ascii(item.path),
                )
            last = order
        yield item


def topmost(paths: Iterable[str]) -> list[str]:
    """The paths that do not lie below another of them, in tree order."""
    kept: list[str] = []
    for path in sorted(paths, key=tree_order):
        if not kept or not is_within(path, kept[-1]):
            kept.append(path)
    return kept
