"""How servers are: what the links, the vigil, the telemetry and the history know, put together and judged.

What always holds: every level that is not good has a finding that says why in words; what nobody can know while no keeper runs is
``unknown``, never good; the worst finding of a server is its level.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from lastro.app.operations.servers import describe_server
from lastro.app.requests import RootState, ServerState
from lastro.app.requests.health import Finding, HealthOfServer, KeeperUse, Level, RootHealth
from lastro.app.requests.sentence import Sentence
from lastro.app.services import Services
from lastro.domain.paths import to_bytes
from lastro.domain.server import Server
from lastro.domain.telemetry import DAY_NS, SECOND, DiskUse, Sample, full_in_ns
from lastro.messages import N_

if TYPE_CHECKING:
    from lastro.app.notifying.vigil import Watched

SILENT_NS: Final = 60 * SECOND
"""A connected node that did not say how it is for so long."""
FULL_SOON_NS: Final = 7 * DAY_NS
_DISK_FULL: Final = 950
_MEMORY_FULL: Final = 970
_ORDER: Final = (Level.GOOD, Level.UNKNOWN, Level.WARNING, Level.BAD)

_own = psutil.Process()


def health_of(
    services: Services, server: Server, *, samples: int = 0, state: ServerState | None = None
) -> HealthOfServer:
    """How one server is. ``samples``: measurements of each ring to give, at most. ``state``: as described, where that was done before."""
    state = state or describe_server(services, server)
    rings = services.links.telemetry() if services.links is not None else None
    newest = rings.newest(server.id) if rings else None
    recent, minutes = (rings.recent(server.id), rings.minutes(server.id)) if rings else ((), ())
    watched = services.alerts.vigil.roots(server.id) if services.alerts is not None else {}
    known = {root.path: root for root in state.roots}
    known |= {path: _unseen(path) for path in watched if path not in known}
    roots = tuple(
        _root(services, known[path], watched.get(path), newest, (*minutes, *recent[-1:]))
        for path in sorted(known)
    )
    findings = [
        *_of_link(services, server, state.link, state.problem, newest),
        *(finding for root in roots for finding in _of_root(root, services.clock.wall_ns())),
        *_of_machine(newest, services.clock.wall_ns()),
    ]
    return HealthOfServer(
        id=state.id,
        name=state.name,
        device=state.device,
        address=state.address,
        link=state.link,
        level=worst([finding.level for finding in findings]),
        heard_ns=newest.time_ns if newest else 0,
        roots=roots,
        findings=tuple(sorted(findings, key=lambda finding: -_ORDER.index(finding.level))),
        newest=newest,
        recent=_thinned(recent, samples),
        minutes=_thinned(minutes, samples),
        problem=state.problem,
    )


def judged_servers(services: Services) -> tuple[ServerState, ...]:
    """Every server with its roots, and what is wrong with it."""
    judged = []
    for server in services.timeline.servers():
        state = describe_server(services, server)
        health = health_of(services, server, state=state)
        judged.append(msgspec.structs.replace(state, level=health.level.value, findings=health.findings))
    return tuple(judged)


def keeper_use(services: Services) -> KeeperUse | None:
    """What the keeper itself uses; ``None`` when this process is none."""
    if services.links is None:
        return None
    path = services.places.repository
    status = os.statvfs(to_bytes(path))
    total = status.f_blocks * status.f_frsize
    with _own.oneshot():
        cpu, memory = _own.cpu_percent(), _own.memory_info().rss
    disk = DiskUse(path=path, total=total, free=min(total, status.f_bavail * status.f_frsize))
    return KeeperUse(cpu=max(0, round(cpu * 10)), memory=memory, disk=disk)


def worst(levels: Sequence[Level]) -> Level:
    """The worst of several; good where there is none."""
    return max(levels, key=_ORDER.index, default=Level.GOOD)


def _unseen(path: str) -> RootState:
    """A root that was watched when its server was last heard, and of which nothing was kept."""
    return RootState(path=path, watched=True, snapshots=0, last_snapshot=0, last_ns=0, files=0, bytes=0)


def _root(
    services: Services,
    root: RootState,
    watched: Watched | None,
    newest: Sample | None,
    history: Sequence[Sample],
) -> RootHealth:
    now = services.clock.wall_ns()
    is_watched = root.watched or watched is not None
    never = watched is not None and watched.never
    good = max(root.good_ns, watched.good_ns if watched and not never else 0) or root.last_ns
    limit = services.alerts.vigil.limit_ns(watched) if watched and services.alerts else 0
    points = [(sample.time_ns, disk.free) for sample in history if (disk := sample.disk_of(root.path))]
    level = Level.GOOD
    if watched is not None and (watched.missing_ns or now - watched.good_ns > limit):
        level = Level.BAD
    elif services.links is None and is_watched:
        level = Level.UNKNOWN
    return RootHealth(
        path=root.path,
        watched=is_watched,
        level=level,
        good_ns=good,
        limit_ns=limit,
        rpo_ns=max(0, now - good) if good and is_watched else 0,
        pending=root.pending,
        snapshots=root.snapshots,
        last_snapshot=root.last_snapshot,
        last_ns=root.last_ns,
        files=root.files,
        bytes=root.bytes,
        missing_since_ns=watched.missing_ns if watched else 0,
        warnings=root.warnings,
        disk=newest.disk_of(root.path) if newest else None,
        full_in_ns=full_in_ns(points),
    )


def _of_link(
    services: Services, server: Server, link: str, problem: str, newest: Sample | None
) -> list[Finding]:
    now = services.clock.wall_ns()
    if not server.device:
        return [_finding(Level.UNKNOWN, "no_node", N_("It has no node: nothing of it is watched."))]
    if services.links is None:
        return [_finding(Level.UNKNOWN, "no_keeper", N_("No keeper runs, so nobody knows how it is."))]
    if link == "unreachable":
        return [_finding(Level.BAD, "unreachable", N_("It cannot be reached: {reason}"), reason=problem)]
    if link != "connected":
        return [_finding(Level.UNKNOWN, "connecting", N_("Not connected yet."))]
    found = []
    if problem:
        found.append(
            _finding(Level.WARNING, "trouble", N_("Something of it is not kept: {reason}"), reason=problem)
        )
    if newest is not None and now - newest.time_ns > SILENT_NS:
        found.append(
            _finding(
                Level.WARNING,
                "quiet",
                N_("Connected, but it has not said how it is for {length}."),
                length_ns=now - newest.time_ns,
            )
        )
    return found


def _of_root(root: RootHealth, now_ns: int) -> list[Finding]:
    found = []
    if root.level is Level.BAD:
        found.append(
            _finding(
                Level.BAD,
                "capture_missing",
                N_("Nothing good was kept of {path} for {length}."),
                path=root.path,
                length_ns=now_ns - (root.missing_since_ns or root.good_ns or now_ns),
            )
        )
    elif root.watched and not root.good_ns:
        found.append(
            _finding(Level.UNKNOWN, "not_captured", N_("{path} is not captured yet."), path=root.path)
        )
    disk = root.disk
    if disk is not None and disk.used_share >= _DISK_FULL:
        found.append(
            _finding(
                Level.BAD,
                "disk_full",
                N_("The disk of {path} is {percent} % full."),
                path=root.path,
                percent=disk.used_share // 10,
            )
        )
    elif root.full_in_ns is not None and root.full_in_ns < FULL_SOON_NS:
        found.append(
            _finding(
                Level.WARNING,
                "disk_filling",
                N_("The disk of {path} will be full in {length} if it goes on like this."),
                path=root.path,
                length_ns=root.full_in_ns,
            )
        )
    return found


def _of_machine(newest: Sample | None, now_ns: int) -> list[Finding]:
    if newest is None or now_ns - newest.time_ns > SILENT_NS or newest.memory_share < _MEMORY_FULL:
        return []
    percent = newest.memory_share // 10
    return [_finding(Level.WARNING, "memory_full", N_("Its memory is {percent} % full."), percent=percent)]


def _finding(level: Level, code: str, msgid: str, *, path: str = "", **parameters: object) -> Finding:
    """Lengths of time are given as ``length_ns``; a face fills ``{length}`` with words."""
    texts = {name: str(value) for name, value in parameters.items()}
    if path:
        texts["path"] = path
    return Finding(level=level, said=Sentence(msgid=msgid, parameters=texts, code=code), path=path)


def _thinned(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """At most ``most`` of them, evenly, the newest among them."""
    if most <= 0 or not samples:
        return ()
    step = -(-len(samples) // most)
    return tuple(reversed(tuple(reversed(samples))[::step]))
