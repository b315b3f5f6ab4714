"""The parts of a ``tree-dump``: made on the node, opened on the keeper (``docs/protocol.md``, tree-dump).

What always holds: items come out in the order they went in, strictly in tree order, within what was asked; each part is bounded in items
and bytes; the digest covers every item's canonical bytes, so that both sides know that nothing was lost on the way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec
from blake3 import blake3

from lastro.domain.entry import Entry
from lastro.domain.ids import Digest
from lastro.domain.paths import is_within, parent_of, to_bytes, tree_order
from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import encode_canonical, encode_message, frame_size, read_item
from lastro.protocol.entries import (
    WireEntry,
    WireSkipped,
    entry_from_wire,
    fit_entry,
    relative_from_wire,
    wire_path,
)
from lastro.protocol.events import Part, SkippedPath, TreeSummary
from lastro.protocol.limits import KIB, Limits
from lastro.protocol.messages import TreeDone, TreePart

PART_BYTES: Final = 256 * KIB
"""When a part of a dump is full, if the limits allow that much."""
LIMIT_DETAIL: Final = "limit"
"""The ``detail`` of a skipped item that stands for what is larger than the limits."""


class TreeWriter:
    """Makes the parts of one dump; any thread, one at a time. Made by ``NodeSession.start_tree``."""

    def __init__(self, command: str, root: str, limits: Limits) -> None:
        self._command = command
        self._root = root
        self._limits = limits
        self._full = min(PART_BYTES, limits.part_bytes)
        self._items: list[msgspec.Raw] = []
        self._bytes = 0
        self._count = 0
        self._digest = blake3()

    def take(self, item: Entry | SkippedPath) -> list[Part]:
        """Add the next item; returns the part that is full now, if one is."""
        raw = self._encode(item)
        parts = self.flush() if self._bytes + len(raw) > self._full else []
        self._items.append(msgspec.Raw(raw))
        self._bytes += len(raw) + 1
        self._count += 1
        self._digest.update(raw + b"\n")
        return parts + (self.flush() if len(self._items) >= self._limits.part_items else [])

    def flush(self) -> list[Part]:
        """The part that was being filled, if there is anything in it."""
        if not self._items:
            return []
        frame = encode_message(TreePart(id=self._command, items=self._items))
        self._items, self._bytes = [], 0
        return [Part(frame=frame, size=frame_size(frame))]

    @property
    def summary(self) -> TreeSummary:
        """Count and digest of all that was taken."""
        return TreeSummary(count=self._count, digest=Digest(self._digest.digest()))

    def _encode(self, item: Entry | SkippedPath) -> bytes:
        """Canonical bytes of what fits; an entry that does not fit loses its holes, then becomes a skipped item."""
        path = item.path
        if len(to_bytes(path)) > self._limits.path_bytes or path.count("/") >= self._limits.path_depth:
            return self._skipped(
                SkippedPath(path=self._nearest(path), kind="unreadable", detail=LIMIT_DETAIL)
            )
        if isinstance(item, SkippedPath):
            return self._skipped(item)
        wire = fit_entry(item, self._root, self._limits)
        if wire is None:
            return self._skipped(SkippedPath(path=path, kind="unreadable", detail=LIMIT_DETAIL))
        return encode_canonical(wire)

    def _nearest(self, path: str) -> str:
        """The nearest ancestor that fits."""
        while len(to_bytes(path)) > self._limits.path_bytes or path.count("/") >= self._limits.path_depth:
            path = parent_of(path)
        return path

    def _skipped(self, item: SkippedPath) -> bytes:
        return encode_canonical(
            WireSkipped(kind=item.kind, rel_path=wire_path(item.path), detail=item.detail[:64])
        )


class TreeReader:
    """Opens and checks the parts of one dump. The keeper's session has one for each."""

    def __init__(self, root: str, paths: Sequence[str], limits: Limits, *, recursive: bool) -> None:
        self._root = root
        self._asked = frozenset(paths)
        self._recursive = recursive
        self._limits = limits
        self._count = 0
        self._digest = blake3()
        self._asked_keys: list[tuple[bytes, ...]] | None = None
        self._last: str | None = None
        self._last_entry: str | None = None
        self._last_key: tuple[bytes, ...] = ()

    def take(self, part: TreePart) -> tuple[Entry | SkippedPath, ...]:
        """The items of a part.

        Raises:
            LimitError: more items, or larger ones, than published.
            ProtocolError: not what was asked, not in order, or contradictory.
        """
        if len(part.items) > self._limits.part_items:
            raise LimitError(N_("The peer sent a part with too many items ({count})."), count=len(part.items))
        return tuple([self._item(raw) for raw in part.items])

    def finish(self, done: TreeDone) -> None:
        """Check that everything arrived.

        Raises:
            ProtocolError: count or digest are not those of what arrived.
        """
        if done.count != self._count or done.digest != self._digest.hexdigest():
            raise ProtocolError(
                N_("The peer's listing of {root} is not what it says it sent."), root=ascii(self._root)
            )

    def _item(self, raw: msgspec.Raw) -> Entry | SkippedPath:
        view = bytes(raw)
        if len(view) > self._limits.entry_bytes:
            raise LimitError(N_("The peer sent an entry that is too large ({size} bytes)."), size=len(view))
        self._count += 1
        self._digest.update(view + b"\n")
        wire = read_item(view, _ITEMS)
        if isinstance(wire, WireSkipped):
            return self._check_skipped(wire)
        entry = entry_from_wire(wire, self._root, self._limits)
        self._check_order(entry.path, again=self._last_entry != entry.path)
        self._last_entry = entry.path
        return entry

    def _check_skipped(self, wire: WireSkipped) -> SkippedPath:
        """A directory may turn out unreadable when part of it is listed, or bar the way to what was asked: it comes late, or from above."""
        path = relative_from_wire(wire.rel_path, self._limits)
        if self._last is None or not is_within(self._last, path):
            self._check_order(path, again=True, above=True)
        return SkippedPath(path=path, kind=wire.kind, detail=wire.detail)

    def _check_order(self, path: str, *, again: bool, above: bool = False) -> None:
        """``again``: the path of the item before is allowed once more. ``above``: so is what leads to an asked path."""
        key = tree_order(path)
        if self._last is not None and (key < self._last_key or (key == self._last_key and not again)):
            raise ProtocolError(N_("The peer's listing is not in order at {path}"), path=ascii(path))
        if not self._was_asked(path) and not (above and self._leads_to_asked(key)):
            raise ProtocolError(N_("The peer listed a path that nobody asked for: {path}"), path=ascii(path))
        self._last, self._last_key = path, key

    def _leads_to_asked(self, key: tuple[bytes, ...]) -> bool:
        """Whether an asked path lies below: in tree order it would be the next."""
        if self._asked_keys is None:
            self._asked_keys = sorted(tree_order(path) for path in self._asked)
        place = bisect_left(self._asked_keys, key)
        return place < len(self._asked_keys) and self._asked_keys[place][: len(key)] == key

    def _was_asked(self, path: str) -> bool:
        if path in self._asked or (path and parent_of(path) in self._asked):
            return True
        if not self._recursive:
            return False
        if "" in self._asked:
            return True
        while path:
            path = parent_of(path)
            if path in self._asked:
                return True
        return False


_ITEMS: Final = msgspec.json.Decoder(WireEntry | WireSkipped)
