"""Small files of our own (configuration, markers, progress) replaced in one step.

What always holds: at any instant, and after any crash, the path holds the old bytes or the new ones, whole; when ``write_atomically``
has returned, the new ones survive a power cut.
"""

from __future__ import annotations

import contextlib
import os
import threading

from lastro.domain.paths import to_bytes
from lastro.filesystem.system import System


def write_atomically(path: str, data: bytes, *, mode: int = 0o600, system: System) -> None:
    """Make the file at the absolute ``path`` hold ``data`` with permission bits ``mode`` (whatever the umask).

    Its directory must exist. A leftover of a crashed writer (``.NAME.PID-THREAD.tmp``) is replaced when the same name comes up again.

    Raises:
        OSError: nothing was replaced (or, if the last fsync failed, it is replaced but may not survive a power cut).
    """
    folder, _, name = to_bytes(path).rpartition(b"/")
    directory = os.open(folder or b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = b".%s.%d-%d.tmp" % (name, os.getpid(), threading.get_ident())
    try:
        try:
            _write_new(directory, temporary, data, mode, system)
            system.rename(directory, temporary, directory, name)
        except OSError:
            with contextlib.suppress(OSError):
                system.remove(directory, temporary)
            raise
        system.sync(directory)
    finally:
        os.close(directory)


def _write_new(directory: int, name: bytes, data: bytes, mode: int, system: System) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = system.open(directory, name, flags, 0o600)
    except FileExistsError:
        system.remove(directory, name)
        descriptor = system.open(directory, name, flags, 0o600)
    try:
        system.write(descriptor, data)
        system.set_mode(descriptor, mode)
        system.sync(descriptor)
    finally:
        os.close(descriptor)
