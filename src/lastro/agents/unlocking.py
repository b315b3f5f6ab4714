"""Files that an agent made unreadable, and that are collected all the same: without root's rights a mode like 000 keeps their owner out.

They get read permission for their owner, in the layer alone and after the agent has ended; what they had stands in the record that is
shown instead. What always holds: a mode is in ``modes.jsonl`` before it is changed, so a collection that was killed finds every one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import Final

import msgspec
from msgspec import Struct

from lastro.agents.layer_walk import levels
from lastro.domain.paths import from_bytes, to_bytes
from lastro.filesystem.system import System

MODES_NAME: Final = "modes.jsonl"
_FILE: Final = 0o400
_DIRECTORY: Final = 0o500


class _Unlocked(Struct, frozen=True):
    path: bytes
    mode: int


def unlock(top: int, directory: int, *, system: System) -> Mapping[str, int]:
    """Make everything below the open directory ``top`` readable for this process; the modes that were there before, by path.

    ``directory``: open, holds the record. What belongs to somebody else stays as it is.

    Raises:
        OSError: the record cannot be read or written.
    """
    known = dict(_read_record(directory))
    if os.geteuid() == 0:
        return known
    record = system.open(directory, to_bytes(MODES_NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        system.write(record, b"\n")  # ends a line that a killed collection left half written
        for level in levels(top):
            for name, status in level.children:
                wanted = _DIRECTORY if S_ISDIR(status.st_mode) else _FILE if S_ISREG(status.st_mode) else 0
                mode = S_IMODE(status.st_mode)
                if mode & wanted == wanted or status.st_uid != os.geteuid():
                    continue
                path = level.path_of(name)
                known.setdefault(path, mode)
                system.write(record, msgspec.json.encode(_Unlocked(to_bytes(path), mode)) + b"\n")
                system.set_mode_at(level.descriptor, name, mode | wanted)
    finally:
        os.close(record)
    return known


def _read_record(directory: int) -> Mapping[str, int]:
    """The oldest mode of each path: later ones are of a file that was unlocked already."""
    try:
        descriptor = os.open(
            to_bytes(MODES_NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
        )
    except FileNotFoundError:
        return {}
    with open(descriptor, "rb") as file:
        lines = file.read().split(b"\n")
    found: dict[str, int] = {}
    for line in lines:
        try:
            unlocked = msgspec.json.decode(line, type=_Unlocked)
        except msgspec.DecodeError:  # cut off, so its mode was never changed
            continue
        found.setdefault(from_bytes(unlocked.path), unlocked.mode)
    return found
