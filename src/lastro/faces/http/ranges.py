"""A reply that is bytes as one HTTP body: gaps filled with zeros, and cut to a ``Range`` (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)\Z")
_PIECE: Final = 1024 * 1024


class Span(NamedTuple):
    """Bytes ``start`` up to, not including, ``end``."""

    start: int
    end: int


def requested_span(header: str | None, size: int) -> Span | None:
    """What a ``Range`` header asks of ``size`` bytes; ``None`` if that cannot be satisfied. What is not one plain range asks for all."""
    match = _RANGE.match(header.replace(" ", "")) if header else None
    if match is None or match[0] == "bytes=-":
        return Span(0, size)
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < start:
            return Span(0, size)
    return Span(start, end) if start < end else None


def plain_bytes(blocks: Iterable[tuple[int, bytes]], span: Span) -> Iterator[bytes]:
    """The bytes of ``span``, in pieces. ``blocks`` are in order; what lies between them is zeros."""
    position = span.start
    for offset, data in blocks:
        if offset >= span.end:
            break
        yield from _zeros(min(offset, span.end) - position)
        position = max(position, min(offset, span.end))
        if piece := data[max(0, position - offset) : span.end - offset]:
            yield piece
            position += len(piece)
    yield from _zeros(span.end - position)


def _zeros(length: int) -> Iterator[bytes]:
    while length > 0:
        yield bytes(min(length, _PIECE))
        length -= _PIECE
