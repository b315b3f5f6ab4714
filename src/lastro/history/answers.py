"""What history answers with."""

from __future__ import annotations

from msgspec import Struct

from lastro.domain.ids import ApplyNumber, ServerId, SnapshotNumber
from lastro.domain.paths import join
from lastro.domain.record import ApplyBody
from lastro.domain.server import Server
from lastro.domain.target import Target


class Located(Struct, frozen=True, kw_only=True):
    """A path that history knows: the target that holds it, and its path in that target's tree."""

    server: Server
    target: Target
    path: str

    @property
    def absolute(self) -> str:
        """The absolute path on its server."""
        return join(self.target.path, self.path)


class Version(Struct, frozen=True, kw_only=True):
    """One version of one path. ``operation``: ``added``, ``changed`` or ``removed``."""

    path: str
    snapshot: SnapshotNumber
    seq: int
    time_ns: int
    reason: str
    operation: str
    type: str
    size: int
    digest: bytes | None
    torn: bool


class TimelineSnapshot(Struct, frozen=True, kw_only=True):
    """A snapshot with the changes it brought, below the path that was asked. ``warnings``: how many it carries in all."""

    snapshot: SnapshotNumber
    seq: int
    target: Target
    time_ns: int
    reason: str
    warnings: int
    added: int
    changed: int
    removed: int
    paths: tuple[str, ...]


class Apply(Struct, frozen=True, kw_only=True):
    """A recorded apply."""

    number: ApplyNumber
    seq: int
    server: ServerId
    time_ns: int
    actor: str
    body: ApplyBody


class Found(Struct, frozen=True, kw_only=True):
    """A path that a search matched: its newest version that existed, how many versions, and since when it is gone (``None``: it exists)."""

    target: Target
    path: str
    version: Version
    versions: int
    deleted_ns: int | None


class Neighbours(Struct, frozen=True, kw_only=True):
    """Snapshots that changed a place, seen from an instant: the one whose change stands then, those before and after it, and how many there
    are. 0: there is none.
    """

    standing: int
    older: int
    newer: int
    count: int
