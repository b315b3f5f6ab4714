"""Landlock: the kernel's second lock on files, which needs no privilege (landlock(7)).

What always holds: a ruleset only ever narrows; what the running kernel does not know is left out, never an error. ABI 1 forbids every
rename between directories, so it is used only where there is nothing else. Landlock does not know of attributes (mode, owner, times):
those are the mounts' business. Only the standard library is imported.
"""

from __future__ import annotations

import os
import stat
import struct
from contextlib import suppress

from lastro.agents.jail import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14
_MAKE_AND_REMOVE: Final = 0b1_1111_1111_0000  # REMOVE_DIR (4) to MAKE_SYM (12)
_ON_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE

READ: Final = READ_FILE | READ_DIR
WRITE: Final = WRITE_FILE | _MAKE_AND_REMOVE | REFER | TRUNCATE

_CONNECT_TCP: Final = 1 << 1
_BIND_TCP: Final = 1 << 0
_SCOPES: Final = 0b11  # abstract unix sockets, signals
_PATH_BENEATH: Final = 1
_NET_PORT: Final = 2


def known(rights: int, abi: int) -> int:
    """``rights`` as far as a kernel with ``abi`` knows them."""
    if abi < 3:
        rights &= ~TRUNCATE
    if abi < 2:
        rights &= ~REFER
    return rights


def restrict(
    abi: int,
    handled: int,
    allowed: Iterable[tuple[bytes, int]],
    *,
    connect: Iterable[int] | None = None,
) -> None:
    """From now on, for this process and its children: of the ``handled`` rights on files only those of ``allowed`` (path, rights below it).

    ``connect``: the only TCP ports that may be connected to (none may be listened at); ``None``: any. Processes outside cannot be
    signalled, nor reached by abstract sockets, where the kernel can do that (ABI 6). A path that is not there allows nothing.

    Raises:
        OSError: the kernel refuses.
    """
    handled = known(handled, abi)
    ports = _CONNECT_TCP | _BIND_TCP if connect is not None and abi >= 4 else 0
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = kernel.landlock_ruleset(struct.pack("=QQQ", handled, ports, _SCOPES)[:size])
    try:
        for path, rights in allowed:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(ruleset, path, known(rights, abi) & handled)
        for port in connect or () if ports else ():
            kernel.landlock_rule(ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.landlock_restrict(ruleset)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: bytes, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_FILES
        if rights:
            kernel.landlock_rule(ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor))
    finally:
        os.close(descriptor)
