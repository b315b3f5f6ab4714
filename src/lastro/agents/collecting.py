"""What a run changed, taken from its layer: recorded by the keeper, then annotated for whoever decides.

``Flag.BASE_UNCERTAIN`` is set here. The snapshot *before* and the agent's view are two readings of the same live files: the keeper reads
while the agent starts (and in an overlay a file that the agent has not touched yet is the live one, for as long as the run lasts).

- If the live file had not changed from ``began_ns`` on, an instant before both readings, both saw the same bytes.
- A change of content or attributes always sets the ctime, which nobody can set back without moving the clock. Opening, reading or
  copying it up sets none.
- So what the live ctime (with the coarseness of file times, ``RACY_NS``) puts before ``began_ns`` was read equal by both. For
  everything else nobody knows what the agent started from; it is flagged, if the agent changed it too. A path that is gone, or cannot be
  looked at, counts as changed where the snapshot has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from lastro.agents.layer import Layer
from lastro.agents.ledger import Pair, RunLedger
from lastro.capture.source import FileBegin, FileData, FileEnd, Source
from lastro.domain.changes import Change
from lastro.domain.entry import RACY_NS, Entry, EntryType
from lastro.domain.paths import is_within, parent_of, to_bytes
from lastro.domain.policy import Role
from lastro.domain.proposal import ChangeNote, Flag
from lastro.domain.run import RunStep
from lastro.filesystem.beneath import open_parent, open_root
from lastro.proposals.flags import flags_of, holds_secret
from lastro.proposals.hunks import TEXT_LIMIT
from lastro.proposals.policy import outside_role

TEXT_TOTAL: Final = 64 * 1024 * 1024
"""Bytes of all files of one run that are looked at for secrets and syntax; one above ``TEXT_LIMIT`` is flagged ``large`` and not read."""

Texts = Callable[[Entry], bytes | None]
"""The content of a changed file as the agent left it; ``None``: it is no such file, too large, or cannot be read."""


class Collection(Struct, frozen=True, kw_only=True):
    """What was found. ``outside``: changed paths that the role may not write, in tree order."""

    pair: Pair
    notes: tuple[ChangeNote, ...]
    outside: tuple[str, ...]


def collect(
    ledger: RunLedger,
    layer: Layer,
    *,
    run: int,
    before: int,
    project: str,
    role: Role,
    steps: Sequence[RunStep],
    began_ns: int,
) -> Collection:
    """Have the keeper record what the layer holds, and note what there is to know of each path.

    Raises:
        LastroError: the keeper could not record it. It may be called again.
    """
    source = layer.source()
    changed = tuple(path for path in layer.changed() if not is_within(path, ".git"))
    pair = ledger.after(run, before, source, changed)
    texts = texts_of(source, project)
    uncertain = changed_since(project, pair.changed, began_ns)
    seen = steps_by_path(steps)
    outside = outside_role(role, pair.changed)
    refused = frozenset(outside)
    notes = []
    for change in pair.changed:
        flags = flags_of(change, after_text=_text_of(change, texts), may_write=change.path not in refused)
        if change.path in uncertain and Flag.BASE_UNCERTAIN not in flags:
            flags = (*flags, Flag.BASE_UNCERTAIN)
        noted = steps_of(change.path, seen)
        if flags or noted:
            notes.append(ChangeNote(path=to_bytes(change.path), flags=flags, steps=noted))
    return Collection(pair=pair, notes=tuple(notes), outside=outside)


def make_ready() -> None:
    """Load what looking through changes takes, while there is time: as long as the agent runs. Quick from the second time on."""
    holds_secret(b"")


def _text_of(change: Change, texts: Texts) -> Callable[[], bytes | None]:
    after = change.after
    return lambda: None if after is None else texts(after)


def texts_of(source: Source, project: str) -> Texts:
    """Read changed files from ``source``: none above ``TEXT_LIMIT``, together not much more than ``TEXT_TOTAL``."""
    left = TEXT_TOTAL

    def text(entry: Entry) -> bytes | None:
        nonlocal left
        if entry.type is not EntryType.FILE or entry.size > TEXT_LIMIT or left <= 0:
            return None
        found = _read(source, project, entry)
        left -= len(found or b"")
        return found

    return text


def _read(source: Source, project: str, entry: Entry) -> bytes | None:
    content, whole = bytearray(), False
    for event in source.fetch(project, [entry]):
        if isinstance(event, FileBegin):
            content = bytearray()
        elif isinstance(event, FileData):
            if event.offset + len(event.data) > TEXT_LIMIT:
                return None  # it was larger than it said
            content.extend(bytes(event.offset - len(content)))
            content += event.data
        elif isinstance(event, FileEnd):
            content.extend(bytes(max(0, min(event.entry.size, TEXT_LIMIT) - len(content))))
            whole = True
    return bytes(content) if whole else None


def changed_since(project: str, changes: Iterable[Change], began_ns: int) -> frozenset[str]:
    """The paths whose live state may have changed at or after ``began_ns`` (see the module). Links are not followed."""
    try:
        root = open_root(project)
    except OSError:
        return frozenset(change.path for change in changes)
    try:
        return frozenset(change.path for change in changes if _changed_since(root, change, began_ns))
    finally:
        os.close(root)


def _changed_since(root: int, change: Change, began_ns: int) -> bool:
    try:
        parent, name = open_parent(root, change.path)
    except OSError:
        return change.before is not None
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False) if name else os.fstat(root)
    except OSError:
        return change.before is not None
    finally:
        os.close(parent)
    return found.st_ctime_ns >= began_ns - RACY_NS


def steps_by_path(steps: Iterable[RunStep]) -> Mapping[bytes, tuple[int, ...]]:
    """Path → numbers of the steps that changed it, ascending."""
    found: dict[bytes, list[int]] = {}
    for step in steps:
        for path in step.paths:
            found.setdefault(path, []).append(step.number)
    return {path: tuple(sorted(set(numbers))) for path, numbers in found.items()}


def steps_of(path: str, seen: Mapping[bytes, tuple[int, ...]]) -> tuple[int, ...]:
    """The steps that changed ``path``; else those that changed the nearest directory above it: what is removed with a directory has no
    mark of its own in the layer.
    """
    while path:
        if numbers := seen.get(to_bytes(path)):
            return numbers
        path = parent_of(path)
    return ()
