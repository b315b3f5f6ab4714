"""``Watcher``: a change feed over roots, and its implementation by inotify in a thread of its own.

What always holds: memory is bounded; whatever goes wrong with watching becomes an ``overflow`` and a notice, never silence; and after
``close`` no descriptor and no thread is left. How events are understood is in ``capture.watching``.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from lastro.capture.feed import MAXIMUM_REMEMBERED, ChangeFeed
from lastro.capture.notice import Notice, Notify, log_notice
from lastro.capture.scope import Scope
from lastro.capture.source import Changes, Root
from lastro.capture.watching import WatchedRoot, Watching
from lastro.errors import LastroError
from lastro.filesystem.inotify import Inotify
from lastro.filesystem.mounts import MOUNTINFO, Mount, read_mounts
from lastro.messages import N_, Message

CHECK_INTERVAL_S: Final = 5.0
"""How often it is looked whether a root is still the same directory (nothing tells when one above it is renamed)."""
RESCAN_INTERVAL_S: Final = 300.0
"""How often a root that cannot be watched is announced to be listed again."""


class Watcher(Protocol):
    """A change feed over roots. Bounded in memory; any number of readers, each with a cursor."""

    def set_roots(self, roots: Sequence[Root]) -> None:
        """Watch these roots and no others. When it returns, every change from now on will be told."""
        ...

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """As ``Source.changes``; ``cursor`` ``None`` returns at once."""
        ...

    def close(self) -> None:
        """Stop watching. No descriptor and no thread stays; readers that wait are woken, and nobody waits any more."""
        ...


class InotifyWatcher:
    """``Watcher`` by inotify.

    ``honoured_markers`` and ``notify`` as for ``LocalSource``. ``first_cursor`` and ``maximum_remembered``: see ``ChangeFeed``.
    ``maximum_watches`` bounds the watches taken (``None``: only the kernel does). ``queue`` makes the kernel's queue, ``mounts`` reads
    the mount table. The intervals are in seconds.
    """

    def __init__(
        self,
        roots: Sequence[Root],
        *,
        first_cursor: int,
        honoured_markers: frozenset[str] = frozenset(),
        notify: Notify = log_notice,
        maximum_watches: int | None = None,
        maximum_remembered: int = MAXIMUM_REMEMBERED,
        check_interval_s: float = CHECK_INTERVAL_S,
        rescan_interval_s: float = RESCAN_INTERVAL_S,
        queue: Callable[[], Inotify] = Inotify,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
    ) -> None:
        """Watch ``roots``; returns when every change from now on will be told.

        Raises:
            ConfigError: an exclude pattern of a root makes no sense.
            LastroError: the user has no inotify instance left.
        """
        self._notify = notify
        self._check_interval_s = check_interval_s
        self._rescan_interval_s = rescan_interval_s
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._limping = False
        self._wanted: list[tuple[list[WatchedRoot], threading.Event]] = []
        self._feed = ChangeFeed(first_cursor=first_cursor, maximum_remembered=maximum_remembered)

        def scope_of(root: Root) -> Scope:
            return Scope(root, honoured_markers=honoured_markers, notify=_say_nothing, mounts=mounts)

        self._scope_of = scope_of
        first = self._prepare(roots)
        self._watching = Watching(
            _make_queue(queue),
            self._feed,
            scope_of=scope_of,
            notify=notify,
            rescan_interval_s=rescan_interval_s,
            maximum_watches=maximum_watches,
            make_queue=queue,
            mounts=mounts,
            stop=self._closing.is_set,
        )
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._mount_table = _open_mount_table()
        self._thread = threading.Thread(target=self._run, name="lastro-watch", daemon=True)
        self._thread.start()
        self._hand_over(first)

    def set_roots(self, roots: Sequence[Root]) -> None:
        """See ``Watcher``. Raises ``ConfigError`` for an exclude pattern that makes no sense, and then changes nothing."""
        self._hand_over(self._prepare(roots))

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """See ``Watcher``."""
        return self._feed.changes(cursor, timeout_s)

    def close(self) -> None:
        """See ``Watcher``. Closing twice is harmless."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._feed.close()
        self._watching.close()
        os.close(self._wake)
        if self._mount_table is not None:
            os.close(self._mount_table)

    def _prepare(self, roots: Sequence[Root]) -> list[WatchedRoot]:
        return [WatchedRoot(root, self._scope_of(root)) for root in roots]

    def _hand_over(self, wanted: list[WatchedRoot]) -> None:
        """Let our thread take these roots, and wait until it has."""
        done = threading.Event()
        with self._lock:
            if self._closing.is_set():
                return
            if self._limping:
                self._feed.set_roots(each.root.path for each in wanted)
                return
            self._wanted.append((wanted, done))
            os.eventfd_write(self._wake, 1)
        done.wait()

    # From here on everything happens in our own thread.

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001  a feed that falls silent would be believed
            self._limp(error)
        finally:
            with self._lock:
                orders, self._wanted = self._wanted, []
            for _, done in orders:
                done.set()

    def _loop(self) -> None:
        next_check = time.monotonic() + self._check_interval_s
        next_rescan = time.monotonic() + self._rescan_interval_s
        while not self._closing.is_set():
            mounts_moved = self._wait(max(0.0, min(next_check, next_rescan) - time.monotonic()))
            self._take_orders()
            self._watching.take_events()
            if mounts_moved:
                self._watching.look_at_mounts()
            if time.monotonic() >= next_check:
                self._watching.check_roots()
                next_check = time.monotonic() + self._check_interval_s
            if time.monotonic() >= next_rescan:
                self._watching.announce_degraded()
                next_rescan = time.monotonic() + self._rescan_interval_s

    def _wait(self, timeout_s: float) -> bool:
        """Until there is something to do. Returns whether the mount table changed; the kernel says that only once."""
        poll = select.poll()
        poll.register(self._watching.descriptor, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        if self._mount_table is not None:
            poll.register(self._mount_table, select.POLLPRI)
        return any(descriptor == self._mount_table for descriptor, _ in poll.poll(timeout_s * 1000))

    def _take_orders(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        with self._lock:
            orders, self._wanted = self._wanted, []
        for wanted, done in orders:
            try:
                self._watching.change_roots(wanted)
            finally:
                done.set()

    def _limp(self, error: Exception) -> None:
        """Something broke: say so, and from now on announce every root from time to time."""
        with self._lock:
            self._limping = True
            for wanted, done in self._wanted:
                self._feed.set_roots(each.root.path for each in wanted)
                done.set()
        sentence = N_("Watching broke ({error}): everything is listed again every {seconds} seconds instead.")
        parameters = {"error": repr(error), "seconds": round(self._rescan_interval_s)}
        self._notify(
            Notice(
                code="watch_lost", root="", path="", message=Message(msgid=sentence, parameters=parameters)
            )
        )
        self._feed.overflow_all()
        while not self._closing.wait(self._rescan_interval_s):
            self._feed.overflow_all()


def _make_queue(queue: Callable[[], Inotify]) -> Inotify:
    try:
        return queue()
    except OSError as error:
        raise LastroError(
            N_("The kernel gives no more inotify instances: {reason}."),
            hint=N_("Raise the limit: sysctl fs.inotify.max_user_instances=1024"),
            reason=error.strerror,
        ) from error


def _open_mount_table() -> int | None:
    """It can be polled for changes; ``None`` where there is no ``/proc``."""
    try:
        return os.open(MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _say_nothing(_: Notice) -> None:
    """Listings have said it already."""
