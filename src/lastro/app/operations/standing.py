"""What stands at a reference: where history keeps its path, and the entry that was there then. What operations of history share."""

from __future__ import annotations

import contextlib

import msgspec

from lastro.app.operations.capture import real_path
from lastro.app.services import Services
from lastro.domain.ids import LOCAL
from lastro.domain.reference import At, AtNow, Reference
from lastro.domain.snapshot import Snapshot
from lastro.errors import NotFoundError
from lastro.history.answers import Located, Version
from lastro.messages import N_
from lastro.store.tree import TreeEntry, decode_tree_entry, lookup


def locate(services: Services, reference: Reference) -> Located:
    """Where history keeps a path. One of this machine that history does not know is looked for behind the links above it.

    Raises:
        NotFoundError: no captured root holds it.
        UsageError: several roots have such a path.
    """
    timeline, path = services.timeline, reference.path
    behind = real_path(path) if reference.server == LOCAL and path.startswith("/") else path
    if behind == path:
        return timeline.locate(reference.server, path)
    try:
        located = timeline.locate(reference.server, path)
    except NotFoundError:
        return timeline.locate(reference.server, behind)
    if located.path and not timeline.versions(located, limit=1):
        with contextlib.suppress(NotFoundError):
            return timeline.locate(reference.server, behind)
    return located


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at a reference: the snapshot, and the tree entry in it. ``last``: an earlier one than asked, for it was gone by then."""

    located: Located
    snapshot: Snapshot
    entry: TreeEntry
    last: bool


def stand(services: Services, reference: Reference, *, last: bool) -> Standing:
    """What stands at ``reference``. ``last``: without an instant, the last version that existed of what is gone.

    Raises:
        NotFoundError: nothing stood there then.
    """
    located = locate(services, reference)
    bound = services.timeline.bound(reference.at)
    snapshot = services.timeline.snapshot_for(located, reference.at)
    entry = entry_in(services, snapshot, located.path)
    if snapshot is not None and entry is not None:
        return Standing(located=located, snapshot=snapshot, entry=entry, last=False)
    removed = next(
        (
            version
            for version in services.timeline.versions(located, bound=bound)
            if version.operation == "removed"
        ),
        None,
    )
    if last and removed is not None and (reference.at is None or isinstance(reference.at, AtNow)):
        snapshot = services.timeline.snapshot_at(located.target, removed.seq - 1)
        entry = entry_in(services, snapshot, located.path)
        if snapshot is not None and entry is not None:
            return Standing(located=located, snapshot=snapshot, entry=entry, last=True)
    raise _nothing(located, reference.at, removed)


def _nothing(located: Located, at: At | None, removed: Version | None) -> NotFoundError:
    if at is None and removed is not None:
        return NotFoundError(
            N_("{path} is deleted since snap-{number}."),
            hint=N_("Its last version: add '@snap-{number}^'. All versions: 'lastro log {path}'."),
            path=located.absolute,
            number=removed.snapshot,
        )
    return NotFoundError(
        N_("{path} was not there at that instant."),
        hint=N_("See its versions with 'lastro log {path}'."),
        path=located.absolute,
    )


def entry_in(services: Services, snapshot: Snapshot | None, path: str) -> TreeEntry | None:
    """The entry of a path in a snapshot's tree."""
    return lookup(services.repository, decode_tree_entry(snapshot.root), path) if snapshot else None
