"""Reading the content of one file, as it is at one instant or with a mark that says it was not.

What always holds: only a regular file is opened, no link is followed; holes are not read, and count as zeros in the digest; a file that
changed while it was read (size, mtime or ctime moved) is read again after a short pause, ``ATTEMPTS`` times in all, and if it never rests
the last reading is kept and marked ``torn``. The entry at the end is of before the first byte was read, so that a later change shows.
(``docs/protocol.md``, Staleness.)
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3
from msgspec import structs

from lastro.capture.scope import NOTHING_THERE, UNREADABLE
from lastro.capture.source import FetchEvent, FileBegin, FileData, FileEnd, FileFailed
from lastro.domain.entry import RACY_NS, Entry, EntryType, StatKey, stat_key
from lastro.domain.ids import Digest
from lastro.filesystem.metadata import Owners, data_extents, entry_of, read_status, reopen

BLOCK: Final = 1024 * 1024
"""Bytes in one ``FileData`` at most; a file up to this size is read whole before anything is said, so its retries are not seen."""
ATTEMPTS: Final = 4
PAUSES_S: Final = (0.01, 0.05, 0.2)
"""What is waited before the second, third and fourth attempt."""
NOT_A_FILE: Final = "not_a_file"
VANISHED: Final = "vanished"
_ZEROS: Final = bytes(BLOCK)
_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How bytes are read and how is waited; a test puts a writer into either."""

    owners: Owners = field(default_factory=Owners)
    read: Callable[[int, int, int], bytes] = os.pread
    """``read(descriptor, size, offset)``."""
    pause: Callable[[float], None] = time.sleep
    """``pause(seconds)``."""
    wall_ns: Callable[[], int] = time.time_ns
    """The clock that the file system's times are of, nanoseconds since 1970."""


def read_file(directory: int, name: bytes, path: str, reading: Reading) -> Iterator[FetchEvent]:
    """The content of the file ``name`` in the open ``directory``, to be known as ``path``.

    Ends in ``FileEnd`` or ``FileFailed``; raises nothing.
    """
    try:
        pinned = os.open(name, _PIN, dir_fd=directory)
    except OSError as error:
        yield failed(path, error)
        return
    try:
        if read_status(pinned).type is not EntryType.FILE:
            yield FileFailed(path=path, kind=VANISHED, detail=NOT_A_FILE)
            return
        descriptor = reopen(pinned)
    except OSError as error:
        yield failed(path, error)
        return
    finally:
        os.close(pinned)
    try:
        yield from _attempts(descriptor, path, reading)
    except OSError as error:
        yield failed(path, error)
    finally:
        os.close(descriptor)


def failed(path: str, error: OSError) -> FileFailed:
    """``path`` could not be read, by what the operating system said."""
    kind = VANISHED if error.errno in NOTHING_THERE else UNREADABLE
    return FileFailed(path=path, kind=kind, detail=errno.errorcode.get(error.errno or 0, "EIO"))


def _attempts(descriptor: int, path: str, reading: Reading) -> Iterator[FetchEvent]:
    for attempt in range(ATTEMPTS):
        if attempt:
            reading.pause(PAUSES_S[attempt - 1])
        last = attempt == ATTEMPTS - 1
        content = _Content(
            descriptor, entry_of(descriptor, path, owners=reading.owners), reading, patient=last
        )
        if content.entry.size <= BLOCK:
            events: list[FetchEvent] = list(content.blocks())
            if content.is_steady() or last:
                yield FileBegin(path=path)
                yield from events
                yield content.end()
                return
        else:
            yield FileBegin(path=path)
            yield from content.blocks()
            if content.is_steady() or last:
                yield content.end()
                return


class _Content:
    """One attempt at one file. ``patient``: read to the end even when the file is seen to change."""

    def __init__(self, descriptor: int, entry: Entry, reading: Reading, *, patient: bool) -> None:
        self.entry = entry
        self._racy = reading.wall_ns() - entry.ctime_ns < RACY_NS
        self._descriptor = descriptor
        self._read = reading.read
        self._patient = patient
        self._hash = blake3()
        self._position = 0

    def blocks(self) -> Iterator[FileData]:
        """The data, at most ``BLOCK`` bytes each, up to the size that the file had at the start."""
        size = self.entry.size
        for extent in data_extents(self._descriptor, size):
            offset, end = extent.offset, extent.offset + extent.length
            while offset < end:
                data = self._read(self._descriptor, min(BLOCK, end - offset), offset)
                if not data:  # cut off meanwhile
                    return
                if offset > self._position:
                    self._skip_to(offset)
                self._hash.update(data)
                yield FileData(path=self.entry.path, offset=offset, data=data)
                offset = self._position = offset + len(data)
                if not self._patient and not self._same():
                    return
        if self._position < size:
            self._skip_to(size)

    def is_steady(self) -> bool:
        """Whether the file is still as it was at the start, and all of it was read."""
        return self._position == self.entry.size and self._same()

    def end(self) -> FileEnd:
        digest = Digest(self._hash.digest())
        torn = not self.is_steady()
        entry = structs.replace(self.entry, digest=digest, torn=torn, size=self._position)
        if torn:
            holes = tuple(hole for hole in entry.holes if hole.offset + hole.length <= entry.size)
            entry = structs.replace(entry, holes=holes)
        return FileEnd(path=entry.path, entry=entry, racy=self._racy)

    def _same(self) -> bool:
        now = read_status(self._descriptor)
        return StatKey(now.size, now.mtime_ns, now.ctime_ns, now.inode, now.dev) == stat_key(self.entry)

    def _skip_to(self, offset: int) -> None:
        while self._position < offset:
            count = min(BLOCK, offset - self._position)
            self._hash.update(_ZEROS if count == BLOCK else _ZEROS[:count])
            self._position += count
