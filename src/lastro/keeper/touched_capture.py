"""A capture of a target that is nothing but some paths and the directories that lead to them.

It is what an apply touches in a place that nobody watches.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lastro.capture.source import ChangedPath
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import tree_order
from lastro.keeper.capture_run import CaptureRun
from lastro.keeper.standing import checked_listing, topmost
from lastro.store.tree import TreeEntry, to_tree_entry, update


def capture_touched(run: CaptureRun, paths: Sequence[ChangedPath]) -> TreeEntry:
    """The newest tree with ``paths`` as they are now, each with everything below it.

    Raises:
        NotFoundError: the directory that holds them is gone.
    """
    edits: dict[str, TreeEntry | None] = {}
    for path in topmost(path.path for path in paths):
        leading = _leading(path)
        for directory in leading:
            if directory not in edits:
                edits[directory] = _alone(run, directory)
        if all(edits[directory] is not None for directory in leading):
            listing = run.source.list(run.target.path, (path,), recursive=True)
            edits[path] = run.build(listing, path, lambda _: (None, None))
    if edits.get("") is None:
        raise run.root_is_gone()
    if run.before is None:
        edits = {path: entry for path, entry in edits.items() if entry is not None}
    root = update(run.transaction, run.transaction, run.before, _without_orphans(edits))
    assert root is not None
    return msgspec.structs.replace(root, name=b"")


def _alone(run: CaptureRun, path: str) -> TreeEntry | None:
    """A directory's own entry, without what it holds; ``None`` when it is not there."""
    listing = checked_listing(run.source.list(run.target.path, (path,), recursive=False), path)
    first = next(iter(listing), None)
    if not isinstance(first, Entry) or first.type is not EntryType.DIRECTORY:
        return None
    return to_tree_entry(first)


def _without_orphans(edits: dict[str, TreeEntry | None]) -> dict[str, TreeEntry | None]:
    """The edits without those below a directory that they remove."""
    kept: dict[str, TreeEntry | None] = {}
    for path in sorted(edits, key=tree_order):
        if all(kept.get(directory, edits.get(directory)) is not None for directory in _leading(path)):
            kept[path] = edits[path]
    return kept


def _leading(path: str) -> list[str]:
    """The directories from the root down to, and not including, ``path``."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts))] if path else []
