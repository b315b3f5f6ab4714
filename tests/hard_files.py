"""Files that break what is written for easy ones. All paths are byte-faithful ``str``."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lastro.domain.paths import from_bytes, to_bytes
from lastro.filesystem.system import System, get_flags

IMMUTABLE = 0x10
NODUMP = 0x40

NAMES = (
    b"not-utf-8-\xff\xfe",
    b"new\nline",
    b"\x1b[31mred\x1b[0m",
    "override-\u202egnp.exe".encode(),
    b"name@with@at",
    b" leading and trailing ",
    b"-rf",
    b"*?[a]",
    b"\\backslash",
    "combining-e\u0301".encode(),
    b"n" * 255,
)
"""Names that are bytes first and text second."""

SPARSE_SIZE = 2 * 1024**3
SPARSE_DIGEST = "c9c7f7319cd97e0516e3b339a0cf3f803f3d091bf687847f4f6f99554c874108"
"""BLAKE3 of 2 GiB of zeros but for ``middle`` at 1 GiB and ``end`` at the end."""


@contextmanager
def place(*, in_memory: bool = False) -> Iterator[str]:
    """A new directory that other users can enter; whatever was made in it is removed.

    ``in_memory``: for many files that need nothing special of their file system, where there is a tmpfs.
    """
    memory = "/dev/shm" if in_memory and os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="lastro-test-", dir=memory)
    os.chmod(directory, 0o755)
    try:
        yield directory
    finally:
        # By rm, because such a tree may be deeper than Python can recurse.
        if subprocess.run(["rm", "-rf", "--", directory], capture_output=True, check=False).returncode != 0:
            subprocess.run(["chattr", "-R", "-f", "-i", directory], capture_output=True, check=False)
            subprocess.run(["chmod", "-R", "u+rwx", directory], capture_output=True, check=False)
            subprocess.run(["rm", "-rf", "--", directory], check=True)


def set_flags(path: str, flags: int, *, only: int = ~0) -> None:
    """Set the inode flags of a file or directory, those in ``only``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        before = get_flags(descriptor)
        after = before & ~only | flags
        if before != after:
            System().set_flags(descriptor, after)
    finally:
        os.close(descriptor)


def write(path: str, data: bytes = b"") -> str:
    with open(to_bytes(path), "wb") as file:
        file.write(data)
    return path


def sparse(path: str) -> None:
    """2 GiB in which only two blocks are data."""
    with open(path, "wb") as file:
        file.seek(SPARSE_SIZE // 2)
        file.write(b"middle")
        file.seek(SPARSE_SIZE - 3)
        file.write(b"end")


def unix_socket(path: str) -> None:
    folder, _, name = path.rpartition("/")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(folder, os.O_PATH)
        try:
            server.bind(f"/proc/self/fd/{here}/{name}")  # short, wherever the test lies
        finally:
            os.close(here)


def nested(directory: str, names: list[bytes], *, file: bytes | None = None) -> str:
    """Directories in one another, however long the path gets; a file with one byte at the end. Returns the relative path of the last."""
    here = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        if file is not None:
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
            descriptor = os.open(file, os.O_WRONLY, dir_fd=here)
            os.write(descriptor, b"x")
            os.close(descriptor)
            names = [*names, file]
    finally:
        os.close(here)
    return from_bytes(b"/".join(names))
