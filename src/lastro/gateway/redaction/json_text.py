"""Strings inside JSON text: found, decoded, encoded and mapped back to where they stand, without touching what is around them.

Only for text that is known to be JSON; a string is then whatever stands between two quotation marks.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Final

import msgspec

STRING: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)"
)
_OPENINGS: Final = ("{", "[", '"')
LARGEST_NESTED: Final = 4 * 1024 * 1024


def decode_string(raw: str) -> str:
    """What stands between the quotation marks, decoded. Half surrogate pairs stay what they are.

    Raises:
        ValueError: it is no inside of a JSON string.
    """
    if "\\" not in raw:
        return raw
    decoded: str = json.loads(f'"{raw}"')
    return decoded


def encode_string(text: str) -> str:
    """``text`` as it stands between quotation marks; ASCII, whatever it holds."""
    return json.dumps(text)[1:-1]


def is_json(text: str) -> bool:
    """Whether ``text`` is itself JSON with strings inside: an object, a list or a string."""
    if not text.lstrip(" \t\r\n").startswith(_OPENINGS) or len(text) > LARGEST_NESTED:
        return False
    try:
        check_json(text.encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return False
    return True


def check_json(raw: bytes) -> None:
    """Make sure that ``raw`` is one JSON text.

    Raises:
        ValueError: it is not.
    """
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except msgspec.DecodeError:
        # msgspec refuses halves of surrogate pairs (text that a program in JavaScript cut in two), which JSON allows.
        json.loads(raw.decode("utf-8", "surrogatepass"), parse_constant=_refuse)


def _refuse(name: str) -> object:
    raise ValueError(name)


class Offsets:
    """From places in a decoded string to places in its JSON text ``raw`` (between the quotation marks)."""

    def __init__(self, raw: str) -> None:
        self._decoded: list[int] = []
        self._shift: list[int] = []
        shift = 0
        if "\\" not in raw:
            return
        for escape in _ESCAPE.finditer(raw):
            self._decoded.append(escape.start() - shift)
            shift += escape.end() - escape.start() - 1
            self._shift.append(shift)

    def raw(self, place: int) -> int:
        """Where the character number ``place`` begins."""
        index = bisect_right(self._decoded, place - 1)
        return place + (self._shift[index - 1] if index else 0)
