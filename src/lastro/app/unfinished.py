"""Applies in flight, as files in ``state/applies``: what to record if the process that carries one out dies before it can."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from lastro.app.places import Places
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import to_bytes
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System


class Unfinished(Struct, frozen=True, kw_only=True):
    """An apply that has been begun. ``before``: ``seq`` of the snapshot taken before it; ``change_digest`` hex; ``paths`` raw bytes.

    ``wanted``: for each path what it shall hold (``mark_of``), so that what somebody else makes of it meanwhile is not taken for what was
    applied.
    """

    apply_id: str
    destination: str
    kind: str
    of: int
    before: int | None
    change_digest: str
    paths: tuple[bytes, ...]
    wanted: tuple[bytes, ...] = ()


def mark_of(entry: Entry | None) -> bytes:
    """What holds for an entry and for no other of another type, content or mode; empty where nothing is said."""
    if entry is None:
        return b"-"
    mode = b"%o " % entry.mode
    match entry.type:
        case EntryType.FILE:
            return b"f" + mode + entry.digest if entry.digest is not None else b""
        case EntryType.SYMLINK:
            return b"l" + to_bytes(entry.link_target or "")
        case EntryType.DIRECTORY:
            return b"d" + mode
        case _:
            return b""


@contextlib.contextmanager
def applying(places: Places, unfinished: Unfinished) -> Iterator[None]:
    """Remember it durably before anything is changed, and hold its lock while this process carries it out.

    The file stays when the context ends: ``end_apply`` removes it once the apply is recorded.
    """
    path = f"{_directory(places)}/{unfinished.apply_id}"
    os.makedirs(_directory(places), mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with _looking(places):  # nobody sees it before its lock is held
            write_atomically(path, _encode(unfinished), mode=0o600, system=System())
            file = stack.enter_context(open(path, "rb"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def end_apply(places: Places, apply_id: str) -> None:
    """It is recorded, or nothing was changed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{_directory(places)}/{apply_id}")


def unfinished_applies(places: Places) -> list[Unfinished]:
    """Those whose process is gone, oldest first."""
    if not os.path.isdir(_directory(places)):
        return []
    with _looking(places):
        found = [
            (modified_ns, unfinished)
            for name in os.listdir(_directory(places))
            if not name.startswith(".")
            for modified_ns, unfinished in _abandoned(f"{_directory(places)}/{name}")
        ]
    return [unfinished for _, unfinished in sorted(found, key=lambda one: one[0])]


def _abandoned(path: str) -> Iterator[tuple[int, Unfinished]]:
    """When ``path`` was written and what it says, unless a living process holds its lock, or has just ended well."""
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except FileNotFoundError:
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        status = os.fstat(file.fileno())
        if status.st_nlink:
            yield status.st_mtime_ns, _decode(file.read())


@contextlib.contextmanager
def _looking(places: Places) -> Iterator[None]:
    """Nobody else begins an apply, or looks for abandoned ones."""
    with open(f"{places.state}/applies.lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _directory(places: Places) -> str:
    return f"{places.state}/applies"


def _encode(unfinished: Unfinished) -> bytes:
    raw = msgspec.structs.asdict(unfinished) | {
        "destination": unfinished.destination.encode("utf-8", "surrogateescape")
    }
    return msgspec.msgpack.encode(raw)


def _decode(stored: bytes) -> Unfinished:
    raw = msgspec.msgpack.decode(stored)
    raw["destination"] = raw["destination"].decode("utf-8", "surrogateescape")
    return msgspec.convert(raw, Unfinished)
