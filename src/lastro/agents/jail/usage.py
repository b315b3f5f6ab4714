"""What a jail takes, counted from outside: bytes and files on the disk, and memory where the kernel does not count it.

What always holds: what an agent made is looked at by its directory's descriptor and never followed; counting stops once a limit is passed,
and takes a fifth of one processor at most. What cannot be seen by walking (files that are deleted but open, directories that were closed to
us) is bounded by what the file system has lost since the start: nobody else's growth ends a run unless such a thing is there.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import psutil

from lastro.domain.run import EndCause
from lastro.filesystem.beneath import open_beneath

_PAUSE_S: Final = 0.25
_FLOOR: Final = 1024**3
"""Bytes that a run leaves free on the disk of its layer, or half of what was free at its start."""


class DiskWatch:
    """The disk that one jail takes. For one thread. ``directories``: what the agent can write. ``growth``: what was there before does not
    count. ``seen_at``: where the agent sees them.
    """

    def __init__(
        self,
        directories: Sequence[str],
        *,
        most_bytes: int | None,
        most_files: int | None,
        growth: bool,
        seen_at: Sequence[str],
        processes: Callable[[], Iterable[int]],
    ) -> None:
        self._directories = directories
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._seen_at = tuple(f"{path}/" for path in seen_at)
        self._processes = processes
        disk = os.statvfs(directories[0])
        self._free_at_start = disk.f_bfree * disk.f_frsize
        self._files_free_at_start = disk.f_ffree
        self._floor = min(_FLOOR, disk.f_bavail * disk.f_frsize // 2)
        self._before = _count(directories, None, None) if growth else _Count()
        self._next = 0.0

    def check(self, now: float) -> EndCause | None:
        """Which limit is passed, if one is. ``now``: monotonic seconds. Cheap when it was asked lately."""
        disk = os.statvfs(self._directories[0])
        if disk.f_bavail * disk.f_frsize < self._floor:
            return EndCause.DISK
        lost = self._free_at_start - disk.f_bfree * disk.f_frsize
        lost_files = self._files_free_at_start - disk.f_ffree
        suspicious = (self._most_bytes is not None and lost > self._most_bytes) or (
            self._most_files is not None and lost_files > self._most_files
        )
        if now < self._next - (_PAUSE_S / 2 if suspicious else 0):
            return None
        began = time.monotonic()
        cause = self._look(lost, lost_files, suspicious=suspicious)
        self._next = now + max(_PAUSE_S, 4 * (time.monotonic() - began))
        return cause

    def _look(self, lost: int, lost_files: int, *, suspicious: bool) -> EndCause | None:
        most_bytes = None if self._most_bytes is None else self._most_bytes + self._before.bytes
        most_files = None if self._most_files is None else self._most_files + self._before.files
        count = _count(self._directories, most_bytes, most_files)
        if suspicious:
            count.bytes += _deleted_bytes(self._processes(), self._seen_at)
        if most_bytes is not None and (
            count.bytes >= most_bytes or (count.closed and lost > (self._most_bytes or 0))
        ):
            return EndCause.DISK
        if most_files is not None and (
            count.files > most_files or (count.closed and lost_files > (self._most_files or 0))
        ):
            return EndCause.FILES
        return None


class _Count:
    """``closed``: some directory could not be read."""

    __slots__ = ("bytes", "closed", "files", "linked")

    def __init__(self) -> None:
        self.bytes = 0
        self.files = 0
        self.closed = False
        self.linked: set[int] = set()

    def add(self, status: os.stat_result) -> None:
        self.files += 1
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self.linked:
                return
            self.linked.add(status.st_ino)
        self.bytes += status.st_blocks * 512


def _count(directories: Iterable[str], most_bytes: int | None, most_files: int | None) -> _Count:
    count = _Count()
    for top in directories:
        try:
            root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            _count_below(root, count, most_bytes, most_files)
        finally:
            os.close(root)
    return count


def _count_below(root: int, count: _Count, most_bytes: int | None, most_files: int | None) -> None:
    waiting = [""]
    while waiting:
        above = waiting.pop()
        try:
            here = open_beneath(root, above, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:
            count.closed = True
            continue
        except OSError:  # it went away, or became something else
            continue
        try:
            with suppress(OSError), os.scandir(here) as entries:
                for entry in entries:
                    with suppress(OSError):
                        count.add(entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{above}/{entry.name}" if above else entry.name)
                    if (most_bytes is not None and count.bytes >= most_bytes) or (
                        most_files is not None and count.files > most_files
                    ):
                        return
        finally:
            os.close(here)


def _deleted_bytes(processes: Iterable[int], seen_at: tuple[str, ...]) -> int:
    """Bytes on disk of files that ``processes`` hold open and that have no name any more.

    The device of an overlay's file says nothing, so they are told by where they lay.
    """
    held: dict[tuple[int, int], int] = {}
    for process in processes:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{process}/fd"):
                with suppress(OSError):
                    path = f"/proc/{process}/fd/{name}"
                    status = os.stat(path)
                    if (
                        not status.st_nlink
                        and stat.S_ISREG(status.st_mode)
                        and os.readlink(path).startswith(seen_at)
                    ):
                        held[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(held.values())


def family(process: int) -> tuple[psutil.Process, ...]:
    """``process`` and what descends from it, as far as they can be seen."""
    try:
        top = psutil.Process(process)
        return (top, *top.children(recursive=True))
    except psutil.Error:
        return ()


def memory_of(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory that ``processes`` have to themselves, about: shared pages count for each."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total
