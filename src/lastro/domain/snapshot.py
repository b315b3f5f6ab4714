"""A snapshot: the recorded state of a target at an instant. In the repository it is a record; this is how it reads."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from lastro.domain.ids import SnapshotNumber
from lastro.domain.target import Target


class Reason(StrEnum):
    """Why a snapshot was taken."""

    FIRST = "first"
    CHANGE = "change"
    SCHEDULE = "schedule"
    REQUEST = "request"
    APPLY = "apply"
    RUN = "run"
    """Before or after a run of an agent."""
    EDIT = "edit"
    """A human's revision of a proposal."""


class WarningKind(StrEnum):
    """What could not be kept as it was."""

    TORN = "torn"
    """The file changed during every attempt to read it."""
    UNREADABLE = "unreadable"
    """It could not be read; what was known of it before stands."""
    EXCLUDED = "excluded"
    """Left out on purpose: a kernel or network file system, Lastro's own files, or by configuration. ``detail`` says which."""


class SnapshotWarning(Struct, frozen=True, kw_only=True):
    """One thing to know about a snapshot. ``detail`` is a code such as ``proc``, ``tmpfs``, ``EACCES``, never a sentence."""

    path: str
    kind: WarningKind
    detail: str = ""


class Statistics(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a capture saw and stored. Sizes in bytes; ``added``, ``changed``, ``removed`` count paths. Fields in canonical order."""

    added: int = 0
    bytes: int = 0
    """Logical size of all files of the snapshot."""
    changed: int = 0
    duration_ns: int = 0
    entries: int = 0
    files: int = 0
    read: int = 0
    """Bytes read from the source."""
    removed: int = 0
    stored: int = 0
    """Bytes of chunks that the repository did not have yet, before compression."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """What ``target`` looked like. ``root`` is the encoded tree entry of the target's root directory (``docs/format.md``, Snapshot)."""

    number: SnapshotNumber
    """A counter over all snapshots of the repository, for people: ``snap-118``."""
    seq: int
    target: Target
    root: bytes
    time_ns: int
    node_time_ns: int | None
    reason: Reason
    statistics: Statistics
    warnings: tuple[SnapshotWarning, ...] = ()


class SnapshotBody(Struct, frozen=True, kw_only=True):
    """Body of a ``snapshot`` record. Fields in canonical order."""

    node_time_ns: int | None
    """The clock of the server itself when the capture began; ``None`` where it was not told. Evidence only: it decides nothing."""
    reason: str
    root: bytes
    statistics: Statistics
    warnings: list[tuple[bytes, str, str]]
    """``(path, kind, detail)``."""
