"""Finding the program that an agent is, on the caller's ``PATH``, and the directories that have to be shown for it to run in a jail.

What always holds: a home directory is never shown whole, nor anything above it; nothing that lies in the project is shown beside it (it is
there already); no program is started to find out.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from lastro.agents.jail.spec import SYSTEM
from lastro.domain.paths import is_within, to_bytes

_STORES: Final = ("/nix/store", "/gnu/store")
"""Everything in them names others in them."""
_PROGRAMS: Final = frozenset({"bin", "sbin", "libexec"})
_SHIMS: Final = frozenset({"shims", ".volta"})
"""Places of version managers whose programs start others of the same place."""
_SHARED: Final = frozenset(
    {
        "/",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/srv",
        "/sys",
    }
    | {"/tmp", "/var", "/var/lib", "/var/tmp"}  # noqa: S108  named to be refused
)
_PRIVATE: Final = (".local", ".local/share", ".config", ".cache", ".ssh", ".gnupg", "snap", "Library")
"""Directories of a home that hold what is nobody else's business: only something in them is shown."""
_HOPS: Final = 40
_HEAD: Final = 512


class Host(Struct, frozen=True, kw_only=True):
    """From where a program is looked for: ``PATH`` and the home directory of the caller, and the project."""

    search: tuple[str, ...]
    homes: tuple[str, ...]
    project: str = ""


def host_of(environment: Mapping[str, str], project: str = "") -> Host:
    """What ``environment`` says. Relative parts of ``PATH`` are left out: they would mean something else inside."""
    homes = {environment.get("HOME", "").rstrip("/")}
    try:
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir.rstrip("/"))
    except KeyError:  # a uid without a name has no other home
        homes.discard("")
    search = environment.get("PATH", os.defpath).split(":")
    return Host(
        search=tuple(place.rstrip("/") or "/" for place in search if place.startswith("/")),
        homes=tuple(sorted(home for home in homes if home.startswith("/"))),
        project=project,
    )


def find_program(name: str, host: Host) -> str | None:
    """The absolute path of the program ``name`` (found on ``PATH``; relative to the project if it has a slash), ``None``: there is none."""
    if "/" in name:
        path = os.path.normpath(os.path.join(host.project or os.getcwd(), name))
        return path if _is_program(path) else None
    return next((path for place in host.search if _is_program(path := f"{place}/{name}")), None)


def real_program(path: str) -> str:
    """Where the links of ``path`` lead to."""
    return os.path.realpath(path)


def interpreter_of(path: str, host: Host) -> str | None:
    """The program that the script at ``path`` is written for; ``None``: it is no script, or there is none."""
    try:
        with open(to_bytes(path), "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    if not head.startswith(b"#!"):
        return None
    words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return find_program(words[0], host) if words else None


def shown_for(program: str, host: Host) -> tuple[str, ...]:
    """The directories (a single file where its directory is too much) without which ``program`` cannot run, beside the system's own."""
    places: list[str] = []
    todo: list[str] = [program]
    for _ in range(_HOPS):
        if not todo:
            break
        path = todo.pop()
        for hop in _links(path):
            places += _place(hop, host)
        interpreter = interpreter_of(path, host)
        todo += [interpreter] if interpreter is not None else []
    return outermost(places)


def toolchains(host: Host) -> tuple[str, ...]:
    """What else of the caller's ``PATH`` is shown, so that an agent can build and test: whole installations of compilers and
    interpreters, but no directory of somebody's own scripts.
    """
    places = [prefix for place in host.search if (prefix := _prefix(place, host)) is not None]
    places += [
        f"{home}/.rustup"
        for home in host.homes
        if f"{home}/.cargo/bin" in host.search and os.path.isdir(to_bytes(f"{home}/.rustup"))
    ]
    places += [place for place in host.search if place.endswith("/.cargo/bin") and not _is_system(place)]
    return outermost([place for place in places if not _in_project(place, host)])


def outermost(places: list[str]) -> tuple[str, ...]:
    """``places`` without those that lie in another of them, sorted."""
    kept: list[str] = []
    for place in sorted(set(places)):
        if not any(is_within(place, one) for one in kept):
            kept.append(place)
    return tuple(kept)


def _links(path: str) -> Iterator[str]:
    """``path``, and what its links lead to, one after the other, and the real path in the end."""
    here = path
    for _ in range(_HOPS):
        yield here
        try:
            target = os.fsdecode(os.readlink(to_bytes(here)))
        except OSError:
            break
        here = os.path.normpath(os.path.join(here.rpartition("/")[0], target))
    real = os.path.realpath(path)
    if real != here:
        yield real


def _place(path: str, host: Host) -> list[str]:
    """What to show for the program at ``path``."""
    if _is_system(path) or _in_project(path, host):
        return []
    for store in _STORES:
        if is_within(path, store):
            return [store]
    folder, _, _ = path.rpartition("/")
    before, modules, _ = path.partition("/node_modules/")
    candidates = [f"{before}/node_modules"] if modules else [_prefix(folder, host), folder]
    for candidate in candidates:
        if candidate and not _is_too_much(candidate, host):
            return [candidate]
    return [path]


def _prefix(folder: str, host: Host) -> str | None:
    """The installation that the programs in ``folder`` belong to, ``None``: none that may be shown."""
    above, _, name = folder.rpartition("/")
    installed = name in _PROGRAMS and (_exists(f"{above}/lib") or _exists(f"{above}/pyvenv.cfg"))
    if not (installed or name in _SHIMS or above.rpartition("/")[2] in _SHIMS):
        return None
    if _is_system(above) or _in_project(above, host) or _is_too_much(above, host):
        return None
    return above


def _is_too_much(directory: str, host: Host) -> bool:
    if directory in _SHARED or not directory:
        return True
    if host.project and is_within(host.project, directory):
        return True
    private = (f"{home}/{name}" for home in host.homes for name in _PRIVATE)
    return any(is_within(home, directory) for home in host.homes) or directory in private


def _in_project(path: str, host: Host) -> bool:
    return bool(host.project) and is_within(path, host.project)


def _is_system(path: str) -> bool:
    return any(is_within(path, place) for place in SYSTEM)


def _is_program(path: str) -> bool:
    name = to_bytes(path)
    return os.path.isfile(name) and os.access(name, os.X_OK)


def _exists(path: str) -> bool:
    return os.path.exists(to_bytes(path))
