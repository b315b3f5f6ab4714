"""``CopyLayer``: what a run changes is a plain copy of the project. It works everywhere, and costs the copying.

What always holds: ``directory/copy`` is whole or not there (a copy that was killed is made again); ``directory/copied`` holds what every
path of it looked like when it was whole, so that what the agent touched is found without reading a byte. The copy is shown under the
project's own path, whatever path the agent saw.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Final

import msgspec
from blake3 import blake3
from msgspec import Struct, structs

from lastro.agents.copying import Copier
from lastro.agents.layer import LayerSize, Manifest, Mark
from lastro.agents.layer_walk import GIT, levels
from lastro.agents.overlay import measure
from lastro.agents.removing import remove_tree
from lastro.agents.unlocking import MODES_NAME, unlock
from lastro.capture.local import LocalSource, open_place
from lastro.capture.source import Changes, FetchEvent, FileEnd, Root, Skipped, Source
from lastro.domain.entry import Entry
from lastro.domain.paths import from_bytes, join, parent_of, to_bytes, tree_order
from lastro.domain.progress import Progress, Report, silent
from lastro.errors import DamagedError, NotFoundError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.metadata import Owners, read_entry
from lastro.filesystem.system import System
from lastro.messages import N_

COPY: Final = "copy"
TABLE: Final = "copied"
_PARTIAL: Final = "copy.partial"
_TICK_S: Final = 0.02
"""More than what a kernel's coarse clock may lag: a change after this has another ctime than the copy."""
_REPORTED: Final = 500


class _Copied(Struct, frozen=True, array_like=True):
    """A path of the copy as it was made. ``own``: of a directory, a digest of its owner and extended attributes."""

    path: bytes
    mark: Mark
    own: bytes = b""


def prepare_copy(
    project: str,
    directory: str,
    report: Report = silent,
    *,
    system: System | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Copy ``project`` to ``directory/copy``, unless that was done already. Absolute real paths; ``directory`` exists, is the user's
    alone, and does not lie in the project.

    Raises:
        NotFoundError: the project is gone.
        OSError: the disk refuses (``ENOSPC``, ...); it may be tried again.
    """
    system = system or System()
    here = open_place(directory)
    try:
        if os.path.lexists(to_bytes(join(directory, COPY))):
            return
        remove_tree(join(directory, _PARTIAL), system=system)
        system.make_directory(here, to_bytes(_PARTIAL), 0o700)
        source, copy = open_place(project), open_place(join(directory, _PARTIAL))
        try:
            Copier(source, copy, system=system, told=_telling(report, project)).run()
            pause(_TICK_S)
            table = msgspec.msgpack.encode(_table(copy))
        finally:
            os.close(source)
            os.close(copy)
        write_atomically(join(directory, TABLE), table, system=system)
        system.rename(here, to_bytes(_PARTIAL), here, to_bytes(COPY))
    finally:
        os.close(here)


def _telling(report: Report, project: str) -> Callable[[int, int], None]:
    def told(files: int, size: int) -> None:
        if files % _REPORTED == 0:
            report(Progress(phase="copy", files=files, bytes=size, path=project))

    return told


def _table(top: int) -> list[_Copied]:
    found = []
    owners = Owners()
    for level in levels(top):
        own = _own(read_entry(level.descriptor, b"", level.path, owners=owners))
        mark = Mark("dir", mode=os.fstat(level.descriptor).st_mode)
        found.append(_Copied(to_bytes(level.path), mark, own))
        found += [
            _Copied(to_bytes(level.path_of(name)), _mark(status))
            for name, status in level.children
            if not S_ISDIR(status.st_mode)
        ]
    return found


class CopyLayer:
    """A ``Layer``. ``directory``: where ``prepare_copy`` made it."""

    def __init__(self, project: str, directory: str, *, system: System | None = None) -> None:
        self._project = project
        self._directory = directory
        self._top = join(directory, COPY)
        self._system = system or System()
        self._known: Mapping[str, _Copied] | None = None

    def manifest(self) -> Manifest:
        """See ``Layer``."""
        known = self._table()
        marks: dict[str, Mark] = {}
        missing = {path for path in known if not _is_git(path)}
        with self._open() as top:
            for level in levels(top, without=(GIT,)):
                missing.discard(level.path)
                for name, status in level.children:
                    path = level.path_of(name)
                    missing.discard(path)
                    mark = _mark(status)
                    before = known.get(path)
                    if before is None or before.mark != mark:
                        marks[path] = mark
        for path in missing:
            if parent_of(path) not in missing and path:
                marks[path] = Mark("gone")
        return marks

    def size(self) -> LayerSize:
        """See ``Layer``."""
        with self._open() as top:
            return measure(top)

    def changed(self) -> Sequence[str]:
        """See ``Layer``."""
        modes = self._unlock()
        found = {path for path, mark in self.manifest().items() if not (mark.kind == "dir" and path in modes)}
        known, owners = self._table(), Owners()
        with self._open() as top:
            for level in levels(top, without=(GIT,)):
                entry = read_entry(level.descriptor, b"", level.path, owners=owners)
                before = known.get(level.path)
                if before is None or not S_ISDIR(before.mark.mode) or self._differs(before, entry, modes):
                    found.add(level.path)
        return sorted(found, key=tree_order)

    @staticmethod
    def _differs(before: _Copied, entry: Entry, modes: Mapping[str, int]) -> bool:
        mode = modes.get(entry.path, entry.mode)
        return before.mark.mode & 0o7777 != mode or before.own != _own(entry)

    def source(self) -> Source:
        """See ``Layer``."""
        return ShownSource(LocalSource([Root(path=self._top)]), self._top, self._project, self._unlock())

    def remove(self) -> None:
        """See ``Layer``."""
        for name in (COPY, _PARTIAL):
            remove_tree(join(self._directory, name), system=self._system)
        for name in (TABLE, MODES_NAME):
            with suppress(FileNotFoundError):
                os.unlink(to_bytes(join(self._directory, name)))

    def _unlock(self) -> Mapping[str, int]:
        here = open_place(self._directory)
        try:
            with self._open() as top:
                return unlock(top, here, system=self._system)
        finally:
            os.close(here)

    def _table(self) -> Mapping[str, _Copied]:
        if self._known is None:
            path = join(self._directory, TABLE)
            try:
                with open(to_bytes(path), "rb") as file:
                    rows = msgspec.msgpack.decode(file.read(), type=list[_Copied])
            except FileNotFoundError:
                raise NotFoundError(N_("There is no copy in {path}."), path=self._directory) from None
            except msgspec.MsgspecError:
                raise DamagedError(N_("{path} is damaged."), path=path) from None
            self._known = {from_bytes(row.path): row for row in rows}
        return self._known

    @contextmanager
    def _open(self) -> Iterator[int]:
        top = open_place(self._top)
        try:
            yield top
        finally:
            os.close(top)


class ShownSource:
    """A ``Source`` with the one root ``shown``, which is the root ``path`` of another. ``modes``: what modes some paths are shown with."""

    def __init__(self, source: Source, path: str, shown: str, modes: Mapping[str, int]) -> None:
        self._source = source
        self._path = path
        self._shown = shown
        self._modes = modes

    def roots(self) -> Sequence[Root]:
        """See ``Source``."""
        return (Root(path=self._shown),)

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        """See ``Source``."""
        self._check(root)
        return map(self._show, self._source.list(self._path, paths, recursive=recursive))

    def _show(self, item: Entry | Skipped) -> Entry | Skipped:
        return self._moded(item) if isinstance(item, Entry) else item

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        """See ``Source``."""
        self._check(root)
        return map(self._show_event, self._source.fetch(self._path, entries))

    def _show_event(self, event: FetchEvent) -> FetchEvent:
        if not isinstance(event, FileEnd):
            return event
        return structs.replace(event, entry=self._moded(event.entry))

    def _moded(self, entry: Entry) -> Entry:
        mode = self._modes.get(entry.path)
        return entry if mode is None else structs.replace(entry, mode=mode)

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """See ``Source``."""
        return structs.replace(self._source.changes(cursor, timeout_s), overflow=(self._shown,), paths=())

    def _check(self, root: str) -> None:
        if root != self._shown:
            raise NotFoundError(N_("{path} is not a watched root."), path=root)


def _is_git(path: str) -> bool:
    return path == GIT or path.startswith(f"{GIT}/")


def _own(entry: Entry) -> bytes:
    """A digest of what is a directory's own, but its mode."""
    plain = [entry.uid, entry.gid, entry.flags, [(to_bytes(each.name), each.value) for each in entry.xattrs]]
    return blake3(msgspec.msgpack.encode(plain)).digest(16)


def _mark(status: os.stat_result) -> Mark:
    if S_ISDIR(status.st_mode):  # its times change with what is in it, which is named itself
        return Mark("dir", mode=status.st_mode)
    kind = "file" if S_ISREG(status.st_mode) else "symlink" if S_ISLNK(status.st_mode) else "other"
    return Mark(
        kind,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        mode=status.st_mode,
    )
