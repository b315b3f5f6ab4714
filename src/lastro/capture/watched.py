"""Which directory is watched by which number, and under which paths it is seen.

What always holds: a watch of the kernel exists exactly while at least one place needs it. One directory may be seen at several places
(roots that overlap, bind mounts), because the kernel gives the same number for the same directory.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

from lastro.capture.scope import Scope
from lastro.domain.paths import from_bytes, join, name_of, parent_of
from lastro.filesystem.beneath import open_directory
from lastro.filesystem.inotify import Inotify

_FULL: Final = frozenset({errno.ENOSPC, errno.ENOMEM})


class OutOfWatchesError(Exception):
    """The user's watches are used up. Never leaves ``capture``."""


class Place(NamedTuple):
    """A directory as a root sees it: the root's absolute path, and the path below it."""

    root: str
    path: str


class WatchTree:
    """All watches of one ``queue``; ``maximum`` bounds their number (``None``: only the kernel does)."""

    def __init__(self, queue: Inotify, *, maximum: int | None) -> None:
        self._queue = queue
        self._maximum = maximum
        self._places: dict[int, set[Place]] = {}
        self._watches: dict[Place, int] = {}
        self._below: defaultdict[Place, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        """The number of watches in use."""
        return len(self._places)

    def places_of(self, watch: int) -> list[Place]:
        """Where the directory behind this number is seen; nowhere when its watch has been given up."""
        return list(self._places.get(watch, ()))

    def add(self, place: Place, directory: int) -> None:
        """Watch the open ``directory`` as ``place``.

        Raises:
            OutOfWatchesError: there is no watch left.
            OSError: it cannot be watched.
        """
        try:
            watch = self._queue.add(directory)
        except OSError as error:
            if error.errno in _FULL:
                raise OutOfWatchesError from error
            raise
        if self._watches.get(place, watch) != watch:
            self.forget(place)
        self._places.setdefault(watch, set()).add(place)
        self._watches[place] = watch
        if place.path:
            self._below[Place(place.root, parent_of(place.path))].add(name_of(place.path))
        if self._maximum is not None and len(self._places) > self._maximum:
            raise OutOfWatchesError

    def forget(self, place: Place) -> None:
        """Give up what is watched at ``place`` and below it."""
        if place.path:
            self._below[Place(place.root, parent_of(place.path))].discard(name_of(place.path))
        stack = [place]
        while stack:
            here = stack.pop()
            stack.extend(Place(here.root, join(here.path, name)) for name in self._below.pop(here, ()))
            watch = self._watches.pop(here, None)
            if watch is None:
                continue
            places = self._places[watch]
            places.discard(here)
            if not places:
                del self._places[watch]
                self._queue.remove(watch)

    def watch_below(self, place: Place, scope: Scope, root: int, *, stop: Callable[[], bool]) -> None:
        """Watch the directory at ``place`` and all below it that ``scope`` leaves in; what was watched there is forgotten first.

        A directory that is gone or unreadable is passed over: its parent's watch, or nobody, will tell. ``root`` is the root, open.
        ``stop`` is asked now and then, and ends the work.

        Raises:
            OutOfWatchesError: there is no watch left; some may be in place.
        """
        self.forget(place)
        stack = [place.path]
        while stack and not stop():
            path = stack.pop()
            if scope.by_name(path, is_directory=True) or scope.by_mount(path):
                continue
            try:
                directory = open_directory(root, path)
            except OSError:
                continue
            try:
                stack.extend(self._watch_one(Place(place.root, path), scope, directory))
            except OSError:
                continue
            finally:
                os.close(directory)

    def _watch_one(self, place: Place, scope: Scope, directory: int) -> list[str]:
        """Watch one open directory, and only then look into it; returns the directories in it."""
        device = os.fstat(directory).st_dev
        if scope.by_mount(place.path, device) or scope.by_marker(place.path, directory):
            return []
        self.add(place, directory)
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [join(place.path, from_bytes(os.fsencode(name))) for name in names]
