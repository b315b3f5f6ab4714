"""Which view of a project a run gets, and its layer: the best that this host can, or the one that was asked for."""

from __future__ import annotations

import os
from typing import Final

from lastro.agents.copied import CopyLayer, prepare_copy
from lastro.agents.jail.cgroups import MEMORY, PROCESSES, PROCESSORS
from lastro.agents.jail.probing import COPY, LANDLOCK_HOLDS_WRITES, OVERLAY_USER, HostAbilities
from lastro.agents.layer import Layer
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.domain.policy import Enforcement, RunLimits
from lastro.domain.progress import Report, silent
from lastro.errors import ConfigError
from lastro.messages import N_

_OVERLAY: Final = "overlay"


def lacking(abilities: HostAbilities, limits: RunLimits) -> frozenset[str]:
    """Values of ``policy.Enforcement`` that a jail on this host cannot have, as far as that is known before one is made."""
    groups = abilities.groups.directories
    there = {
        Enforcement.FILESYSTEM: abilities.namespaces or abilities.landlock >= LANDLOCK_HOLDS_WRITES,
        Enforcement.ATTRIBUTES: abilities.namespaces,
        Enforcement.READING: abilities.namespaces,
        Enforcement.NETWORK: abilities.network,
        Enforcement.LANDLOCK: abilities.landlock > 0,
        Enforcement.MEMORY: limits.memory is None or MEMORY in groups,
        Enforcement.PROCESSORS: limits.processors is None or PROCESSORS in groups,
        Enforcement.PROCESSES: limits.processes is None
        or PROCESSES in groups
        or (abilities.namespaces and not abilities.root),
    }
    return frozenset(one.value for one, is_there in there.items() if not is_there)


def chosen_view(abilities: HostAbilities, asked: str, project: str) -> str:
    """``overlay``, ``overlay-user`` or ``copy``.

    Without root an overlay knows this user and its first group alone: what belongs to another group (that of a team, with set-gid
    directories) could not be changed in it, so such a project is copied.

    Raises:
        ConfigError: an overlay was asked for, and there can be none.
    """
    best = abilities.best_view
    if best == OVERLAY_USER and not asked and not _is_own(project):
        return COPY
    if asked == COPY or (not asked and best == COPY):
        return COPY
    if best == COPY:
        raise ConfigError(
            N_("This host cannot lay a run's changes over the project: {reason}"),
            hint=N_("Leave --view away, or choose --view copy. 'lastro doctor' says what is missing."),
            reason=abilities.missing.get(_OVERLAY) or abilities.missing.get("bubblewrap", ""),
        )
    return best


def _is_own(project: str) -> bool:
    status = os.stat(project)
    return (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def prepared_layer(view: str, project: str, directory: str, report: Report = silent) -> Layer:
    """Make the layer of a run in ``directory``, and open it.

    Raises:
        LastroError: the disk cannot hold it.
        OSError: the disk refuses.
    """
    if view == COPY:
        prepare_copy(project, directory, report)
    else:
        prepare_overlay(directory, project)
    return opened_layer(view, project, directory)


def opened_layer(view: str, project: str, directory: str) -> Layer:
    """The layer that an earlier process made in ``directory``."""
    if view == COPY:
        return CopyLayer(project, directory)
    return OverlayLayer(project, directory, user_xattrs=view == OVERLAY_USER)


def view_of_jail(view: str) -> str:
    """``view`` as a ``JailSpec`` asks for it."""
    return COPY if view == COPY else _OVERLAY
