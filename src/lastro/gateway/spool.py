"""The spool: where each exchange is noted the moment it begins and ends, before a thread has time to keep it properly.

Files ``NNNNNNNN.spool`` in one directory. What always holds: what ``append`` took survives the death of this process, and from the next
``sync`` on a power cut too; a file takes nothing more after one append failed; only one process writes here. A file goes when everything in
it is kept elsewhere (``recorder``).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lastro.domain.paths import to_bytes
from lastro.errors import LockedError, StorageFullError
from lastro.filesystem.system import System
from lastro.gateway.spool_file import (
    FRAME_LIMIT,
    HEADER_SIZE,
    SpoolCipher,
    SpoolContent,
    SpoolReader,
    read_spool,
)
from lastro.messages import N_

_SUFFIX: Final = ".spool"
_ASIDE: Final = ".damaged"
_LOCK: Final = b"lock"
_READ_AHEAD: Final = 64 << 10


class _File:
    """The file that is being appended to; ``size`` counts whole frames."""

    def __init__(self, name: str, descriptor: int, cipher: SpoolCipher) -> None:
        self.name = name
        self.descriptor = descriptor
        self.cipher = cipher
        self.size = HEADER_SIZE


class Spool:
    """The spool in the absolute ``directory``, which is made if it is missing. ``key``: 32 bytes that encrypt it.

    ``append``, ``rotate`` and ``close`` exclude each other by the caller's lock; ``prepare``, ``read``, ``drop`` and ``sync`` need none.

    Raises:
        LockedError: another process writes here.
        StorageFullError: the disk takes nothing.
    """

    def __init__(
        self,
        directory: str,
        key: bytes,
        *,
        system: System | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.directory = directory
        self._key = key
        self._system = System() if system is None else system
        self._entropy = entropy
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._root = os.open(to_bytes(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = -1
        self._current: _File | None = None
        try:
            self._take_lock()
            names = self.names()
            self._number = max((int(name.partition(".")[0]) for name in names), default=0)
            self._sealed = [name for name in names if name.endswith(_SUFFIX)]
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        try:
            self._lock = self._system.open(self._root, _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                N_("Another gateway runs on this home: {path}"),
                hint=N_("Use that one, stop it, or start this one with a home of its own (--home)."),
                path=self.directory,
            ) from None
        except OSError as error:
            raise self._full(error) from error

    def names(self) -> list[str]:
        """The spool's files, oldest first, those that were set aside too."""
        found = (os.fsdecode(name) for name in os.listdir(self._root))
        return sorted(
            name for name in found if name[:8].isdigit() and name[8:] in {_SUFFIX, _SUFFIX + _ASIDE}
        )

    @property
    def size(self) -> int:
        """Bytes of the file that is being appended to."""
        return HEADER_SIZE if self._current is None else self._current.size

    # writing

    def append(self, content: bytes) -> str:
        """Take one frame; the name of the file that holds it. When it returns, the frame survives the death of this process.

        Raises:
            StorageFullError: it was not taken, and no later reader will find it whole.
        """
        if self._current is None:
            self._current = self.prepare()
        file = self._current
        frame = file.cipher.seal(file.size, content)
        try:
            self._system.write(file.descriptor, frame)
        except OSError as error:
            # The place may hold half a frame: the next one goes to another file, under another key.
            self._seal(file)
            with suppress(OSError):
                self._system.truncate(file.descriptor, file.size)
            os.close(file.descriptor)
            raise self._full(error) from error
        file.size += len(frame)
        return file.name

    def prepare(self) -> _File:
        """A new, empty file, for ``rotate``.

        Raises:
            StorageFullError: there is no room for one.
        """
        self._number += 1
        name = f"{self._number:08}{_SUFFIX}"
        cipher = SpoolCipher(self._key, self._entropy(32))
        descriptor = -1
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
            descriptor = self._system.open(self._root, name.encode(), flags, 0o600)
            self._system.write(descriptor, cipher.header)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
                with suppress(OSError):
                    self._system.remove(self._root, name.encode())
            raise self._full(error) from error
        return _File(name, descriptor, cipher)

    def rotate(self, following: _File | None) -> None:
        """Seal the current file; append to ``following`` from now on (``None``: a new one is made when it is needed)."""
        sealed = self._current
        if sealed is not None:
            self._seal(sealed)
            os.close(sealed.descriptor)
        self._current = following

    def _seal(self, file: _File) -> None:
        self._sealed.append(file.name)
        self._current = None

    def duplicate(self) -> int:
        """A second descriptor of the current file, for ``sync``; -1 if there is none."""
        return -1 if self._current is None else os.dup(self._current.descriptor)

    def sync(self, descriptor: int) -> None:
        """Make durable what the file behind ``descriptor`` (of ``duplicate``) holds, and the names of all files; closes it.

        Raises:
            StorageFullError: the disk failed.
        """
        try:
            if descriptor >= 0:
                self._system.sync_data(descriptor)
            self._system.sync(self._root)
        except OSError as error:
            raise self._full(error) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    # reading

    def sealed(self) -> list[str]:
        """Names of the files that take nothing more, oldest first."""
        return list(self._sealed)

    def read(self, name: str) -> SpoolContent:
        """What a sealed file holds."""
        with open(f"{self.directory}/{name}", "rb") as file:
            return read_spool(self._key, file.read())

    @contextmanager
    def reading(self, name: str) -> Iterator[SpoolReader]:
        """The frames of a sealed file, one at a time."""
        with open(f"{self.directory}/{name}", "rb", buffering=_READ_AHEAD) as file:
            yield SpoolReader(self._key, file)

    def drop(self, name: str) -> None:
        """Everything in this file is kept elsewhere.

        Raises:
            StorageFullError: the disk failed; the file is still there.
        """
        try:
            self._system.remove(self._root, name.encode())
        except OSError as error:
            raise self._full(error) from error
        self._sealed.remove(name)

    def set_aside(self, name: str) -> str:
        """Keep a damaged file, out of the way; its new path.

        Raises:
            StorageFullError: the disk failed; the file is where it was.
        """
        try:
            self._system.rename(self._root, name.encode(), self._root, (name + _ASIDE).encode())
        except OSError as error:
            raise self._full(error) from error
        self._sealed.remove(name)
        return f"{self.directory}/{name}{_ASIDE}"

    def close(self) -> None:
        """Let go of the files and of the lock. Twice is once."""
        if self._current is not None:
            os.close(self._current.descriptor)
            self._current = None
        for descriptor in (self._lock, self._root):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._root = -1

    def _full(self, error: OSError) -> StorageFullError:
        return StorageFullError(
            N_("The gateway cannot record in {path}: {reason}"),
            hint=N_(
                "Nothing is asked of a provider that cannot be accounted for. Make room on that disk; the gateway goes on by itself."
            ),
            path=self.directory,
            reason=error.strerror or str(error),
        )


__all__ = ["FRAME_LIMIT", "Spool"]
