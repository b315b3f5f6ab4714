"""``ConfinedTimeline``: the wall around what a run may ask of history.

It has the same questions as ``Timeline``, and for everything that is not the run's it answers as if it had never been captured. What
always holds: a path is judged as history itself finally understood it, after every ``..`` and every link above it, so there is nothing to
be gained by the way it is written.

What runs made (targets of kind ``run``) stands in nobody's history here: it was never live. A run sees it in the project's proposals.
"""

from __future__ import annotations

from typing_extensions import override

from lastro.app.runs.scope import RunScope
from lastro.domain.entry import EntryType
from lastro.domain.ids import LOCAL, ApplyNumber, ServerId, SnapshotNumber
from lastro.domain.paths import from_bytes, is_within, join
from lastro.domain.server import Server
from lastro.domain.snapshot import Snapshot
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError
from lastro.history.answers import Apply, Found, Located, TimelineSnapshot, Version
from lastro.history.timeline import Timeline
from lastro.messages import N_


class ConfinedTimeline(Timeline):
    """See the module."""

    def __init__(self, timeline: Timeline, scope: RunScope) -> None:
        super().__init__(timeline.projection)
        self._scope = scope

    @override
    def servers(self) -> list[Server]:
        """See ``Timeline``: this machine."""
        return [server for server in super().servers() if server.id == LOCAL]

    @override
    def certificate(self, server: ServerId) -> bytes:
        """See ``Timeline``: nothing of it is history."""
        del server
        return b""

    @override
    def targets(self, server: ServerId | None = None) -> list[Target]:
        """See ``Timeline``: those that hold the project, or lie in it."""
        return [target for target in super().targets(server) if self._has(target)]

    @override
    def locate(self, server_name: str, path: str) -> Located:
        """See ``Timeline``. A relative path is seen from the project.

        Raises:
            DeniedError: it is not this run's to see.
        """
        path = self._scope.absolute(path)
        if not self._scope.holds(path):
            raise self._scope.outside(path)
        located = super().locate(server_name, path)
        if not (self._scope.may_read(located.absolute) or self._leads(located)):
            raise self._scope.outside(located.absolute)
        return located

    @override
    def snapshot(self, number: SnapshotNumber) -> Snapshot:
        """See ``Timeline``."""
        snapshot = super().snapshot(number)
        if not self._has(snapshot.target):
            raise NotFoundError(
                N_("There is no snapshot snap-{number}."), hint=N_("See 'lastro log'."), number=number
            )
        return snapshot

    @override
    def snapshot_by_seq(self, seq: int) -> Snapshot:
        """See ``Timeline``."""
        snapshot = super().snapshot_by_seq(seq)
        if not self._has(snapshot.target):
            raise NotFoundError(N_("Record {seq} is not a snapshot."), seq=seq)
        return snapshot

    @override
    def snapshot_at(self, target: Target, bound: int | None) -> Snapshot | None:
        """See ``Timeline``."""
        return super().snapshot_at(target, bound) if self._has(target) else None

    @override
    def count_snapshots(self, target: Target | None = None) -> int:
        """See ``Timeline``: of targets that hold the project, or lie in it."""
        targets = self.targets() if target is None else [target]
        return sum(super(ConfinedTimeline, self).count_snapshots(one) for one in targets if self._has(one))

    @override
    def timeline(
        self, located: Located | None, *, bound: int | None = None, limit: int = 0, sample: int = 3
    ) -> list[TimelineSnapshot]:
        """See ``Timeline``; nowhere in particular is the project."""
        if located is None:
            located = self.locate(LOCAL, self._scope.project)
        if not self._has(located.target) or not self._scope.holds(located.absolute):
            return []
        return super().timeline(located, bound=bound, limit=limit, sample=sample)

    @override
    def changes_of(self, seq: int, *, sample: int = 3) -> TimelineSnapshot:
        """See ``Timeline``."""
        self.snapshot_by_seq(seq)
        return super().changes_of(seq, sample=sample)

    @override
    def versions(self, located: Located, *, bound: int | None = None, limit: int = 0) -> list[Version]:
        """See ``Timeline``."""
        if not self._has(located.target) or not (
            self._scope.may_read(located.absolute) or self._leads(located)
        ):
            return []
        return super().versions(located, bound=bound, limit=limit)

    @override
    def find(
        self,
        name: str,
        *,
        server: ServerId | None = None,
        deleted: bool = False,
        limit: int = 0,
        below: str = "",
    ) -> list[Found]:
        """See ``Timeline``: below the project."""
        del below
        found = [
            item
            for item in super().find(name, server=server, deleted=deleted, below=self._scope.project)
            if self._has(item.target) and self._scope.may_read(join(item.target.path, item.path))
        ]
        return found[:limit] if limit else found

    @override
    def apply(self, number: ApplyNumber | None) -> Apply:
        """See ``Timeline``."""
        apply = super().apply(number)
        if not self._concerns(apply):
            raise NotFoundError(
                N_("There is no apply-{number}."), hint=N_("See 'lastro log'."), number=apply.number
            )
        return apply

    @override
    def applies(self, *, limit: int = 0, bound: int | None = None) -> list[Apply]:
        """See ``Timeline``: those that touched the project."""
        found = [apply for apply in super().applies(bound=bound) if self._concerns(apply)]
        return found[:limit] if limit else found

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _has(self, target: Target) -> bool:
        return (
            target.server == LOCAL
            and target.kind in {TargetKind.FILES, TargetKind.TOUCHED}
            and (is_within(self._scope.project, target.path) or is_within(target.path, self._scope.project))
        )

    def _leads(self, located: Located) -> bool:
        """Whether it is a directory above what may be read."""
        if not self._scope.may_list(located.absolute, EntryType.DIRECTORY):
            return False
        newest = super().versions(located, limit=1)
        return bool(newest) and newest[0].type == EntryType.DIRECTORY

    def _concerns(self, apply: Apply) -> bool:
        directory = from_bytes(apply.body.destination)
        return apply.server == LOCAL and any(
            is_within(join(directory, from_bytes(path)), self._scope.project) for path in apply.body.paths
        )
