"""inotify(7) as it is: a thin layer of our own, because names are bytes and an overflow must be seen.

One ``Inotify`` is one kernel queue. It follows nothing and remembers nothing; ``capture.watch`` makes sense of its events.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_UNMOUNT: Final = 0x2000
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x0100_0000
IN_EXCL_UNLINK: Final = 0x0400_0000
IN_ISDIR: Final = 0x4000_0000

_CHANGES: Final = (
    IN_MODIFY
    | IN_ATTRIB
    | IN_CLOSE_WRITE
    | IN_MOVED_FROM
    | IN_MOVED_TO
    | IN_CREATE
    | IN_DELETE
    | IN_DELETE_SELF
    | IN_MOVE_SELF
)
_HEADER: Final = struct.Struct("iIII")
_BUFFER: Final = 256 * 1024
_libc: Final = ctypes.CDLL(None, use_errno=True)


class InotifyEvent(Struct, frozen=True):
    """One event: ``watch`` is the number that ``add`` returned (-1 for an overflow), ``mask`` the ``IN_*`` bits, ``name`` may be empty."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """One kernel queue. ``descriptor`` is readable when there are events; ``close`` ends all its watches."""

    def __init__(self) -> None:
        """Raises ``OSError`` (``EMFILE``) when the user has no instance left (``fs.inotify.max_user_instances``)."""
        self.descriptor: int = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, directory: int) -> int:
        """Watch an open directory for every change. The same directory gives the same number again.

        Raises:
            OSError: ``ENOSPC`` when the user has no watch left (``fs.inotify.max_user_watches``).
        """
        path = b"/proc/self/fd/%d" % directory
        return _checked(
            _libc.inotify_add_watch(self.descriptor, path, _CHANGES | IN_ONLYDIR | IN_EXCL_UNLINK)
        )

    def remove(self, watch: int) -> None:
        """End a watch; one that the kernel has ended already is no error."""
        _libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> Iterator[InotifyEvent]:
        """The events waiting now, in order; none when there are none."""
        try:
            data = os.read(self.descriptor, _BUFFER)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            watch, mask, _cookie, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            yield InotifyEvent(watch, mask, data[offset : offset + length].rstrip(b"\0"))
            offset += length

    def close(self) -> None:
        """Give the descriptor back; the kernel forgets every watch."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
