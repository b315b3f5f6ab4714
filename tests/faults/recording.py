"""A file system that remembers: what every crash could have left behind, and what a failing disk does.

``RecordingSystem`` performs every call for real below one scratch directory and writes down what it did to a model of inodes and
directories. ``crash_states`` replays that recording and yields, for every point at which the power could have gone, the states a disk may
show afterwards; ``materialize`` writes one of them to a real directory, so that the ordinary code opens it. ``InjectingSystem`` and
``FailingSystem`` do something, or fail, at a chosen call.

What always holds: a state is made only of bytes that were written. What was synced is in every state, and what was not may be missing:
names as well as bytes. A name needs its directory's sync; the attributes of what cannot be synced (symlinks, fifos, devices) go with their
directory's. Holes are kept as zeros: do not record files of gigabytes.

    system = RecordingSystem(scratch)              # everything below scratch now counts as durable
    ... ; system.mark("acknowledged snap-1"); ...
    for state in crash_states(system.recording(), seed=1):
        materialize(state, elsewhere)              # `elsewhere` stands for `scratch`
        ... open it, and see that all of state.marks still reads back ...
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from dataclasses import replace

from typing_extensions import override

from lastro.filesystem.system import System
from tests.faults.crashes import CrashState, crash_states, materialize
from tests.faults.disk import (
    ROOT,
    Attributes,
    Call,
    Disk,
    Effect,
    Recording,
    Synced,
    Written,
    added,
    at,
    attributes_at,
    attributes_of,
    clear_flags,
    entry_set,
    exists,
    overruled,
    read_inode,
    stat_at,
    truncated,
)
from tests.faults.injection import FailingSystem, InjectingSystem

__all__ = [
    "CrashState",
    "FailingSystem",
    "InjectingSystem",
    "Recording",
    "RecordingSystem",
    "clear_flags",
    "crash_states",
    "materialize",
]


class RecordingSystem(System):
    """Performs every call and records it. Only ``sync`` and ``sync_data`` are not real: the model is the disk, and tests must be quick."""

    def __init__(self, root: str | bytes) -> None:
        self._root = os.fsencode(root)
        self._ids: dict[tuple[int, int], int] = {}
        self._next_id = ROOT
        self._lock = threading.RLock()
        self._disk: Disk = {}
        self._calls: list[Call] = []
        self._scan_in()
        self._initial = dict(self._disk)

    # what a test asks

    def recording(self) -> Recording:
        """Everything recorded so far."""
        with self._lock:
            return Recording(initial=self._initial, calls=tuple(self._calls))

    def mark(self, label: object) -> None:
        """Note that something is true from here on, such as that a capture was acknowledged; crash states carry the marks before them."""
        with self._lock:
            self._calls.append(Call(name="mark", detail=str(label), effects=(), mark=label))

    def absorb(self) -> None:
        """Take in what others changed below the scratch directory without this system. It counts as durable."""
        with self._lock:
            effects = tuple(self._scan_in())
            if effects:
                self._calls.append(Call(name="absorb", detail="", effects=effects))

    # calls

    @override
    def open(self, directory: int, name: bytes, flags: int, mode: int = 0o600) -> int:
        if not flags & (os.O_CREAT | os.O_TRUNC):
            return super().open(directory, name, flags, mode)
        with self._lock:
            existed = exists(directory, name)
            descriptor = super().open(directory, name, flags, mode)
            if not existed:
                self._created("open", directory, name)
            elif flags & os.O_TRUNC:
                number = self._id(os.fstat(descriptor))
                self._done("open", name, truncated(number, 0), self._seen(number, attributes_of(descriptor)))
            return descriptor

    @override
    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        with self._lock:
            appending = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
            offset = os.fstat(descriptor).st_size if appending else os.lseek(descriptor, 0, os.SEEK_CUR)
            super().write(descriptor, data)
            self._wrote("write", descriptor, offset, bytes(data))

    @override
    def write_at(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        with self._lock:
            super().write_at(descriptor, data, offset)
            self._wrote("write_at", descriptor, offset, bytes(data))

    @override
    def truncate(self, descriptor: int, size: int) -> None:
        with self._lock:
            super().truncate(descriptor, size)
            number = self._id(os.fstat(descriptor))
            self._done(
                "truncate", b"", truncated(number, size), self._seen(number, attributes_of(descriptor))
            )

    @override
    def sync(self, descriptor: int) -> None:
        with self._lock:
            self._done("sync", b"", Synced(self._id(os.fstat(descriptor)), data_only=False))

    @override
    def sync_data(self, descriptor: int) -> None:
        with self._lock:
            self._done("sync_data", b"", Synced(self._id(os.fstat(descriptor)), data_only=True))

    @override
    def make_directory(self, directory: int, name: bytes, mode: int = 0o700) -> None:
        with self._lock:
            super().make_directory(directory, name, mode)
            self._created("make_directory", directory, name)

    @override
    def make_symlink(self, directory: int, name: bytes, target: bytes) -> None:
        with self._lock:
            super().make_symlink(directory, name, target)
            self._created("make_symlink", directory, name)

    @override
    def make_node(self, directory: int, name: bytes, mode: int, device: int = 0) -> None:
        with self._lock:
            super().make_node(directory, name, mode, device)
            self._created("make_node", directory, name)

    @override
    def make_link(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        with self._lock:
            super().make_link(directory, name, new_directory, new_name)
            number = self._id(stat_at(directory, name))
            self._renamed("make_link", new_name, (new_directory, new_name, number))

    @override
    def rename(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        with self._lock:
            number = self._id(stat_at(directory, name))
            super().rename(directory, name, new_directory, new_name)
            if exists(directory, name):  # two names of one file: POSIX does nothing
                self._done("rename", new_name)
            else:
                self._renamed("rename", new_name, (directory, name, None), (new_directory, new_name, number))

    @override
    def rename_new(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        with self._lock:
            number = self._id(stat_at(directory, name))
            super().rename_new(directory, name, new_directory, new_name)
            self._renamed("rename_new", new_name, (directory, name, None), (new_directory, new_name, number))

    @override
    def exchange(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        with self._lock:
            old, new = self._id(stat_at(directory, name)), self._id(stat_at(new_directory, new_name))
            super().exchange(directory, name, new_directory, new_name)
            self._renamed("exchange", new_name, (directory, name, new), (new_directory, new_name, old))

    @override
    def remove(self, directory: int, name: bytes) -> None:
        with self._lock:
            super().remove(directory, name)
            self._renamed("remove", name, (directory, name, None))

    @override
    def remove_directory(self, directory: int, name: bytes) -> None:
        with self._lock:
            super().remove_directory(directory, name)
            self._renamed("remove_directory", name, (directory, name, None))

    @override
    def set_mode(self, descriptor: int, mode: int) -> None:
        with self._lock:
            super().set_mode(descriptor, mode)
            self._done("set_mode", b"", self._seen(self._id(os.fstat(descriptor)), attributes_of(descriptor)))

    @override
    def set_mode_at(self, directory: int, name: bytes, mode: int) -> None:
        with self._lock:
            super().set_mode_at(directory, name, mode)
            self._looked("set_mode_at", directory, name)

    @override
    def set_owner(self, directory: int, name: bytes, uid: int, gid: int) -> None:
        with self._lock:
            super().set_owner(directory, name, uid, gid)
            self._looked("set_owner", directory, name)

    @override
    def set_owner_of(self, descriptor: int, uid: int, gid: int) -> None:
        with self._lock:
            super().set_owner_of(descriptor, uid, gid)
            self._looked_at("set_owner_of", descriptor)

    @override
    def set_mtime(self, directory: int, name: bytes, mtime_ns: int) -> None:
        with self._lock:
            super().set_mtime(directory, name, mtime_ns)
            self._looked("set_mtime", directory, name)

    @override
    def set_xattr(self, path: bytes | int, name: bytes, value: bytes) -> None:
        with self._lock:
            super().set_xattr(path, name, value)
            self._looked_at("set_xattr", path)

    @override
    def remove_xattr(self, path: bytes | int, name: bytes) -> None:
        with self._lock:
            super().remove_xattr(path, name)
            self._looked_at("remove_xattr", path)

    @override
    def set_flags(self, descriptor: int, flags: int) -> None:
        with self._lock:
            super().set_flags(descriptor, flags)
            self._done(
                "set_flags", b"", self._seen(self._id(os.fstat(descriptor)), attributes_of(descriptor))
            )

    # the model

    def _done(self, name: str, detail: bytes, *effects: Effect) -> None:
        for effect in effects:
            effect(self._disk)
        self._calls.append(Call(name=name, detail=os.fsdecode(detail), effects=effects))

    def _id(self, status: os.stat_result) -> int:
        """The model's number of an inode; what others made is taken in first."""
        if (status.st_dev, status.st_ino) not in self._ids:
            self.absorb()
        try:
            return self._ids[status.st_dev, status.st_ino]
        except KeyError:
            raise AssertionError("a call reached outside the recorded directory") from None

    def _created(self, call: str, directory: int, name: bytes) -> None:
        status = stat_at(directory, name)
        parent = self._id(os.fstat(directory))
        number = self._new_id(status)
        inode = read_inode(at(directory, name), with_data=stat.S_ISLNK(status.st_mode))
        self._done(
            call,
            name,
            added(number, inode),
            entry_set(parent, name, number),
            self._seen(parent, attributes_of(directory)),
        )

    def _renamed(self, call: str, detail: bytes, *places: tuple[int, bytes, int | None]) -> None:
        effects: list[Effect] = []
        for directory, name, number in places:
            parent = self._id(os.fstat(directory))
            effects += [entry_set(parent, name, number), self._seen(parent, attributes_of(directory))]
        self._done(call, detail, *effects)

    def _wrote(self, call: str, descriptor: int, offset: int, data: bytes) -> None:
        number = self._id(os.fstat(descriptor))
        self._done(call, b"", Written(number, offset, data), self._seen(number, attributes_of(descriptor)))

    def _looked(self, call: str, directory: int, name: bytes) -> None:
        self._looked_at(call, at(directory, name), name)

    def _looked_at(self, call: str, path: bytes | int, detail: bytes = b"") -> None:
        if isinstance(path, int):
            self._done(call, detail, self._seen(self._id(os.fstat(path)), attributes_of(path)))
        else:
            status = os.lstat(path)
            self._done(call, detail, self._seen(self._id(status), attributes_at(path, status)))

    def _seen(self, number: int, attributes: Attributes) -> Effect:
        def effect(disk: Disk) -> None:
            disk[number] = replace(disk[number], attributes=attributes)

        return effect

    def _new_id(self, status: os.stat_result) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        self._ids[status.st_dev, status.st_ino] = number
        return number

    def _scan_in(self) -> list[Effect]:
        """Bring the model to what is really below the root, as durable; the effects that did it."""
        effects: list[Effect] = []

        def visit(path: bytes) -> int:
            status = os.lstat(path)
            number = self._ids.get((status.st_dev, status.st_ino))
            found = read_inode(path, with_data=True)
            if number is None or self._disk[number].kind != found.kind:
                number = self._new_id(status)
            known = self._disk.get(number)
            names = os.listdir(path) if stat.S_ISDIR(found.kind) else []
            entries = {name: visit(os.path.join(path, name)) for name in names}
            found = replace(found, entries=entries, synced_entries=entries)
            if known is None:
                effects.append(added(number, found))
            elif (known.data, known.attributes, dict(known.entries)) != (
                found.data,
                found.attributes,
                entries,
            ):
                effects.append(overruled(number, found))
            if number not in self._disk:
                self._disk[number] = found
            return number

        visit(self._root)
        for effect in effects:
            effect(self._disk)
        return effects
