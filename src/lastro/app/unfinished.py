"""Applies in flight, as files in ``state/applies``: what to record if the process that carries one out dies before it can."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from lastro.app.places import Places
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System


class Unfinished(Struct, frozen=True, kw_only=True):
    """An apply that has been begun. ``before``: ``seq`` of the snapshot taken before it; ``change_digest`` hex; ``paths`` raw bytes."""

    apply_id: str
    destination: str
    kind: str
    of: int
    before: int | None
    change_digest: str
    paths: tuple[bytes, ...]


@contextlib.contextmanager
def applying(places: Places, unfinished: Unfinished) -> Iterator[None]:
    """Remember it durably before anything is changed, and hold its lock while this process carries it out.

    The file stays when the context ends: ``end_apply`` removes it once the apply is recorded.
    """
    directory = _directory(places)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = f"{directory}/{unfinished.apply_id}"
    write_atomically(path, _encode(unfinished), mode=0o600, system=System())
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def end_apply(places: Places, apply_id: str) -> None:
    """It is recorded, or nothing was changed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{_directory(places)}/{apply_id}")


def unfinished_applies(places: Places) -> list[Unfinished]:
    """Those whose process is gone, oldest first."""
    try:
        names = os.listdir(_directory(places))
    except FileNotFoundError:
        return []
    paths = sorted(
        (f"{_directory(places)}/{name}" for name in names if not name.startswith(".")), key=os.path.getmtime
    )
    return [unfinished for path in paths if (unfinished := _abandoned(path)) is not None]


def _abandoned(path: str) -> Unfinished | None:
    """What ``path`` says, unless a living process holds its lock."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return _decode(file.read())


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
