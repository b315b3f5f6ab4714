"""One capture: list a source, read what changed, write the tree, commit the record. When it returns, the snapshot is acknowledged.

A *full* capture lists the whole root and merges it with the newest tree and the stat cache, all three in tree order, so memory stays
bounded by the largest directory. A *partial* one looks again only at the directories that hold changed paths. Both read a file's content
only when the stat cache cannot vouch for it. A partial capture that meets a hard-link group becomes a full one, because only a full
listing can say which member comes first.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from msgspec import Struct

from lastro.capture.source import ChangedPath, Source
from lastro.domain.clock import Clock
from lastro.domain.ids import LOCAL
from lastro.domain.paths import to_bytes
from lastro.domain.progress import Progress, Report, silent
from lastro.domain.record import Actor, RecordKind, RecordTarget
from lastro.domain.snapshot import Reason, SnapshotBody, SnapshotWarning, Statistics
from lastro.domain.target import Target
from lastro.keeper.capture_run import CaptureRun
from lastro.keeper.capture_state import CaptureState
from lastro.keeper.partial_capture import NeedsFullError, capture_partly
from lastro.keeper.touched_capture import capture_touched
from lastro.store.repository import RecordDraft, Repository
from lastro.store.tree import TreeEntry, encode_tree_entry


class CaptureResult(Struct, frozen=True, kw_only=True):
    """The snapshot that now stands: its record's ``seq``, and whether it is an older one because nothing had changed.

    ``full``: everything was listed, whatever was asked.
    """

    seq: int
    time_ns: int
    unchanged: bool
    full: bool
    statistics: Statistics
    warnings: tuple[SnapshotWarning, ...]


class CaptureCycle:
    """Captures targets into one repository. Captures of the same target wait for each other."""

    def __init__(self, repository: Repository, state: CaptureState, clock: Clock) -> None:
        self._repository = repository
        self._state = state
        self._clock = clock
        self._locks: dict[Target, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def capture(
        self,
        source: Source,
        target: Target,
        *,
        actor: Actor,
        reason: Reason,
        paths: Sequence[ChangedPath] | None = None,
        only: bool = False,
        report: Report = silent,
    ) -> CaptureResult:
        """Capture ``target`` from ``source``, whose root is ``target.path``.

        ``paths``: look only at these (``None``: everything). ``only``: the target is nothing but these paths and what leads to them.

        Raises:
            NotFoundError: the root is gone.
            ProtocolError, UnreachableError: nothing was committed.
        """
        started_ns, started_wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        with self._lock(target), self._repository.begin() as transaction:
            run = CaptureRun(
                repository=self._repository,
                transaction=transaction,
                state=self._state,
                source=source,
                target=target,
                report=_patient(report, self._clock, started_ns),
            )
            root, full = _look(run, paths, only=only)
            encoded = encode_tree_entry(root)
            if run.head is not None and run.head.body.root == encoded:
                return self._settle(
                    run, run.head.seq, self._clock.wall_ns(), run.head.body.statistics, full=full
                )
            duration_ns = self._clock.monotonic_ns() - started_ns
            body = SnapshotBody(
                node_time_ns=started_wall_ns if target.server == LOCAL else None,
                reason=(Reason.FIRST if run.head is None else reason).value,
                root=encoded,
                statistics=run.statistics(root, full=full, duration_ns=duration_ns),
                warnings=[
                    (to_bytes(warning.path), warning.kind.value, warning.detail) for warning in run.warnings
                ],
            )
            record_target = RecordTarget(kind=target.kind.value, path=to_bytes(target.path))
            (stored,) = transaction.commit(
                RecordDraft(
                    kind=RecordKind.SNAPSHOT,
                    actor=actor,
                    server=target.server,
                    target=record_target,
                    body=body,
                )
            )
            return self._settle(run, stored.seq, stored.record.time_ns, body.statistics, full=full)

    def _settle(
        self, run: CaptureRun, seq: int, time_ns: int, statistics: Statistics, *, full: bool
    ) -> CaptureResult:
        """Remember what was read, now that the snapshot ``seq`` stands."""
        run.remember(all_of_it=full)
        if full:
            self._state.checked(run.target, self._clock.wall_ns())
        return CaptureResult(
            seq=seq,
            time_ns=time_ns,
            unchanged=run.head is not None and run.head.seq == seq,
            full=full,
            statistics=statistics,
            warnings=tuple(run.warnings),
        )

    def _lock(self, target: Target) -> threading.Lock:
        with self._locks_lock:
            return self._locks.setdefault(target, threading.Lock())


def _look(run: CaptureRun, paths: Sequence[ChangedPath] | None, *, only: bool) -> tuple[TreeEntry, bool]:
    """The root as it is now, and whether everything was listed for it."""
    if paths is not None and only:
        return capture_touched(run, paths), False
    if paths is None or run.before is None:
        return run.full(), True
    try:
        return capture_partly(run, paths), False
    except NeedsFullError:
        return run.full(), True


def _patient(report: Report, clock: Clock, started_ns: int) -> Report:
    """Only work that takes a while has progress worth telling."""

    def tell(progress: Progress) -> None:
        if clock.monotonic_ns() - started_ns > _SILENT_NS:
            report(progress)

    return tell


_SILENT_NS = 1_000_000_000
