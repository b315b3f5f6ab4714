"""``System``: the narrow waist of system calls that change a disk, and the one place where faults are injected.

Every write, rename, fsync or attribute change of the product is a method call on a ``System``. Tests put a recording or failing one in its
place (``tests/faults``): crash at every call, lost unsynced writes, full disk, I/O errors. Reading does not go through here.

Names are bytes, relative to an open directory descriptor; nothing here resolves more than one component, so nothing here follows a link
above its last component. Errors are the operating system's own ``OSError``; callers give them meaning.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
from typing import Final

_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_AT_EMPTY_PATH: Final = 0x1000
_FS_IOC_GETFLAGS: Final = 0x80086601
_FS_IOC_SETFLAGS: Final = 0x40086602
_libc: Final = ctypes.CDLL(None, use_errno=True)


class System:
    """The real thing. Subclasses record or fail, and call up."""

    def open(self, directory: int, name: bytes, flags: int, mode: int = 0o600) -> int:
        """``openat`` for writing; ``O_CLOEXEC`` and ``O_NOFOLLOW`` are always set. Returns a descriptor."""
        return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=directory)

    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        """Write all of ``data`` at the descriptor's position."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def write_at(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        while view:
            count = os.pwrite(descriptor, view, offset)
            view, offset = view[count:], offset + count

    def truncate(self, descriptor: int, size: int) -> None:
        """Set the size of an open file; growing makes a hole."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """``fsync``: when it returns, the file's bytes and attributes, or the directory's entries, survive a power cut."""
        os.fsync(descriptor)

    def sync_data(self, descriptor: int) -> None:
        """``fdatasync``: the bytes, and the size needed to read them."""
        os.fdatasync(descriptor)

    def make_directory(self, directory: int, name: bytes, mode: int = 0o700) -> None:
        """``mkdirat``."""
        os.mkdir(name, mode, dir_fd=directory)

    def make_symlink(self, directory: int, name: bytes, target: bytes) -> None:
        """``symlinkat``."""
        os.symlink(target, name, dir_fd=directory)

    def make_link(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        """``linkat`` without following: a second name for the same file."""
        os.link(name, new_name, src_dir_fd=directory, dst_dir_fd=new_directory, follow_symlinks=False)

    def make_node(self, directory: int, name: bytes, mode: int, device: int = 0) -> None:
        """``mknodat``: a fifo, socket or device; ``mode`` includes the type bits."""
        os.mknod(name, mode, device, dir_fd=directory)

    def rename(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        """``renameat``: replaces what is there."""
        os.rename(name, new_name, src_dir_fd=directory, dst_dir_fd=new_directory)

    def rename_new(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        """``renameat2(RENAME_NOREPLACE)``: ``FileExistsError`` if something is there."""
        _renameat2(directory, name, new_directory, new_name, _RENAME_NOREPLACE)

    def exchange(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        """``renameat2(RENAME_EXCHANGE)``: both names exist before and after, swapped in one step."""
        _renameat2(directory, name, new_directory, new_name, _RENAME_EXCHANGE)

    def remove(self, directory: int, name: bytes) -> None:
        """``unlinkat`` of anything but a directory."""
        os.unlink(name, dir_fd=directory)

    def remove_directory(self, directory: int, name: bytes) -> None:
        """``unlinkat(AT_REMOVEDIR)``: the directory must be empty."""
        os.rmdir(name, dir_fd=directory)

    def set_mode(self, descriptor: int, mode: int) -> None:
        """``fchmod``."""
        os.fchmod(descriptor, mode)

    def set_mode_at(self, directory: int, name: bytes, mode: int) -> None:
        """``fchmodat``; for what cannot be opened harmlessly (fifos, devices, sockets). A symlink is ``ELOOP``: it is never followed."""
        pinned = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            if stat.S_ISLNK(os.fstat(pinned).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(name))
            os.chmod(b"/proc/self/fd/%d" % pinned, mode)
        finally:
            os.close(pinned)

    def set_owner(self, directory: int, name: bytes, uid: int, gid: int) -> None:
        """``fchownat`` without following. Clears setuid and setgid, so set the mode after."""
        os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)

    def set_owner_of(self, descriptor: int, uid: int, gid: int) -> None:
        """``fchownat(AT_EMPTY_PATH)``: exactly the inode that is open, also with ``O_PATH`` and also a symlink. See ``set_owner``."""
        if _libc.fchownat(descriptor, b"", uid, gid, _AT_EMPTY_PATH) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def set_mtime(self, directory: int, name: bytes, mtime_ns: int) -> None:
        """``utimensat`` without following; the access time becomes the same instant."""
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=directory, follow_symlinks=False)

    def set_xattr(self, path: bytes | int, name: bytes, value: bytes) -> None:
        """``lsetxattr``. ``path`` is ``/proc/self/fd/N/name`` style, built from a descriptor by the caller; links are not followed.
        An open descriptor (not ``O_PATH``) means exactly that inode.
        """
        os.setxattr(path, name, value, follow_symlinks=isinstance(path, int))

    def remove_xattr(self, path: bytes | int, name: bytes) -> None:
        """``lremovexattr``; see ``set_xattr``."""
        os.removexattr(path, name, follow_symlinks=isinstance(path, int))

    def set_flags(self, descriptor: int, flags: int) -> None:
        """``FS_IOC_SETFLAGS`` on an open file or directory."""
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", flags))


def get_flags(descriptor: int) -> int:
    """``FS_IOC_GETFLAGS``: the inode flags of an open file or directory."""
    buffer = bytearray(struct.calcsize("l"))
    fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, buffer)
    return int(struct.unpack("l", buffer)[0]) & 0xFFFF_FFFF


def _renameat2(directory: int, name: bytes, new_directory: int, new_name: bytes, flags: int) -> None:
    if _libc.renameat2(directory, name, new_directory, new_name, flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(name), None, os.fsdecode(new_name))
