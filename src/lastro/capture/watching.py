"""What the events of inotify mean for the roots that are watched.

What always holds: a directory is watched before it is announced, so whatever happens in it later is seen and whatever happened before is
found by the listing that the announcement asks for; names are bytes; nothing outside a root, behind a link, on a mount that is left out
or in a marked directory of ours is watched.

A name that appears, disappears or moves is handled by one rule, whatever the order of events: forget what was watched there, look what is
there now, watch that. When events arrive the disk has moved on; the last event of a name always comes after its last change, so the rule
ends at the truth, and nothing cleverer (pairing cookies, moving watches along) does in all cases. Used by one thread only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from lastro.capture.feed import ChangeFeed
from lastro.capture.notice import Notice, Notify
from lastro.capture.scope import Scope, touches_marker
from lastro.capture.source import ChangedPath, Root
from lastro.capture.watched import OutOfWatchesError, Place, WatchTree
from lastro.domain.paths import from_bytes, is_within, join, relative_to
from lastro.filesystem import inotify
from lastro.filesystem.beneath import open_root
from lastro.filesystem.inotify import Inotify, InotifyEvent
from lastro.filesystem.mounts import Mount
from lastro.messages import N_, Message

_MEMBERS: Final = inotify.IN_CREATE | inotify.IN_DELETE | inotify.IN_MOVED_FROM | inotify.IN_MOVED_TO
_SELF: Final = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_UNMOUNT


class WatchedRoot:
    """One root as it is watched: the directory it was (device and inode, ``None``: absent), and whether watches ran out for it."""

    def __init__(self, root: Root, scope: Scope) -> None:
        self.root = root
        self.scope = scope
        self.identity: tuple[int, int] | None = None
        self.degraded = False


class Watching:
    """The roots, their watches and the queue. Everything that is found out goes into ``feed``.

    ``make_queue`` makes a new queue when the kernel's overflowed; ``stop`` ends long work; for the rest see ``InotifyWatcher``.
    """

    def __init__(
        self,
        queue: Inotify,
        feed: ChangeFeed,
        *,
        scope_of: Callable[[Root], Scope],
        notify: Notify,
        rescan_interval_s: float,
        maximum_watches: int | None,
        make_queue: Callable[[], Inotify],
        mounts: Callable[[], tuple[Mount, ...]],
        stop: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._feed = feed
        self._scope_of = scope_of
        self._notify = notify
        self._rescan_interval_s = rescan_interval_s
        self._maximum_watches = maximum_watches
        self._make_queue = make_queue
        self._read_mounts = mounts
        self._stop = stop
        self._roots: dict[str, WatchedRoot] = {}
        self._tree = WatchTree(queue, maximum=maximum_watches)
        self._known_mounts = _points(mounts())

    @property
    def descriptor(self) -> int:
        """Readable when there are events to take."""
        return self._queue.descriptor

    def close(self) -> None:
        """Give the kernel's queue back."""
        self._queue.close()

    def change_roots(self, wanted: Sequence[WatchedRoot]) -> None:
        """Watch these roots and no others; announce what is new or is watched by other rules than before."""
        before, after = self._roots, {each.root.path: each for each in wanted}
        other_rules = []
        for path, old in before.items():
            new = after.get(path)
            if new is not None and new.root == old.root and not old.degraded:
                after[path] = old
                continue
            self._tree.forget(Place(path, ""))
            if new is not None:
                other_rules.append(path)
        self._roots = after
        for path, each in after.items():
            if before.get(path) is not each:
                self._watch_root(each)
        self._feed.set_roots(after)
        self._announce(other_rules)

    def take_events(self) -> None:
        """Understand what the queue holds now."""
        changed: list[ChangedPath] = []
        for event in self._queue.read():
            if event.mask & inotify.IN_Q_OVERFLOW:
                self._start_over()
                return
            for place in self._tree.places_of(event.watch):
                changed += self._understand(event, place)
                if event.mask & inotify.IN_IGNORED:  # the kernel has ended this watch
                    self._tree.forget(place)
        if changed:
            self._feed.add(changed)

    def look_at_mounts(self) -> None:
        """Something was mounted or unmounted: look again at exactly those places."""
        now = _points(self._read_mounts())
        moved = [
            point for point in self._known_mounts | now if self._known_mounts.get(point) != now.get(point)
        ]
        self._known_mounts = now
        changed: list[ChangedPath] = []
        for watched in self._roots.values():
            root = watched.root.path
            below = [relative_to(point, root) for point in moved if point != root and is_within(point, root)]
            if below:
                watched.scope = self._scope_of(watched.root)
            for path in below:
                changed += self._look_again(watched, path)
        self.check_roots()
        if changed:
            self._feed.add(changed)

    def check_roots(self) -> None:
        """Look whether every root is still the directory that is watched; one that is not is watched from scratch and announced."""
        for watched in self._roots.values():
            self._check_root(watched)

    def announce_degraded(self) -> None:
        """Have the roots that could not be watched listed again."""
        self._announce([path for path, watched in self._roots.items() if watched.degraded])

    def _announce(self, roots: Iterable[str]) -> None:
        lost = list(roots)
        if lost:
            self._feed.overflow(lost)

    def _watch_root(self, watched: WatchedRoot) -> None:
        """Watch a root from scratch. The caller announces it."""
        watched.degraded = False
        watched.identity = None
        self._watch(watched, "")

    def _watch(self, watched: WatchedRoot, path: str) -> None:
        """Forget what was watched at ``path`` and watch what is there now."""
        place = Place(watched.root.path, path)
        if watched.degraded:
            return
        try:
            root = open_root(watched.root.path)
        except OSError:
            self._tree.forget(place)
            return
        try:
            if path == "":
                watched.identity = _identity(root)
            self._tree.watch_below(place, watched.scope, root, stop=self._stop)
        except OutOfWatchesError:
            self._degrade(watched)
        finally:
            os.close(root)

    def _degrade(self, watched: WatchedRoot) -> None:
        """Give up the watches of a root and announce it from time to time instead."""
        watched.degraded = True
        self._tree.forget(Place(watched.root.path, ""))
        self._feed.overflow([watched.root.path])
        sentence = N_(
            "There are not enough inotify watches for {root}: it is listed again every {seconds} seconds instead. "
            "Raise the limit: sysctl fs.inotify.max_user_watches=1048576"
        )
        parameters = {"root": watched.root.path, "seconds": round(self._rescan_interval_s)}
        message = Message(msgid=sentence, parameters=parameters)
        self._notify(Notice(code="not_watched", root=watched.root.path, path="", message=message))

    def _understand(self, event: InotifyEvent, place: Place) -> list[ChangedPath]:
        """What one event at one place means."""
        watched = self._roots[place.root]
        if event.name:
            return self._understand_name(event, watched, place.path)
        if event.mask & _SELF and place.path == "":
            self._check_root(watched)
        elif event.mask & inotify.IN_UNMOUNT:
            return self._look_again(watched, place.path)
        elif not event.mask & (_SELF | inotify.IN_IGNORED):
            return [ChangedPath(root=place.root, path=place.path)]
        return []

    def _understand_name(
        self, event: InotifyEvent, watched: WatchedRoot, directory: str
    ) -> list[ChangedPath]:
        """What an event of a name in a directory means. When members come or go the directory itself has changed too: its time."""
        path = join(directory, from_bytes(event.name))
        root = watched.root.path
        if touches_marker(path):
            return self._look_again(watched, directory)
        changed = [ChangedPath(root=root, path=directory)] if event.mask & _MEMBERS else []
        is_directory = bool(event.mask & inotify.IN_ISDIR)
        if watched.scope.by_name(path, is_directory=is_directory):
            return changed
        if is_directory and event.mask & _MEMBERS:
            return changed + self._look_again(watched, path)
        return [*changed, ChangedPath(root=root, path=path)]

    def _look_again(self, watched: WatchedRoot, path: str) -> list[ChangedPath]:
        self._watch(watched, path)
        return [ChangedPath(root=watched.root.path, path=path, recursive=True)]

    def _check_root(self, watched: WatchedRoot) -> None:
        try:
            root = open_root(watched.root.path)
        except OSError:
            identity = None
        else:
            identity = _identity(root)
            os.close(root)
        if identity != watched.identity:
            self._tree.forget(Place(watched.root.path, ""))
            self._watch_root(watched)
            self._feed.overflow([watched.root.path])

    def _start_over(self) -> None:
        """The kernel dropped events, so what is watched is unknown: a new queue, all watches anew, all roots announced."""
        try:
            queue = self._make_queue()
        except OSError:  # no instance left
            for watched in self._roots.values():
                self._degrade(watched)
            return
        self._queue.close()
        self._queue = queue
        self._tree = WatchTree(queue, maximum=self._maximum_watches)
        for watched in self._roots.values():
            self._watch_root(watched)
        self._announce(self._roots)


def _identity(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino


def _points(mounts: Iterable[Mount]) -> dict[str, int]:
    """What is seen at each mount point; of several the last."""
    return {mount.point: mount.mount_id for mount in mounts}
