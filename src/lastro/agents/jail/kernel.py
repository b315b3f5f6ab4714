"""System calls that Python does not offer: mounts, namespaces, Landlock, seccomp. Errors are ``OSError``.

What always holds: only the standard library is imported, for this module is used in processes that have nothing else.
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x4_0000

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

_PR_CAPBSET_DROP: Final = 24
_CAPABILITIES_V3: Final = 0x2008_0522

_LANDLOCK_CREATE_RULESET: Final = 444  # 444 to 446 on every architecture
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT_SELF: Final = 446
_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` name. The process must have one thread."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: bytes, target: bytes, kind: bytes, flags: int, options: bytes = b"") -> None:
    """Mount. Paths are followed: give ``/proc/self/fd/N`` of a descriptor for what must not be swapped."""
    _checked(
        _libc.mount(source, target, kind or None, ctypes.c_ulong(flags), options or None),
        f"mount {kind.decode() or 'bind'}",
    )


def prctl(option: int, value: int) -> None:
    """Set ``option`` of this process to ``value``."""
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def drop_capabilities() -> None:
    """Give up every capability of this process, and the hope of any."""
    for number in range(64):
        try:
            prctl(_PR_CAPBSET_DROP, number)
        except OSError:
            continue  # beyond what this kernel knows, or not ours to give up
    nothing = struct.pack("=6I", 0, 0, 0, 0, 0, 0)
    _checked(_libc.capset(struct.pack("=Ii", _CAPABILITIES_V3, 0), nothing), "capset")


def landlock_abi() -> int:
    """The kernel's Landlock ABI, 0 without."""
    abi: int = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, abi)


def landlock_ruleset(attributes: bytes) -> int:
    """landlock_create_ruleset(2): a descriptor of the ruleset."""
    return _checked(
        _libc.syscall(
            _LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
        ),
        "landlock_create_ruleset",
    )


def landlock_rule(ruleset: int, kind: int, rule: bytes) -> None:
    """landlock_add_rule(2)."""
    _checked(
        _libc.syscall(
            _LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), rule, ctypes.c_uint32(0)
        ),
        "landlock_add_rule",
    )


def landlock_restrict(ruleset: int) -> None:
    """landlock_restrict_self(2), for ever, for this process and what it starts."""
    _checked(
        _libc.syscall(_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)),
        "landlock_restrict_self",
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def seccomp_filter(instructions: bytes) -> None:
    """Install a filter (``struct sock_filter`` after ``struct sock_filter``), for ever. ``no_new_privs`` must be set."""
    program = _Program(len(instructions) // 8, instructions)
    _checked(
        _libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program), 0, 0), "seccomp"
    )  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
