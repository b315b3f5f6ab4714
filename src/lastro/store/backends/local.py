"""``LocalBackend``: objects as files below a directory. Every change goes through ``filesystem.system.System``.

What always holds: a file appears under its name only when its bytes are durable (write ``tmp/X``, fsync, rename, fsync the directory), and
no existing object is ever replaced. Only ``tmp/`` is ever cleared, by the next writer. See ``docs/format.md`` (Write ordering).
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from typing_extensions import override

from lastro.domain.paths import to_bytes
from lastro.errors import ConflictError, DamagedError, LastroError, NotFoundError, StorageFullError
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.store.backends.base import Appender, Backend, Lock, check_object_name
from lastro.store.backends.local_lock import LocalLock
from lastro.store.layout import DATA, FOLDERS, JOURNAL, META

RESERVE: Final = 64 << 20
_RESERVED_SHARE: Final = 100
_TMP: Final = b"tmp"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_RENAME_NEW: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LocalBackend(Backend):
    """The directory ``path`` (absolute). Nothing is made there before ``lock``.

    ``reserve``: bytes of the disk that are left free, by default 64 MiB or 1 % of the disk, whichever is less.
    """

    def __init__(self, path: str, *, system: System | None = None, reserve: int | None = None) -> None:
        self.path = path
        self._root = to_bytes(path)
        self._system = System() if system is None else system
        self._reserve = reserve
        self._numbers = itertools.count(1)
        self._lock: LocalLock | None = None
        self._durable: set[bytes] = set()

    # reading

    @override
    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._reading(name):
            descriptor = os.open(self._at(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                left = os.fstat(descriptor).st_size - offset if length is None else length
                parts = []
                while left > 0:
                    part = os.pread(descriptor, min(left, 8 << 20), offset)
                    if not part:
                        break
                    parts.append(part)
                    offset, left = offset + len(part), left - len(part)
                return parts[0] if len(parts) == 1 else b"".join(parts)
            finally:
                os.close(descriptor)

    @override
    def size(self, name: str) -> int:
        with self._reading(name):
            status = os.lstat(self._at(name))
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError(name)
            return status.st_size

    @override
    def names(self, prefix: str) -> Iterator[str]:
        check_object_name(prefix)
        return iter(sorted(self._walk(prefix)))

    def _walk(self, folder: str) -> Iterator[str]:
        with (
            self._reading(folder),
            suppress(NotFoundError, FileNotFoundError),
            os.scandir(self._at(folder)) as items,
        ):
            for item in items:
                name = f"{folder}/{os.fsdecode(item.name)}"
                try:
                    check_object_name(name)
                except LastroError:
                    continue  # somebody's own file, such as a file manager's; no name of ours
                if item.is_dir(follow_symlinks=False):
                    yield from self._walk(name)
                elif item.is_file(follow_symlinks=False):
                    yield name

    # writing

    @override
    def put(self, name: str, parts: Sequence[bytes]) -> None:
        check_object_name(name)
        folder, _, file_name = to_bytes(name).rpartition(b"/")
        with (
            self._writing(sum(map(len, parts))),
            self._opened(folder) as directory,
            self._opened(_TMP) as tmp,
        ):
            temporary = b"%08x" % next(self._numbers)
            self._write_whole(tmp, temporary, parts)
            try:
                self._rename_new(tmp, temporary, directory, file_name)
            except FileExistsError:
                self._remove(tmp, temporary)
                raise ConflictError(N_("There is an object {object} already."), object=name) from None
            except OSError:
                self._remove(tmp, temporary)
                raise
            try:
                self._system.sync(directory)
            except OSError:
                self._remove(directory, file_name)  # it was not promised to anybody yet
                raise

    @override
    def append(self, name: str) -> Appender:
        check_object_name(name)
        folder, _, file_name = to_bytes(name).rpartition(b"/")
        with self._writing(0), self._opened(folder) as directory:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                descriptor = self._system.open(directory, file_name, flags, 0o600)
            except FileExistsError:
                raise ConflictError(N_("There is an object {object} already."), object=name) from None
            try:
                self._system.sync(directory)
            except OSError:
                os.close(descriptor)
                raise
            return _LocalAppender(self, descriptor)

    @override
    def lock(self) -> Lock:
        with self._writing(0, reserve=False):
            self._make_root()
            self._durable.clear()
            with self._opened(b"") as root:
                lock = LocalLock(self._system, root, self.path, self._highest_epoch())
            try:
                if not lock.was_clean:
                    self._settle()
            except BaseException:
                lock.in_doubt = True
                lock.release()
                raise
            self._lock = lock
            return lock

    def append_to(self, descriptor: int, data: bytes) -> None:
        """Write ``data`` at the end of an open object, durably. For the appender."""
        with self._writing(len(data)):
            self._system.write(descriptor, data)
            self._system.sync_data(descriptor)

    # inside

    def _write_whole(self, tmp: int, temporary: bytes, parts: Sequence[bytes]) -> None:
        descriptor = self._system.open(tmp, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                for part in parts:
                    self._system.write(descriptor, part)
                self._system.sync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            self._remove(tmp, temporary)
            raise

    def _rename_new(self, tmp: int, temporary: bytes, directory: int, name: bytes) -> None:
        try:
            self._system.rename_new(tmp, temporary, directory, name)
        except OSError as error:
            if error.errno not in _NO_RENAME_NEW:
                raise
            self._system.make_link(tmp, temporary, directory, name)  # refuses an existing name as well
            self._system.remove(tmp, temporary)

    def _remove(self, directory: int, name: bytes) -> None:
        with suppress(OSError):
            self._system.remove(directory, name)

    def _make_root(self) -> None:
        parent, _, name = self._root.rstrip(b"/").rpartition(b"/")
        if not os.path.isdir(self._root):
            directory = os.open(parent or b"/", _DIRECTORY)
            try:
                with suppress(FileExistsError):
                    self._system.make_directory(directory, name, 0o700)
                self._system.sync(directory)
            finally:
                os.close(directory)

    def _settle(self) -> None:
        """Clear ``tmp/``, and make durable what an interrupted writer left visible: names, and the end of the newest journal segment."""
        with self._opened(_TMP) as tmp:
            for name in sorted(os.listdir(tmp)):
                self._system.remove(tmp, os.fsencode(name))
        folders = [to_bytes(folder) for folder in FOLDERS]
        folders += [
            to_bytes(name).rpartition(b"/")[0] for folder in (DATA, META) for name in self.names(folder)
        ]
        for place in dict.fromkeys(folders):
            with self._opened(place) as directory:
                self._system.sync(directory)
        newest = max(self.names(JOURNAL), default=None)
        if newest is not None:
            with self._opened(to_bytes(JOURNAL)) as directory:
                descriptor = self._system.open(directory, to_bytes(newest).rpartition(b"/")[2], os.O_WRONLY)
                try:
                    self._system.sync(descriptor)
                finally:
                    os.close(descriptor)

    def _highest_epoch(self) -> int:
        epochs = [name.rpartition("/")[2].partition("-")[0] for name in self.names(JOURNAL)]
        return max((int(epoch, 16) for epoch in epochs if len(epoch) == 8), default=0)

    @contextmanager
    def _opened(self, folder: bytes) -> Iterator[int]:
        """A descriptor of a folder, made (durably) when it is missing."""
        directory = os.open(self._root, _DIRECTORY)
        try:
            place = b""
            for part in folder.split(b"/") if folder else ():
                place = b"%s/%s" % (place, part)
                if place not in self._durable:
                    with suppress(FileExistsError):
                        self._system.make_directory(directory, part, 0o700)
                    self._system.sync(directory)
                    self._durable.add(place)
                below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                os.close(directory)
                directory = below
            yield directory
        finally:
            os.close(directory)

    @contextmanager
    def _writing(self, size: int, *, reserve: bool = True) -> Iterator[None]:
        try:
            if reserve:
                disk = os.statvfs(self._root)
                free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
                kept = min(RESERVE, total // _RESERVED_SHARE) if self._reserve is None else self._reserve
                if size + kept > free:
                    raise self._full(free)
            yield
        except OSError as error:
            if self._lock is not None:
                self._lock.in_doubt = True
            if error.errno in _FULL:
                raise self._full(0) from error
            raise LastroError(
                N_("Writing to {place} failed: {reason}"),
                hint=N_(
                    "Look at the disk and at the permissions. Everything acknowledged before is as safe as it was."
                ),
                place=self.path,
                reason=errno.errorcode.get(error.errno or 0, "?"),
            ) from error

    def _full(self, free: int) -> StorageFullError:
        return StorageFullError(
            N_("There is no room for more at {place}: {free} bytes are free, and some are kept in reserve."),
            hint=N_(
                "Free some space on that disk. Everything acknowledged before is safe, and captures go on by themselves."
            ),
            place=self.path,
            free=free,
        )

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        check_object_name(name)
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFoundError(N_("There is no object {object}."), object=name) from None
        except OSError as error:
            raise DamagedError(
                N_("{object} cannot be read: {reason}"),
                hint=N_("Look at the disk and at the permissions of {place}."),
                object=name,
                reason=errno.errorcode.get(error.errno or 0, "?"),
                place=self.path,
            ) from error

    def _at(self, name: str) -> bytes:
        return b"%s/%s" % (self._root, to_bytes(name))


class _LocalAppender(Appender):
    def __init__(self, backend: LocalBackend, descriptor: int) -> None:
        self._backend = backend
        self._descriptor = descriptor

    @override
    def append(self, data: bytes) -> None:
        self._backend.append_to(self._descriptor, data)

    @override
    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
