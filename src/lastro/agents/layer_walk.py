"""Going through the directories of a layer: cheap, by descriptor, without following a link, while an agent may be changing them.

What always holds: one directory is open at a time and nothing recurses, so no depth that an agent makes is too deep; what vanishes
meanwhile is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from stat import S_ISDIR

from lastro.capture.scope import NOTHING_THERE
from lastro.domain.paths import from_bytes, join, name_of, parent_of, to_bytes
from lastro.filesystem.beneath import open_directory

GIT = ".git"
"""The project's own repository. Its commits come over as refs (``agents.commits``), nothing else of it ever does."""

Children = list[tuple[bytes, os.stat_result]]


@dataclass(frozen=True, slots=True)
class Level:
    """An open directory of a layer with what is in it, sorted by name. ``descriptor`` is closed when the next one is asked for."""

    path: str
    descriptor: int
    children: Children

    def path_of(self, name: bytes) -> str:
        """The path of a child."""
        return join(self.path, from_bytes(name))


def levels(
    top: int,
    *,
    without: Collection[str] = (),
    unreadable: Callable[[str, OSError], None] = lambda _path, _error: None,
) -> Iterator[Level]:
    """Every directory below the open directory ``top``, itself first and each before those in it, but for the paths ``without``.

    A child that is a directory may be made enterable before the next level is asked for. ``unreadable`` is told of those that cannot be
    entered.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            descriptor = open_directory(top, path)
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                unreadable(path, error)
            continue
        try:
            left_out = {to_bytes(name_of(one)) for one in without if parent_of(one) == path}
            children = [child for child in _children(descriptor) if child[0] not in left_out]
            level = Level(path, descriptor, children)
            yield level
            waiting += [
                level.path_of(name) for name, status in reversed(level.children) if S_ISDIR(status.st_mode)
            ]
        finally:
            os.close(descriptor)


def _children(descriptor: int) -> Children:
    found: Children = []
    for name in os.listdir(descriptor):
        raw = to_bytes(name)
        try:
            found.append((raw, os.lstat(raw, dir_fd=descriptor)))
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                raise
    found.sort(key=lambda child: child[0])
    return found
