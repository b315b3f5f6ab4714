"""What a gateway tells the supervisor of a run at each model call, and its answer: one line of JSON each.

    {"v":1,"run":"run-42","key":"key-…","exchange":"x-…","step":7,"time_ns":…}
    {"v":1,"exchange":"x-…"}

Apart from ``stepping``, because a supervisor needs nothing else of a gateway.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

LONGEST_LINE: Final = 4096
"""Bytes."""


class Notice(Struct, frozen=True, kw_only=True):
    """What the supervisor is told. ``time_ns``: nanoseconds since 1970."""

    v: int = 1
    run: str
    key: str
    exchange: str
    step: int
    time_ns: int


class Noted(Struct, frozen=True, kw_only=True):
    """What it answers: ``exchange`` as in the notice. Further members are passed over."""

    v: int = 1
    exchange: str
