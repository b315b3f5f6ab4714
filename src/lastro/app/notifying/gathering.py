"""From what happens to what people are told of, and whether that still stands when it is about to be told.

    event                              notice             urgent                         told no more once
    proposal, open                     proposal           by its risk: medium, high      it is decided, or has a new revision
    run: failed timed_out interrupted  run_failed         no                             -
    disconnected / connected           server_silent      yes, after five minutes        it is heard again
    capture_missing / capture_good     capture_missing    yes                            it is good again
    damage                             damage             yes                            -
    signed_in                          sign_in            yes                            -

What always holds: an event gives the same notices whenever it is looked at, with the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from lastro.app.events import Event
from lastro.app.notifying.nouns import Notice, NoticeKind
from lastro.app.services import Services
from lastro.domain.paths import printable
from lastro.domain.proposal import ProposalState, Risk
from lastro.domain.run import RunState
from lastro.domain.telemetry import SECOND
from lastro.errors import LastroError
from lastro.messages import N_

SILENT_AFTER_NS: Final = 300 * SECOND
_FAILED: Final = frozenset({RunState.FAILED.value, RunState.TIMED_OUT.value, RunState.INTERRUPTED.value})
_URGENT_RISKS: Final = frozenset({Risk.MEDIUM.value, Risk.HIGH.value})

Latest = Callable[[str], Notice | None]
"""The newest notice whose key begins so."""


def notices_of(event: Event, latest: Latest) -> list[Notice]:
    """What people are told of this event."""
    gather = _GATHER.get(event.kind)
    return gather(event, event.parameters, latest) if gather else []


def _proposal(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    del latest
    if said.get("state") != ProposalState.OPEN.value:
        return []
    number, revision, risk = int(said["number"]), int(said["revision"]), str(said["risk"])
    notice = Notice(
        kind=NoticeKind.PROPOSAL,
        key=f"proposal:{number}:{revision}",
        urgent=risk in _URGENT_RISKS,
        time_ns=event.time_ns,
        msgid=N_("proposal-{number} waits for you: {purpose}"),
        parameters=_texts(
            number=number,
            revision=revision,
            risk=risk,
            purpose=said["purpose"],
            target=said.get("target", ""),
        ),
        path=f"/proposals/{number}",
    )
    return [notice]


def _run(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    del latest
    if said.get("state") not in _FAILED:
        return []
    number = int(said["number"])
    notice = Notice(
        kind=NoticeKind.RUN_FAILED,
        key=f"run:{number}:{said['state']}",
        urgent=False,
        time_ns=event.time_ns,
        msgid=N_("run-{number} failed: {purpose}"),
        parameters=_texts(number=number, purpose=said["purpose"], state=said["state"]),
        path=f"/runs/{number}",
    )
    return [notice]


def _disconnected(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    server = str(said.get("server", ""))
    if not server or said.get("what") or _silence(server, latest) is not None:
        return []
    notice = Notice(
        kind=NoticeKind.SERVER_SILENT,
        key=f"silent:{server}:{event.time_ns}",
        urgent=True,
        time_ns=event.time_ns,
        msgid=N_("{server} is silent: {reason}"),
        parameters=_texts(server=server, reason=said.get("detail", "")),
        path=server_page(server),
        wait_ns=SILENT_AFTER_NS,
    )
    return [notice]


def _connected(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    server = str(said.get("server", ""))
    silence = _silence(server, latest) if server and not said.get("what") else None
    if silence is None:
        return []
    notice = Notice(
        kind=NoticeKind.SERVER_SILENT,
        key=f"heard:{server}:{silence.time_ns}",
        urgent=True,
        time_ns=event.time_ns,
        msgid=N_("{server} is heard again."),
        parameters=_texts(server=server),
        path=server_page(server),
        after=silence.key,
    )
    return [notice]


def _silence(server: str, latest: Latest) -> Notice | None:
    """The notice that a server is silent, unless it was heard again since."""
    silent = latest(f"silent:{server}:")
    if silent is None or latest(f"heard:{server}:{silent.time_ns}") is not None:
        return None
    return silent


def _missing(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    del latest
    server, path, since = str(said["server"]), str(said["path"]), int(said["since_ns"])
    good = event.kind == "capture_good"
    key = f"missing:{server}:{path}:{since}"
    notice = Notice(
        kind=NoticeKind.CAPTURE_MISSING,
        key=f"good:{server}:{path}:{since}" if good else key,
        urgent=True,
        time_ns=event.time_ns,
        msgid=N_("{server}: {path} is kept again.")
        if good
        else N_("{server}: nothing good was kept of {path} for {length}."),
        parameters=_texts(server=server, path=path, since_ns=since, length_ns=event.time_ns - since),
        path=server_page(server),
        after=key if good else "",
    )
    return [notice]


def _damage(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    del latest
    objects = str(said["objects"])
    notice = Notice(
        kind=NoticeKind.DAMAGE,
        key=f"damage:{objects}"[:1000],
        urgent=True,
        time_ns=event.time_ns,
        msgid=N_("The repository is damaged in {objects}."),
        parameters=_texts(objects=objects),
        path="/audit",
    )
    return [notice]


def _sign_in(event: Event, said: Mapping[str, Any], latest: Latest) -> list[Notice]:
    del latest
    human = str(said.get("human", ""))
    notice = Notice(
        kind=NoticeKind.SIGN_IN,
        key=f"sign-in:{human}:{event.time_ns}",
        urgent=True,
        time_ns=event.time_ns,
        msgid=N_("{human} signed in from {address}."),
        parameters=_texts(human=human, address=said.get("address", "")),
        path="/settings",
    )
    return [notice]


_GATHER: Final[Mapping[str, Callable[[Event, Mapping[str, Any], Latest], list[Notice]]]] = {
    "proposal": _proposal,
    "run": _run,
    "disconnected": _disconnected,
    "connected": _connected,
    "capture_missing": _missing,
    "capture_good": _missing,
    "damage": _damage,
    "signed_in": _sign_in,
}


def stands(services: Services, notice: Notice) -> bool:
    """Whether what a notice says is still so. What cannot be found out is told."""
    said = notice.parameters
    try:
        if notice.kind is NoticeKind.PROPOSAL:
            now = services.inbox.proposal(int(said["number"]), now_ns=services.clock.wall_ns()).proposal
            return now.state is ProposalState.OPEN and now.revision == int(said["revision"])
        if notice.kind is NoticeKind.SERVER_SILENT and not notice.after and services.links is not None:
            for server in services.timeline.servers():
                if server.name == said["server"]:
                    return services.links.link_state(server.id) != "connected"
            return False
    except LastroError:
        return True
    return True


def server_page(name: str) -> str:
    """The page of a server."""
    return f"/servers/{quote(name, safe='')}"


def _texts(**values: object) -> dict[str, str]:
    """Parameters as text of bounded length, without what could steer whatever shows them."""
    return {name: printable(str(value))[:500] for name, value in values.items()}
