"""The signs that the kernel writes into the upper directory of an overlay, beside the agent's work (Linux, Documentation/filesystems,
overlayfs.rst).

A *whiteout* (a character device 0:0, or for some tools an empty file with an attribute) says that a name of the lower directory is gone;
an *opaque* directory hides the lower one. ``redirect_dir``, ``metacopy`` and ``index`` are off, so that there is nothing else. The signs
are attributes below ``trusted.overlay.``, or below ``user.overlay.`` where the mount was made in a user namespace: only those of the kind
that the kernel keeps from the agent count, so nobody can plant one. They are never part of an entry.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from msgspec import Struct, structs

from lastro.domain.entry import Device, Entry, EntryType, Xattr
from lastro.domain.paths import to_bytes

TRUSTED: Final = "trusted.overlay."
"""Of a mount that root made."""
USER: Final = "user.overlay."
"""Of a mount with ``userxattr``."""
_WHITEOUT: Final = Device(0, 0)
_OPAQUE: Final = b"y"
_NO_SIGN: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EACCES, errno.EPERM})


class Signs(Struct, frozen=True):
    """How to read the signs of one mount. ``prefix``: ``TRUSTED`` or ``USER``."""

    prefix: str

    def is_opaque(self, directory: int) -> bool:
        """Whether the open ``directory`` of the upper (also ``O_PATH``) hides the lower one.

        Raises:
            OSError: it cannot be read.
        """
        return self._value(directory, "opaque") == _OPAQUE

    def is_whiteout(self, entry: Entry) -> bool:
        """Whether what was found in the upper says that there is nothing."""
        if entry.type is EntryType.CHARACTER_DEVICE:
            return entry.rdev == _WHITEOUT
        if entry.type is not EntryType.FILE or entry.size:
            return False
        return any(xattr.name == f"{self.prefix}whiteout" for xattr in entry.xattrs)

    def is_whiteout_at(self, directory: int, name: bytes, status: os.stat_result) -> bool:
        """The same for the file ``name`` in the open ``directory``, whose ``status`` is known, without reading all of it.

        Raises:
            OSError: it cannot be read.
        """
        if _is_device_whiteout(status):
            return True
        if status.st_size or not _is_regular(status):
            return False
        pinned = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            return self._value(pinned, "whiteout") is not None
        finally:
            os.close(pinned)

    def shown(self, entry: Entry) -> Entry:
        """``entry`` without signs. An attribute of such a name that is the agent's own is stored escaped, and shown as it was set."""
        if not any(xattr.name.startswith(self.prefix) for xattr in entry.xattrs):
            return entry
        xattrs = [shown for xattr in entry.xattrs if (shown := self._shown_xattr(xattr)) is not None]
        return structs.replace(entry, xattrs=tuple(sorted(xattrs, key=_by_name)))

    def _shown_xattr(self, xattr: Xattr) -> Xattr | None:
        if not xattr.name.startswith(self.prefix):
            return xattr
        escaped = f"{self.prefix}overlay."
        if not xattr.name.startswith(escaped):
            return None
        return Xattr(self.prefix + xattr.name[len(escaped) :], xattr.value)

    def _value(self, pinned: int, sign: str) -> bytes | None:
        try:
            return os.getxattr(b"/proc/self/fd/%d" % pinned, to_bytes(self.prefix + sign))
        except OSError as error:
            if error.errno in _NO_SIGN:
                return None
            raise


def _by_name(xattr: Xattr) -> bytes:
    return to_bytes(xattr.name)


def _is_regular(status: os.stat_result) -> bool:
    return status.st_mode & 0o170000 == 0o100000


def _is_device_whiteout(status: os.stat_result) -> bool:
    """Whether ``status`` is that of a character device 0:0. No agent can make one in an overlay: the kernel refuses (mknod, ``EPERM``)."""
    return status.st_mode & 0o170000 == 0o020000 and status.st_rdev == 0
