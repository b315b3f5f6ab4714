"""What of a root is captured: the one place that knows every reason to leave something out.

Left out, always with a ``Skipped`` that says so: what ``node.toml`` names and Lastro's own staging files (the path itself is not listed);
mounts of kernel, memory and network file systems below the root, and directories with a marker that is honoured (the directory is listed,
a network mount is not, and nothing below it). What always holds: listing, reading and watching ask the same questions here, so nothing
that a listing leaves out can be read or watched by naming it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping

from lastro.capture.excludes import Excludes
from lastro.capture.notice import Notice, Notify
from lastro.capture.source import Root, Skipped
from lastro.domain.paths import is_within
from lastro.filesystem.beneath import open_beneath
from lastro.filesystem.marker import MARKER_NAME, read_marker
from lastro.filesystem.mounts import NETWORK_KINDS, Mount, is_excluded_kind, mounts_below, read_mounts
from lastro.messages import N_, Message

EXCLUDED = "excluded"
UNREADABLE = "unreadable"
MARKED = "marked"
NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""Ways to learn that a path does not exist (a link in the middle of it means that *this* path does not)."""


class Scope:
    """The reasons to leave something out below one root. Cheap to make: make one for each listing, so that mounts are as they are now.

    They are read when the first one is asked for: reading single files asks for none.
    """

    def __init__(
        self,
        root: Root,
        *,
        honoured_markers: frozenset[str],
        notify: Notify,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
    ) -> None:
        """Raises ``ConfigError`` for an exclude pattern that makes no sense."""
        self.root = root
        self._excludes = Excludes(root.excludes)
        self._honoured = honoured_markers
        self._notify = notify
        self._read_mounts = mounts
        self._mounts_below: Mapping[str, str] | None = None
        self._devices: set[int] = set()

    def by_name(self, path: str, *, is_directory: bool) -> Skipped | None:
        """Left out because of its own name. What is above ``path`` is not asked."""
        reason = self._excludes.reason(path, is_directory=is_directory) if path else None
        return Skipped(path=path, kind=EXCLUDED, detail=reason) if reason else None

    def by_mount(self, path: str, device: int | None = None) -> Skipped | None:
        """Left out because of what is mounted exactly at ``path``. A new ``device`` number there makes us look at the mounts again."""
        if path == "":
            return None
        if device is not None and device not in self._devices and path not in self._mounts():
            self._devices.add(device)
            self._mounts_below = None
        kind = self._mounts().get(path)
        return Skipped(path=path, kind=EXCLUDED, detail=kind) if kind and is_excluded_kind(kind) else None

    def is_network_mount(self, path: str) -> bool:
        """Whether another machine's disk is mounted exactly at ``path``, which therefore is not even looked at."""
        return self._mounts().get(path) in NETWORK_KINDS

    def _mounts(self) -> Mapping[str, str]:
        """What is mounted below the root, as far as was looked."""
        if self._mounts_below is None:
            self._mounts_below = mounts_below(self.root.path, self._read_mounts())
        return self._mounts_below

    def by_marker(self, path: str, directory: int) -> Skipped | None:
        """Left out because the open ``directory`` bears a marker of ours. A marker that is not ours is announced, and changes nothing."""
        marker = read_marker(directory)
        if marker is None:
            return None
        if marker.instance and marker.instance in self._honoured:
            return Skipped(path=path, kind=EXCLUDED, detail=MARKED)
        sentence = N_(
            "{path} in {root} bears the marker of another installation; it is captured all the same."
        )
        message = Message(msgid=sentence, parameters={"path": path, "root": self.root.path})
        self._notify(Notice(code="foreign_marker", root=self.root.path, path=path, message=message))
        return None


class Gate:
    """Whether what lies *above* a path keeps it out: remembers its verdicts, so it is made for one listing or one fetch."""

    def __init__(self, scope: Scope, root: int) -> None:
        self._scope = scope
        self._root = root
        self._verdicts: dict[str, Skipped | None] = {}

    def above(self, path: str) -> Skipped | None:
        """The highest directory above ``path`` that is left out or cannot be passed; ``None`` when the way is free (or leads nowhere)."""
        if path == "":
            return None
        missing = []
        directory = path.rpartition("/")[0]
        while directory and directory not in self._verdicts:
            missing.append(directory)
            directory = directory.rpartition("/")[0]
        if "" not in self._verdicts:
            self._verdicts[""] = self._look("")
        verdict = self._verdicts[directory]
        for below in reversed(missing):
            verdict = self._verdicts[below] = verdict or self._look(below)
        return verdict

    def _look(self, directory: str) -> Skipped | None:
        scope = self._scope
        skipped = scope.by_name(directory, is_directory=True) or scope.by_mount(directory)
        if skipped is not None:
            return skipped
        try:
            opened = open_beneath(self._root, directory, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            return None if error.errno in NOTHING_THERE else unreadable(directory, error)
        try:
            return scope.by_mount(directory, os.fstat(opened).st_dev) or scope.by_marker(directory, opened)
        finally:
            os.close(opened)


def unreadable(path: str, error: OSError) -> Skipped:
    """``path`` cannot be read, and why: the name of the ``errno``."""
    return Skipped(path=path, kind=UNREADABLE, detail=errno.errorcode.get(error.errno or 0, "EIO"))


def touches_marker(path: str) -> bool:
    """Whether ``path`` is a marker: when one comes or goes, its directory has to be looked at again."""
    return path.rpartition("/")[2] == MARKER_NAME


def covers(skipped: Skipped, path: str) -> bool:
    """Whether ``path`` is, or lies below, what was left out."""
    return is_within(path, skipped.path)
