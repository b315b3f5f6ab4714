"""``Source``: whatever can be captured. A local directory (``LocalSource``), or a node over the wire (``NodeSource`` in ``keeper``).

All of it is synchronous; a source over the wire is called from a worker thread and hands over to the event loop. Nothing a source returns
is trusted: the capture cycle checks every path and re-hashes every byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from lastro.domain.entry import Entry


class Root(Struct, frozen=True, kw_only=True):
    """A watched root: an absolute path on the source's machine, and the user's own excludes below it (globs on the relative path)."""

    path: str
    excludes: tuple[str, ...] = ()


class Skipped(Struct, frozen=True, kw_only=True):
    """A path that a listing does not descend into or cannot read.

    The directory itself is still listed when it can be: one with a file system mounted on it that is left out (not a network one, which is
    not even looked at), one that is marked, one that is unreadable. What a name leaves out (``staging``, ``config``) is not listed.

    ``kind`` is ``excluded`` or ``unreadable``; ``detail`` a code: the file system type, ``staging``, ``marked``, ``config``, ``EACCES``...
    Below an *unreadable* directory nothing is known, and what was known before must stand; below an *excluded* one nothing is kept.
    """

    path: str
    kind: str
    detail: str


class ChangedPath(Struct, frozen=True, kw_only=True):
    """A path that may differ from what was listed last. ``recursive``: everything below it too (it was moved in, or created)."""

    root: str
    path: str
    recursive: bool = False


class Changes(Struct, frozen=True, kw_only=True):
    """What a change feed says since a cursor. ``overflow`` names roots to list again from scratch; ``roots_changed`` asks for ``roots()``.

    A directory in which something appears or disappears is itself among ``paths``, because its time has changed.
    """

    cursor: int
    paths: tuple[ChangedPath, ...] = ()
    overflow: tuple[str, ...] = ()
    roots_changed: bool = False


class FileBegin(Struct, frozen=True, kw_only=True):
    """The bytes of ``path`` follow. A second one for the same path takes the first back: the file changed while it was read."""

    path: str


class FileData(Struct, frozen=True, kw_only=True):
    """Bytes at ``offset``; offsets only grow. Gaps are holes, and read as zeros."""

    path: str
    offset: int
    data: bytes


class FileEnd(Struct, frozen=True, kw_only=True):
    """The file is complete. ``entry`` is its state as it was read, with ``digest`` (of the logical content) and ``torn``.

    ``racy``: its ctime lies so close to the instant of the read (``domain.entry.RACY_NS``, by the source's own clock) that a later
    write may leave the same ctime, so this reading must not be remembered as standing for the file.
    """

    path: str
    entry: Entry
    racy: bool = False


class FileFailed(Struct, frozen=True, kw_only=True):
    """The file could not be read. ``kind``: ``unreadable`` or ``vanished``; ``detail``: the errno's name, or ``not_a_file``."""

    path: str
    kind: str
    detail: str


FetchEvent = FileBegin | FileData | FileEnd | FileFailed


class Source(Protocol):
    """A machine, or part of one, whose files can be captured. Conformance suite: ``tests/conformance/test_sources.py``."""

    def roots(self) -> Sequence[Root]:
        """The watched roots as they are now."""
        ...

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        """The entries of ``paths`` (relative to ``root``), each directory followed by what it holds when ``recursive``, else by its direct
        children. Sorted in tree order (``domain.paths.tree_order``) within each asked path; asked paths are answered in tree order too, and
        one below another is answered once. A path that does not exist is simply not answered. Links are never followed.

        A recursive listing of the whole root names all but the first (in tree order) member of each hard-link group as ``HARDLINK``; any
        other listing leaves them ``FILE`` with ``nlink > 1``.

        Raises:
            NotFoundError: ``root`` is not a watched root, or is gone.
            UnreachableError: the source is out of reach.
        """
        ...

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        """The contents of regular files, in the order asked. Every file asked ends in ``FileEnd`` or ``FileFailed``."""
        ...

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """What changed after ``cursor`` (``None``: start here), waiting up to ``timeout_s`` seconds for something to say.

        A source without a feed, or with a feed that lost something, answers ``overflow`` for every root concerned.
        """
        ...
