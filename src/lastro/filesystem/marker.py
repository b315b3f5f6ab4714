"""The directory marker: how Lastro's own ``data/``, ``state/``, ``run/`` and ``config/secrets/`` stay out of captures.

A marker is a small file ``.lastro-directory`` with the id of the installation that made it. What always holds: a marker alone hides
nothing. It is honoured only by who knows its id, so nobody can hide a directory from capture by planting one.
"""

from __future__ import annotations

import os
from stat import S_ISREG
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.paths import join
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System

MARKER_NAME: Final = ".lastro-directory"
_MAXIMUM_SIZE: Final = 4096
_MODE: Final = 0o644


class Marker(Struct, frozen=True, kw_only=True):
    """What a marker says: whose directory it is, by the id of an installation, and its kind: ``data``, ``state``, ``run``, ``secrets``."""

    instance: str
    kind: str


UNKNOWN_MARKER: Final = Marker(instance="", kind="")
"""What an unreadable or nonsensical marker reads as. No installation has an empty id, so it is never honoured."""


def write_marker(directory: str, marker: Marker, *, system: System) -> None:
    """Mark the existing ``directory`` (absolute path); a marker that is there is replaced.

    Raises:
        OSError: it could not be written.
    """
    data = msgspec.json.encode(marker) + b"\n"
    write_atomically(join(directory, MARKER_NAME), data, mode=_MODE, system=system)


def read_marker(directory: int) -> Marker | None:
    """The marker of an open directory; ``None`` when there is none, ``UNKNOWN_MARKER`` when it makes no sense. Never follows a link."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if not S_ISREG(os.lstat(MARKER_NAME, dir_fd=directory).st_mode):
            return UNKNOWN_MARKER
        descriptor = os.open(MARKER_NAME, flags, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError:
        return UNKNOWN_MARKER
    try:
        return msgspec.json.decode(os.read(descriptor, _MAXIMUM_SIZE), type=Marker)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return UNKNOWN_MARKER
    finally:
        os.close(descriptor)
