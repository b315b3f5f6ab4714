"""A scratch directory in memory where that can hold all that a disk can; crash tests write thousands of small trees."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from lastro.filesystem.system import System, get_flags
from tests.faults.disk import clear_flags

_MEMORY = "/dev/shm"


@contextmanager
def scratch_directory() -> Iterator[str]:
    """A new empty directory, removed afterwards, also what was made immutable in it."""
    with tempfile.TemporaryDirectory(
        prefix="lastro-test-", dir=_MEMORY if _memory_is_as_good() else None
    ) as path:
        try:
            yield path
        finally:
            clear_flags(path)


@cache
def _memory_is_as_good() -> bool:
    try:
        with tempfile.NamedTemporaryFile(prefix="lastro-test-", dir=_MEMORY) as file:
            os.setxattr(file.fileno(), "user.lastro", b"1")
            System().set_flags(file.fileno(), get_flags(file.fileno()) | 0x40)
    except OSError:
        return False
    return True
