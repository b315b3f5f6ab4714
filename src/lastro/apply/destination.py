"""What ``apply`` needs from the world: a ``Destination`` it changes, and ``Content`` it takes bytes from."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from lastro.domain.changes import ChangeSet
from lastro.domain.entry import Entry


class Content(Protocol):
    """The bytes of files by their recorded entry. Two implementations: the repository, and a keeper over its socket."""

    def read(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """``(offset, data)`` blocks of the file ``entry`` (which has a ``digest``); gaps are holes. At most 1 MiB a block.

        Raises:
            DamagedError: what is stored is not what was written.
            NotFoundError: these bytes are not stored.
        """
        ...


class NoteKind(StrEnum):
    """Why something is not exactly as recorded after an apply."""

    NOT_PERMITTED = "not_permitted"
    """The process may not set it (owner, device, flag, security xattr)."""
    NOT_SUPPORTED = "not_supported"
    """The file system of the destination cannot hold it."""
    IN_PLACE = "in_place"
    """Written in place, because a rename would break a hard-link group or a mount."""
    SKIPPED = "skipped"
    """Not made at all: a socket, or a file whose content is not stored."""


class Note(Struct, frozen=True, kw_only=True):
    """One thing that an apply could not do exactly. ``detail`` is a code: the field, the xattr's name, the errno's name."""

    path: str
    kind: NoteKind
    detail: str = ""


class Conflict(Struct, frozen=True, kw_only=True):
    """A path that was not what ``before`` says. ``found`` is what is there (``None``: nothing), and it was left alone.

    ``kept_as`` is a path beside it that holds what a third party wrote in the middle of the apply, when that had to be put aside.
    """

    path: str
    expected: Entry | None
    found: Entry | None
    kept_as: str | None = None


class OutcomeKind(StrEnum):
    """How an apply ended."""

    APPLIED = "applied"
    PARTIAL = "partial"
    """Past the point of no return a third party interfered, or a place may not be changed: some paths are in conflict (or noted with an
    errno's name), the rest is done."""
    CONFLICT = "conflict"
    """Nothing was changed, because something differed before the first exchange."""
    ROLLED_BACK = "rolled_back"
    """A crash before the first exchange: everything staged was removed."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What an apply did: the paths that are now as ``after`` says, what is not exact, and what was in the way."""

    kind: OutcomeKind
    applied: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class Destination(Protocol):
    """A writable place. Implementations: ``LocalDestination`` (a directory, descriptor-safe), ``MemoryDestination``; later a node.

    Paths are relative to the destination. Conformance suite: ``tests/conformance/test_destinations.py``.
    """

    def read(self, paths: list[str]) -> dict[str, Entry | None]:
        """What each path is now, files with their ``digest``; ``None`` where nothing is. Never follows a link, also not above the path."""
        ...

    def walk(self, path: str) -> Iterator[Entry]:
        """Everything at and below ``path`` in tree order, files with their ``digest``; nothing when it does not exist."""
        ...

    def apply(self, apply_id: str, changes: ChangeSet, content: Content) -> Outcome:
        """Make every path what its change's ``after`` says, if it still is what ``before`` says.

        Stages and verifies everything first; writes an intent file; then exchanges. Before the first exchange any trouble leaves the
        destination as it was. ``apply_id`` names staging files and the intent, and must be new.

        Raises:
            StorageFullError: no room to stage; nothing was changed.
            DamagedError: the content is not what was recorded; nothing was changed.
            DeniedError: this process may not change the first thing it had to; nothing was changed.
            LockedError: another apply to this destination is running, or one waits for ``recover``.
            UsageError: the change set contradicts itself; nothing was changed.
            LastroError: a disk failed. If that was after the first exchange, ``recover`` finishes the rest.
        """
        ...

    def recover(self) -> list[tuple[str, Outcome]]:
        """Finish what a crash left: roll back what had not reached its first exchange, roll forward what had. ``(apply_id, outcome)`` each,
        whose paths are those of the change set given to ``apply``.

        Raises:
            LockedError: an apply to this destination is running.
            ConflictError: the destination is not the directory in which the apply began.
        """
        ...
