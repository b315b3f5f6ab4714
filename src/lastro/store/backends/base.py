"""``Backend``: what the store needs from a place that keeps objects, and ``Deleter``, which only prune may ever hold.

What always holds: an object is visible whole or not at all, except the one that is being appended to; names are checked once, here.
See ``docs/format.md`` (Objects).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from lastro.errors import FormatError
from lastro.messages import N_

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){0,2}", re.ASCII)
_RESERVED: Final = frozenset({"lock", "tmp"})


def check_object_name(name: str) -> str:
    """Return ``name`` if it can name an object: at most three components of ASCII letters, digits, ``-``, ``_``,
    ``.``, not starting with a mark.

    Raises:
        FormatError: it cannot.
    """
    if len(name) > 200 or not _NAME.fullmatch(name) or name.partition("/")[0] in _RESERVED:
        raise FormatError(N_("This cannot be the name of an object: {name}"), name=ascii(name))
    return name


class Appender(Protocol):
    """An object that grows at its end. Only its maker writes to it, and nobody after the maker."""

    def append(self, data: bytes) -> None:
        """Write ``data`` at the end. When it returns, the object with ``data`` survives a power cut.

        Raises:
            StorageFullError: no room. Part of ``data`` may stand in the object; append nothing more to it.
            LastroError: the same, for another reason.
        """
        ...

    def close(self) -> None:
        """Release the descriptor. Twice is once."""
        ...


class Lock(Protocol):
    """The right to write. ``epoch`` is greater than that of every owner before."""

    @property
    def epoch(self) -> int:
        """The fencing epoch, from 1."""
        ...

    def release(self) -> None:
        """Give the right back. Twice is once."""
        ...


class Backend(Protocol):
    """Objects by name. Reading needs no lock and sees what a running writer has finished."""

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """Make an object of ``parts``, whole or not at all. When it returns, the object survives a power cut.

        Raises:
            ConflictError: there is one of that name; it is left alone.
            StorageFullError: no room, or the reserve would be touched; nothing was made.
            LastroError: the place failed otherwise. The object may be there or not.
        """
        ...

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes from ``offset``, at most ``length`` of them; fewer at the end of the object.

        Raises:
            NotFoundError: there is no such object.
            DamagedError: the place cannot read it.
        """
        ...

    def size(self, name: str) -> int:
        """The object's size in bytes.

        Raises:
            NotFoundError: there is no such object.
        """
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """The names of all objects in the folder ``prefix`` (``"data"``, ``"keys"``), at any depth, sorted."""
        ...

    def append(self, name: str) -> Appender:
        """Make a new, empty object to append to. When it returns, its name survives a power cut.

        Raises:
            ConflictError: there is one of that name.
            StorageFullError: no room.
        """
        ...

    def lock(self) -> Lock:
        """Become the one writer. Clears what an interrupted writer left in progress, and makes durable everything that can be read.

        Raises:
            LockedError: another writer is alive; it is named.
        """
        ...


class Deleter(Protocol):
    """Removes objects. Only prune holds one."""

    def delete(self, name: str) -> None:
        """Remove an object. When it returns, its absence survives a power cut."""
        ...
