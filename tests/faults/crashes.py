"""What a disk may show after a crash, from a recording (``tests.faults.recording``), and how to write that to a real directory."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from typing_extensions import override

from tests.faults.disk import ROOT, Attributes, Call, Disk, Recording, Synced, Written, change_flags


@dataclass(frozen=True, slots=True)
class StateInode:
    """One inode as a crash left it."""

    kind: int
    attributes: Attributes
    data: bytes
    entries: Mapping[bytes, int]
    rdev: int


@dataclass(frozen=True, slots=True)
class CrashState:
    """What a disk may show after a crash just before call number ``point`` (after the last one, when ``point`` equals their number)."""

    point: int
    variant: str
    """``all``, ``strict``, ``torn``, ``zeros`` or ``mix``."""
    next_call: str
    marks: tuple[object, ...]
    """The marks that had been made by then."""
    inodes: Mapping[int, StateInode]

    @override
    def __str__(self) -> str:
        return f"crash {self.point} ({self.variant}) before {self.next_call}"


def crash_states(recording: Recording, *, seed: int | None = None) -> Iterator[CrashState]:
    """For each point before a call and after the last, what a disk may show:

    - ``all``: everything that was done is there;
    - ``strict``: only what was synced: new names without their directory's sync are gone, renames undone, bytes dropped;
    - ``torn``: as ``all``, but of the last unsynced write only the first half;
    - ``zeros``: all names and sizes, but unsynced bytes read as zeros (what a file system that allocates late shows);
    - ``mix``, with a ``seed``: names as of some moment since the last directory sync, bytes and attributes synced or not at random.
    """
    disk: Disk = dict(recording.initial)
    marks: list[object] = []
    chance = random.Random(seed)
    names: list[dict[int, Mapping[bytes, int]]] = [_names(disk)]
    last_write: tuple[int, int, int] | None = None
    end = Call(name="the end", detail="", effects=())
    for point, call in enumerate((*recording.calls, end)):
        if call.name == "mark":
            marks.append(call.mark)
            continue
        described = f"{call.name} {call.detail}".strip()
        variants = {
            "all": _everything(disk),
            "strict": _only_synced(disk),
            "torn": _torn(disk, last_write),
            "zeros": _zeros(disk),
        }
        if seed is not None:
            variants["mix"] = _mixed(disk, chance.choice(names), chance)
        for variant, inodes in variants.items():
            yield CrashState(
                point=point, variant=variant, next_call=described, marks=tuple(marks), inodes=inodes
            )
        for effect in call.effects:
            effect(disk)
        last_write = next(
            (effect.where for effect in call.effects if isinstance(effect, Written)), last_write
        )
        synced_directory = any(
            isinstance(effect, Synced) and stat.S_ISDIR(disk[effect.number].kind) for effect in call.effects
        )
        names = [_names(disk)] if synced_directory else [*names[-32:], _names(disk)]


def materialize(state: CrashState, directory: str | bytes) -> None:
    """Write ``state`` to ``directory``, which is made when missing and must be empty, with all attributes that this process may set."""
    target = os.fsencode(directory)
    os.makedirs(target, exist_ok=True)
    places = {ROOT: target}
    _place(state.inodes, ROOT, places)
    for number in sorted(
        places, key=lambda number: len(places[number]), reverse=True
    ):  # a directory after all it holds
        _dress(places[number], state.inodes[number])


def _everything(disk: Disk) -> dict[int, StateInode]:
    return {
        number: StateInode(inode.kind, inode.attributes, inode.data, inode.entries, inode.rdev)
        for number, inode in disk.items()
    }


def _only_synced(disk: Disk) -> dict[int, StateInode]:
    return {
        number: StateInode(
            inode.kind, inode.synced_attributes, inode.synced_data, inode.synced_entries, inode.rdev
        )
        for number, inode in disk.items()
    }


def _torn(disk: Disk, last_write: tuple[int, int, int] | None) -> dict[int, StateInode]:
    inodes = _everything(disk)
    if last_write is None:
        return inodes
    number, offset, length = last_write
    inode = disk[number]
    if inode.unsynced[-1:] == ((offset, length),):
        half, end = offset + length // 2, offset + length
        missing = inode.synced_data[
            half:end
        ]  # what was there before shows through; past the end of that there is no file yet
        if end < len(inode.data):
            missing = missing.ljust(end - half, b"\0")
        data = inode.data[:half] + missing + inode.data[end:]
        inodes[number] = replace(inodes[number], data=data)
    return inodes


def _zeros(disk: Disk) -> dict[int, StateInode]:
    inodes = _everything(disk)
    for number, inode in disk.items():
        data = bytearray(inode.data)
        for offset, length in inode.unsynced:
            stop = min(offset + length, len(data))
            data[offset:stop] = bytes(max(0, stop - offset))
        inodes[number] = replace(inodes[number], data=bytes(data))
    return inodes


def _mixed(
    disk: Disk, names: Mapping[int, Mapping[bytes, int]], chance: random.Random
) -> dict[int, StateInode]:
    everything, synced = _everything(disk), _only_synced(disk)
    inodes = {}
    for number in disk:
        data = chance.choice((everything, synced))[number].data
        attributes = chance.choice((everything, synced))[number].attributes
        inodes[number] = replace(
            everything[number], data=data, attributes=attributes, entries=names.get(number, {})
        )
    return inodes


def _names(disk: Disk) -> dict[int, Mapping[bytes, int]]:
    return {number: inode.entries for number, inode in disk.items() if stat.S_ISDIR(inode.kind)}


def _place(inodes: Mapping[int, StateInode], number: int, places: dict[int, bytes]) -> None:
    for name, child in sorted(inodes[number].entries.items()):
        inode, place = inodes[child], os.path.join(places[number], name)
        if child in places:
            if not stat.S_ISDIR(
                inode.kind
            ):  # a directory half moved has two names on a strict disk; it keeps the first
                os.link(places[child], place, follow_symlinks=False)
            continue
        places[child] = place
        if stat.S_ISDIR(inode.kind):
            os.mkdir(place)
            _place(inodes, child, places)
        elif stat.S_ISLNK(inode.kind):
            os.symlink(inode.data, place)
        elif stat.S_ISREG(inode.kind):
            with open(place, "xb") as file:
                file.write(inode.data)
        else:
            os.mknod(place, inode.kind | 0o600, inode.rdev)


def _dress(path: bytes, inode: StateInode) -> None:
    attributes, status = inode.attributes, os.lstat(path)
    if (status.st_uid, status.st_gid) != (attributes.uid, attributes.gid):
        os.chown(path, attributes.uid, attributes.gid, follow_symlinks=False)
    if not stat.S_ISLNK(inode.kind):
        os.chmod(path, attributes.mode)
    for name, value in attributes.xattrs:
        os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(attributes.mtime_ns, attributes.mtime_ns), follow_symlinks=False)
    if attributes.flags:
        change_flags(path, attributes.flags)
