"""The journal: where small captures land, one frame and one ``fdatasync`` each.

    header | statement | commit | commit | ...

What always holds: nothing is appended to a segment after its writer's end, nor after an append failed; every segment
begins by stating all segments before it, with the length up to which each of them was acknowledged. So only the end
of the last segment can be in doubt, and there a write that a crash cut short is told from damage: a torn write is
incomplete, or has a disk sector of zeros, and nothing follows it. See ``docs/format.md`` (Journal).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.ids import ChunkId
from lastro.errors import DamagedError
from lastro.store.crypto import ALIGNMENT, FRAME_LIMIT, PREFIX_SIZE, ObjectCipher, damaged, frame_size

SEGMENT_SIZE: Final = 16 << 20
_SECTOR: Final = 512
_SKIPPED_AT_MOST: Final = 8
"""How many frames in a row may be unreadable before the search for the next one gives up."""


class Statement(Struct, frozen=True, kw_only=True):
    """The first frame of a segment. ``segments``: all journal segments before it, each with its acknowledged length in bytes."""

    head: tuple[int, bytes]
    """``seq`` and id of the newest record; (-1, 32 zero bytes) in a new repository."""
    segments: list[tuple[str, int]]


class CommitHead(Struct, frozen=True, kw_only=True):
    """The beginning of a commit: its chunks, whose bytes follow, and its records with their signatures."""

    chunks: list[tuple[ChunkId, int]]
    records: list[tuple[bytes, bytes]]


class Commit(Struct, frozen=True, kw_only=True):
    """A commit as it lies in its segment. ``chunks``: ``(id, start, length)`` within the frame's content."""

    ordinal: int
    offset: int
    size: int
    chunks: list[tuple[ChunkId, int, int]]
    records: list[tuple[bytes, bytes]]


class Opening(Struct, frozen=True, kw_only=True):
    """A readable first frame, ``size`` bytes at ``offset``."""

    offset: int
    size: int
    statement: Statement


class Torn(Struct, frozen=True, kw_only=True):
    """An append that a crash cut short, never acknowledged. The last thing in its segment."""

    offset: int


class Damage(Struct, frozen=True, kw_only=True):
    """Bytes from ``offset`` on were acknowledged and cannot be read."""

    offset: int


def encode_statement(statement: Statement) -> bytes:
    """The content of a segment's first frame."""
    return msgspec.msgpack.encode(statement)


def decode_statement(content: bytes, name: str) -> Statement:
    """The inverse of ``encode_statement``."""
    try:
        return msgspec.msgpack.decode(content, type=Statement)
    except msgspec.DecodeError:
        raise damaged(name) from None


def encode_commit(
    chunks: list[tuple[ChunkId, bytes]], records: list[tuple[bytes, bytes]]
) -> tuple[bytes, int]:
    """The content of a commit's frame, and where in it the chunks' bytes begin."""
    head = msgspec.msgpack.encode(
        CommitHead(chunks=[(chunk, len(data)) for chunk, data in chunks], records=records)
    )
    content = b"".join((len(head).to_bytes(4, "big"), head, *(data for _, data in chunks)))
    return content, 4 + len(head)


def decode_commit(content: bytes, name: str, *, ordinal: int, offset: int, size: int) -> Commit:
    """The inverse of ``encode_commit``, for the frame at ``offset``."""
    start = 4 + int.from_bytes(content[:4], "big")
    try:
        head = msgspec.msgpack.decode(content[4:start], type=CommitHead)
    except msgspec.DecodeError:
        raise damaged(name) from None
    chunks = []
    for chunk, length in head.chunks:
        chunks.append((chunk, start, length))
        start += length
    if start != len(content):
        raise damaged(name)
    return Commit(ordinal=ordinal, offset=offset, size=size, chunks=chunks, records=head.records)


def scan(
    cipher: ObjectCipher, raw: bytes, *, offset: int, ordinal: int, stated: bool
) -> Iterator[Opening | Commit | Torn | Damage]:
    """The statement and the commits in ``raw``: a segment's bytes from ``offset`` (the beginning of frame ``ordinal``) on.

    ``stated``: a later segment states that all of ``raw`` was acknowledged, so nothing in it can be torn. Goes on behind damage wherever
    the next frame can be found.
    """
    position = 0
    while position < len(raw):
        size = _whole_size(cipher, raw, position, ordinal)
        if size is not None:
            frame = memoryview(raw)[position : position + size]
            try:
                yield _decode(cipher, frame, ordinal=ordinal, offset=offset + position)
            except DamagedError:
                if not stated and position + size == len(raw) and _has_zero_sector(frame, offset + position):
                    yield Torn(offset=offset + position)
                    return
                yield Damage(offset=offset + position)
            position, ordinal = position + size, ordinal + 1
            continue
        found = _next_frame(cipher, raw, position, ordinal)
        if found is None and not stated and _is_incomplete(cipher, raw, position, ordinal):
            yield Torn(offset=offset + position)
            return
        yield Damage(offset=offset + position)
        if found is None:
            return
        position, ordinal = found


def _decode(cipher: ObjectCipher, frame: memoryview, *, ordinal: int, offset: int) -> Opening | Commit:
    content = cipher.open(ordinal, frame)
    if ordinal == 0:
        return Opening(offset=offset, size=len(frame), statement=decode_statement(content, cipher.name))
    return decode_commit(content, cipher.name, ordinal=ordinal, offset=offset, size=len(frame))


def _whole_size(cipher: ObjectCipher, raw: bytes, position: int, ordinal: int) -> int | None:
    """The size of the frame at ``position``; ``None`` when its prefix is damaged or it does not end within ``raw``."""
    length = cipher.length_at(ordinal, raw[position : position + PREFIX_SIZE])
    if length is None or position + frame_size(length) > len(raw):
        return None
    return frame_size(length)


def _is_incomplete(cipher: ObjectCipher, raw: bytes, position: int, ordinal: int) -> bool:
    """Whether what is at ``position`` is the beginning of a frame, or bytes that were never written."""
    prefix = raw[position : position + PREFIX_SIZE]
    return len(prefix) < PREFIX_SIZE or not any(prefix) or cipher.length_at(ordinal, prefix) is not None


def _has_zero_sector(frame: memoryview, offset: int) -> bool:
    """Whether some disk sector's share of the frame is all zeros. At least 16 bytes each, which ciphertext never shows."""
    start = 0
    while start < len(frame):
        end = min(len(frame), start + _SECTOR - (offset + start) % _SECTOR)
        if not any(frame[start:end]):
            return True
        start = end
    return False


def _next_frame(cipher: ObjectCipher, raw: bytes, position: int, ordinal: int) -> tuple[int, int] | None:
    """Where the next readable prefix after a damaged one is, and the ordinal of its frame."""
    for place in range(position + ALIGNMENT, len(raw) - PREFIX_SIZE + 1, ALIGNMENT):
        length = int.from_bytes(raw[place : place + 4], "big")
        if not 0 < length <= min(FRAME_LIMIT + 1024, len(raw) - place):
            continue
        for skipped in range(1, _SKIPPED_AT_MOST + 1):
            if cipher.length_at(ordinal + skipped, raw[place : place + PREFIX_SIZE]) is not None:
                return place, ordinal + skipped
    return None
