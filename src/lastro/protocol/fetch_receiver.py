"""The parts of a ``fetch``, opened and checked on the keeper (``docs/protocol.md``, fetch).

What always holds: what comes out as a file that has ended is complete, in order, and has the size and digest that its entry says, over the
logical content with holes as zeros; a part never opens to more than the limits say. Everything else raises, and means that the node is at
fault: the driver closes the session with ``close_code(error)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from blake3 import blake3
from typing_extensions import override

from lastro.domain.entry import Entry, EntryType
from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import PartKind, open_gzip, open_zstd
from lastro.protocol.entries import entry_from_wire
from lastro.protocol.events import (
    FetchEnded,
    FileBegun,
    FileBytes,
    FileEnded,
    FileEvent,
    FileFailed,
    PartArrived,
)
from lastro.protocol.limits import MIB, Limits
from lastro.protocol.members import Member, open_members

_ZEROS: Final = bytes(MIB)


class FetchReceiver(ABC):
    """Opens the parts of one stream; any thread, one at a time. Made by ``KeeperSession.receiver``.

    Give it every ``PartArrived`` and then the ``FetchEnded`` of its command, in their order.
    """

    @abstractmethod
    def take(self, event: PartArrived | FetchEnded) -> list[FileEvent]:
        """What a part says; with ``FetchEnded`` also that nothing is missing.

        Raises:
            LimitError: a part opens to more than published, or a file is too large.
            ProtocolError: bytes out of order, a size or digest that is wrong, files that are missing.
        """


class FileReceiver(FetchReceiver):
    """One file."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._limits = limits
        self._path = path
        self._content: _Content | None = None

    @override
    def take(self, event: PartArrived | FetchEnded) -> list[FileEvent]:
        events: list[FileEvent] = []
        restart = isinstance(event, PartArrived) and event.kind == PartKind.RESTART
        if self._content is None or restart:
            self._content = _Content(self._path, self._limits)
            events.append(FileBegun(path=self._path))
        if isinstance(event, FetchEnded):
            if event.entry is None:
                raise _confused(self._path)
            self._content.end(event.entry)
            events.append(FileEnded(path=self._path, entry=event.entry, racy=event.racy))
        elif not restart:
            data = _open(event, self._limits)
            self._content.add(event.offset, data)
            if data:
                events.append(FileBytes(path=self._path, offset=event.offset, data=data))
        return events


class ManyReceiver(FetchReceiver):
    """Many files, in the order asked."""

    def __init__(self, root: str, paths: Sequence[str], limits: Limits) -> None:
        self._limits = limits
        self._root = root
        self._paths = tuple(paths)
        self._index = 0
        self._received = 0
        self._failed = 0
        self._bytes = 0
        self._content: _Content | None = None

    @override
    def take(self, event: PartArrived | FetchEnded) -> list[FileEvent]:
        if isinstance(event, FetchEnded):
            if (event.files, event.failed, event.bytes) != (len(self._paths), self._failed, self._bytes) or (
                self._index != len(self._paths)
            ):
                raise ProtocolError(N_("The peer ended a stream before everything was sent."))
            return []
        if event.offset != self._received:
            raise ProtocolError(N_("The peer sent a part out of order."))
        self._received += len(event.data)
        events: list[FileEvent] = []
        for member, data in open_members(_open(event, self._limits), self._limits):
            events += self._step(member, data)
        return events

    def _step(self, member: Member, data: bytes) -> list[FileEvent]:
        if member.index != self._index or self._index >= len(self._paths):
            raise ProtocolError(N_("The peer sent a file out of turn (index {index})."), index=member.index)
        path = self._paths[self._index]
        if member.failure is not None:
            if data or member.end or member.entry is not None:
                raise _confused(path)
            self._failed += 1
            self._next()
            return [FileFailed(path=path, kind=member.failure.kind, detail=member.failure.detail)]
        events: list[FileEvent] = []
        if member.begin:
            self._content = _Content(path, self._limits)
            events.append(FileBegun(path=path))
        if self._content is None or member.end != (member.entry is not None):
            raise _confused(path)
        if data:
            self._content.add(member.offset, data)
            self._bytes += len(data)
            events.append(FileBytes(path=path, offset=member.offset, data=data))
        if member.entry is not None:
            entry = entry_from_wire(member.entry, self._root, self._limits)
            self._content.end(entry)
            self._next()
            events.append(FileEnded(path=path, entry=entry, racy=member.racy))
        return events

    def _next(self) -> None:
        self._index += 1
        self._content = None


class _Content:
    """The bytes of one file so far: how far they reach, and their digest."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._position = 0
        self._digest = blake3()

    def add(self, offset: int, data: bytes) -> None:
        """Bytes at ``offset``; what lies between is a hole."""
        if offset < self._position:
            raise ProtocolError(
                N_("The peer sent bytes of a file out of order: {path}"), path=ascii(self._path)
            )
        if offset + len(data) > self._limits.file_bytes:
            raise LimitError(N_("The peer sent a file that is too large: {path}"), path=ascii(self._path))
        self._fill(offset)
        self._digest.update(data)
        self._position += len(data)

    def end(self, entry: Entry) -> None:
        """The file is complete and must be what ``entry`` says."""
        if entry.path != self._path or entry.type is not EntryType.FILE or entry.digest is None:
            raise _confused(self._path)
        if entry.size < self._position:
            raise ProtocolError(
                N_("The peer sent more bytes of a file than it has: {path}"), path=ascii(self._path)
            )
        self._fill(entry.size)
        if self._digest.digest() != entry.digest:
            raise ProtocolError(
                N_("The peer's bytes of a file are not those it read: {path}"), path=ascii(self._path)
            )

    def _fill(self, offset: int) -> None:
        """Zeros up to ``offset``."""
        gap = offset - self._position
        while gap > 0:
            step = min(gap, len(_ZEROS))
            self._digest.update(_ZEROS if step == len(_ZEROS) else _ZEROS[:step])
            gap -= step
        self._position = offset


def _open(event: PartArrived, limits: Limits) -> bytes:
    """The content of a part, however it travelled."""
    if event.kind in {PartKind.FILE_ZSTD, PartKind.MANY_ZSTD}:
        return open_zstd(event.data, limits.opened_bytes)
    if event.kind == PartKind.FILE_GZIP:
        return open_gzip(event.data, limits.opened_bytes)
    return event.data


def _confused(path: str) -> ProtocolError:
    return ProtocolError(N_("The peer contradicted itself about a file: {path}"), path=ascii(path))
