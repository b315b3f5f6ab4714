"""Continuous protection of one server: follow its change feed, decide when, capture. One thread per server.

    state        what happens                                                    next
    starting     open the feed, list every root in full                          following
    following    changes go into the cadence; what is due is captured together   following; cut → waiting
    waiting      out of reach, or a capture failed: try again, more slowly       starting

The feed is opened *before* the first listing, so a change during it is captured afterwards. After a cut everything is listed again: a stat
of each path, no content that the stat cache vouches for. Once a day a full listing makes sure that no change was missed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lastro.capture.source import ChangedPath, Changes, Source
from lastro.domain.clock import Clock
from lastro.domain.ids import ServerId
from lastro.domain.paths import is_within, relative_to
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor
from lastro.domain.snapshot import Reason
from lastro.domain.target import Target, TargetKind
from lastro.errors import LastroError, NotFoundError, UnreachableError
from lastro.keeper.cadence import SECOND, Cadence, CadenceRules
from lastro.keeper.capture_cycle import CaptureCycle, CaptureResult
from lastro.messages import N_

_DAY_NS = 24 * 3600 * SECOND
_POLL_S = 0.5
_RETRY_SHORTEST_S = 1.0
_RETRY_LONGEST_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RootProgress:
    """What the keeper knows of one watched root. ``checked_ns``: keeper's clock at the last full listing, 0 before the first."""

    path: str
    checked_ns: int = 0
    missing: bool = False
    pending: int = 0
    oldest_change_ns: int | None = None
    """Monotonic clock at the oldest change that is not captured yet."""
    good_ns: int = 0
    """Keeper's clock: until when everything in it is known to be kept; 0 while nobody knows, such as during a listing after a cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReports:
    """Where a pull says what happens. Called from its thread; must be quick and must not raise."""

    captured: Callable[[Target, CaptureResult], None]
    problem: Callable[[LastroError], None]
    missing: Callable[[str], None] = lambda _: None
    overflow: Callable[[str], None] = lambda _: None
    roots: Callable[[Sequence[str]], None] = lambda _: None
    progress: Report = field(default=silent)


class ServerPull:
    """Protects one server until ``close``."""

    def __init__(
        self,
        server: ServerId,
        source: Source,
        cycle: CaptureCycle,
        *,
        actor: Actor,
        clock: Clock,
        reports: PullReports,
        rules: CadenceRules | None = None,
    ) -> None:
        self._server = server
        self._source = source
        self._cycle = cycle
        self._actor = actor
        self._clock = clock
        self._reports = reports
        self._cadence: Cadence[ChangedPath] = Cadence(rules or CadenceRules(), clock.monotonic_ns())
        self._roots: dict[str, RootProgress] = {}
        self._full: dict[str, Reason] = {}
        self._followed_ns = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lastro-pull-{server[:8]}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for a capture that is under way. Close the source's link first, so that nobody waits for a dead server."""
        self._stopped.set()
        self._thread.join()

    def wait_settled(self, timeout_s: float) -> bool:
        """Whether every root has been listed in full once (or was found missing), waiting up to ``timeout_s`` seconds."""
        return self._settled.wait(timeout_s)

    def progress(self) -> dict[str, RootProgress]:
        """The watched roots as they are known, by path."""
        with self._lock:
            pending = self._cadence.pending_keys()
            return {path: self._known(root, pending) for path, root in self._roots.items()}

    def _known(self, root: RootProgress, pending: Mapping[ChangedPath, int]) -> RootProgress:
        waiting = [since for key, since in pending.items() if key.root == root.path]
        oldest = min(waiting, default=None)
        good = 0
        if root.checked_ns and not root.missing and root.path not in self._full:
            good = max(root.checked_ns, self._followed_ns)
            if oldest is not None:
                good = min(good, self._clock.wall_ns() - (self._clock.monotonic_ns() - oldest))
        return replace(root, pending=len(waiting), oldest_change_ns=oldest, good_ns=good)

    def capture_now(self, path: str) -> list[tuple[str, CaptureResult]]:
        """Capture the watched root that holds the absolute ``path``, only that path of it; or with ``""`` every root.

        Raises:
            NotFoundError: no watched root holds it.
            UnreachableError: the server does not answer.
        """
        roots = [root.path for root in self._source.roots()]
        if path:
            holding = [root for root in roots if is_within(path, root)]
            if not holding:
                raise NotFoundError(
                    N_("{path} is not watched."),
                    hint=N_("Watch it with 'lastro node roots add {path}' on its server."),
                    path=path,
                )
            roots = [max(holding, key=len)]
        return [(root, self._capture(root, self._below(root, path), Reason.REQUEST)) for root in roots]

    def _below(self, root: str, path: str) -> list[ChangedPath] | None:
        if path in {"", root}:
            return None
        return [ChangedPath(root=root, path=relative_to(path, root), recursive=True)]

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        retry_s = _RETRY_SHORTEST_S
        while not self._stopped.is_set():
            began_ns = self._clock.monotonic_ns()
            try:
                self._follow()
            except UnreachableError:
                pass  # the link reports it; it comes back by itself
            except LastroError as error:
                self._report(error)
            except Exception as error:  # noqa: BLE001  protection must never end in silence, whatever went wrong
                self._report(
                    LastroError(
                        N_("A capture failed in a way nobody expected: {reason}"),
                        hint=N_("It is tried again. Please report it."),
                        reason=f"{type(error).__name__}: {error}",
                    )
                )
            else:
                return
            if self._clock.monotonic_ns() - began_ns > _RETRY_LONGEST_S * SECOND:
                retry_s = _RETRY_SHORTEST_S  # it had gone well for a while
            self._stopped.wait(retry_s)
            retry_s = min(retry_s * 2, _RETRY_LONGEST_S)

    def _report(self, error: LastroError) -> None:
        if not self._stopped.is_set():
            self._reports.problem(error)

    def _follow(self) -> None:
        cursor = self._source.changes(None, 0).cursor
        self._look_at_roots(again=True)
        while not self._stopped.is_set():
            self._capture_due()
            asked_ns = self._clock.wall_ns()
            changes = self._source.changes(cursor, self._patience_s())
            cursor = changes.cursor
            self._take(changes)
            self._followed_ns = asked_ns  # what had changed by then was told, and is kept or pending

    def _patience_s(self) -> float:
        """How long to wait for news: until something is due, and never so long that stopping takes a while."""
        now = self._clock.monotonic_ns()
        with self._lock:
            due = self._cadence.next_due_ns(now)
        if self._full:
            return 0
        return _POLL_S if due is None else min(max((due - now) / SECOND, 0.01), _POLL_S)

    def _take(self, changes: Changes) -> None:
        now = self._clock.monotonic_ns()
        if changes.roots_changed:
            self._look_at_roots(again=False)
        for root in changes.overflow:
            if root in self._roots and root not in self._full:
                self._reports.overflow(root)
                self._full[root] = Reason.CHANGE
        with self._lock:
            for changed in changes.paths:
                if changed.root in self._roots:
                    self._cadence.changed(changed, now)
        for path, progress in self._roots.items():
            if progress.checked_ns and self._clock.wall_ns() - progress.checked_ns > _DAY_NS:
                self._full.setdefault(path, Reason.SCHEDULE)

    def _look_at_roots(self, *, again: bool) -> None:
        """Ask which roots are watched; list new ones in full (``again``: all of them)."""
        watched = [root.path for root in self._source.roots()]
        with self._lock:
            known, self._roots = (
                self._roots,
                {path: self._roots.get(path, RootProgress(path=path)) for path in watched},
            )
        for path in watched:
            if again or path not in known:
                self._full[path] = Reason.CHANGE
        if self._settled.is_set() and list(known) != watched:
            self._reports.roots(watched)

    def _capture_due(self) -> None:
        while self._full and not self._stopped.is_set():
            root, reason = next(iter(self._full.items()))
            del self._full[root]
            if root in self._roots:
                self._capture_or_miss(root, None, reason)
        self._settled.set()
        now = self._clock.monotonic_ns()
        with self._lock:
            due = self._cadence.due(now)
        for root in dict.fromkeys(path.root for path in due):
            paths = [path for path in due if path.root == root]
            started = self._clock.monotonic_ns()
            if root in self._roots:
                self._capture_or_miss(root, paths, Reason.CHANGE)
            ended = self._clock.monotonic_ns()
            with self._lock:
                self._cadence.captured(paths, ended, ended - started)

    def _capture_or_miss(self, root: str, paths: Sequence[ChangedPath] | None, reason: Reason) -> None:
        """Capture; a root that is gone is told once, and its history stays. The feed says when it is back."""
        try:
            self._capture(root, paths, reason)
        except NotFoundError:
            if not self._roots[root].missing:
                self._reports.missing(root)
            with self._lock:
                self._roots[root] = replace(self._roots[root], missing=True)

    def _capture(self, root: str, paths: Sequence[ChangedPath] | None, reason: Reason) -> CaptureResult:
        target = Target(self._server, TargetKind.FILES, root)
        result = self._cycle.capture(
            self._source, target, actor=self._actor, reason=reason, paths=paths, report=self._reports.progress
        )
        with self._lock:
            if result.full and root in self._roots:
                self._roots[root] = replace(
                    self._roots[root], checked_ns=self._clock.wall_ns(), missing=False
                )
        self._reports.captured(target, result)
        return result
