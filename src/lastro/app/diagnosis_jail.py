"""What jails for agents can be made of on this host, for this user: tried, not guessed, and what to do about what is missing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from lastro.agents.jail.cgroups import MEMORY, PROCESSES, PROCESSORS
from lastro.agents.jail.probing import HostAbilities, probe
from lastro.agents.supervision_places import runs_directory
from lastro.app.places import Places
from lastro.app.requests.doctor import Finding
from lastro.app.requests.sentence import Sentence
from lastro.domain.paths import printable
from lastro.messages import N_

_TOPIC: Final = "agents"
_NEEDED: Final = ("uvicorn", "aiohttp")
"""Modules that only the extra brings."""
_SWITCHES: Final = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        N_(
            "AppArmor keeps users from making namespaces: give bwrap a profile that allows 'userns', or set"
            " kernel.apparmor_restrict_unprivileged_userns=0."
        ),
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        N_("Allow users to make namespaces: sysctl kernel.unprivileged_userns_clone=1"),
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        N_("Allow users to make namespaces: sysctl user.max_user_namespaces=10000"),
    ),
)
"""File of the kernel, the value in it that forbids namespaces to users, what to do."""
_ELSEWHERE: Final = N_(
    "In a container, let it make namespaces, or run agents on the host. Without, they work on a copy with Landlock alone around them; each"
    " run says what that leaves open."
)


def jail_findings(places: Places) -> Iterator[Finding]:
    """Bubblewrap and namespaces, network, views, control groups, Landlock and the filter of system calls."""
    if any(importlib.util.find_spec(module) is None for module in _NEEDED):
        yield _said(
            "warning",
            N_("A run needs a keeper and a gateway, which are not installed."),
            hint=N_("pip install 'lastro[agents]'"),
        )
    yield from findings_of(probe(_directory(places)))


def findings_of(found: HostAbilities) -> Iterator[Finding]:
    """The findings for a host that can do this."""
    yield from _namespaces(found)
    yield _view(found)
    yield _groups(found)
    yield _locks(found)


def _directory(places: Places) -> str:
    """Where layers lie or are going to; nowhere if this user may not try anything there."""
    path = runs_directory(places.state)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path if os.access(path, os.W_OK | os.X_OK) else ""


def _namespaces(found: HostAbilities) -> Iterator[Finding]:
    if not found.namespaces and found.missing.get("bubblewrap") == "not installed":
        yield _said(
            "warning",
            N_("Bubblewrap is not installed: agents work on a copy, with Landlock alone around them."),
            hint=N_("sudo apt-get install bubblewrap"),
        )
    elif not found.namespaces:
        yield _said(
            "warning",
            N_("Bubblewrap can make no jail here: {reason}"),
            hint=_switch(root=found.root),
            reason=found.missing.get("bubblewrap", ""),
        )
    else:
        yield _said("good", N_("Bubblewrap makes jails here: {path}"), path=found.bubblewrap)
    if found.namespaces and not found.network:
        yield _said(
            "warning",
            N_("Agents cannot be kept from the network: {reason}"),
            hint=_switch(root=found.root),
            reason=found.missing.get("network", ""),
        )


def _switch(*, root: bool) -> str:
    for path, forbids, hint in _SWITCHES:
        with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
            if file.read(16).strip() == forbids and (not root or path.startswith("/proc/sys/user/")):
                return hint
    return _ELSEWHERE


def _view(found: HostAbilities) -> Finding:
    if found.overlay:
        return _said("good", N_("What an agent changes is laid over the project; nothing is copied."))
    return _said(
        "warning",
        N_("What an agent changes cannot be laid over the project here: {reason}"),
        hint=N_(
            "Each run copies the project first. An overlay needs namespaces, Linux 5.11 for users, and LASTRO_HOME on a file system"
            " of this machine such as ext4, XFS or Btrfs."
        ),
        reason=found.missing.get("overlay", ""),
    )


def _groups(found: HostAbilities) -> Finding:
    missing = [name for name in (MEMORY, PROCESSES, PROCESSORS) if name not in found.groups.directories]
    if not missing:
        return _said(
            "good",
            N_("Control groups ({kind}) limit memory, processes and processors of a run."),
            kind=found.groups.kind,
        )
    return _said(
        "warning",
        N_("No control group limits a run here: {controllers}"),
        hint=N_(
            "Start from a session of systemd that may divide its group (systemd-run --user --scope -p Delegate=yes lastro run …),"
            " or run as root."
        ),
        controllers=", ".join(missing),
    )


def _locks(found: HostAbilities) -> Finding:
    if not found.landlock:
        return _said(
            "warning",
            N_("The kernel has no Landlock: the second lock on files is missing."),
            hint=N_("Linux 5.13 has it, where 'landlock' is in the kernel's option lsm=."),
        )
    if not found.seccomp:
        return _said(
            "warning",
            N_("System calls are not filtered on {machine}."),
            hint=N_("Nothing can be done but to run agents on x86_64 or aarch64."),
            machine=os.uname().machine,
        )
    return _said(
        "good", N_("Landlock (version {version}) and a filter of system calls."), version=found.landlock
    )


def _said(state: str, msgid: str, hint: str = "", **parameters: object) -> Finding:
    plain = {name: printable(str(one)) for name, one in parameters.items()}
    return Finding(topic=_TOPIC, state=state, said=Sentence(msgid=msgid, hint=hint, parameters=plain))
