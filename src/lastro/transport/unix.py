"""Owner-only unix sockets, bound by ourselves.

What always holds: nobody but the owner (and root) can connect, whatever the umask. A socket that is bound but does not listen yet refuses
everybody, so its mode is set between ``bind`` and ``listen``, and no instant exists in which another user gets in.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from typing import Final

from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, DeniedError, LockedError, UnreachableError
from lastro.messages import N_

LONGEST_PATH: Final = 100
"""Bytes of a socket path that every system takes (Linux has 108, macOS 104); the caller moves a longer one elsewhere."""

_CREDENTIALS: Final = struct.Struct("iII")
_BACKLOG: Final = 128


class PeerCredentials(Struct, frozen=True, kw_only=True):
    """Who is at the other end of a unix socket, as the kernel says (``SO_PEERCRED``): the process that connected."""

    process: int
    uid: int
    gid: int


def bind_owner_only(path: str) -> socket.socket:
    """A listening unix socket at ``path`` with mode 0600. A socket that nobody listens on any more is replaced.

    Raises:
        ConfigError: the path is longer than ``LONGEST_PATH`` bytes, its directory is missing, or something else lies there.
        LockedError: another process listens there.
    """
    raw = to_bytes(path)
    if len(raw) > LONGEST_PATH:
        raise ConfigError(
            N_("The path of this socket is too long: {path} ({length} bytes, at most {limit})"),
            hint=N_("Use a shorter directory for sockets, such as one below /run/user."),
            path=path,
            length=len(raw),
            limit=LONGEST_PATH,
        )
    _remove_abandoned(raw, path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(raw)
        os.chmod(raw, 0o600)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            N_("The socket {path} cannot be made: {reason}"), path=path, reason=error.strerror or str(error)
        ) from error
    return listener


def connect_owner(path: str) -> socket.socket:
    """A stream socket connected to the unix socket at ``path``, which this user's own process or root's has bound.

    Raises:
        UnreachableError: nobody listens there.
        DeniedError: somebody else's process does: it may have put its socket where this user's belongs.
    """
    connected = connect_mounted(path)
    listener = peer_credentials(connected).uid
    if not may_listen_for(listener, own=os.geteuid()):
        connected.close()
        raise DeniedError(
            N_("The socket {path} belongs to another user (uid {uid}); nothing was said to it."),
            hint=N_("Look who put it there, and remove it."),
            path=path,
            uid=listener,
        )
    return connected


def connect_mounted(path: str) -> socket.socket:
    """A stream socket connected to the unix socket at ``path``, in a directory that only who made this process's surroundings can change.

    For a jail. Who listens cannot be asked there: in a user namespace every user id without a mapping looks the same. It need not be:
    whoever could put another socket into that read-only directory rules the jail itself, and what is said on it is no secret to them.

    Raises:
        UnreachableError: nobody listens there.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(to_bytes(path))
    except OSError as error:
        connected.close()
        raise UnreachableError(
            N_("Nobody answers at {path}: {reason}"), path=path, reason=error.strerror or str(error)
        ) from error
    return connected


def may_listen_for(listener: int, *, own: int) -> bool:
    """Whether the process of uid ``listener`` is one that a process of uid ``own`` talks to: its own user's, root's; root looks at all."""
    return listener in {own, 0} or own == 0


def remove_socket(path: str) -> None:
    """Remove the file of a socket that was bound here; nothing happens when it is gone already."""
    try:
        os.unlink(to_bytes(path))
    except FileNotFoundError:
        return


def peer_credentials(connected: socket.socket) -> PeerCredentials:
    """The process at the other end of a connected unix socket, as it was when it connected (``SO_PEERCRED``, unix(7))."""
    process, uid, gid = _CREDENTIALS.unpack(
        connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return PeerCredentials(process=process, uid=uid, gid=gid)


def _remove_abandoned(raw: bytes, path: str) -> None:
    """Remove a socket file whose process is gone. Only a refused connection shows that; anything else is left alone."""
    try:
        kind = os.lstat(raw).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            N_("The socket {path} cannot be made: {reason}"), path=path, reason=error.strerror
        ) from error
    if not stat.S_ISSOCK(kind):
        raise ConfigError(N_("The socket {path} cannot be made: something else lies there."), path=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(raw)
        except ConnectionRefusedError:
            os.unlink(raw)
            return
        except OSError as error:
            raise ConfigError(
                N_("The socket {path} cannot be made: {reason}"), path=path, reason=error.strerror
            ) from error
    raise LockedError(
        N_("Another process already listens at {path}."),
        hint=N_("Stop that process first, or use it."),
        path=path,
    )
