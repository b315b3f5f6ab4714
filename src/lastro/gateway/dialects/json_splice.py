"""Changes single values in JSON bytes and leaves every other byte as it is: a model's name, the arguments of a call.

What always holds: outside the replaced values not one byte differs, white space, order, escapes and repeated keys included. Of a
repeated key the last one counts, as for nearly every reader of JSON. The body is walked at the speed of msgspec, which says how long
each value is; only keys are looked at here.

A path is a tuple of keys and indexes: ``("choices", 0, "message")``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.codec import MalformedError
from lastro.messages import N_

Path = tuple[str | int, ...]
Span = tuple[int, int]
"""First byte, byte after the last."""
Edit = tuple[int, int, bytes]
"""A span, and what stands there instead."""
_Value = TypeVar("_Value")

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_KEY: Final = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*+")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_AFTER: Final = re.compile(rb"[ \t\n\r]*([,}\]])")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)
_SCALAR: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[^][{},: \t\n\r"]+', re.DOTALL)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_ITEMS: Final = msgspec.json.Decoder(list[Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def find(body: bytes, path: Path) -> tuple[int, int] | None:
    """Where the value at ``path`` stands, as (first byte, byte after the last); ``None`` if there is none.

    Raises:
        MalformedError: the body is no JSON.
    """
    begin, end = _trimmed(body)
    for step in path:
        span = _member(body, begin, end, step) if isinstance(step, str) else _item(body, begin, end, step)
        if span is None:
            return None
        begin, end = span
    return begin, end


def splice(body: bytes, replacements: Mapping[Path, bytes]) -> bytes:
    """The body with the values at some paths replaced by other JSON; no path may lead into another's value.

    Raises:
        MalformedError: the body is no JSON, or has no value at one of the paths.
    """
    spans: list[tuple[int, int, bytes]] = []
    for path, value in replacements.items():
        span = find(body, path)
        if span is None:
            raise MalformedError(
                N_("There is no value at {path}"),
                path=".".join(map(str, path)),
                hint=N_("Ask another model, or tell its provider"),
            )
        spans.append((*span, value))
    return edited(body, spans)


def edited(body: bytes, edits: Iterable[Edit]) -> bytes:
    """The body with other bytes in some places, which do not overlap."""
    pieces: list[bytes] = []
    position = 0
    for begin, end, value in sorted(edits):
        pieces += (body[position:begin], value)
        position = end
    pieces.append(body[position:])
    return b"".join(pieces)


def item_spans(body: bytes, span: Span) -> Iterator[Span]:
    """Where the items of the array at ``span`` stand; none for another value.

    Raises:
        MalformedError: this is no JSON.
    """
    begin, end = span
    if body[begin : begin + 1] != b"[":
        return
    position = begin
    for item in _decoded(_ITEMS, body, begin, end):
        first = _after_space(body, position + 1)
        last = first + len(memoryview(item))
        yield first, last
        after = _AFTER.match(body, last)
        assert after is not None  # msgspec has read it
        position = after.start(1)


def member_spans(body: bytes, span: Span) -> Iterator[tuple[str, Span, Span]]:
    """The members of the object at ``span``, repeated ones too: name, where the member stands, where its value does.

    None for another value.

    Raises:
        MalformedError: this is no JSON.
    """
    begin, end = span
    if body[begin : begin + 1] != b"{":
        return
    values = _decoded(_MEMBERS, body, begin, end)
    for name, start, first, last in _members(body, begin, values):
        yield name, (start, last), (first, last)


def text_at(body: bytes, span: Span) -> str:
    """The string at ``span``; empty for another value.

    Raises:
        MalformedError: this is no JSON.
    """
    begin, end = span
    return _decoded(_TEXT, body, begin, end) if body[begin : begin + 1] == b'"' else ""


def without(kept: Iterable[Span], dropped: Iterable[Span]) -> list[Edit]:
    """What takes items or members out of what holds them, each with one comma."""
    gone = set(dropped)
    if not gone:
        return []
    ordered = sorted((*kept, *gone))
    edits: list[Edit] = []
    last_kept: Span | None = None
    run: Span | None = None
    for span in ordered:
        if span in gone:
            run = (run[0] if run else span[0], span[1])
            continue
        if run is not None:
            edits.append((run[0], span[0], b""))
            run = None
        last_kept = span
    if run is not None:
        edits.append((last_kept[1] if last_kept else run[0], run[1], b""))
    return edits


def splice_text(body: bytes, replacements: Mapping[Path, str]) -> bytes:
    """As ``splice``, with strings."""
    return splice(body, {path: msgspec.json.encode(text) for path, text in replacements.items()})


def _trimmed(body: bytes) -> tuple[int, int]:
    space = _SPACE.match(body)
    return (space.end() if space is not None else 0), len(body.rstrip(b" \t\n\r"))


def _member(body: bytes, begin: int, end: int, key: str) -> tuple[int, int] | None:
    if body[begin : begin + 1] != b"{":
        return None
    values = _decoded(_MEMBERS, body, begin, end)
    if key not in values:
        return None
    is_once = (
        body.count(b'"%s"' % key.encode()) == 1 and b"\\u" not in body
    )  # so it cannot come again further on
    found: tuple[int, int] | None = None
    for name, _, first, last in _members(body, begin, values):
        if name == key:
            found = first, last
            if is_once:
                break
    return found


def _item(body: bytes, begin: int, end: int, index: int) -> tuple[int, int] | None:
    if body[begin : begin + 1] != b"[":
        return None
    items = _decoded(_ITEMS, body, begin, end)
    if not 0 <= index < len(items):
        return None
    position = begin
    for item in items[:index]:
        first = _after_space(body, position + 1)
        after = _AFTER.match(body, first + len(memoryview(item)))
        assert after is not None  # msgspec has read it
        position = after.start(1)
    first = _after_space(body, position + 1)
    return first, first + len(memoryview(items[index]))


def _members(body: bytes, position: int, values: Mapping[str, Raw]) -> Iterator[tuple[str, int, int, int]]:
    """Key, first byte of it, first byte of the value and byte after its last, of every member of the object at ``position``."""
    while (match := _KEY.match(body, position + 1)) is not None:
        key: str = msgspec.json.decode(match[1])
        first = match.end()
        value = bytes(values[key])
        after = _AFTER.match(body, first + len(value)) if body.startswith(value, first) else None
        if after is None:  # this key comes again further on, and what is known is the other one's value
            last = _end_of_value(body, first)
            after = _AFTER.match(body, last)
        else:
            last = first + len(value)
        assert after is not None  # msgspec has read it
        yield key, match.start(1), first, last
        position = after.start(1)


def _end_of_value(body: bytes, first: int) -> int:
    if body[first : first + 1] not in {b"{", b"["}:
        scalar = _SCALAR.match(body, first)
        assert scalar is not None  # msgspec has read it
        return scalar.end()
    depth = 0
    for token in _TOKEN.finditer(body, first):
        mark = token[0]
        if mark in {b"{", b"["}:
            depth += 1
        elif mark in {b"}", b"]"}:
            depth -= 1
            if not depth:
                return token.end()
    raise _no_json("")


def _after_space(body: bytes, position: int) -> int:
    space = _SPACE.match(body, position)
    return position if space is None else space.end()


def _decoded(decoder: msgspec.json.Decoder[_Value], body: bytes, begin: int, end: int) -> _Value:
    try:
        return decoder.decode(memoryview(body)[begin:end])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_json(str(error)) from error


def _no_json(detail: str) -> MalformedError:
    return MalformedError(
        N_("This is not JSON: {detail}"), detail=detail, hint=N_("Check what was sent, and send it again")
    )
