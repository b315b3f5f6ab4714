"""Server-sent events as bytes: every streamed answer of every dialect is framed by them.

What always holds: the ``raw`` bytes of all events joined are exactly the bytes that were fed, and how the bytes were cut into pieces
changes nothing about the events. Lines end in CRLF, LF or CR, also mixed; an event ends with an empty line. Nothing larger than
``LARGEST_FRAME`` is kept.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from lastro.gateway.dialects.codec import LARGEST_FRAME, TooLargeError
from lastro.messages import N_

_EMPTY_LINE: Final = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))")
"""The end of a line and an empty one. A CR at the very end decides nothing: an LF that belongs to it may follow."""
_LONGEST_END: Final = 4
"""Bytes of CRLF CRLF: as many may have to be looked at again when more comes."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DATA: Final = re.compile(rb"(?:\xef\xbb\xbf)?data(?:[:\r\n]|$)")


class ServerEvent(Struct, frozen=True, kw_only=True):
    """One event as it arrived. ``raw`` ends with its empty line, unless the stream ended before (``complete`` is then false).

    ``event`` is its name, empty where none is said; ``data`` its data lines joined by LF, ``None`` for one without (a comment that keeps
    the connection alive).
    """

    raw: bytes
    event: str = ""
    data: bytes | None = None
    complete: bool = True


class SseSplitter:
    """Cuts bytes into events as they come."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked_at = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that ``data`` completes.

        Raises:
            TooLargeError: an event is larger than ``LARGEST_FRAME``.
        """
        rest = self._rest
        if not rest and _is_plain(data):  # one event in one piece, as most come
            _check_size(len(data))
            return [read_event(data)]
        rest += data
        events: list[ServerEvent] = []
        begin, position, plain = 0, self._looked_at, b"\r" not in rest
        while (position := _end_of_event(rest, position, plain=plain)) > 0:
            _check_size(position - begin)
            events.append(read_event(bytes(rest[begin:position])))
            begin = position
        del rest[:begin]
        _check_size(len(rest))
        self._looked_at = max(0, len(rest) - _LONGEST_END)
        return events

    def finish(self) -> list[ServerEvent]:
        """What came after the last empty line; it is ``complete`` if only the doubt about a last CR held it back."""
        raw = bytes(self._rest)
        self._rest.clear()
        self._looked_at = 0
        if not raw:
            return []
        event = read_event(raw)
        complete = _EMPTY_LINE.search(raw + b".") is not None
        return [ServerEvent(raw=raw, event=event.event, data=event.data, complete=complete)]


def _end_of_event(rest: bytearray, position: int, *, plain: bool) -> int:
    """Where the next event ends, from ``position`` on; 0 if it does not. ``plain``: there is no CR."""
    if plain:  # as nearly every server writes, and many times faster
        found = rest.find(b"\n\n", position)
        return 0 if found < 0 else found + 2
    end = _EMPTY_LINE.search(rest, position)
    return 0 if end is None else end.end()


def _is_plain(data: bytes) -> bool:
    """Whether it is exactly one event, its lines ended by LF."""
    return data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data


def read_event(raw: bytes) -> ServerEvent:
    """What one event says; ``raw`` is the whole of it."""
    if (
        raw.startswith(b"data: ")
        and raw.find(b"\n") == len(raw) - 2
        and raw.endswith(b"\n")
        and b"\r" not in raw
    ):  # one line of data, as most are
        return ServerEvent(raw=raw, data=raw[6:-2])
    event = ""
    data: list[bytes] = []
    for line in raw.removeprefix(_BYTE_ORDER_MARK).splitlines():
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ").decode(errors="replace")
    return ServerEvent(raw=raw, event=event, data=b"\n".join(data) if data else None)


def format_event(data: bytes, event: str | None = None) -> bytes:
    """An event with ``data``, and a name if it has one."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    if b"\n" not in data and b"\r" not in data:
        return head + b"data: " + data + b"\n\n"
    return head + b"".join(b"data: " + line + b"\n" for line in re.split(rb"\r\n|\n|\r", data)) + b"\n"


def with_data(raw: bytes, data: bytes) -> bytes:
    """The same event with other data; its name, its comments and its line ends stay."""
    lines = raw.splitlines(keepends=True)
    changed: list[bytes] = []
    written = False
    for line in lines:
        if _DATA.match(line) is None:
            changed.append(line)
        elif not written:
            written = True
            ending = line[len(line.rstrip(b"\r\n")) :]
            changed.extend(b"data: " + piece + ending for piece in re.split(rb"\r\n|\n|\r", data))
    return b"".join(changed)


def _check_size(size: int) -> None:
    if size > LARGEST_FRAME:
        raise TooLargeError(
            N_("An event of the stream is larger than {limit} bytes"),
            limit=LARGEST_FRAME,
            hint=N_("Ask another model, or tell its provider"),
        )
