"""The locks that a jail's agent puts on itself, as its first process is told them: Landlock's rules, limits of each process, environment.

What always holds: a kernel rule never forbids what the role allows (it is widened to a directory that is there; what it lets through
too much is found when changes are collected); only what ``spec`` says reaches the agent's environment.
"""

from __future__ import annotations

import glob as file_names
import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from lastro.agents.jail import landlock
from lastro.agents.jail.cgroups import PROCESSES
from lastro.agents.jail.layout import LASTING, PROXY_SOCKET, TEMPORARY
from lastro.agents.jail.probing import HostAbilities, python_places
from lastro.agents.jail.spec import (
    GATEWAY_PORT,
    GATEWAY_SOCKET,
    HOME,
    MEMORY_SOCKET,
    PROXY_PORT,
    SEARCHED,
    SYSTEM,
    JailSpec,
)
from lastro.domain.paths import is_within, to_bytes
from lastro.domain.policy import NetworkMode
from lastro.proposals.globs import literal_prefix

_MOST_PROGRAMS: Final = 2000
_LOADERS: Final = ("/lib*/ld-linux*", "/lib/*/ld-linux*", "/lib/ld-musl*")
_READABLE: Final = (
    *(*SYSTEM, "/proc", "/dev"),
    *(
        "/etc/ssl/certs",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/alternatives",
        "/etc/passwd",
        "/etc/group",
    ),
    *("/etc/hosts", "/etc/nsswitch.conf"),
)
"""Without mounts: what of the system may be read."""

LandlockOrder = tuple[int, int, list[tuple[bytes, int]], list[int] | None]
"""See ``landlock.restrict``."""


class Places(Struct, frozen=True, kw_only=True):
    """Where things are for the agent: as a jail shows them, or on the host where there are no mounts."""

    project: str
    home: str
    temporary: str
    lasting: str
    gateway: str
    proxy: str


def places_of(spec: JailSpec, *, namespaced: bool) -> Places:
    """Where things are for the agent."""
    if namespaced:
        return Places(
            project=spec.project,
            home=HOME,
            temporary=TEMPORARY,
            lasting=LASTING,
            gateway=GATEWAY_SOCKET,
            proxy=PROXY_SOCKET,
        )
    temporary = f"{spec.directory}/tmp"  # noqa: S108  the run's own
    return Places(
        project=f"{spec.directory}/copy",
        home=f"{spec.directory}/home",
        temporary=temporary,
        lasting=temporary,
        gateway=spec.gateway,
        proxy=f"{spec.directory}/proxy",
    )


def lists_hosts(spec: JailSpec) -> bool:
    """Whether there is a proxy."""
    return spec.network is NetworkMode.LISTED and bool(spec.hosts)


def inside_order(spec: JailSpec, abilities: HostAbilities) -> Mapping[str, object]:
    """What the first process of the jail is told (``inside``)."""
    places = places_of(spec, namespaced=abilities.namespaces)
    forwards: list[tuple[int, bytes]] = []
    if spec.gateway and spec.network is not NetworkMode.NONE:
        forwards.append((GATEWAY_PORT, to_bytes(places.gateway)))
    if lists_hosts(spec):
        forwards.append((PROXY_PORT, to_bytes(places.proxy)))
    environment = _environment(spec, places)
    return {
        "run": spec.run,
        "namespaced": abilities.namespaces,
        "forwards": forwards,
        "directory": to_bytes(places.project),
        "command": [to_bytes(_placed(word, spec, places)) for word in spec.command],
        "environment": {to_bytes(name): to_bytes(value) for name, value in environment.items()},
        "limits": _limits(spec, abilities),
        "landlock": _landlock(spec, abilities, places, [port for port, _path in forwards]),
    }


def _environment(spec: JailSpec, places: Places) -> dict[str, str]:
    """What ``spec`` says, and what a program cannot do without."""
    found = {"HOME": places.home, "PATH": ":".join(SEARCHED), "TMPDIR": places.temporary}
    if lists_hosts(spec):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            found[name] = f"http://127.0.0.1:{PROXY_PORT}"
        found["NO_PROXY"] = found["no_proxy"] = "127.0.0.1,localhost"
    found |= {name: _placed(value, spec, places) for name, value in spec.environment.items()}
    found["PATH"] = ":".join(_placed(place, spec, places) for place in found["PATH"].split(":"))
    return found


def _placed(text: str, spec: JailSpec, places: Places) -> str:
    """A path inside the jail as the agent finds it: without mounts its home and its memory lie elsewhere."""
    if places.home == HOME:
        return text
    if text == MEMORY_SOCKET:
        return spec.memory
    return places.home + text.removeprefix(HOME) if is_within(text, HOME) else text


def _limits(spec: JailSpec, abilities: HostAbilities) -> list[tuple[int, int]]:
    """Limits of each process. A core limit of 1 keeps dumps from a host's dump handler too; see core(5).

    The number of processes counts for a user in a namespace of its own; for root it does not count at all.
    """
    found = [(resource.RLIMIT_CORE, 1)]
    if spec.limits.disk is not None:
        found.append((resource.RLIMIT_FSIZE, spec.limits.disk))
    grouped = PROCESSES in abilities.groups.directories
    if spec.limits.processes is not None and not grouped and not abilities.root:
        found.append((resource.RLIMIT_NPROC, spec.limits.processes))
    return found


def _landlock(
    spec: JailSpec, abilities: HostAbilities, places: Places, ports: Sequence[int]
) -> LandlockOrder | None:
    """``None``: none of it here. Where there are mounts they say what is read, and ABI 1 would forbid renames for little."""
    namespaced = abilities.namespaces
    if abilities.landlock < (2 if namespaced else 1):
        return None
    written = (f"{places.project}/{path}".rstrip("/") for path in written_directories(spec))
    own = landlock.READ | landlock.WRITE | landlock.EXECUTE
    handled = landlock.WRITE
    allowed = dict.fromkeys((places.home, places.temporary, places.lasting, *written), own)
    allowed["/dev"] = landlock.READ | landlock.WRITE
    if not namespaced:
        handled |= landlock.READ | landlock.EXECUTE
        for path in (*_READABLE, places.project, *python_places(), *spec.read_only):
            allowed[path] = allowed.get(path, 0) | landlock.READ | landlock.EXECUTE
    if spec.execute:
        handled |= landlock.EXECUTE
        allowed = {path: rights & ~landlock.EXECUTE for path, rights in allowed.items()}
        for path in _programs(spec.execute):
            allowed[path] = allowed.get(path, 0) | landlock.EXECUTE
    return (
        abilities.landlock,
        handled,
        [(to_bytes(path), rights) for path, rights in allowed.items()],
        None if namespaced else list(ports),
    )


def written_directories(spec: JailSpec) -> tuple[str, ...]:
    """The nearest directories that are there and hold all that the role may write, relative to the project (``""``: itself)."""
    found = []
    for one in spec.write:
        path = literal_prefix(one)
        while path and not _is_real_directory(spec.project, path):
            path = os.path.dirname(path)
        found.append(path)
    return ("",) if "" in found else tuple(dict.fromkeys(found))


def _is_real_directory(project: str, path: str) -> bool:
    here = f"{project}/{path}"
    return os.path.isdir(here) and os.path.realpath(here) == here


def _programs(globs: Sequence[str]) -> Iterator[str]:
    """Programs that ``globs`` name, and the loaders that start them."""
    for one in (*globs, *_LOADERS):
        yield from islice(file_names.iglob(one.removesuffix("/**")), _MOST_PROGRAMS)
