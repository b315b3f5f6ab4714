"""The intent file: everything needed to take an apply back, or to finish it, after a crash.

What always holds: it is durable before what it announces begins, and it goes last. The phases:

- ``staging``: files are being put beside their places; nothing else has changed. A crash rolls back.
- ``ready``: everything is staged and verified; exchanges may have begun. Whether one has is read from the disk, not from here.
- ``placed``: every unit has been tried, and ``outcome`` says how it went. A crash finishes the rest: attributes, and tidying up.

One file per apply in the intents directory, named by its id, msgpack; and one lock file per destination, because two applies to one
destination at a time would each see the other as a third party.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, Final

import msgspec
from blake3 import blake3
from msgspec import Struct

from lastro.apply.destination import Outcome
from lastro.apply.plan import Plan
from lastro.domain.changes import ChangeSet
from lastro.domain.paths import from_bytes, join, to_bytes
from lastro.errors import FormatError, LockedError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_

_VERSION: Final = 0


class Phase(StrEnum):
    """How far an apply got for sure. See the module's docstring."""

    STAGING = "staging"
    READY = "ready"
    PLACED = "placed"


class Touched(Struct, frozen=True, kw_only=True):
    """A directory in which something is staged, as it was before: what a roll-back gives back to it.

    ``loosened``: its mode and flags were opened up for the time of the apply, because they forbade to stage in it.
    """

    path: str
    mtime_ns: int
    mode: int
    flags: int
    loosened: bool = False


class Intent(Struct, frozen=True, kw_only=True):
    """One apply under way. ``changes``' befores are what was really found; ``made`` are directories created to hold the destination."""

    version: int = _VERSION
    apply_id: str
    destination: str
    inode: int
    """Inode number of the destination directory: a path whose disk is not mounted must not be taken for it."""
    phase: Phase
    changes: ChangeSet
    plan: Plan
    touched: tuple[Touched, ...] = ()
    made: tuple[str, ...] = ()
    outcome: Outcome | None = None


def encode_intent(intent: Intent) -> bytes:
    """The bytes of an intent file."""
    return msgspec.msgpack.encode(_mapped(msgspec.to_builtins(intent, builtin_types=(bytes,)), _armoured))


def decode_intent(raw: bytes) -> Intent:
    """The inverse of ``encode_intent``.

    Raises:
        FormatError: these are not the bytes of an intent that this version understands.
    """
    try:
        plain = _mapped(msgspec.msgpack.decode(raw), _bared)
        if plain["version"] == _VERSION:
            return msgspec.convert(plain, Intent, builtin_types=(bytes,))
    except (msgspec.MsgspecError, TypeError, KeyError, UnicodeError):
        pass
    raise FormatError(
        N_("An unfinished apply was left by another version of Lastro"),
        hint=N_("Finish it with the version that began it."),
    )


def write_intent(intents: str, intent: Intent, *, system: System) -> None:
    """Make ``intent`` durable in the directory ``intents``."""
    write_atomically(join(intents, intent.apply_id), encode_intent(intent), system=system)


def remove_intent(intents: str, apply_id: str, *, system: System) -> None:
    """The apply is over, for good."""
    directory = os.open(to_bytes(intents), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        half_written = b"." + to_bytes(apply_id) + b"."
        for name in (os.fsencode(name) for name in os.listdir(directory)):
            if name.startswith(half_written):
                system.remove(directory, name)
        system.remove(directory, to_bytes(apply_id))
        with suppress(OSError):  # if it comes back after a power cut, recovering finds nothing left to do
            system.sync(directory)
    finally:
        os.close(directory)


def pending_intents(intents: str, destination: str) -> Iterator[Intent]:
    """The unfinished applies to ``destination``, by their ids' order.

    Raises:
        FormatError: one of them cannot be understood.
    """
    for name in sorted(os.listdir(to_bytes(intents))):
        if name.startswith(b".") or name.endswith(_LOCK):
            continue
        with open(os.path.join(to_bytes(intents), name), "rb") as file:
            intent = decode_intent(file.read())
        if intent.destination == destination:
            yield intent


def ensure_intents(intents: str, *, system: System) -> None:
    """Make the intents directory, for its owner alone, when it is not there. Its parent must be."""
    if not os.path.isdir(to_bytes(intents)):
        folder, _, name = to_bytes(intents).rstrip(b"/").rpartition(b"/")
        parent = os.open(folder or b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            system.make_directory(parent, name, 0o700)
            system.sync(parent)
        finally:
            os.close(parent)


_LOCK: Final = b".lock"


@contextmanager
def destination_lock(intents: str, destination: str) -> Iterator[None]:
    """Hold the lock of ``destination`` while the block runs.

    Raises:
        LockedError: another apply to it is running.
    """
    name = blake3(to_bytes(destination)).hexdigest()[:32].encode("ascii") + _LOCK
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.path.join(to_bytes(intents), name), flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                N_("Something else is being applied to {destination}"),
                destination=destination,
                hint=N_("Wait until it has finished, then try again."),
            ) from None
        yield
    finally:
        os.close(descriptor)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return value


def _armoured(text: str) -> str:
    """Any string, also one with undecodable bytes, as one that msgpack takes: each byte becomes the character of its number."""
    return to_bytes(text).decode("latin-1")


def _bared(text: str) -> str:
    return from_bytes(text.encode("latin-1"))
