"""``MergedSource``: a project as a run sees it, read without mounting anything: the upper directory of an overlay over the live project.

What always holds: it lists and reads exactly what the mounted overlay shows (``tests/unit/agents/test_overlay.py`` compares them);
both directories are walked by descriptor and no link is followed, neither the human's nor one that the agent planted; the signs of the
overlay are never shown (``agents.upper``). What lies only below is read from the live project, as it is now.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from lastro.agents.upper import Signs
from lastro.capture.local import open_place
from lastro.capture.notice import log_notice
from lastro.capture.read import Reading, failed, read_file
from lastro.capture.scope import NOTHING_THERE, UNREADABLE, Scope
from lastro.capture.source import Changes, FetchEvent, FileEnd, FileFailed, Root, Skipped
from lastro.capture.walk import CHANGED, list_ground
from lastro.domain.entry import Entry
from lastro.domain.paths import check_relative, from_bytes, name_of, parent_of, to_bytes
from lastro.errors import NotFoundError
from lastro.filesystem.beneath import open_beneath, open_directory
from lastro.filesystem.metadata import Owners, read_entry
from lastro.filesystem.mounts import Mount, read_mounts
from lastro.messages import N_

_PASS: Final = os.O_PATH | os.O_DIRECTORY


@dataclass(slots=True)
class Pair:
    """An open directory of the view: in the upper, below it, or in both."""

    upper: int | None
    lower: int | None


class MergedGround:
    """A ``capture.walk.Ground`` over two open directories. ``modes``: what modes files of the upper had before they were unlocked."""

    def __init__(
        self, upper: int, lower: int, *, signs: Signs, modes: Mapping[str, int], owners: Owners
    ) -> None:
        self._upper = upper
        self._lower = lower
        self._signs = signs
        self._modes = modes
        self._owners = owners

    def above(self, path: str) -> Skipped | None:  # noqa: ARG002  nothing is left out because of what it lies in
        """See ``Ground``."""
        return None

    def open(self, path: str, *, only_pass: bool) -> Pair:
        """See ``Ground``."""
        place = Pair(None, None)
        try:
            place.upper = _open(self._upper, b".", only_pass=only_pass)
            place.lower = _open(self._lower, b".", only_pass=only_pass)
        except OSError:
            self.close(place)
            raise
        for name in to_bytes(path).split(b"/") if path else ():
            try:
                below = self._enter(place, name, only_pass=only_pass)
            finally:
                self.close(place)
            place = below
        return place

    def enter(self, place: Pair, name: bytes) -> Pair:
        """See ``Ground``."""
        return self._enter(place, name or b".", only_pass=False)

    def _enter(self, place: Pair, name: bytes, *, only_pass: bool) -> Pair:
        upper = None
        if place.upper is not None and self.in_upper(place.upper, name):
            upper = _open(place.upper, name, only_pass=only_pass)
        if place.lower is None or (upper is not None and self._hides(upper)):
            if upper is None:
                raise _nothing(name)
            return Pair(upper, None)
        try:
            return Pair(upper, _open(place.lower, name, only_pass=only_pass))
        except OSError as error:
            if upper is None:
                raise
            if error.errno in NOTHING_THERE:  # not there, or no directory: the upper one stands alone
                return Pair(upper, None)
            os.close(upper)
            raise

    def _hides(self, upper: int) -> bool:
        try:
            return self._signs.is_opaque(upper)
        except OSError:
            os.close(upper)
            raise

    def in_upper(self, upper: int, name: bytes) -> bool:
        """Whether the upper has something at ``name``.

        Raises:
            FileNotFoundError: it has a whiteout there: there is nothing, also below.
        """
        try:
            status = os.lstat(name, dir_fd=upper)
        except FileNotFoundError:
            return False
        if self._signs.is_whiteout_at(upper, name, status):
            raise _nothing(name)
        return True

    def look(self, place: Pair, name: bytes, path: str) -> Entry:
        """See ``Ground``."""
        if place.upper is not None:
            try:
                entry = read_entry(place.upper, name, path, owners=self._owners)
            except FileNotFoundError:
                pass
            else:
                if self._signs.is_whiteout(entry):
                    raise _nothing(name)
                return self.shown(entry)
        if place.lower is None:
            raise _nothing(name)
        return read_entry(place.lower, name, path, owners=self._owners)

    def shown(self, entry: Entry) -> Entry:
        """An entry of the upper as the agent saw it."""
        entry = self._signs.shown(entry)
        mode = self._modes.get(entry.path)
        return entry if mode is None else structs.replace(entry, mode=mode)

    def names(self, place: Pair, entry: Entry) -> tuple[Skipped | None, list[bytes]]:
        """See ``Ground``. Those that are whited out are among them; ``look`` finds nothing there."""
        first = place.upper if place.upper is not None else place.lower
        assert first is not None
        status = os.fstat(first)
        if (status.st_dev, status.st_ino) != (entry.dev, entry.inode):
            return Skipped(path=entry.path, kind=UNREADABLE, detail=CHANGED), []
        found = {
            os.fsencode(name)
            for each in (place.upper, place.lower)
            if each is not None
            for name in os.listdir(each)
        }
        return None, list(found)

    def close(self, place: Pair) -> None:
        """See ``Ground``."""
        for descriptor in (place.upper, place.lower):
            if descriptor is not None:
                os.close(descriptor)
        place.upper = place.lower = None


class MergedSource:
    """A ``Source`` with one root, ``project``. ``upper``: absolute path of the overlay's upper directory."""

    def __init__(
        self,
        project: str,
        upper: str,
        *,
        signs: Signs,
        modes: Mapping[str, int] | None = None,
        reading: Reading | None = None,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._root = Root(path=project)
        self._upper = upper
        self._signs = signs
        self._modes = modes or {}
        self._reading = reading or Reading()
        self._mounts = mounts
        self._sleep = sleep

    def roots(self) -> Sequence[Root]:
        """See ``Source``."""
        return (self._root,)

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        """See ``Source``.

        Raises:
            NotFoundError: it is another root, or the project or its layer is gone.
            ProtocolError: a path is absolute or has ``..`` in it.
        """
        scope = self._scope(root)
        asked = [check_relative(path) for path in paths]
        return self._list(scope, asked, recursive=recursive)

    def _list(self, scope: Scope, asked: Sequence[str], *, recursive: bool) -> Iterator[Entry | Skipped]:
        ground, descriptors = self._open()
        try:
            yield from list_ground(ground, scope, asked, recursive=recursive)
        finally:
            _close_all(descriptors)

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        """See ``Source``. Raises as ``list``."""
        scope = self._scope(root)
        asked = [check_relative(entry.path) for entry in entries]
        return self._fetch(scope, asked)

    def _fetch(self, scope: Scope, asked: Sequence[str]) -> Iterator[FetchEvent]:
        ground, descriptors = self._open()
        try:
            for path in asked:
                blocked = scope.by_name(path, is_directory=False)
                if blocked is not None:
                    yield FileFailed(path=path, kind=UNREADABLE, detail=blocked.detail)
                    continue
                yield from self._read(ground, path)
        finally:
            _close_all(descriptors)

    def _read(self, ground: MergedGround, path: str) -> Iterator[FetchEvent]:
        name = to_bytes(name_of(path)) or b"."
        try:
            place = ground.open(parent_of(path), only_pass=True)
        except OSError as error:
            yield failed(path, error)
            return
        try:
            if place.upper is not None and ground.in_upper(place.upper, name):
                for event in read_file(place.upper, name, path, self._reading):
                    yield _shown(event, ground)
            elif place.lower is not None:
                yield from read_file(place.lower, name, path, self._reading)
            else:
                yield failed(path, _nothing(name))
        except OSError as error:
            yield failed(path, error)
        finally:
            ground.close(place)

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """See ``Source``. There is no feed: the agent has ended."""
        if cursor is not None:
            self._sleep(timeout_s)
        return Changes(cursor=(cursor or 0) + 1, overflow=(self._root.path,), roots_changed=True)

    def _scope(self, path: str) -> Scope:
        if path != self._root.path:
            raise NotFoundError(N_("{path} is not a watched root."), path=path)
        return Scope(self._root, honoured_markers=frozenset(), notify=log_notice, mounts=self._mounts)

    def _open(self) -> tuple[MergedGround, tuple[int, ...]]:
        lower = open_place(self._root.path)
        try:
            upper = open_place(self._upper)
        except NotFoundError:
            os.close(lower)
            raise
        ground = MergedGround(upper, lower, signs=self._signs, modes=self._modes, owners=self._reading.owners)
        return ground, (upper, lower)


def _shown(event: FetchEvent, ground: MergedGround) -> FetchEvent:
    return structs.replace(event, entry=ground.shown(event.entry)) if isinstance(event, FileEnd) else event


def _open(directory: int, name: bytes, *, only_pass: bool) -> int:
    path = "" if name == b"." else from_bytes(name)
    return open_beneath(directory, path, _PASS) if only_pass else open_directory(directory, path)


def _nothing(name: bytes) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
