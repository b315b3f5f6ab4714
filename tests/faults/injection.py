"""Systems that do something, or fail, at a chosen call; see ``tests.faults.recording``."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, Final

from typing_extensions import override

from lastro.filesystem.system import System

MUTATING: Final = tuple(
    name for name, value in vars(System).items() if callable(value) and not name.startswith("_")
)
"""Every call of ``System``; ``open`` counts only when it may create or truncate."""

_NEEDS_ROOM: Final = frozenset(
    {"open", "write", "write_at", "make_directory", "make_symlink", "make_link", "make_node", "set_xattr"}
)


class InjectingSystem(System):
    """Calls ``before(count, name)`` before every mutating call (counted from 0), then lets ``inner`` do it."""

    def __init__(self, before: Callable[[int, str], None], inner: System | None = None) -> None:
        self.inner = System() if inner is None else inner
        self.count = 0
        self._before = before

    def step(self, name: str) -> None:
        """Count one mutating call and tell."""
        count, self.count = self.count, self.count + 1
        self._before(count, name)


class FailingSystem(InjectingSystem):
    """Fails mutating call number ``at`` (from 0) with ``number`` (``errno.ENOSPC``, ``errno.EIO``...); a failing write writes half first.

    ``lasting``: from then on every call that needs room fails too, as on a disk that stays full. ``failed`` tells whether it came to that.
    """

    def __init__(
        self, at: int, number: int = errno.ENOSPC, *, lasting: bool = False, inner: System | None = None
    ) -> None:
        super().__init__(self._judge, inner)
        self.failed = False
        self._at, self._number, self._lasting = at, number, lasting

    def _judge(self, count: int, name: str) -> None:
        if count == self._at or (self._lasting and count > self._at and name in _NEEDS_ROOM):
            self.failed = True
            raise OSError(self._number, os.strerror(self._number))


def _intercepted(name: str) -> Callable[..., Any]:
    def call(self: InjectingSystem, *arguments: Any) -> Any:
        if name != "open" or arguments[2] & (os.O_CREAT | os.O_TRUNC):
            try:
                self.step(name)
            except OSError:
                if name in {"write", "write_at"}:
                    descriptor, data, *offset = arguments
                    getattr(self.inner, name)(descriptor, data[: len(data) // 2], *offset)
                raise
        return getattr(self.inner, name)(*arguments)

    call.__name__ = name
    return call


for _name in MUTATING:
    setattr(InjectingSystem, _name, _intercepted(_name))


class UnsyncedSystem(System):
    """The real thing, but nothing waits for the disk: for laws that are not about power cuts."""

    @override
    def sync(self, descriptor: int) -> None:
        os.fstat(descriptor)

    @override
    def sync_data(self, descriptor: int) -> None:
        os.fstat(descriptor)
