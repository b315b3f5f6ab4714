"""``OverlayLayer``: what a run changes is in the upper directory of an overlay over the project's own path.

What always holds: nothing is mounted here and nothing of the live project is written; the upper is read by descriptor, no link of the
agent's is followed. Its root bears the project's own attributes, because it is those that the mounted view shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Final

import msgspec
from msgspec import structs

from lastro.agents.layer import LayerSize, Manifest, Mark
from lastro.agents.layer_walk import GIT, Level, levels
from lastro.agents.merged import MergedSource
from lastro.agents.removing import remove_tree
from lastro.agents.unlocking import MODES_NAME, unlock
from lastro.agents.upper import TRUSTED, USER, Signs
from lastro.capture.local import open_place
from lastro.capture.source import Source
from lastro.domain.entry import Entry, differing
from lastro.domain.paths import join, parent_of, to_bytes, tree_order
from lastro.errors import ConfigError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.beneath import open_beneath, open_directory
from lastro.filesystem.metadata import Owners, read_entry
from lastro.filesystem.mounts import mount_of, read_mounts
from lastro.filesystem.system import System
from lastro.messages import N_

UPPER: Final = "upper"
WORK: Final = "work"
ROOT_NAME: Final = "root.json"
_NOT_UPPER: Final = frozenset(
    {"overlay", "nfs", "nfs4", "cifs", "smb3", "vfat", "exfat", "9p", "ceph", "fuse"}
)
"""Kinds of file system that the kernel does not take as an upper: no whiteouts, no attributes, or no file handles."""
_PASS: Final = os.O_PATH | os.O_DIRECTORY
_OWNER_ONLY: Final = 0o700

_Attributes = tuple[int, int, int, tuple[tuple[bytes, bytes], ...]]


def prepare_overlay(directory: str, project: str, *, system: System | None = None) -> None:
    """Make ``directory/upper`` and ``directory/work`` for an overlay over ``project``. Absolute real paths; ``directory`` exists.

    Doing it again changes nothing.

    Raises:
        ConfigError: the file system of ``directory`` cannot hold an upper.
        NotFoundError: the project is gone.
        OSError: the disk refuses.
    """
    system = system or System()
    _require_upper(directory)
    here, source = open_place(directory), open_place(project)
    try:
        for name in (UPPER, WORK):
            with suppress(FileExistsError):
                system.make_directory(here, to_bytes(name), _OWNER_ONLY)
        if not os.path.lexists(to_bytes(join(directory, ROOT_NAME))):
            upper = open_directory(here, UPPER)
            try:
                _copy_attributes(source, upper, system)
                system.set_mtime(here, to_bytes(UPPER), os.fstat(source).st_mtime_ns)
                root = msgspec.json.encode(_attributes(read_entry(upper, b"", "", owners=Owners())))
            finally:
                os.close(upper)
            write_atomically(join(directory, ROOT_NAME), root, system=system)
    finally:
        os.close(here)
        os.close(source)


def _require_upper(directory: str) -> None:
    mount = mount_of(directory, read_mounts())
    if mount is not None and (mount.kind in _NOT_UPPER or mount.kind.startswith("fuse.")):
        raise ConfigError(
            N_("{directory} lies on {kind}, which cannot hold what a run writes."),
            hint=N_("Put LASTRO_HOME on a local disk, or run with '--view copy'."),
            directory=directory,
            kind=mount.kind,
        )


def _copy_attributes(source: int, upper: int, system: System) -> None:
    """What this process may give: owner as root only, attributes of other kinds than the user's own as root only."""
    status = os.fstat(source)
    with suppress(PermissionError):
        system.set_owner_of(upper, status.st_uid, status.st_gid)
    for name in os.listxattr(source):
        if name.startswith((TRUSTED, USER)):  # signs of another overlay, of which the project is a part
            continue
        with suppress(OSError):  # of another file system's, or not for us to set
            system.set_xattr(upper, os.fsencode(name), os.getxattr(source, name))
    # Without root's rights, a project that its own owner may not write would keep the kernel from writing the upper.
    system.set_mode(upper, S_IMODE(status.st_mode) | (_OWNER_ONLY if os.geteuid() else 0))


def _attributes(entry: Entry) -> _Attributes:
    plain = [
        (to_bytes(xattr.name), xattr.value)
        for xattr in entry.xattrs
        if not xattr.name.startswith((TRUSTED, USER))
    ]
    return entry.mode, entry.uid, entry.gid, tuple(plain)


class OverlayLayer:
    """A ``Layer``. ``directory``: where ``prepare_overlay`` made it. ``user_xattrs``: the mount was made in a user namespace; ``None``: it
    was unless this is root.
    """

    def __init__(
        self, project: str, directory: str, *, user_xattrs: bool | None = None, system: System | None = None
    ) -> None:
        self._project = project
        self._directory = directory
        self._upper = join(directory, UPPER)
        in_user_namespace = os.geteuid() != 0 if user_xattrs is None else user_xattrs
        self._signs = Signs(USER if in_user_namespace else TRUSTED)
        self._system = system or System()
        self._owners = Owners()

    def manifest(self) -> Manifest:
        """See ``Layer``. Directories of both are in it when their mode or owner differs from the live one."""
        marks: dict[str, Mark] = {}
        with self._open() as (upper, lower):
            for level in levels(upper, without=(GIT,)):
                if level.path and self._signs.is_opaque(level.descriptor):
                    marks[level.path] = _mark("opaque", os.fstat(level.descriptor))
                below = _Below(lower, level.path)
                try:
                    for name, status in level.children:
                        kind = self._kind(level, name, status)
                        if kind != "dir" or not below.is_same_directory(name, status):
                            marks[level.path_of(name)] = _mark(kind, status)
                finally:
                    below.close()
        return marks

    def _kind(self, level: Level, name: bytes, status: os.stat_result) -> str:
        if S_ISDIR(status.st_mode):
            return "dir"
        if S_ISLNK(status.st_mode):
            return "symlink"
        if self._signs.is_whiteout_at(level.descriptor, name, status):
            return "gone"
        return "file" if S_ISREG(status.st_mode) else "other"

    def size(self) -> LayerSize:
        """See ``Layer``."""
        with self._open() as (upper, _):
            return measure(upper)

    def changed(self) -> Sequence[str]:
        """See ``Layer``."""
        found: list[str] = []
        with self._open() as (upper, lower):
            modes = self._unlock(upper)
            hidden: set[str] = set()
            for level in levels(upper, without=(GIT,)):
                below = _Below(lower, level.path)
                try:
                    found += self._differing_self(level, below, modes)
                    if level.path and (
                        parent_of(level.path) in hidden or self._signs.is_opaque(level.descriptor)
                    ):
                        hidden.add(level.path)
                        here = {name for name, _ in level.children}
                        found += [level.path_of(name) for name in below.names() if name not in here]
                finally:
                    below.close()
                found += [
                    level.path_of(name) for name, status in level.children if not S_ISDIR(status.st_mode)
                ]
        return sorted(found, key=tree_order)

    def _differing_self(self, level: Level, below: _Below, modes: Mapping[str, int]) -> list[str]:
        """The path of a directory, when it is new, replaces another or has other attributes."""
        above = self._signs.shown(read_entry(level.descriptor, b"", level.path, owners=self._owners))
        above = structs.replace(above, mode=modes.get(level.path, above.mode))
        if level.path == "":
            return [] if _attributes(above) == self._root() else [""]
        live = below.entry(level.path, self._owners)
        return [] if live is not None and not differing(live, above) else [level.path]

    def _root(self) -> _Attributes | None:
        """What the upper's root was given."""
        try:
            with open(to_bytes(join(self._directory, ROOT_NAME)), "rb") as file:
                attributes: _Attributes = msgspec.json.decode(file.read(), type=_Attributes)
                return attributes
        except FileNotFoundError:
            return None

    def source(self) -> Source:
        """See ``Layer``."""
        with self._open() as (upper, _):
            modes = self._unlock(upper)
        return MergedSource(self._project, self._upper, signs=self._signs, modes=modes)

    def _unlock(self, upper: int) -> Mapping[str, int]:
        here = open_place(self._directory)
        try:
            return unlock(upper, here, system=self._system)
        finally:
            os.close(here)

    def remove(self) -> None:
        """See ``Layer``."""
        for name in (UPPER, WORK):
            remove_tree(join(self._directory, name), system=self._system)
        for name in (ROOT_NAME, MODES_NAME):
            with suppress(FileNotFoundError):
                os.unlink(to_bytes(join(self._directory, name)))

    @contextmanager
    def _open(self) -> Iterator[tuple[int, int]]:
        upper = open_place(self._upper)
        try:
            lower = open_place(self._project)
            try:
                yield upper, lower
            finally:
                os.close(lower)
        finally:
            os.close(upper)


class _Below:
    """A directory of the live project, opened when it is asked about; nothing is there if it is no directory."""

    def __init__(self, lower: int, path: str) -> None:
        self._lower = lower
        self._path = path
        self._descriptor: int | None = None
        self._looked = False

    def close(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def names(self) -> list[bytes]:
        """What is in it."""
        descriptor = self._open()
        if descriptor is None:
            return []
        readable = open_directory(descriptor, "")
        try:
            return [os.fsencode(name) for name in os.listdir(readable)]
        finally:
            os.close(readable)

    def entry(self, path: str, owners: Owners) -> Entry | None:
        """The directory itself, as ``path``."""
        descriptor = self._open()
        return None if descriptor is None else read_entry(descriptor, b"", path, owners=owners)

    def is_same_directory(self, name: bytes, status: os.stat_result) -> bool:
        """Whether its child ``name`` is a directory of the same mode and owner."""
        descriptor = self._open()
        if descriptor is None:
            return False
        try:
            live = os.lstat(name, dir_fd=descriptor)
        except OSError:
            return False
        return (live.st_mode, live.st_uid, live.st_gid) == (status.st_mode, status.st_uid, status.st_gid)

    def _open(self) -> int | None:
        if not self._looked:
            self._looked = True
            with suppress(
                OSError
            ):  # not there, no directory, or not for us: then nothing in the upper is known to be the same
                self._descriptor = open_beneath(self._lower, self._path, _PASS)
        return self._descriptor


def measure(top: int) -> LayerSize:
    """What the tree at the open directory ``top`` takes, hard links counted once."""
    size, seen = 0, set()
    for level in levels(top):
        for _, status in level.children:
            key = status.st_dev, status.st_ino
            if key not in seen:
                seen.add(key)
                size += status.st_blocks * 512
    return LayerSize(bytes=size, files=len(seen))


def _mark(kind: str, status: os.stat_result) -> Mark:
    if kind == "gone":  # the kernel makes one whiteout and links it, so its times are those of the last
        return Mark(kind)
    if kind in {"dir", "opaque"}:  # their times change with what is in them, which is named itself
        return Mark(kind, inode=status.st_ino, mode=status.st_mode)
    return Mark(
        kind,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        mode=status.st_mode,
    )
