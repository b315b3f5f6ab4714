"""All detectors over one string, again and again until nothing more is found, and what then stands in its place.

What always holds: what comes out is a fixed point (taken out once, nothing is found the second time), and what is replaced are pieces of
the string itself, each once; JSON inside the string is read as JSON, so that a secret has the same placeholder however deep it is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from lastro.gateway.redaction.contexts import claim_of, find_in_context
from lastro.gateway.redaction.errors import RedactionError
from lastro.gateway.redaction.json_text import STRING, Offsets, decode_string, is_json
from lastro.gateway.redaction.known import KnownValues
from lastro.gateway.redaction.patterns import find_patterns
from lastro.gateway.redaction.placeholders import MASK, Placeholders, masked
from lastro.gateway.redaction.private_keys import find_private_keys
from lastro.gateway.redaction.shapes import Place, can_be_secret, is_opaque
from lastro.messages import N_

ROUNDS: Final = 8
DEEPEST: Final = 4
"""Levels of JSON inside JSON that are read as such."""
OPAQUE_NAMES: Final = frozenset({"signature", "thoughtSignature", "thought_signature", "encrypted_content"})
"""Keys whose values are a provider's own sealed bytes: one that is base64 from end to end is searched for known values alone."""
_PICTURE: Final = re.compile(
    r"(?:data:[a-z]{1,20}/[a-zA-Z0-9.+\-]{1,80};base64,|(?=iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0|SUkqA|TU0AK|AAAA[A-Z]GZ0eX))"
    r"[A-Za-z0-9+/_\-\s]*={0,2}\s*"
)


class Replaced(NamedTuple):
    """A piece of a string (``start`` to ``end``), the secret that it says, and what stands for it."""

    start: int
    end: int
    secret: str
    placeholder: str


class Detector:
    """``check`` is called between strings and raises when there is no time left."""

    def __init__(self, known: KnownValues, placeholders: Placeholders, check: Callable[[], None]) -> None:
        self._known = known
        self._placeholders = placeholders
        self._check = check

    def replaced(self, text: str, name: str, depth: int = 0) -> list[Replaced]:
        """What has to be replaced in ``text``, the value of the key ``name`` (empty for none), in order.

        Raises:
            RedactionError: no fixed point was found.
        """
        result: list[Replaced] = []
        current = text
        for _ in range(ROUNDS):
            found = self._found(current, name, depth)
            if not found:
                return result
            result = _joined(result, found)
            current = apply(text, result)
        raise RedactionError(N_("The secrets of a text cannot be told apart from the rest."))

    def _found(self, text: str, name: str, depth: int) -> list[Replaced]:
        self._check()
        nested = list(self._nested(text, depth)) if depth < DEEPEST and is_json(text) else []
        if nested:
            return nested
        hidden = masked(text)
        return [
            Replaced(start, end, text[start:end], self._placeholders.of(text[start:end]))
            for start, end in _merged(self._spans(hidden, name), hidden)
        ]

    def _spans(self, text: str, name: str) -> Iterator[tuple[int, int]]:
        yield from self._known.find(text)
        if (name in OPAQUE_NAMES and is_opaque(text)) or _PICTURE.fullmatch(text):
            return
        claim = claim_of(name) if name else None
        if claim is not None and can_be_secret(text, claim, Place.QUOTED):
            yield 0, len(text)
        yield from find_patterns(text)
        yield from find_private_keys(text)
        yield from find_in_context(text)

    def _nested(self, text: str, depth: int) -> Iterator[Replaced]:
        name, name_end = "", -1
        for match in STRING.finditer(text):
            raw, start = match[1], match.start(1)
            inner = decode_string(raw)
            # A value belongs to the string before it, if only a colon is between them.
            of = name if name_end >= 0 and text[name_end : match.start()].strip() == ":" else ""
            offsets = Offsets(raw)
            found = self.replaced(inner, of, depth + 1)
            for piece in found:
                yield Replaced(
                    start + offsets.raw(piece.start),
                    start + offsets.raw(piece.end),
                    piece.secret,
                    piece.placeholder,
                )
            name, name_end = masked(apply(inner, found)), match.end()


def apply(text: str, pieces: Iterable[Replaced]) -> str:
    """``text`` with ``pieces`` of it replaced."""
    parts: list[str] = []
    end = 0
    for piece in pieces:
        parts += (text[end : piece.start], piece.placeholder)
        end = piece.end
    return "".join((*parts, text[end:])) if parts else text


def _joined(before: list[Replaced], found: list[Replaced]) -> list[Replaced]:
    """``found`` in a text in which ``before`` is replaced already, together with it: all as places of the original."""
    moved = []
    shift, index = 0, 0
    for piece in found:
        while index < len(before) and before[index].start + shift <= piece.start:
            earlier = before[index]
            shift += len(earlier.placeholder) - (earlier.end - earlier.start)
            index += 1
        moved.append(piece._replace(start=piece.start - shift, end=piece.end - shift))
    return sorted(before + moved)


def _merged(spans: Iterable[tuple[int, int]], hidden: str) -> Iterator[tuple[int, int]]:
    """Overlapping spans as one, without what is a placeholder already."""
    last_start, last_end = -1, -1
    for start, end in sorted(spans):
        if start < last_end:
            last_end = max(last_end, end)
            continue
        yield from _around(last_start, last_end, hidden)
        last_start, last_end = start, end
    yield from _around(last_start, last_end, hidden)


def _around(start: int, end: int, hidden: str) -> Iterator[tuple[int, int]]:
    """The pieces of a span between placeholders."""
    place = start
    while place < end:
        stop = hidden.find(MASK, place, end)
        stop = end if stop < 0 else stop
        if stop > place:
            yield place, stop
        place = stop
        while place < end and hidden[place] == MASK:
            place += 1
