"""The content of a file as a page shows it: the lines of a text, an image, or what the first bytes of anything else say.

What always holds: never more than ``MOST`` bytes are read for it; what cannot be read is said, and what could be read before is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from lastro.app.caller import Bytes
from lastro.app.requests import Cat
from lastro.domain.reference import Reference
from lastro.errors import LastroError
from lastro.faces.console.asked import Asked
from lastro.faces.console.contents import until
from lastro.faces.console.differences import visible
from lastro.faces.console.images import HEAD, LARGEST_IMAGE, format_name, hexadecimal, media_type

MOST: Final = 256 * 1024
"""Bytes that are read for a page."""
MOST_LINES: Final = 2000


class Preview(NamedTuple):
    """``kind``: ``text``, ``image``, ``binary``, ``empty`` or ``unreadable``. ``cut``: there is more of it. ``problem``: why it could not
    be read to the end.
    """

    kind: str
    lines: tuple[str, ...] = ()
    cut: bool = False
    format: str = ""
    hexadecimal: str = ""
    problem: LastroError | None = None


def preview_of(asked: Asked, reference: Reference) -> Preview:
    """The content of the file at ``reference``. Never raises for what is wrong with the content alone."""
    try:
        reply = asked.visit.call("cat", Cat(reference=reference))
    except LastroError as error:
        return Preview("unreadable", problem=error)
    assert isinstance(reply, Bytes)
    content, problem = _head(reply)
    if not content:
        return Preview("unreadable" if problem else "empty", problem=problem)
    if media_type(content) and not problem and reply.size <= LARGEST_IMAGE:
        return Preview("image", format=format_name(content))
    lines = _lines(content, whole=len(content) == reply.size)
    if lines is None:
        return Preview(
            "binary", format=format_name(content), hexadecimal=hexadecimal(content[:HEAD]), problem=problem
        )
    cut = len(lines) > MOST_LINES or len(content) < reply.size
    return Preview("text", lines=tuple(map(visible, lines[:MOST_LINES])), cut=cut, problem=problem)


def _head(reply: Bytes) -> tuple[bytes, LastroError | None]:
    """The first ``MOST`` bytes, and why there are no more of them if that was not the reason."""
    head, wanted = bytearray(), min(MOST, reply.size)
    try:
        for offset, data in _within(reply):
            head.extend(bytes(offset - len(head)))
            head.extend(data)
    except LastroError as error:
        return bytes(head[:wanted]), error
    head.extend(bytes(max(0, wanted - len(head))))
    return bytes(head[:wanted]), None


def _within(reply: Bytes) -> Iterator[tuple[int, bytes]]:
    return ((offset, data) for offset, data in until(reply.blocks, MOST))


def _lines(content: bytes, *, whole: bool) -> list[str] | None:
    """The lines of a text; ``None`` for what is none. ``whole``: it does not end in the middle of a character."""
    if b"\0" in content:
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if whole or error.start < len(content) - 3:
            return None
        text = content[: error.start].decode("utf-8")
    return text.removesuffix("\n").split("\n")
