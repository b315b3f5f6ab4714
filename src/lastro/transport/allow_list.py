"""The allow-list: a directory with one file per device that may connect. Shared by ``node serve``, ``node pair`` and the keeper.

A file ``DEVICE-ID.json`` holds the name and the certificate. What always holds: only a file whose certificate has the device id in its name
lets anybody in; a file that cannot be read lets nobody in, and is named in ``broken``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.paths import from_bytes, to_bytes
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.transport.identity import DeviceId, device_id

POLL_INTERVAL_S: Final = 1.0
_SUFFIX: Final = b".json"
_LARGEST_FILE: Final = 64 * 1024


class AllowedDevice(Struct, frozen=True, kw_only=True):
    """A device that may connect: the name people gave it, and its certificate (DER)."""

    name: str
    certificate: bytes

    @property
    def device(self) -> DeviceId:
        """The device id of the certificate."""
        return device_id(self.certificate)


class AllowList(Struct, frozen=True, kw_only=True):
    """The list as it is in the directory at one instant. ``broken`` are paths of files that could not be understood."""

    devices: tuple[AllowedDevice, ...] = ()
    broken: tuple[str, ...] = ()

    def name_of(self, certificate: bytes) -> str | None:
        """The name of the device with this certificate (DER), or ``None`` when it is not on the list."""
        return next((allowed.name for allowed in self.devices if allowed.certificate == certificate), None)


def read_allow_list(directory: str) -> AllowList:
    """What ``directory`` says now; empty when it does not exist."""
    devices, broken = [], []
    for name in _file_names(directory):
        path = os.path.join(to_bytes(directory), name)
        allowed = _read(path)
        if allowed is None or allowed.device.encode() + _SUFFIX != name:
            broken.append(from_bytes(path))
        else:
            devices.append(allowed)
    return AllowList(devices=tuple(devices), broken=tuple(broken))


def allow(directory: str, allowed: AllowedDevice, *, system: System | None = None) -> None:
    """Put a device on the list (in place of an older entry of the same device), durably. The directory is made when missing."""
    system = system or System()
    os.makedirs(to_bytes(directory), mode=0o700, exist_ok=True)
    path = os.path.join(directory, allowed.device + from_bytes(_SUFFIX))
    write_atomically(path, msgspec.json.encode(allowed), system=system)


def disallow(directory: str, device: DeviceId, *, system: System | None = None) -> bool:
    """Take a device off the list, durably; whether it was on it."""
    system = system or System()
    folder = os.open(to_bytes(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        system.remove(folder, device.encode() + _SUFFIX)
        system.sync(folder)
    except FileNotFoundError:
        return False
    finally:
        os.close(folder)
    return True


async def watch_allow_list(
    directory: str,
    known: AllowList,
    on_change: Callable[[AllowList], None],
    *,
    interval_s: float = POLL_INTERVAL_S,
) -> None:
    """Call ``on_change`` with the new list whenever it differs from the one before (at first ``known``). Runs until cancelled.

    It looks at the directory every ``interval_s`` seconds: one small directory, so polling costs nothing, works on every file system, and
    cannot miss a change the way a full event queue can.
    """
    signature: object = None
    while True:
        found = _signature(directory)
        if found != signature:
            signature = found
            current = read_allow_list(directory)
            if current != known:
                known = current
                on_change(current)
        await asyncio.sleep(interval_s)


def _file_names(directory: str) -> list[bytes]:
    try:
        return sorted(name for name in os.listdir(to_bytes(directory)) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return []


def _read(path: bytes) -> AllowedDevice | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(_LARGEST_FILE), type=AllowedDevice)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _signature(directory: str) -> tuple[tuple[bytes, int, int, int], ...]:
    """Changes whenever a file comes, goes or is written: name, inode, size and time of change of each."""
    found = []
    for name in _file_names(directory):
        try:
            status = os.lstat(os.path.join(to_bytes(directory), name))
        except FileNotFoundError:
            continue
        found.append((name, status.st_ino, status.st_size, status.st_ctime_ns))
    return tuple(found)
