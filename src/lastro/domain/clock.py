"""Time as an argument: two readings, so that a jump of the wall clock can be told from time passing."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Nanoseconds. ``wall_ns`` is UTC since 1970 and may jump; ``monotonic_ns`` only grows, from an arbitrary start."""

    def wall_ns(self) -> int:
        """UTC, nanoseconds since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary instant."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        """See ``Clock``."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """See ``Clock``."""
        return time.monotonic_ns()
