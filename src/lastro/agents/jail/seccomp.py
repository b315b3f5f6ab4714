"""A filter on system calls: what no coding tool needs, and what reaches past namespaces or widens the kernel's attack surface.

Refused with ``EPERM``: mounting and namespaces (a new user namespace would give capabilities back, inside), the kernel's keyrings (they are
not per namespace: a jail of the same user would read them), its log, BPF, performance counters, ``userfaultfd``, ``io_uring`` (whose
operations no filter sees), file handles, and ``TIOCSTI``. ``clone3`` is "not there", for a filter cannot see its flags; C libraries then
use ``clone``. What always holds: an architecture without a table gets no filter and says so; programs of a foreign architecture get
``ENOSYS``, for their numbers mean other calls. Source: seccomp(2), the kernel's system call tables. Only the standard library is imported.
"""

from __future__ import annotations

import errno
import os
import struct

from lastro.agents.jail import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

_NAMESPACES: Final = (
    0x7E02_0080  # NEWTIME (only unshare), NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
)
_CLONE_NAMESPACES: Final = _NAMESPACES & ~0x80  # in clone the low byte is the signal
_TERMINAL_INPUT: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# The same numbers on both: everything since Linux 5.1.
_NEW: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 467)
"""io_uring_setup, _enter, _register, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, open_tree_attr."""

_REFUSED: Final[Mapping[str, Sequence[int]]] = {
    # mount, umount2, pivot_root, chroot, setns, syslog, add_key, request_key, keyctl, perf_event_open, open_by_handle_at, bpf,
    # userfaultfd, kexec_load, kexec_file_load, init_module, finit_module, delete_module, swapon, swapoff, reboot, quotactl, acct,
    # iopl, ioperm
    "x86_64": (
        *(165, 166, 155, 161, 308, 103, 248, 249, 250, 298, 304, 321),
        *(323, 246, 320, 175, 313, 176, 167, 168, 169, 179, 163, 172, 173),
    ),
    "aarch64": (
        *(40, 39, 41, 51, 268, 116, 217, 218, 219, 241, 265, 280),
        *(282, 104, 294, 105, 273, 106, 224, 225, 142, 60, 89),
    ),
}
_ARCHITECTURE: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_NUMBERS: Final = {
    "x86_64": {"clone": 56, "unshare": 272, "ioctl": 16},
    "aarch64": {"clone": 220, "unshare": 97, "ioctl": 29},
}
_CLONE3: Final = 435
_FOREIGN_NUMBERS: Final = 0x4000_0000  # x32 on x86_64

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF_0000
_FAIL: Final = 0x0005_0000


def instructions(machine: str) -> bytes:
    """The filter for ``machine`` (as ``os.uname`` names it); empty: there is no table for it."""
    if machine not in _REFUSED:
        return b""
    numbers = _NUMBERS[machine]
    missing, refused = _FAIL | errno.ENOSYS, _FAIL | errno.EPERM
    program = [
        _step(_LOAD, 4),
        _step(_EQUAL, _ARCHITECTURE[machine], 1, 0),
        _step(_RETURN, missing),
        _step(_LOAD, 0),
        _step(_AT_LEAST, _FOREIGN_NUMBERS, 0, 1),
        _step(_RETURN, missing),
        _step(_EQUAL, _CLONE3, 0, 1),
        _step(_RETURN, missing),
    ]
    for number in (*_REFUSED[machine], *_NEW):
        program += [_step(_EQUAL, number, 0, 1), _step(_RETURN, refused)]
    for name, bits in (("clone", _CLONE_NAMESPACES), ("unshare", _NAMESPACES)):
        program += [
            _step(_EQUAL, numbers[name], 0, 4),
            _step(_LOAD, 16),
            _step(_ANY_BIT, bits, 0, 1),
            _step(_RETURN, refused),
            _step(_RETURN, _ALLOW),
        ]
    program += [_step(_EQUAL, numbers["ioctl"], 0, 1 + 2 * len(_TERMINAL_INPUT)), _step(_LOAD, 24)]
    for request in _TERMINAL_INPUT:
        program += [_step(_EQUAL, request, 0, 1), _step(_RETURN, refused)]
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, when: int = 0, otherwise: int = 0) -> bytes:
    """One ``struct sock_filter``; ``when`` and ``otherwise``: how many steps to pass over."""
    return struct.pack("=HBBI", code, when, otherwise, value)


def refuse_calls() -> bool:
    """Install the filter for this process and what it starts; whether there is one for this machine. ``no_new_privs`` must be set.

    Raises:
        OSError: the kernel refuses.
    """
    program = instructions(os.uname().machine)
    if program:
        kernel.seccomp_filter(program)
    return bool(program)
