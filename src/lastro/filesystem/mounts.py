"""What is mounted where, and which kinds of file system are left out of captures unless they are asked for.

Left out are mounts *below* a root whose kind is the kernel's own (proc, sysfs, cgroup, ...), memory (tmpfs) or another machine's
(nfs, cifs, ...). A root which a user names is captured whatever it lies on: who names ``/dev/shm/work`` means it.
Format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from lastro.domain.paths import from_bytes, is_within, relative_to

MOUNTINFO: Final = "/proc/self/mountinfo"

KERNEL_KINDS: Final = frozenset(
    {
        "anon_inodefs",
        "autofs",
        "bdev",
        "binder",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "cpuset",
        "dax",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "fuse.lxcfs",
        "fuse.portal",
        "functionfs",
        "hugetlbfs",
        "mqueue",
        "nfsd",
        "nsfs",
        "pidfs",
        "pipefs",
        "proc",
        "pstore",
        "ramfs",
        "resctrl",
        "rpc_pipefs",
        "secretmem",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sockfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "usbfs",
        "xenfs",
    }
)
"""The kernel's own views and what lives in memory. A mount of such a kind is listed as a directory, not entered."""

NETWORK_KINDS: Final = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.gvfsd-fuse",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    }
)
"""Other machines' disks. A mount of such a kind is not even looked at: a dead server would hang whoever does."""


class Mount(Struct, frozen=True, kw_only=True):
    """One mount: ``point`` is the absolute path where it is seen, ``kind`` its file system type, ``device`` its ``(major, minor)``."""

    mount_id: int
    parent_id: int
    device: tuple[int, int]
    point: str
    kind: str
    source: str


def is_excluded_kind(kind: str) -> bool:
    """Whether a mount of this kind below a root is left out by default."""
    return kind in KERNEL_KINDS or kind in NETWORK_KINDS


def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """The mounts of a mountinfo file in its order (a later one at the same point covers an earlier).

    Lines that make no sense are passed over.
    """
    return tuple(mount for line in text.split(b"\n") if (mount := _parse_line(line)) is not None)


def _parse_line(line: bytes) -> Mount | None:
    front, separator, back = line.partition(b" - ")
    fields, tail = front.split(b" "), back.split(b" ")
    if not separator or len(fields) < 6 or len(tail) < 2:
        return None
    major, _, minor = fields[2].partition(b":")
    try:
        return Mount(
            mount_id=int(fields[0]),
            parent_id=int(fields[1]),
            device=(int(major), int(minor)),
            point=_unescape(fields[4]),
            kind=_unescape(tail[0]),
            source=_unescape(tail[1]),
        )
    except ValueError:
        return None


def _unescape(field: bytes) -> str:
    r"""The kernel writes space, tab, newline, ``#`` and backslash as ``\ooo``."""
    return from_bytes(re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), field))


def read_mounts(path: str = MOUNTINFO) -> tuple[Mount, ...]:
    """The mounts of this process's namespace; empty where the file cannot be read (no ``/proc``)."""
    try:
        with open(path, "rb") as file:
            return parse_mountinfo(file.read())
    except OSError:
        return ()


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount on which the absolute ``path`` lies: of those at or above it the deepest, of those at the same point the last."""
    best: Mount | None = None
    for mount in mounts:
        if is_within(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounts_below(root: str, mounts: Iterable[Mount]) -> dict[str, str]:
    """Mount points strictly below the absolute ``root``: path relative to it → kind of the file system seen there."""
    return {
        relative_to(mount.point, root): mount.kind
        for mount in mounts
        if mount.point != root and is_within(mount.point, root)
    }
