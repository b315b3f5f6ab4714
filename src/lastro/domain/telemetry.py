"""How a machine is doing, measured from time to time: a sample, what many become, and when a disk will be full. Pure.

What always holds: shares are thousandths, so that every number is an integer; a sample says nothing of what is kept, and losing all of them
loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

SECOND: Final = 1_000_000_000
HOUR_NS: Final = 3600 * SECOND
DAY_NS: Final = 24 * HOUR_NS

MOST_DISKS: Final = 64
"""Roots whose disk a sample tells of."""

_FORECAST_POINTS: Final = 96
_FORECAST_LEAST_NS: Final = HOUR_NS
_FORECAST_FARTHEST_NS: Final = 90 * DAY_NS
_PAUSES_NEEDED: Final = 3
_MISSING_LEAST_NS: Final = HOUR_NS
_MISSING_RHYTHMS: Final = 3


class DiskUse(Struct, frozen=True, kw_only=True):
    """The file system that a root lies on. ``free``: what an ordinary user may still write."""

    path: str
    total: int
    free: int

    @property
    def used_share(self) -> int:
        """How full it is, in thousandths."""
        return 1000 - self.free * 1000 // self.total if self.total else 0


class Sample(Struct, frozen=True, kw_only=True):
    """One measurement. ``cpu``: thousandths of all processors together; ``load``: of the last minute, in thousandths.

    ``own_cpu`` (thousandths of one processor) and ``own_memory`` are those of the daemon that measured.
    """

    time_ns: int
    cpu: int
    load: int
    processors: int
    memory_total: int
    memory_used: int
    own_cpu: int = 0
    own_memory: int = 0
    disks: tuple[DiskUse, ...] = ()

    @property
    def memory_share(self) -> int:
        """How full the memory is, in thousandths."""
        return self.memory_used * 1000 // self.memory_total if self.memory_total else 0

    def disk_of(self, path: str) -> DiskUse | None:
        """The disk of the root ``path``."""
        return next((disk for disk in self.disks if disk.path == path), None)


def summed_up(samples: Sequence[Sample]) -> Sample:
    """One sample for several of them (at least one): the means of what goes up and down, and the newest of the rest."""
    newest, count = samples[-1], len(samples)
    return Sample(
        time_ns=newest.time_ns,
        cpu=sum(each.cpu for each in samples) // count,
        load=sum(each.load for each in samples) // count,
        processors=newest.processors,
        memory_total=newest.memory_total,
        memory_used=sum(each.memory_used for each in samples) // count,
        own_cpu=sum(each.own_cpu for each in samples) // count,
        own_memory=max(each.own_memory for each in samples),
        disks=newest.disks,
    )


def full_in_ns(points: Sequence[tuple[int, int]]) -> int | None:
    """In how many nanoseconds after the last of ``points`` (time, bytes free; growing times) nothing is free any more.

    ``None``: it does not get less, was not watched for an hour yet, or will last for more than 90 days. The slope is the median of the
    slopes between any two points (Theil and Sen, 1950 and 1968), so that one file that came and went says little.
    """
    if len(points) < 3 or points[-1][0] - points[0][0] < _FORECAST_LEAST_NS:
        return None
    step = -(-len(points) // _FORECAST_POINTS)
    thin = [*points[:-1:step], points[-1]]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for position, earlier in enumerate(thin)
        for later in thin[position + 1 :]
        if later[0] > earlier[0]
    ]
    slope = _median(slopes) if slopes else 0.0
    if slope >= 0:
        return None
    left = points[-1][1] / -slope
    return int(left) if left <= _FORECAST_FARTHEST_NS else None


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def usual_pause_ns(pauses: Sequence[int]) -> int:
    """How long nothing was kept for between two times that all was, as a rule: the median, once there were three pauses; else 0."""
    return int(_median(pauses)) if len(pauses) >= _PAUSES_NEEDED else 0


def missing_after_ns(pauses: Sequence[int], configured_ns: int = 0) -> int:
    """After how long without a good capture somebody has to be told: as configured, else three times what is usual, at least an hour."""
    return configured_ns or max(_MISSING_LEAST_NS, _MISSING_RHYTHMS * usual_pause_ns(pauses))
