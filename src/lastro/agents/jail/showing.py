"""What one jail shows: the files made for it, the sockets led into it, and what of the host is hidden. Makes ``Layout``.

What always holds: everything made lies in the run's own directory and is made once; what is shown besides the system's short list is
Python, Lastro itself and what ``spec`` names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from lastro.agents.jail.layout import LASTING, PROXY_SOCKET, TEMPORARY, Layout, is_shown
from lastro.agents.jail.locks import lists_hosts, written_directories
from lastro.agents.jail.masking import Masks
from lastro.agents.jail.probing import COPY, HostAbilities, python_places
from lastro.agents.jail.spec import GATEWAY_SOCKET, HOME, MEMORY_SOCKET, JailSpec
from lastro.domain.paths import from_bytes, is_within
from lastro.domain.policy import NetworkMode

_UNIX_SOCKETS: Final = "/proc/net/unix"


def make_layout(spec: JailSpec, abilities: HostAbilities, view: str, masks: Masks) -> Layout:
    """What is shown. Makes the files that are shown and are nobody's."""
    sockets = {}
    if spec.gateway and spec.network is not NetworkMode.NONE:
        sockets[GATEWAY_SOCKET] = spec.gateway
    if spec.memory:
        sockets[MEMORY_SOCKET] = spec.memory
    if lists_hosts(spec):
        sockets[PROXY_SOCKET] = f"{spec.directory}/proxy"
    empty_file, empty_directory = f"{spec.directory}/masks/file", f"{spec.directory}/masks/directory"
    _write(empty_file, "", 0o444)
    os.makedirs(empty_directory, mode=0o555, exist_ok=True)
    read_only = tuple(
        path
        for path in dict.fromkeys((*python_places(), *spec.read_only))
        if not is_shown(path) and not is_within(path, spec.project) and os.path.exists(path)
    )
    return Layout(
        bubblewrap=abilities.bubblewrap,
        project=spec.project,
        view=spec.project if view != COPY else f"{spec.directory}/copy",
        writable=_writable(spec),
        home=f"{spec.directory}/home",
        temporary=f"{spec.directory}/tmp",  # noqa: S108  the run's own
        empty_file=empty_file,
        empty_directory=empty_directory,
        etc=_made_etc(spec.directory),
        masks=masks,
        read_only=read_only,
        sockets=sockets,
        socket_masks=_host_sockets((spec.project, *read_only, "/usr", "/etc"), copied=view == COPY),
        network=abilities.network,
        sized=abilities.sized,
        memory=spec.limits.memory,
    )


def _writable(spec: JailSpec) -> tuple[str, ...]:
    """Which directories are mounted to be written. Landlock tells what a role may write without making mounts of directories, which cannot
    be renamed; but a project in a directory that is the jail's own is writable with that for it, so there mounts have to do.
    """
    written = written_directories(spec)
    within_own = any(is_within(spec.project, own) for own in (TEMPORARY, LASTING, HOME))
    return written if within_own or not written else ("",)


def _made_etc(directory: str) -> Mapping[str, str]:
    """Files of ``/etc`` that say nothing of the host: this user alone, no resolver, no other name."""
    uid, gid = os.geteuid(), os.getegid()
    name = "root" if uid == 0 else "agent"
    texts = {
        "passwd": f"{name}:x:{uid}:{gid}:agent:{HOME}:/bin/sh\n",
        "group": f"{name}:x:{gid}:\n",
        "hosts": "127.0.0.1 localhost lastro\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }
    for file, text in texts.items():
        _write(f"{directory}/etc/{file}", text, 0o444)
    return {file: f"{directory}/etc/{file}" for file in texts}


def _write(path: str, text: str, mode: int) -> None:
    if not os.path.exists(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(descriptor, mode)


def _host_sockets(shown: Sequence[str], *, copied: bool) -> tuple[str, ...]:
    """Unix sockets of the host that lie in what is ``shown``, such as a server of the project's own: an overlay leads to them.

    A copy of a socket leads nowhere, so the project (the first) need not be looked at.
    """
    found: list[str] = []
    with open(_UNIX_SOCKETS, "rb") as file:
        for line in islice(file, 1, None):
            fields = line.rstrip(b"\n").split(b" ", 7)
            path = from_bytes(fields[-1]) if len(fields) == 8 else ""
            within = path.startswith("/") and any(is_within(path, place) for place in shown[copied:])
            if within and os.path.exists(path) and os.path.realpath(path) == path:
                found.append(path)
    return tuple(dict.fromkeys(found))
