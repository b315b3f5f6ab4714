"""What a jail shows, as bubblewrap's arguments. Pure, but for looking whether a directory of the system is there.

What always holds: nothing is shown that is not named here; everything but the project, the home, ``/tmp`` and ``/dev`` is read-only, also
the root itself; a directory is mounted before what lies in it; no secret is an argument, for every user of the host can read those.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from lastro.agents.jail.masking import Masks
from lastro.agents.jail.spec import HOME, SOCKETS, SYSTEM
from lastro.domain.paths import is_within, to_bytes

PROXY_SOCKET: Final = f"{SOCKETS}/proxy.sock"
TEMPORARY: Final = "/tmp"  # noqa: S108  the jail's own
LASTING: Final = "/var/tmp"  # noqa: S108  the jail's own
"""As ``TEMPORARY``, on the disk: it counts as the run's."""

_ETC: Final = (
    *("alternatives", "ca-certificates", "crypto-policies", "fonts", "java-11-openjdk", "java-17-openjdk"),
    *("java-21-openjdk", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "magic", "mime.types"),
    *("os-release", "pki/ca-trust", "pki/tls/certs", "protocols", "services", "ssl/certs", "ssl/openssl.cnf"),
    *("terminfo", "timezone"),
)
"""Of ``/etc``: what programs need in order to run, and nothing that says something about this host or its users."""
_SHARED: Final = "/dev/shm"  # noqa: S108  the jail's own
_SHARED_MEMORY: Final = 256 * 1024**2
_MOST_TEMPORARY: Final = 2 * 1024**3


class Layout(Struct, frozen=True, kw_only=True):
    """Host paths. ``view``: what is shown at ``project``. ``etc``: file name → host path of what was made for this jail.

    ``writable``: directories relative to the project, ``""`` for all
    of it. ``sockets``: path inside → path outside. ``sized``: bubblewrap can limit a ``tmpfs``; else ``temporary`` is used. ``memory``: the
    run's limit in bytes.
    """

    bubblewrap: str
    project: str
    view: str
    writable: tuple[str, ...]
    home: str
    temporary: str
    empty_file: str
    empty_directory: str
    etc: Mapping[str, str]
    masks: Masks
    read_only: tuple[str, ...]
    sockets: Mapping[str, str]
    socket_masks: tuple[str, ...] = ()
    network: bool = True
    sized: bool = True
    memory: int | None = None


def bubblewrap_arguments(layout: Layout, command: Iterable[bytes]) -> list[bytes]:
    """The whole command line, the jail's first process being ``command``."""
    words = [
        layout.bubblewrap,
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(("--unshare-net",) if layout.network else ()),
        *("--hostname", "lastro", "--new-session", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL"),
        *_system(),
        *(word for name in _ETC if os.path.exists(f"/etc/{name}") for word in _shown(f"/etc/{name}")),
        *(word for name, path in layout.etc.items() for word in ("--ro-bind", path, f"/etc/{name}")),
        *("--proc", "/proc", "--dev", "/dev"),
        *(tuple(_limited(layout, _SHARED_MEMORY, _SHARED)) or ("--tmpfs", _SHARED)),
        *_by_depth(layout),
        *_masked(layout),
        *_sockets(layout.sockets),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"),
    ]
    return [*map(to_bytes, words), *command]


def is_shown(path: str) -> bool:
    """Whether the system's short list shows the host's ``path`` anyway."""
    return any(is_within(path, place) for place in SYSTEM)


def _system() -> Iterator[str]:
    for path in SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from _shown(path)


def _shown(path: str) -> tuple[str, str, str]:
    return "--ro-bind", path, path


def _limited(layout: Layout, most: int, path: str) -> Iterator[str]:
    """A ``tmpfs`` whose size is limited, where bubblewrap can; its bytes count as the jail's memory anyway."""
    if layout.sized:
        yield from (
            "--perms",
            "1777",
            "--size",
            str(min(most, (layout.memory or most) // 2)),
            "--tmpfs",
            path,
        )


def _by_depth(layout: Layout) -> Iterator[str]:
    """What may lie in one another: the outer first."""
    temporary = tuple(_limited(layout, _MOST_TEMPORARY, TEMPORARY)) or ("--bind", layout.temporary, TEMPORARY)
    mounts: list[tuple[str, tuple[str, ...]]] = [
        (TEMPORARY, temporary),
        (LASTING, ("--bind", layout.temporary, LASTING)),
        (HOME, ("--bind", layout.home, HOME)),
        *((path, _shown(path)) for path in layout.read_only if not is_shown(path)),
        (layout.project, ("--bind" if "" in layout.writable else "--ro-bind", layout.view, layout.project)),
        *(
            (f"{layout.project}/{path}", ("--bind", f"{layout.view}/{path}", f"{layout.project}/{path}"))
            for path in layout.writable
            if path
        ),
    ]
    for _path, words in sorted(mounts, key=lambda mount: mount[0].count("/")):
        yield from words


def _masked(layout: Layout) -> Iterator[str]:
    for path in layout.masks.frozen:
        yield from ("--ro-bind", f"{layout.view}/{path}", f"{layout.project}/{path}")
    for path in layout.masks.hidden_directories:
        yield from ("--ro-bind", layout.empty_directory, f"{layout.project}/{path}")
    for path in layout.masks.hidden_files:
        yield from ("--ro-bind", layout.empty_file, f"{layout.project}/{path}")
    for path in layout.socket_masks:
        yield from ("--ro-bind", layout.empty_file, path)


def _sockets(sockets: Mapping[str, str]) -> Iterator[str]:
    """Each socket at its place. One that lies alone in its directory is shown with it, so that whoever binds it anew is found again."""
    for inside, outside in sockets.items():
        directory, name = os.path.split(outside)
        if name == "sock" and os.listdir(directory) in ([], [name]):
            beside = inside.removesuffix(".sock")
            yield from (
                "--ro-bind",
                directory,
                beside,
                "--symlink",
                f"{os.path.basename(beside)}/{name}",
                inside,
            )
        else:
            yield from ("--ro-bind", outside, inside)
