"""``MemoryBackend``: objects in a dictionary. For tests, and for repositories that live as long as a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from typing_extensions import override

from lastro.errors import ConflictError, LockedError, NotFoundError
from lastro.messages import N_
from lastro.store.backends.base import Appender, Backend, Lock, check_object_name


class MemoryBackend(Backend):
    """Safe for use from several threads. ``objects`` is the whole state: name → bytes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._mutex = threading.Lock()
        self._owner: _MemoryLock | None = None
        self._epoch = 0

    @override
    def put(self, name: str, parts: Sequence[bytes]) -> None:
        data = b"".join(parts)
        with self._mutex:
            self._refuse_existing(name)
            self.objects[name] = data

    @override
    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._data(name)
        return data[offset : None if length is None else offset + length]

    @override
    def size(self, name: str) -> int:
        return len(self._data(name))

    @override
    def names(self, prefix: str) -> Iterator[str]:
        check_object_name(prefix)
        with self._mutex:
            return iter(sorted(name for name in self.objects if name.startswith(f"{prefix}/")))

    @override
    def append(self, name: str) -> Appender:
        with self._mutex:
            self._refuse_existing(name)
            self.objects[name] = b""
        return _MemoryAppender(self, name)

    @override
    def lock(self) -> Lock:
        with self._mutex:
            if self._owner is not None:
                raise LockedError(
                    N_("This repository is being written to by another part of this process."),
                    hint=N_("Use the one that is open, or close it first."),
                )
            self._epoch += 1
            self._owner = _MemoryLock(self, self._epoch)
            return self._owner

    def extend(self, name: str, data: bytes) -> None:
        """Add ``data`` to the end of an object."""
        with self._mutex:
            self.objects[name] += data

    def unlock(self, lock: Lock) -> None:
        """Let the next writer in, if ``lock`` is the present one."""
        with self._mutex:
            if self._owner is lock:
                self._owner = None

    def _data(self, name: str) -> bytes:
        check_object_name(name)
        with self._mutex:
            try:
                return self.objects[name]
            except KeyError:
                raise NotFoundError(N_("There is no object {object}."), object=name) from None

    def _refuse_existing(self, name: str) -> None:
        check_object_name(name)
        if name in self.objects:
            raise ConflictError(N_("There is an object {object} already."), object=name)


class _MemoryAppender(Appender):
    def __init__(self, backend: MemoryBackend, name: str) -> None:
        self._backend = backend
        self._name = name

    @override
    def append(self, data: bytes) -> None:
        self._backend.extend(self._name, data)

    @override
    def close(self) -> None:
        pass


class _MemoryLock(Lock):
    def __init__(self, backend: MemoryBackend, epoch: int) -> None:
        self._backend = backend
        self._epoch = epoch

    @property
    @override
    def epoch(self) -> int:
        return self._epoch

    @override
    def release(self) -> None:
        self._backend.unlock(self)
