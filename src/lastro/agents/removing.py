"""Removing what a run left on the disk: a layer holds whatever an agent made, so nothing in it is trusted to be easy.

What always holds: nothing outside the directory is touched (by descriptor, no link followed), whatever its depth; directories without
permissions are given some first.
"""

from __future__ import annotations

import os
from stat import S_ISDIR
from typing import Final

from lastro.agents.layer_walk import levels
from lastro.domain.paths import name_of, parent_of, to_bytes
from lastro.filesystem.beneath import open_beneath
from lastro.filesystem.system import System

_PASS: Final = os.O_PATH | os.O_DIRECTORY
_OWN: Final = 0o700


def remove_tree(path: str, *, system: System) -> None:
    """Remove the directory at the absolute real ``path`` with everything in it. Nothing there is fine.

    Raises:
        OSError: something could not be removed (it belongs to somebody else, it is immutable, a file system is mounted in it).
    """
    folder, _, name = to_bytes(path).rpartition(b"/")
    above = os.open(folder or b"/", _PASS | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        top = _open_own(above, name, system)
        if top is None:
            return
        try:
            for directory in reversed(_emptied(top, system)):
                parent = open_beneath(top, parent_of(directory), _PASS)
                try:
                    system.remove_directory(parent, to_bytes(name_of(directory)))
                finally:
                    os.close(parent)
        finally:
            os.close(top)
        system.remove_directory(above, name)
    finally:
        os.close(above)


def _open_own(above: int, name: bytes, system: System) -> int | None:
    """The directory, entered with all permissions; a file or link of that name is removed. ``None``: there is nothing to do."""
    try:
        status = os.lstat(name, dir_fd=above)
    except FileNotFoundError:
        return None
    if not S_ISDIR(status.st_mode):
        system.remove(above, name)
        return None
    if status.st_mode & _OWN != _OWN:
        system.set_mode_at(above, name, _OWN)
    return open_beneath(above, os.fsdecode(name), os.O_RDONLY | os.O_DIRECTORY)


def _emptied(top: int, system: System) -> list[str]:
    """Remove everything but directories; those, each before what is in it."""
    directories: list[str] = []
    for level in levels(top, unreadable=_refuse):
        for name, status in level.children:
            if not S_ISDIR(status.st_mode):
                system.remove(level.descriptor, name)
                continue
            if status.st_mode & _OWN != _OWN:
                system.set_mode_at(level.descriptor, name, _OWN)
            directories.append(level.path_of(name))
    return directories


def _refuse(path: str, error: OSError) -> None:
    raise OSError(error.errno, error.strerror, path)
