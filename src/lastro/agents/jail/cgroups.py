"""Control groups, version 2 and version 1: memory, processes and processor time of one jail together, and all of it ended at once.

What always holds: a group lies below one that this process may write, so no right is taken that it does not have; a limit that the host
cannot hold is missing from ``limited``, never believed; ``end`` signals only processes that are in the group while it looks.
Sources: cgroups(7), the kernel's ``cgroup-v2`` and ``cgroup-v1`` documents.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Final

from msgspec import Struct

from lastro.domain.policy import RunLimits

MEMORY: Final[str] = "memory"
PROCESSES: Final[str] = "pids"
PROCESSORS: Final[str] = "cpu"

_CONTROLLERS: Final = (MEMORY, PROCESSES, PROCESSORS)
_PERIOD_US: Final = 100_000
_PREFIX: Final = "lastro-"
_numbers: Final = count()


class GroupPlace(Struct, frozen=True, kw_only=True):
    """Where groups may be made: ``kind`` is ``v2``, ``v1`` or empty; ``directories``: controller → directory (one for all with ``v2``)."""

    kind: str = ""
    directories: Mapping[str, str] = {}


class GroupCounts(Struct, frozen=True, kw_only=True):
    """What the kernel counted. ``killed``: processes ended for memory; ``refused``: processes that could not be made; ``peak``: bytes."""

    killed: int = 0
    refused: int = 0
    peak: int | None = None


def find_place(proc: str = "/proc/self") -> GroupPlace:
    """Where this process may make groups; nowhere where it may not, or cannot be told."""
    try:
        mounts, own = _mounts(_text(f"{proc}/mountinfo")), _own_groups(_text(f"{proc}/cgroup"))
    except OSError:
        return GroupPlace()
    if "" in mounts and (found := _place_v2(*mounts[""], own.get("", "/"))):
        return found
    directories = {}
    for name in _CONTROLLERS:
        if name in mounts:
            directory = _below(*mounts[name], own.get(name, "/"))
            if os.access(directory, os.W_OK | os.X_OK):
                directories[name] = directory
    return GroupPlace(kind="v1", directories=directories) if directories else GroupPlace()


def _place_v2(point: str, root: str, own: str) -> GroupPlace | None:
    """The nearest group at or above ours that hands controllers down, and into which this process may move others.

    A group that has processes of its own cannot hand anything down, so ours is hardly ever the one.
    """
    here = _below(point, root, own)
    while here.startswith(point):
        with suppress(OSError):
            given = set(_text(f"{here}/cgroup.subtree_control").split())
            if given & set(_CONTROLLERS) and all(
                os.access(path, os.W_OK) for path in (here, f"{here}/cgroup.procs")
            ):
                return GroupPlace(
                    kind="v2", directories={name: here for name in _CONTROLLERS if name in given}
                )
        if here == point:
            break
        here = os.path.dirname(here)
    return None


def _mounts(mountinfo: str) -> dict[str, tuple[str, str]]:
    """Controller (empty: version 2) → mount point, and what of the hierarchy is seen there."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.splitlines():
        front, _, back = line.partition(" - ")
        fields, tail = front.split(" "), back.split(" ")
        if tail[0] == "cgroup2":
            found.setdefault("", (fields[4], fields[3]))
        elif tail[0] == "cgroup":
            for name in tail[2].split(","):
                if name in _CONTROLLERS:
                    found.setdefault(name, (fields[4], fields[3]))
    return found


def _own_groups(text: str) -> dict[str, str]:
    own: dict[str, str] = {}
    for line in text.splitlines():
        _number, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            own[name] = path
    return own


def _below(point: str, root: str, own: str) -> str:
    """Where the group ``own`` is seen, if ``root`` is what is mounted at ``point``."""
    relative = own.removeprefix(root.rstrip("/")) if root != "/" else own
    directory = os.path.join(point, relative.lstrip("/")).rstrip("/")
    return directory if os.path.isdir(directory) else point


class Group:
    """The group of one jail. Made by ``make_group``."""

    def __init__(self, kind: str, directories: Mapping[str, str], limited: frozenset[str]) -> None:
        self.kind = kind
        self.directories = directories
        self.limited = limited
        """Controllers whose limit holds."""

    @property
    def joins(self) -> tuple[str, ...]:
        """Files to write ``0`` to, in order to belong to it."""
        return tuple(f"{directory}/cgroup.procs" for directory in sorted(set(self.directories.values())))

    def counts(self) -> GroupCounts:
        """What was counted so far."""
        memory, processes = self.directories.get(MEMORY), self.directories.get(PROCESSES)
        killed = refused = 0
        peak = None
        if memory:
            events = "memory.events" if self.kind == "v2" else "memory.oom_control"
            killed = _field(f"{memory}/{events}", "oom_kill")
            name = "memory.peak" if self.kind == "v2" else "memory.max_usage_in_bytes"
            with suppress(OSError, ValueError):
                peak = int(_text(f"{memory}/{name}"))
        if processes:
            refused = _field(f"{processes}/pids.events", "max")
        return GroupCounts(killed=killed, refused=refused, peak=peak)

    def processes(self) -> tuple[int, ...]:
        """Who is in it."""
        found: set[int] = set()
        for path in self.joins:
            with suppress(OSError):
                found.update(map(int, _text(path).split()))
        found.discard(0)  # of another process namespace
        return tuple(sorted(found))

    def end(self, patience_s: float = 10.0) -> bool:
        """Kill every process of it, and wait until none is left; whether that came to pass."""
        deadline = time.monotonic() + patience_s
        if PROCESSES in self.directories:
            _set(f"{self.directories[PROCESSES]}/pids.max", "0")  # nobody gets ahead of us by forking
        while True:
            if self.kind == "v2":
                for directory in set(self.directories.values()):
                    _set(f"{directory}/cgroup.kill", "1")
            left = self.processes()
            if not left:
                return True
            for process in left:
                self._kill(process)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)

    def _kill(self, process: int) -> None:
        """Kill ``process`` if it is (still) in here: its number may be another's by now."""
        with suppress(OSError):
            pinned = os.pidfd_open(process)
            try:
                if process in self.processes():
                    signal.pidfd_send_signal(pinned, signal.SIGKILL)
            finally:
                os.close(pinned)

    def remove(self) -> None:
        """Give the names back. The group is empty."""
        for directory in set(self.directories.values()):
            _remove(directory)


def make_group(place: GroupPlace, run: str, limits: RunLimits) -> Group:
    """A new group with the ``limits`` as far as the host has them. Groups that dead supervisors left are removed."""
    name = f"{_PREFIX}{re.sub('[^A-Za-z0-9_-]', '_', run)[:64]}-{os.getpid()}-{next(_numbers)}"
    directories: dict[str, str] = {}
    for controller, above in place.directories.items():
        _remove_abandoned(above)
        directory = os.path.join(above, name)
        with suppress(OSError):
            os.makedirs(directory, exist_ok=True)
            directories[controller] = directory
    settings: Mapping[str, Callable[[str], bool]] = {
        MEMORY: lambda directory: (
            limits.memory is not None and _limit_memory(place.kind, directory, limits.memory)
        ),
        PROCESSES: lambda directory: (
            limits.processes is not None
            and _set(f"{directory}/pids.max", str(limits.processes + _OWN_PROCESSES))
        ),
        PROCESSORS: lambda directory: (
            limits.processors is not None and _limit_processors(place.kind, directory, limits.processors)
        ),
    }
    limited = frozenset(name for name, directory in directories.items() if settings[name](directory))
    return Group(place.kind, directories, limited)


_OWN_PROCESSES: Final = 2
"""Bubblewrap and process 1."""


def _limit_memory(kind: str, directory: str, limit: int) -> bool:
    if kind == "v2":
        held = _set(f"{directory}/memory.max", str(limit))
        _set(f"{directory}/memory.swap.max", "0")
        return held
    held = _set(f"{directory}/memory.limit_in_bytes", str(limit))
    _set(f"{directory}/memory.memsw.limit_in_bytes", str(limit))  # missing where swap is not accounted for
    return held


def _limit_processors(kind: str, directory: str, processors: float) -> bool:
    quota = max(1000, int(processors * _PERIOD_US))
    if kind == "v2":
        return _set(f"{directory}/cpu.max", f"{quota} {_PERIOD_US}")
    return _set(f"{directory}/cpu.cfs_period_us", str(_PERIOD_US)) and _set(
        f"{directory}/cpu.cfs_quota_us", str(quota)
    )


def _remove_abandoned(above: str) -> None:
    with suppress(OSError):
        for entry in os.scandir(above):
            found = re.fullmatch(rf"{_PREFIX}.+-(\d+)-\d+", entry.name)
            if found and not os.path.exists(f"/proc/{found[1]}"):
                _remove(entry.path)


def _remove(directory: str) -> None:
    # The kernel keeps a group busy for an instant after its last process is gone.
    for _ in range(50):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return


def _set(path: str, value: str) -> bool:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        return False
    return True


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _field(path: str, name: str) -> int:
    with suppress(OSError, ValueError):
        for line in _text(path).splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0
