"""A secret that does not show itself: in no log line, error, ``repr`` or traceback with its locals.

What always holds: the value leaves only through ``reveal``; nothing that failed to be a key is quoted in the error that says so.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final, NoReturn

from typing_extensions import override

LONGEST_KEY: Final = 8192
"""Characters of a provider's key; a header line has to carry it."""
_KEY_HEADERS: Final = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
_SHORTEST_HIDDEN: Final = 8
"""Characters; what is shorter stands in any text by chance."""


class SecretText:
    """Holds one secret. Compared in constant time; not pickled, not copied into text."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the one place that sends it."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "SecretText(hidden)"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and hmac.compare_digest(
            self._value.encode(), other._value.encode()
        )

    __hash__ = None  # type: ignore[assignment]  # a hash would be a trace of it

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def parse_key(raw: bytes) -> SecretText | None:
    """The key in ``raw``: one line of printable ASCII without spaces; ``None`` for anything else, so that no error can hold it."""
    line = raw.strip(b" \t\r\n")
    if not 0 < len(line) <= LONGEST_KEY or any(byte <= 0x20 or byte >= 0x7F for byte in line):
        return None
    return SecretText(line.decode("ascii"))


def without_keys(body: bytes, headers: Mapping[str, str]) -> bytes:
    """What a provider said, without the key that ``headers`` brought it: some repeat in an error the key that they refuse."""
    for name, value in headers.items():
        key = value.removeprefix("Bearer ").encode()
        if name in _KEY_HEADERS and len(key) >= _SHORTEST_HIDDEN:
            body = body.replace(key, b"(key)")
    return body
