"""Ids of exchanges: ``x-`` and a ULID in lower case, so that they sort by time and nobody can guess the next one. Pure."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's
_PAIRS: Final = tuple(first + second for first in _DIGITS for second in _DIGITS)
_SHIFTS: Final = tuple(range(120, -1, -10))
ENTROPY: Final = 10
"""Random bytes in an id."""


def new_exchange_id(time_ns: int, entropy: bytes) -> str:
    """The id of an exchange that began at ``time_ns`` (nanoseconds since 1970); ``entropy`` is ``ENTROPY`` random bytes."""
    number = (time_ns // 1_000_000 & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:ENTROPY], "big")
    return "x-" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
