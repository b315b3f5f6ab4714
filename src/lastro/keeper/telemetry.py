"""How servers are doing, as their nodes tell it: asked over each open session, kept as two rings (``docs/protocol.md``, telemetry).

    ring      holds                          where
    recent    ten minutes, every heartbeat   memory
    minutes   one day, a mean each minute    memory, and a cache that can be deleted at any time

What always holds: times are the keeper's, whatever clock a node has; memory per server is bounded, whatever a node tells; a node that
offers no telemetry goes on without; losing all of it loses nothing that is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.ids import ServerId
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.telemetry import DAY_NS, SECOND, DiskUse, Sample, summed_up
from lastro.keeper.conversation import Conversation
from lastro.protocol.events import TelemetryReceived
from lastro.protocol.messages import Hello
from lastro.store.cache_database import open_cache_database

RECENT_NS: Final = 600 * SECOND
MINUTE_NS: Final = 60 * SECOND
MOST_RECENT: Final = 240
MOST_MINUTES: Final = 1440
SHORTEST_INTERVAL_S: Final = 5.0
"""A node that wants to be heard more often than this is not."""
MOST_PATH_BYTES: Final = 16 * 1024
"""Of all disks of one sample together."""

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE minutes (server TEXT NOT NULL, minute INTEGER NOT NULL, sample BLOB NOT NULL, PRIMARY KEY (server, minute)) WITHOUT ROWID;
"""


async def follow_telemetry(
    conversation: Conversation,
    hello: Hello,
    take: Callable[[Sample], None],
    *,
    shortest_s: float = SHORTEST_INTERVAL_S,
) -> None:
    """Ask how the server is doing as often as its node shows that it lives, until the session ends. Returns at once where it cannot say."""
    if "telemetry" not in hello.capabilities:
        return
    while True:
        answer = await conversation.ask_telemetry()
        if isinstance(answer, TelemetryReceived):
            take(answer.sample)
        await asyncio.sleep(max(shortest_s, hello.heartbeat_interval_s))


class _Rings:
    __slots__ = ("gathered", "minutes", "recent")

    def __init__(self) -> None:
        self.recent: deque[Sample] = deque(maxlen=MOST_RECENT)
        self.minutes: deque[Sample] = deque(maxlen=MOST_MINUTES)
        self.gathered: list[Sample] = []


class TelemetryRings:
    """The rings of all servers. Safe from any thread; ``add`` never touches a disk."""

    def __init__(self, path: str | None, *, repository: str, now_ns: int) -> None:
        self._lock = threading.Lock()
        self._database = open_cache_database(
            path, schema=_SCHEMA, version=_SCHEMA_VERSION, repository=repository
        )
        self._unwritten: list[tuple[str, int, Sample]] = []
        self._rings: dict[ServerId, _Rings] = {}
        self._read(now_ns)

    def add(self, server: ServerId, sample: Sample, now_ns: int) -> None:
        """What a node told at ``now_ns``."""
        with self._lock:
            rings = self._rings.setdefault(server, _Rings())
            known = rings.recent[-1].disks if rings.recent else ()
            sample = msgspec.structs.replace(sample, time_ns=now_ns, disks=_bounded(sample.disks, known))
            if rings.gathered and rings.gathered[0].time_ns // MINUTE_NS != now_ns // MINUTE_NS:
                minute = summed_up(rings.gathered)
                rings.minutes.append(minute)
                self._unwritten.append((server, minute.time_ns // MINUTE_NS, minute))
                rings.gathered.clear()
            rings.gathered.append(sample)
            rings.recent.append(sample)
            while rings.recent[0].time_ns < now_ns - RECENT_NS:
                rings.recent.popleft()

    def recent(self, server: ServerId) -> tuple[Sample, ...]:
        """The last ten minutes, oldest first."""
        with self._lock:
            rings = self._rings.get(server)
            return tuple(rings.recent) if rings else ()

    def minutes(self, server: ServerId) -> tuple[Sample, ...]:
        """The last day, oldest first."""
        with self._lock:
            rings = self._rings.get(server)
            return tuple(rings.minutes) if rings else ()

    def newest(self, server: ServerId) -> Sample | None:
        """What was told last, if it was within a day."""
        with self._lock:
            rings = self._rings.get(server)
            if rings is None:
                return None
            return rings.recent[-1] if rings.recent else rings.minutes[-1] if rings.minutes else None

    def write(self, now_ns: int) -> None:
        """Write the minutes that are not yet in the cache, and take out what is older than a day. Where that fails, they are lost."""
        with self._lock:
            waiting, self._unwritten = self._unwritten, []
            rows = [(server, minute, _stored(sample)) for server, minute, sample in waiting]
            with contextlib.suppress(sqlite3.Error):
                self._database.executemany("INSERT OR REPLACE INTO minutes VALUES (?, ?, ?)", rows)
                self._database.execute(
                    "DELETE FROM minutes WHERE minute < ?", ((now_ns - DAY_NS) // MINUTE_NS,)
                )

    def close(self) -> None:
        """Let go of the cache."""
        with self._lock:
            self._database.close()

    def _read(self, now_ns: int) -> None:
        since = (now_ns - DAY_NS) // MINUTE_NS
        with contextlib.suppress(sqlite3.Error, msgspec.MsgspecError):
            for server, raw in self._database.execute(
                "SELECT server, sample FROM minutes WHERE minute >= ? ORDER BY server, minute", (since,)
            ):
                rings = self._rings.setdefault(ServerId(server), _Rings())
                rings.minutes.append(_loaded(raw))


class _Row(Struct, frozen=True, array_like=True):
    """A minute as the cache holds it: paths as bytes, because they may be any."""

    sample: Sample
    disks: tuple[tuple[bytes, int, int], ...]


def _stored(sample: Sample) -> bytes:
    disks = tuple((to_bytes(disk.path), disk.total, disk.free) for disk in sample.disks)
    return msgspec.msgpack.encode(_Row(msgspec.structs.replace(sample, disks=()), disks))


def _loaded(raw: bytes) -> Sample:
    row = msgspec.msgpack.decode(raw, type=_Row)
    disks = tuple(DiskUse(path=from_bytes(path), total=total, free=free) for path, total, free in row.disks)
    return msgspec.structs.replace(row.sample, disks=disks)


def _bounded(disks: tuple[DiskUse, ...], known: tuple[DiskUse, ...]) -> tuple[DiskUse, ...]:
    """As many of ``disks`` as have room; a path that is known already is not held a second time."""
    paths = {disk.path: disk.path for disk in known}
    kept: list[DiskUse] = []
    room = MOST_PATH_BYTES
    for disk in disks:
        room -= len(to_bytes(disk.path))
        if room < 0:
            break
        kept.append(msgspec.structs.replace(disk, path=paths.get(disk.path, disk.path)))
    return tuple(kept)
