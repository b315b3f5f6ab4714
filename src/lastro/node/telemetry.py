"""How this server is doing: processors, memory, the disk of each watched root, and what this daemon uses itself.

What always holds: measuring opens no watched file and changes nothing; however many keepers ask, it is done at most once a second; a
root whose disk does not answer in time is left out, and holds nothing up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import psutil

from lastro.domain.paths import to_bytes
from lastro.domain.telemetry import MOST_DISKS, DiskUse, Sample

_FRESH_NS: Final = 1_000_000_000
_DISK_PATIENCE_S: Final = 1.0


class Telemetry(Protocol):
    """Measures this server. From any thread."""

    def sample(self, roots: Sequence[str]) -> Sample:
        """How it is doing now, with the disks of ``roots`` (absolute)."""
        ...


class MachineTelemetry:
    """See the module and ``Telemetry``. ``disk`` gives total and free bytes of the file system that holds a path."""

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        disk: Callable[[str], tuple[int, int]] | None = None,
        patience_s: float = _DISK_PATIENCE_S,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._disk = disk or _disk
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._own = psutil.Process()
        self._known: tuple[int, tuple[str, ...], Sample] | None = None
        self._stuck: dict[str, threading.Thread] = {}
        psutil.cpu_percent()  # the first call of both says nothing: they measure since the one before
        self._own.cpu_percent()

    def sample(self, roots: Sequence[str]) -> Sample:
        """See ``Telemetry``."""
        wanted = tuple(roots)[:MOST_DISKS]
        with self._lock:
            now = self._monotonic_ns()
            if self._known is None or now - self._known[0] >= _FRESH_NS or self._known[1] != wanted:
                self._known = (now, wanted, self._measure(wanted))
            return self._known[2]

    def _measure(self, roots: Sequence[str]) -> Sample:
        memory = psutil.virtual_memory()
        with self._own.oneshot():
            own_cpu, own_memory = self._own.cpu_percent(), self._own.memory_info().rss
        return Sample(
            time_ns=self._wall_ns(),
            cpu=min(1000, max(0, round(psutil.cpu_percent() * 10))),
            load=round(os.getloadavg()[0] * 1000),
            processors=os.cpu_count() or 1,
            memory_total=memory.total,
            memory_used=max(0, memory.total - memory.available),
            own_cpu=max(0, round(own_cpu * 10)),
            own_memory=own_memory,
            disks=tuple(disk for disk in map(self._disk_in_time, roots) if disk is not None),
        )

    def _disk_in_time(self, path: str) -> DiskUse | None:
        """Asked in a thread of its own: a network file system whose server is gone answers nobody, and for ever."""
        stuck = self._stuck.get(path)
        if stuck is not None and stuck.is_alive():
            return None
        found: list[tuple[int, int]] = []

        def ask() -> None:
            try:
                found.append(self._disk(path))
            except OSError:
                return  # gone, or not to be read: nothing is said of it

        thread = threading.Thread(target=ask, name="lastro-disk", daemon=True)
        thread.start()
        thread.join(self._patience_s)
        if thread.is_alive():
            self._stuck[path] = thread
            return None
        self._stuck.pop(path, None)
        return DiskUse(path=path, total=found[0][0], free=found[0][1]) if found else None


def _disk(path: str) -> tuple[int, int]:
    status = os.statvfs(to_bytes(path))
    total = status.f_blocks * status.f_frsize
    return total, min(total, status.f_bavail * status.f_frsize)
