"""What ``server.health`` is asked and answers: how each server is, in numbers and in words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.domain.telemetry import DiskUse, Sample
from lastro.messages import N_


class Level(StrEnum):
    """How serious something is, or how a server is by the worst of it."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"
    """Nobody can say while no keeper runs."""


class ServerHealth(Struct, frozen=True, kw_only=True):
    """How servers are."""

    name: Annotated[
        str, parameter(N_("A server's name (default: all of them)."), cli="argument", metavar="NAME")
    ] = ""
    samples: Annotated[int, parameter(N_("Measurements to show of each server, at most."), cli="hidden")] = 0
    """Of each ring; 0: none but the newest."""


class Finding(Struct, frozen=True, kw_only=True):
    """Something about a server that somebody should know. ``path``: the root that it is about, empty for the whole."""

    level: Level
    said: Sentence
    path: str = ""


class RootHealth(Struct, frozen=True, kw_only=True):
    """One root. ``good_ns``: until when everything in it is known to be kept (0: never yet)."""

    path: str
    watched: bool
    level: Level
    good_ns: int
    limit_ns: int
    """How old ``good_ns`` may become before somebody is told."""
    rpo_ns: int
    """Age of the newest data that would be lost now."""
    pending: int
    snapshots: int
    last_snapshot: int
    last_ns: int
    files: int
    bytes: int
    missing_since_ns: int = 0
    """Since when it has been told that a good capture is missing; 0: it has not."""
    warnings: int = 0
    disk: DiskUse | None = None
    full_in_ns: int | None = None


class HealthOfServer(Struct, frozen=True, kw_only=True):
    """One server. ``heard_ns``: when its node was last heard of. ``link`` as in ``ServerState``."""

    id: str
    name: str
    device: str
    address: str
    link: str
    level: Level
    heard_ns: int
    roots: tuple[RootHealth, ...]
    findings: tuple[Finding, ...]
    newest: Sample | None = None
    recent: tuple[Sample, ...] = ()
    """Every 5 s of the last ten minutes."""
    minutes: tuple[Sample, ...] = ()
    """Every minute of the last day."""
    problem: str = ""


class KeeperUse(Struct, frozen=True, kw_only=True):
    """What the keeper itself uses: ``cpu`` in thousandths of one processor, ``memory`` in bytes; of the disk its repository lies on."""

    cpu: int
    memory: int
    disk: DiskUse


class HealthReply(Struct, frozen=True, kw_only=True):
    """All that were asked for, by name. ``keeper``: ``None`` when no keeper runs."""

    servers: tuple[HealthOfServer, ...]
    keeper: KeeperUse | None = None
