"""Rows of the history database as answers, and answers' arguments as its bounds."""

from __future__ import annotations

import fnmatch
from typing import Any

import msgspec

from lastro.domain.ids import LOCAL, ServerId, SnapshotNumber
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.server import Server
from lastro.domain.snapshot import Reason, Snapshot, SnapshotBody, SnapshotWarning, WarningKind
from lastro.domain.target import Target, TargetKind
from lastro.history.answers import TimelineSnapshot, Version

THIS_MACHINE = Server(id=ServerId(LOCAL), name=LOCAL)


SNAPSHOT_COLUMNS = (
    "snapshot.number, snapshot.seq, target.server, target.kind, target.path, snapshot.time_ns, snapshot.reason,"
    " snapshot.warnings"
)
VERSION_COLUMNS = (
    "snapshot.number, version.seq, snapshot.time_ns, snapshot.reason, version.operation, version.type, version.size, version.digest,"
    " version.torn"
)


def version_of(path: str, row: tuple[int, int, int, str, str, str, int, bytes | None, int]) -> Version:
    """A row of ``VERSION_COLUMNS`` as a version of ``path``."""
    number, seq, time_ns, reason, operation, kind, size, digest, torn = row
    return Version(
        path=path,
        snapshot=SnapshotNumber(number),
        seq=seq,
        time_ns=time_ns,
        reason=reason,
        operation=operation,
        type=kind,
        size=size,
        digest=digest,
        torn=bool(torn),
    )


def timeline_snapshot_of(row: tuple[Any, ...], paths: tuple[str, ...]) -> TimelineSnapshot:
    """A row of ``SNAPSHOT_COLUMNS`` and three counts, with some of the ``paths`` it changed."""
    number, seq, server, kind, path, time_ns, reason, warnings, added, changed, removed = row
    return TimelineSnapshot(
        snapshot=SnapshotNumber(number),
        seq=seq,
        target=Target(ServerId(server), TargetKind(kind), from_bytes(path)),
        time_ns=time_ns,
        reason=reason,
        warnings=warnings,
        added=added,
        changed=changed,
        removed=removed,
        paths=paths,
    )


def limit_of(bound: int | None) -> int:
    """The bound as a ``seq`` that SQL compares with."""
    return 2**62 if bound is None else bound


def bounds_below(path: str) -> tuple[bytes, bytes]:
    """Bounds, in byte order, of all paths strictly below ``path``."""
    if path == "":
        return b"", b"\xff" * 8
    raw = to_bytes(path)
    return raw + b"/", raw + b"0"  # "0" is the byte after "/"


def matches(pattern: bytes, name: bytes) -> bool:
    """Whether a name, or a whole path if the pattern holds a slash, matches a glob. Case matters."""
    if not any(character in pattern for character in b"*?["):
        return name == pattern or (b"/" in pattern and name.endswith(b"/" + pattern.lstrip(b"/")))
    return fnmatch.fnmatchcase(
        name, pattern if b"/" not in pattern or pattern.startswith((b"/", b"*")) else b"*/" + pattern
    )


def snapshot_of(row: tuple[int, int, str, str, bytes, int, bytes]) -> Snapshot:
    """A row with the snapshot's body, whole."""
    number, seq, server, kind, path, time_ns, raw = row
    body = msgspec.msgpack.decode(raw, type=SnapshotBody)
    return Snapshot(
        number=SnapshotNumber(number),
        seq=seq,
        target=Target(ServerId(server), TargetKind(kind), from_bytes(path)),
        root=body.root,
        time_ns=time_ns,
        node_time_ns=body.node_time_ns,
        reason=Reason(body.reason),
        statistics=body.statistics,
        warnings=tuple(
            SnapshotWarning(path=from_bytes(item[0]), kind=WarningKind(item[1]), detail=item[2])
            for item in body.warnings
        ),
    )
