"""What a host was found able to do, kept until it starts again: trying takes a tenth of a second, which every run would wait for.

What always holds: only what worked in every part is kept, so what is missing is looked for each time; it counts for the same start of the
machine, user, namespaces, confinement of this process, bubblewrap, interpreter and file system alone; whoever finds that it does not hold
removes it (``probing.forget``). Believing it wrongly ends in a jail that cannot be made, never in one that holds less than it says: what is
remembered is asked of the kernel again, by making it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System

_LARGEST: Final = 65_536
_SETTINGS: Final = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_mnt_namespaces",
    "/proc/sys/user/max_net_namespaces",
    "/proc/self/attr/current",
    "/proc/self/uid_map",
)
_CONFINEMENT: Final = (b"CapEff", b"CapBnd", b"NoNewPrivs", b"Seccomp", b"Uid", b"Gid")


class _Memory(Struct, frozen=True, kw_only=True):
    key: str
    tried: Mapping[str, str]


def key_of_host(bubblewrap: str, interpreter: str, directory: str) -> str:
    """A digest of everything that decides what can be done, as far as it can be told without trying."""
    digest = hashlib.sha256()
    for part in _parts(bubblewrap, interpreter, directory):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()


def _parts(bubblewrap: str, interpreter: str, directory: str) -> Iterator[bytes]:
    for path in _SETTINGS:
        yield _content(path)
    yield b"\n".join(
        line for line in _content("/proc/self/status").splitlines() if line.split(b":")[0] in _CONFINEMENT
    )
    for name in ("mnt", "net", "pid", "user"):
        with suppress(OSError):
            yield os.readlink(f"/proc/self/ns/{name}").encode()
    for path in (bubblewrap, interpreter, directory):
        yield to_bytes(path)
        with suppress(OSError):
            status = os.stat(path or "/")
            of_program = (status.st_ino, status.st_size, status.st_mtime_ns) if path != directory else ()
            yield repr((status.st_dev, *of_program)).encode()


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""


def read_memory(path: str, key: str) -> dict[str, str] | None:
    """What was tried under ``key``; ``None`` when nothing is known of it."""
    try:
        memory = msgspec.json.decode(_content(path), type=_Memory)
    except msgspec.DecodeError:
        return None
    return dict(memory.tried) if memory.key == key else None


def write_memory(path: str, key: str, tried: Mapping[str, str]) -> None:
    """Keep it for the next time. A disk that refuses costs that time the trying, and nothing else."""
    with suppress(OSError):
        write_atomically(
            path, msgspec.json.encode(_Memory(key=key, tried=tried)), mode=0o600, system=System()
        )


def remove_memory(path: str) -> None:
    """It does not hold any more."""
    with suppress(OSError):
        os.unlink(to_bytes(path))
