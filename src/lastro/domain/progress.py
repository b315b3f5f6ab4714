"""Progress of long work: latest-only, never durable."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Progress(Struct, frozen=True, kw_only=True):
    """How far some work has come. ``total`` fields are ``None`` while unknown; sizes in bytes."""

    phase: str
    files: int = 0
    bytes: int = 0
    total_files: int | None = None
    total_bytes: int | None = None
    path: str = ""


Report = Callable[[Progress], None]
"""Called from time to time by long work. Must be cheap, and raises only to break off work that may be broken off."""


def silent(_: Progress) -> None:
    """A report that nobody reads."""
