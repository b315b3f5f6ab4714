"""``start``: from what a jail is asked to be, and what this host can do, to an agent that runs in it.

Best first, the same result from each: bubblewrap over an overlay of the project; bubblewrap over a copy; a copy alone, with what locks the
kernel gives to everybody (Landlock, limits per process), which is little and is said (``degraded``).
What always holds: what a host cannot enforce is named; the environment and the command go through a pipe, never through a command line;
of the host's files only what ``layout`` lists and ``spec`` names is shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from lastro.agents.jail.cgroups import MEMORY, PROCESSES, PROCESSORS, Group, make_group
from lastro.agents.jail.layout import bubblewrap_arguments
from lastro.agents.jail.locks import inside_order, lists_hosts, places_of
from lastro.agents.jail.masking import Masks, find_masks
from lastro.agents.jail.probing import (
    COPY,
    LANDLOCK_HOLDS_WRITES,
    OVERLAY_USER,
    HostAbilities,
    forget,
    interpreter,
    probe,
)
from lastro.agents.jail.showing import make_layout
from lastro.agents.jail.spec import HOME, SOCKETS, JailedProcess, JailSpec
from lastro.agents.jail.watching import JailPlan, RunningJail
from lastro.domain.paths import is_within, to_bytes
from lastro.domain.policy import Enforcement
from lastro.domain.run import RunEnforcement
from lastro.errors import ConfigError, DeniedError, NotFoundError
from lastro.messages import N_
from lastro.transport.unix import bind_owner_only

if TYPE_CHECKING:  # it brings asyncio with it, and few roles list hosts
    from lastro.agents.jail.proxy import Proxy

_SPECIAL: Final = ("/proc", "/dev", "/sys", SOCKETS)


def start(spec: JailSpec, *, abilities: HostAbilities | None = None) -> JailedProcess:
    """Start ``spec.command`` in a jail, as good a one as this host allows; see ``JailedProcess.enforcement`` for what it is.

    The layer is there already: ``spec.directory`` holds ``upper`` and ``work``, or ``copy``.

    Raises:
        ConfigError: the paths of ``spec`` contradict each other, or a glob cannot be used.
        NotFoundError: the project or its layer is missing.
        DeniedError: the host refused what it was able to do before.
    """
    abilities = abilities or probe(spec.directory)
    _check(spec)
    view = choose_view(spec, abilities)
    for name in ("home", "tmp", "masks", "etc"):
        os.makedirs(f"{spec.directory}/{name}", mode=0o700, exist_ok=True)
    layers = _layers(spec, view)
    group = make_group(abilities.groups, spec.run, spec.limits)
    jail = RunningJail(interpreter("enter", "main"), group)
    proxy: Proxy | None = None
    try:
        masks = find_masks(spec, layers)  # a look at every name of the project, while the interpreter starts
        proxy = _proxy(spec)
        made = _Making(spec=spec, abilities=abilities, view=view, masks=masks, group=group, proxy=proxy)
        plan = _plan(made)
    except BaseException:
        if proxy:
            proxy.close()
        jail.abandon()
        raise
    try:
        jail.begin(plan)
    except DeniedError:
        forget()  # what this host is able to do may be another thing by now
        raise
    jail.enforcement = _enforcement(made, jail.notes)
    return jail


def choose_view(spec: JailSpec, abilities: HostAbilities) -> str:
    """``overlay``, ``overlay-user`` or ``copy``, as asked or the best there is.

    Raises:
        ConfigError: an overlay was asked for and there is none.
    """
    if spec.view == COPY or (not spec.view and abilities.best_view == COPY):
        return COPY
    if abilities.best_view == COPY:
        raise ConfigError(
            N_("This host cannot lay a project over itself: {reason}"),
            hint=N_(
                "Leave the view out for a plain copy, or put the runs on a file system that takes overlays."
            ),
            reason=abilities.missing.get("overlay") or abilities.missing.get("bubblewrap", ""),
        )
    return abilities.best_view


def _check(spec: JailSpec) -> None:
    """Paths that would make a jail show what it must not, or that cannot be shown."""
    for path in (spec.project, spec.directory):
        if not os.path.isdir(path) or os.path.realpath(path) != path:
            raise NotFoundError(
                N_("No such directory: {path}"),
                hint=N_("Name it by its real path, without links."),
                path=path,
            )
    problem = next(_unshowable(spec), "")
    if problem:
        raise ConfigError(
            N_("{path} cannot be shown in a jail: it holds, or lies in, what must stay outside"),
            hint=N_("Choose a directory of its own for the project."),
            path=problem,
        )
    if not spec.command:
        raise ConfigError(
            N_("There is no command to run"), hint=N_("Name it after --, such as lastro run -- sh.")
        )


def _unshowable(spec: JailSpec) -> Iterator[str]:
    """Paths that hold, or lie in, what a jail has of its own or must not show."""
    if any(
        is_within(spec.project, one) or is_within(one, spec.project) for one in (*_SPECIAL, spec.directory)
    ):
        yield spec.project
    if is_within(HOME, spec.project):
        yield spec.project
    for path in spec.read_only:
        if not path.startswith("/") or is_within(spec.directory, path) or is_within(SOCKETS, path):
            yield path


def _layers(spec: JailSpec, view: str) -> tuple[str, ...]:
    """The host directories that make up the view, topmost first.

    Raises:
        NotFoundError: the layer was not prepared.
    """
    parts = ("copy",) if view == COPY else ("upper", "work")
    for name in parts:
        if not os.path.isdir(f"{spec.directory}/{name}"):
            raise NotFoundError(
                N_("No such directory: {path}"),
                hint=N_("The layer of a run is made before its jail."),
                path=f"{spec.directory}/{name}",
            )
    if view == COPY:
        return (f"{spec.directory}/copy",)
    return (f"{spec.directory}/upper", *spec.below, spec.project)


def _proxy(spec: JailSpec) -> Proxy | None:
    if not lists_hosts(spec):
        return None
    from lastro.agents.jail.proxy import Proxy  # noqa: PLC0415  as above

    # A socket's path is short, a run's directory perhaps not.
    descriptor = os.open(spec.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Proxy(bind_owner_only(f"/proc/self/fd/{descriptor}/proxy"), spec.hosts)
    finally:
        os.close(descriptor)


# The plan -----------------------------------------------------------------------------------------------------------------------------


class _Making(Struct, frozen=True, kw_only=True):
    """What a jail is made from."""

    spec: JailSpec
    abilities: HostAbilities
    view: str
    masks: Masks
    group: Group
    proxy: Proxy | None


def _plan(made: _Making) -> JailPlan:
    spec, copied = made.spec, made.view == COPY
    places = places_of(spec, namespaced=made.abilities.namespaces)
    inside_command = interpreter("inside", "main")
    argv = inside_command
    if made.abilities.namespaces:
        layout = make_layout(spec, made.abilities, made.view, made.masks)
        argv = bubblewrap_arguments(layout, inside_command)
    overlay = {
        "user": made.view == OVERLAY_USER,
        "lower": [to_bytes(path) for path in (*spec.below, spec.project)],
        "upper": to_bytes(f"{spec.directory}/upper"),
        "work": to_bytes(f"{spec.directory}/work"),
        "project": to_bytes(spec.project),
    }
    return JailPlan(
        entering={
            "overlay": None if copied else overlay,
            "argv": argv,
        },
        inside=inside_order(spec, made.abilities),
        limits=spec.limits,
        writable=[f"{spec.directory}/{name}" for name in ("copy" if copied else "upper", "home", "tmp")],
        growth=copied,
        seen_at=[places.project, places.home, places.lasting],
        namespaced=made.abilities.namespaces,
        watch_memory=MEMORY not in made.group.limited and spec.limits.memory is not None,
        proxy=made.proxy,
    )


# What is said of it -------------------------------------------------------------------------------------------------------------------


def _enforcement(made: _Making, notes: Mapping[str, str]) -> RunEnforcement:
    abilities, masks, group, limits = made.abilities, made.masks, made.group, made.spec.limits
    namespaced = abilities.namespaces
    held = {
        Enforcement.FILESYSTEM: namespaced or abilities.landlock >= LANDLOCK_HOLDS_WRITES,
        Enforcement.ATTRIBUTES: namespaced,
        Enforcement.READING: namespaced and masks.complete,
        Enforcement.NETWORK: namespaced and abilities.network,
        Enforcement.PROCESSES: limits.processes is None
        or PROCESSES in group.limited
        or (namespaced and not abilities.root),
        Enforcement.MEMORY: limits.memory is None or MEMORY in group.limited,
        Enforcement.PROCESSORS: limits.processors is None or PROCESSORS in group.limited,
        Enforcement.DISK: True,
        Enforcement.LANDLOCK: abilities.landlock >= (2 if namespaced else 1),
    }
    details = dict(notes)
    if abilities.groups.kind:
        details["cgroup"] = abilities.groups.kind
    if abilities.seccomp:
        details["seccomp"] = "on"
    if not masks.complete:
        details["reading"] = "too many files to hide"
    for name, reason in abilities.missing.items():
        details.setdefault(f"missing {name}", reason)
    return RunEnforcement(
        view=made.view,
        enforced=tuple(name.value for name, holds in held.items() if holds),
        degraded=tuple(name.value for name, holds in held.items() if not holds),
        landlock=abilities.landlock,
        details=details,
    )
