"""Both sides of a proposal where it is decided and applied: its change set, and what files hold: as they were, are proposed, are live.

What always holds: contents are asked for one by one and only when needed; a live file is read without following a link, and never beyond
``TEXT_LIMIT``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lastro.app.caller import Bytes, Caller
from lastro.app.operations.applying import RecordedContent
from lastro.app.requests import ContentRequest, RecordedEntry
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType, differing
from lastro.domain.paths import tree_order
from lastro.filesystem.beneath import read_at_most
from lastro.proposals.hunks import TEXT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A change set with where its contents are recorded. ``before`` and ``after`` by path relative to ``target``.

    It gives the contents that ``proposals`` asks for (``Contents``, ``SettlingContents``).
    """

    caller: Caller
    target: str
    before_items: dict[str, RecordedEntry]
    after_items: dict[str, RecordedEntry]
    written: dict[str, bytes] = field(default_factory=dict)
    """Contents that exist nowhere yet: composed of hunks, or a human's. They stand for ``after``."""

    @property
    def changes(self) -> ChangeSet:
        """What differs, in tree order."""
        paths = sorted({*self.before_items, *self.after_items}, key=tree_order)
        found = (Change(path=path, before=self._was(path), after=self._shall(path)) for path in paths)
        return ChangeSet(
            tuple(
                change
                for change in found
                if change.before is None or change.after is None or differing(change.before, change.after)
            )
        )

    def inverse(self) -> Sides:
        """The same the other way round: what takes it back."""
        return Sides(
            caller=self.caller,
            target=self.target,
            before_items=dict(self.after_items),
            after_items=dict(self.before_items),
        )

    def before(self, path: str) -> bytes | None:
        """The content of the file as it was; ``None`` for what is no file, too long, or was not stored."""
        return self._recorded(self.before_items.get(path))

    def after(self, path: str) -> bytes | None:
        """The same as it is proposed."""
        if path in self.written:
            return self.written[path]
        return self._recorded(self.after_items.get(path))

    def live(self, path: str) -> bytes | None:
        """The same as it is now."""
        return live_text(self.target, path)

    def _was(self, path: str) -> Entry | None:
        item = self.before_items.get(path)
        return item.entry if item is not None else None

    def _shall(self, path: str) -> Entry | None:
        item = self.after_items.get(path)
        return item.entry if item is not None else None

    def _recorded(self, item: RecordedEntry | None) -> bytes | None:
        if item is None or item.entry.type is not EntryType.FILE or item.entry.size > TEXT_LIMIT:
            return None
        if item.entry.digest is None:
            return None
        reply = self.caller.call("content", ContentRequest(seq=item.seq, path=item.tree_path))
        assert isinstance(reply, Bytes)
        content = bytearray(item.entry.size)
        for offset, data in reply.blocks:
            content[offset : offset + len(data)] = data
        return bytes(content)


def live_text(directory: str, path: str) -> bytes | None:
    """The content of the regular file at ``path`` below ``directory``; ``None`` for anything else, or more than ``TEXT_LIMIT`` bytes."""
    try:
        content = read_at_most(os.path.realpath(directory), path, TEXT_LIMIT + 1)
    except OSError:
        return None
    return content if content is not None and len(content) <= TEXT_LIMIT else None


class WrittenContent:
    """``apply.destination.Content``: bytes that are at hand for some paths, recorded ones for all others."""

    def __init__(
        self, caller: Caller, items: Mapping[str, RecordedEntry], written: Mapping[str, bytes]
    ) -> None:
        self._recorded = RecordedContent(
            caller, {path: item for path, item in items.items() if path not in written}
        )
        self._written = written

    def read(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """See ``Content``."""
        content = self._written.get(entry.path)
        if content is None:
            return self._recorded.read(entry)
        return iter([(0, content)] if content else [])
