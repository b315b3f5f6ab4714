"""Opening a path below a directory and nowhere else.

What always holds: no link is followed, neither in the middle of a path nor at its end, no matter what somebody renames meanwhile; no path
leaves the directory it starts from; a path may be longer than ``PATH_MAX``. The kernel does it in one call (``openat2``, Linux 5.6; see
openat2(2), ``RESOLVE_BENEATH``); where it cannot, or a sandbox forbids it, one component after the other is opened with ``O_NOFOLLOW``.

Errors are ``OSError``: ``ELOOP`` for a link, ``EXDEV`` for a path that would leave the directory, ``EINVAL`` for an impossible one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from functools import cache
from stat import S_ISLNK
from typing import Final, Protocol

from lastro.domain.paths import to_bytes

_SYS_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE: Final = 0x08 | 0x04 | 0x02  # BENEATH | NO_SYMLINKS | NO_MAGICLINKS
_PIECE: Final = 4000  # bytes of path in one system call, below PATH_MAX (4096)
_ALWAYS: Final = os.O_CLOEXEC | os.O_NOFOLLOW
_PASS: Final = os.O_PATH | os.O_DIRECTORY | _ALWAYS
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_SIZE: Final = ctypes.c_size_t(ctypes.sizeof(_How))


class Opener(Protocol):
    """One way to open ``path`` (clean, relative, not empty, shorter than ``PATH_MAX``) below ``directory``; returns a descriptor."""

    def __call__(self, directory: int, path: bytes, flags: int) -> int:
        """``flags`` as for open(2); ``O_CLOEXEC`` and ``O_NOFOLLOW`` are always set."""
        ...


def open_by_kernel(directory: int, path: bytes, flags: int) -> int:
    """``openat2``: one call, atomic. See ``Opener``."""
    how = _How(flags | _ALWAYS, 0, _RESOLVE)
    while True:
        descriptor: int = _libc.syscall(_SYS_OPENAT2, directory, path, ctypes.byref(how), _SIZE)
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number not in {errno.EINTR, errno.EAGAIN}:
            raise OSError(number, os.strerror(number), path)


def open_by_component(directory: int, path: bytes, flags: int) -> int:
    """One component after the other, each without following. See ``Opener``."""
    *middle, last = path.split(b"/")
    here = directory
    try:
        for name in middle:
            below = _open_component(here, name, _PASS)
            if here != directory:
                os.close(here)
            here = below
        return _open_component(here, last, flags | _ALWAYS)
    finally:
        if here != directory:
            os.close(here)


def _open_component(directory: int, name: bytes, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=directory)
    except NotADirectoryError:
        # O_DIRECTORY calls a link "not a directory"; the kernel's own way calls it ELOOP, and so do we.
        if S_ISLNK(os.lstat(name, dir_fd=directory).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


@cache
def best_opener() -> Opener:
    """The kernel's own way where this machine has it, else the other."""
    here = os.open(b"/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(open_by_kernel(here, b".", os.O_PATH))
    except OSError:  # ENOSYS before Linux 5.6; EPERM under old container sandboxes
        return open_by_component
    finally:
        os.close(here)
    return open_by_kernel


def open_beneath(directory: int, path: str, flags: int = os.O_RDONLY, *, opener: Opener | None = None) -> int:
    """Open ``path``, relative to the open ``directory``, without following any link. Returns a new descriptor.

    ``path`` is byte-faithful and may be ``""`` (the directory itself) or longer than ``PATH_MAX``. ``flags`` are those of open(2);
    with ``O_PATH`` a link at the end is opened itself.

    Raises:
        OSError: ``ELOOP`` (a link), ``EXDEV`` (absolute, or with ``..``), ``EINVAL`` (NUL or empty component), or what open(2) says.
    """
    opener = opener or best_opener()
    here = directory
    try:
        pieces = list(_pieces(to_bytes(path)))
        for piece in pieces[:-1]:
            below = opener(here, piece, _PASS)
            if here != directory:
                os.close(here)
            here = below
        return opener(here, pieces[-1], flags)
    finally:
        if here != directory:
            os.close(here)


def open_parent(directory: int, path: str, *, opener: Opener | None = None) -> tuple[int, bytes]:
    """The directory that holds ``path``, opened with ``O_PATH`` below ``directory``, and the last name as bytes (``b""`` for ``""``).

    Raises:
        OSError: as ``open_beneath``.
    """
    parent, _, name = path.rpartition("/")
    return open_beneath(directory, parent, _PASS, opener=opener), to_bytes(name)


def open_directory(directory: int, path: str) -> int:
    """Open the directory ``path`` below ``directory`` for reading its names, without changing its access time where that is allowed.

    Raises:
        OSError: as ``open_beneath``; ``ENOTDIR`` when it is something else.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return open_beneath(directory, path, flags | os.O_NOATIME)
    except PermissionError:  # only the owner may leave the access time alone
        return open_beneath(directory, path, flags)


def open_root(path: str, *, opener: Opener | None = None) -> int:
    """Open the directory at the absolute ``path`` for reading, again without following links: whoever owns a directory above must not be
    able to point it elsewhere. So the path must be the real one, as ``os.path.realpath`` writes it.

    Raises:
        OSError: ``ELOOP`` (a link in it), ``EINVAL`` (relative, or with a slash too many), ``ENOTDIR``, ``ENOENT``, ...
    """
    if not path.startswith("/"):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    top = os.open(b"/", _PASS)
    try:
        return open_beneath(top, path[1:], os.O_RDONLY | os.O_DIRECTORY, opener=opener)
    finally:
        os.close(top)


def read_at_most(top: str, path: str, most: int) -> bytes | None:
    """The first ``most`` bytes of the regular file at ``path`` below the real path ``top``; ``None``: it is something else. No link is
    followed, and nothing waits: what looks like a file may be a pipe that nobody writes to.

    Raises:
        OSError: there is nothing, or it cannot be read.
    """
    root = open_root(top)
    try:
        descriptor = open_beneath(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(root)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read(most)


def _pieces(path: bytes) -> Iterator[bytes]:
    """``path`` checked and cut between components so that each piece fits one system call."""
    if path == b"":
        yield b"."
        return
    parts = path.split(b"/")
    if path.startswith(b"/") or b".." in parts:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    if b"\0" in path or b"" in parts or b"." in parts:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    start = 0
    while len(path) - start > _PIECE:
        cut = path.rfind(b"/", start, start + _PIECE)
        if cut < 0:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        yield path[start:cut]
        start = cut + 1
    yield path[start:]
