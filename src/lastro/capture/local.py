"""``LocalSource``: directories of this machine as a ``Source``.

What always holds: reading never changes a watched path (access times too are left alone where the kernel lets us), never leaves a root and
never follows a link; what a listing leaves out cannot be fetched either. Safe for several threads: nothing is shared but the roots.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

from lastro.capture.notice import Notify, log_notice
from lastro.capture.read import Reading, failed, read_file
from lastro.capture.scope import Gate, Scope
from lastro.capture.source import Changes, FetchEvent, FileFailed, Root, Skipped
from lastro.capture.walk import list_tree
from lastro.capture.watch import Watcher
from lastro.domain.entry import Entry
from lastro.domain.paths import check_relative, name_of, parent_of, to_bytes
from lastro.errors import NotFoundError
from lastro.filesystem.beneath import open_beneath, open_root
from lastro.filesystem.mounts import Mount, read_mounts
from lastro.messages import N_

_PASS = os.O_PATH | os.O_DIRECTORY


class LocalSource:
    """A ``Source`` over directories of this machine.

    ``roots``: absolute real paths (no link in them). ``watcher``: a change feed over the same roots, owned and closed by the caller;
    without one every ``changes`` answers ``overflow``. ``honoured_markers``: ids of the installations whose marked directories are left
    out. ``notify`` takes what no listing can say. ``reading`` and ``mounts`` are how bytes and the mount table are read, and
    ``sleep`` how is waited when there is no watcher.
    """

    def __init__(
        self,
        roots: Sequence[Root],
        *,
        watcher: Watcher | None = None,
        honoured_markers: frozenset[str] = frozenset(),
        notify: Notify = log_notice,
        reading: Reading | None = None,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._roots = tuple(roots)
        self._watcher = watcher
        self._honoured = honoured_markers
        self._notify = notify
        self._reading = reading or Reading()
        self._mounts = mounts
        self._sleep = sleep

    def roots(self) -> Sequence[Root]:
        """See ``Source``."""
        return self._roots

    def set_roots(self, roots: Sequence[Root]) -> None:
        """Watch other roots from now on. Listings and fetches that are under way end as they began."""
        self._roots = tuple(roots)
        if self._watcher is not None:
            self._watcher.set_roots(self._roots)

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        """See ``Source``.

        Raises:
            NotFoundError: ``root`` is not watched, is gone, is no directory, or a link has taken a place in its path.
            ProtocolError: a path is absolute or has ``..`` in it.
        """
        scope = self._scope(root)
        asked = [check_relative(path) for path in paths]
        return self._list(scope, asked, recursive=recursive)

    def _list(self, scope: Scope, asked: Sequence[str], *, recursive: bool) -> Iterator[Entry | Skipped]:
        descriptor = open_place(scope.root.path)
        try:
            yield from list_tree(descriptor, scope, asked, recursive=recursive, owners=self._reading.owners)
        finally:
            os.close(descriptor)

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        """See ``Source``. At most three descriptors are open at a time. Raises as ``list``."""
        scope = self._scope(root)
        asked = [check_relative(entry.path) for entry in entries]
        return self._fetch(scope, asked)

    def _fetch(self, scope: Scope, asked: Sequence[str]) -> Iterator[FetchEvent]:
        root = open_place(scope.root.path)
        parent, opened = root, ""
        try:
            gate = Gate(scope, root)
            for path in asked:
                blocked = gate.above(path) or scope.by_name(path, is_directory=False)
                if blocked is not None:
                    yield FileFailed(path=path, kind="unreadable", detail=blocked.detail)
                    continue
                if parent_of(path) != opened:
                    try:
                        above = open_beneath(root, parent_of(path), _PASS)
                    except OSError as error:
                        yield failed(path, error)
                        continue
                    if parent != root:
                        os.close(parent)
                    parent, opened = above, parent_of(path)
                yield from read_file(parent, to_bytes(name_of(path)) or b".", path, self._reading)
        finally:
            if parent != root:
                os.close(parent)
            os.close(root)

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """See ``Source``. Without a watcher: every root is to be listed again, at once for ``None``, else after ``timeout_s`` seconds."""
        if self._watcher is not None:
            return self._watcher.changes(cursor, timeout_s)
        if cursor is not None:
            self._sleep(timeout_s)
        return Changes(
            cursor=(cursor or 0) + 1, overflow=tuple(root.path for root in self._roots), roots_changed=True
        )

    def _scope(self, path: str) -> Scope:
        for root in self._roots:
            if root.path == path:
                return Scope(root, honoured_markers=self._honoured, notify=self._notify, mounts=self._mounts)
        raise NotFoundError(
            N_("{path} is not a watched root."),
            hint=N_(
                "See the roots with `lastro node roots list`; add one with `lastro node roots add {path}`."
            ),
            path=path,
        )


def open_place(path: str) -> int:
    """The directory at the absolute real ``path``, to be read.

    Raises:
        NotFoundError: it is gone, no directory, or reached by a link.
    """
    try:
        return open_root(path)
    except OSError as error:
        raise NotFoundError(
            N_("The root {path} cannot be opened: {reason}."),
            hint=N_("A root is a directory, given by its real path: no link may be in it."),
            path=path,
            reason=error.strerror,
        ) from error
