"""The parts of a ``fetch``, made on the node (``docs/protocol.md``, fetch).

What always holds: every part fits the limits that the node published; bytes go out in the order in which the source read them; a file that
fails in a stream of many is one failed member and not the end of the stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace
from typing_extensions import override

from lastro.domain.entry import Entry
from lastro.messages import N_
from lastro.protocol.codec import (
    BinaryPart,
    PartKind,
    encode_canonical,
    encode_message,
    frame_size,
    pack_gzip,
    pack_part,
    squeeze,
)
from lastro.protocol.entries import WireEntry, fit_entry
from lastro.protocol.events import FileBegun, FileBytes, FileEvent, FileFailed, Part
from lastro.protocol.faults import LocalProtocolError
from lastro.protocol.limits import KIB, Limits
from lastro.protocol.members import Member, MemberFailure, pack_members
from lastro.protocol.messages import FetchPart, FetchRestart
from lastro.protocol.tree_parts import LIMIT_DETAIL

FILE_PART_BYTES: Final = 256 * KIB
"""Content in one part of a single file, if the limits allow that much."""
_MEMBER_ROOM: Final = 256
"""More than any member takes in the table, without its entry."""


class FetchSender(ABC):
    """Makes the parts of one stream; any thread, one at a time. Made by ``NodeSession.start_fetch``.

    Give it the events of ``Source.fetch`` in their order with ``take``; then ``flush``. Send every part that comes out before taking more.
    """

    def __init__(self, root: str, paths: Sequence[str], limits: Limits) -> None:
        self._root = root
        self._paths = tuple(paths)
        self._limits = limits
        self._index = 0
        self._begun = False
        self.failed = 0
        """Files that could not be read."""
        self.bytes = 0
        """Bytes of content taken, restarts included."""
        self.racy = False
        """Whether the file that ended last was read so soon after a change that a later one may show the same times."""

    def take(self, event: FileEvent) -> list[Part]:
        """The parts that are full now.

        Raises:
            LocalProtocolError: not the file whose turn it is, or bytes before its beginning.
        """
        if self._index >= len(self._paths) or event.path != self._paths[self._index]:
            raise LocalProtocolError(N_("The source sent a file out of turn: {path}"), path=ascii(event.path))
        if isinstance(event, FileBegun):
            again, self._begun = self._begun, True
            return self._begin(again=again)
        if isinstance(event, FileFailed):
            return self._ended(self._fail(event.kind, event.detail[:64]), failed=True)
        if not self._begun:
            raise LocalProtocolError(
                N_("The source sent bytes before the beginning: {path}"), path=ascii(event.path)
            )
        if isinstance(event, FileBytes):
            self.bytes += len(event.data)
            return self._add(event.offset, event.data)
        wire = fit_entry(event.entry, self._root, self._limits)
        if wire is None:
            return self._ended(self._fail("unreadable", LIMIT_DETAIL), failed=True)
        self.racy = event.racy
        return self._ended(self._end(event.entry, wire), failed=False)

    @abstractmethod
    def flush(self) -> list[Part]:
        """The part that was being filled, if there is anything in it."""

    @property
    def complete(self) -> bool:
        """Whether every asked file has ended."""
        return self._index == len(self._paths)

    @property
    def files(self) -> int:
        """How many files have ended, failed ones among them."""
        return self._index

    def _ended(self, parts: list[Part], *, failed: bool) -> list[Part]:
        self._index += 1
        self._begun = False
        self.failed += failed
        return parts

    @abstractmethod
    def _begin(self, *, again: bool) -> list[Part]: ...

    @abstractmethod
    def _add(self, offset: int, data: bytes) -> list[Part]: ...

    @abstractmethod
    def _end(self, entry: Entry, wire: WireEntry) -> list[Part]: ...

    @abstractmethod
    def _fail(self, kind: str, detail: str) -> list[Part]: ...


class FileSender(FetchSender):
    """One file. Contiguous bytes go into parts of ``part_size``; a hole ends a part."""

    def __init__(self, root: str, path: str, limits: Limits, *, command: str, stream: int | None) -> None:
        """``stream``: number of the binary stream; ``None`` for ``gzip+base64``."""
        super().__init__(root, (path,), limits)
        self._command = command
        self._stream = stream
        self._buffer = bytearray()
        self._offset = 0
        self.part_size = file_part_size(limits, binary=stream is not None)
        self.entry: Entry | None = None
        """The file as it was read, when it has ended."""
        self.failure: tuple[str, str] | None = None
        """Kind and detail, when it has failed."""

    @override
    def flush(self) -> list[Part]:
        if not self._buffer:
            return []
        part = self._part(bytes(self._buffer))
        self._offset += len(self._buffer)
        self._buffer.clear()
        return [part]

    @override
    def _begin(self, *, again: bool) -> list[Part]:
        self._buffer.clear()
        self._offset = 0
        if not again:
            return []
        frame = encode_message(FetchRestart(id=self._command))
        return [Part(frame=frame, size=frame_size(frame))]

    @override
    def _add(self, offset: int, data: bytes) -> list[Part]:
        parts = self.flush() if offset != self._offset + len(self._buffer) else []
        if not self._buffer:
            self._offset = offset
        view = memoryview(data)
        while view:
            room = self.part_size - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self.part_size:
                parts += self.flush()
        return parts

    @override
    def _end(self, entry: Entry, wire: WireEntry) -> list[Part]:
        self.entry = entry
        return self.flush()

    @override
    def _fail(self, kind: str, detail: str) -> list[Part]:
        self._buffer.clear()
        self.failure = (kind, detail)
        return []

    def _part(self, data: bytes) -> Part:
        if self._stream is None:
            frame: str | bytes = encode_message(
                FetchPart(id=self._command, offset=self._offset, data=pack_gzip(data))
            )
        else:
            kind, packed = squeeze(data, PartKind.FILE_ZSTD, PartKind.FILE_RAW)
            frame = pack_part(BinaryPart(kind=kind, stream=self._stream, offset=self._offset, data=packed))
        return Part(frame=frame, size=frame_size(frame))


class ManySender(FetchSender):
    """Many files: parts of up to ``part_bytes`` with a member table and data, as ``members`` lays them out."""

    def __init__(self, root: str, paths: Sequence[str], limits: Limits, *, stream: int) -> None:
        super().__init__(root, paths, limits)
        self._stream = stream
        self._sent = 0
        self._full = min(limits.part_bytes, limits.opened_bytes)
        self._members: list[bytes] = []
        self._data = bytearray()
        self._table_bytes = 0
        self._begin_next = False
        self._member_offset = 0
        self._member_length = 0

    @override
    def flush(self) -> list[Part]:
        self._close_member()
        if not self._members:
            return []
        body = pack_members(self._members, self._data)
        kind, packed = squeeze(body, PartKind.MANY_ZSTD, PartKind.MANY_RAW)
        frame = pack_part(BinaryPart(kind=kind, stream=self._stream, offset=self._sent, data=packed))
        self._sent += len(packed)
        self._members, self._data, self._table_bytes = [], bytearray(), 0
        return [Part(frame=frame, size=frame_size(frame))]

    @override
    def _begin(self, *, again: bool) -> list[Part]:
        self._close_member()
        self._begin_next = True
        self._member_offset = 0
        return []

    @override
    def _add(self, offset: int, data: bytes) -> list[Part]:
        if offset != self._member_offset + self._member_length:
            self._close_member()
            self._member_offset = offset
        parts: list[Part] = []
        view = memoryview(data)
        while view:
            piece = view[: max(self._room(), 0)]
            if not piece or len(self._members) >= self._limits.command_paths - 1:
                parts += self.flush()
                continue
            self._data += piece
            self._member_length += len(piece)
            view = view[len(piece) :]
        return parts

    @override
    def _end(self, entry: Entry, wire: WireEntry) -> list[Part]:
        return self._last_member(Member(index=self._index, end=True, entry=wire, racy=self.racy))

    @override
    def _fail(self, kind: str, detail: str) -> list[Part]:
        return self._last_member(Member(index=self._index, failure=MemberFailure(kind=kind, detail=detail)))

    def _last_member(self, member: Member) -> list[Part]:
        """A file's last member has no data of its own, so that it fits a part whole; what precedes it stays where it is."""
        self._close_member()
        if self._begin_next and member.failure is None:
            member = replace(member, begin=True)
        self._begin_next = False
        raw = encode_canonical(member)
        full = len(raw) > self._room() or len(self._members) >= self._limits.command_paths
        parts = self.flush() if full else []
        self._members.append(raw)
        self._table_bytes += len(raw) + 1
        self._member_offset = 0
        return parts

    def _close_member(self) -> None:
        """Put what was added since into the table, as one member."""
        if self._member_length == 0:
            return
        member = Member(
            index=self._index, offset=self._member_offset, length=self._member_length, begin=self._begin_next
        )
        raw = encode_canonical(member)
        self._members.append(raw)
        self._table_bytes += len(raw) + 1
        self._begin_next = False
        self._member_offset += self._member_length
        self._member_length = 0

    def _room(self) -> int:
        return self._full - len(self._data) - self._table_bytes - _MEMBER_ROOM


def file_part_size(limits: Limits, *, binary: bool) -> int:
    """The most content in one part of a single file. As text it grows by a third, and a little for what gzip cannot squeeze."""
    largest = limits.part_bytes if binary else limits.message_bytes // 2
    return min(FILE_PART_BYTES, largest, limits.opened_bytes)
