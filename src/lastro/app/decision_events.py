"""Events of runs, proposals and decisions: one way to make each, for who watches now and for who asks later what happened.

What always holds: replaying from the log tells what was told when it happened; a proposal's numbers in it are those of now.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastro.app.events import Event
from lastro.app.services import Services
from lastro.proposals.rows import Happening, HappeningKind


def event_of(services: Services, happening: Happening) -> Event:
    """What to tell of ``happening``."""
    match happening.kind:
        case HappeningKind.RUN:
            parameters = _run(services, happening)
        case HappeningKind.PROPOSAL:
            parameters = _proposal(services, happening)
        case HappeningKind.DECISION:
            parameters = {
                "proposal": happening.number,
                "revision": happening.revision,
                "verdict": happening.word,
                "actor": happening.actor,
            }
    return Event(
        kind=happening.kind.value, seq=happening.seq, time_ns=happening.time_ns, parameters=parameters
    )


def _run(services: Services, happening: Happening) -> dict[str, object]:
    run = services.inbox.run(happening.number).run
    return {
        "number": happening.number,
        "state": happening.word,
        "project": run.project,
        "agent": run.agent,
        "purpose": run.purpose,
    }


def _proposal(services: Services, happening: Happening) -> dict[str, object]:
    proposal = services.inbox.proposal(happening.number, now_ns=services.clock.wall_ns()).proposal
    return {
        "number": happening.number,
        "state": happening.word,
        "revision": proposal.revision,
        "risk": proposal.risk.value,
        "files": proposal.files,
        "purpose": proposal.purpose,
        "target": proposal.target,
        "run": proposal.run or 0,
    }


def publish_since(services: Services, seq: int) -> None:
    """Tell who watches of everything that was recorded after ``seq``."""
    for event in events_since(services, seq):
        services.publish(event)


def events_since(services: Services, seq: int) -> Iterator[Event]:
    """The durable events after ``seq``, oldest first."""
    for happening in services.inbox.happenings(seq):
        yield event_of(services, happening)
