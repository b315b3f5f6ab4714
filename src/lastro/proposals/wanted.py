"""Which runs and proposals of the inbox are wanted, as conditions of SQL: only those that were asked for, so that an index serves them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from lastro.domain.paths import to_bytes
from lastro.domain.proposal import ProposalState
from lastro.domain.record import Actor
from lastro.domain.run import RunState


class Condition(NamedTuple):
    """SQL, and what fills its placeholders."""

    text: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRuns:
    """Empty and zero: any. ``project``: exactly this one. ``actor``: who asked for it. ``text``: in what was asked, whatever its case.
    ``before``: a number that all are smaller than.
    """

    project: str = ""
    state: RunState | None = None
    agent: str = ""
    role: str = ""
    actor: str = ""
    text: str = ""
    before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedProposals:
    """As ``WantedRuns``; ``agent`` and ``role`` are of the run that made it. ``states``: as they are now. ``after``: number of the proposal
    that all of these come after, in the order of the inbox.
    """

    target: str = ""
    states: Collection[ProposalState] = ()
    risk: str = ""
    agent: str = ""
    role: str = ""
    actor: str = ""
    text: str = ""
    after: int = 0
    order: str = "risk"
    """One of ``ORDERS``."""


ORDERS: Final[Mapping[str, str]] = {
    "risk": "risk_rank, number",
    "newest": "-number, number",
    "expiry": "expires_ns, number",
}
"""How proposals can be ordered → the columns; what is most urgent first, then what is oldest. No two are alike in them."""
EVERY_RUN: Final = WantedRuns()
EVERY_PROPOSAL: Final = WantedProposals()


def where(conditions: Iterator[Condition]) -> Condition:
    """All of ``conditions`` as one ``WHERE``; empty where there are none."""
    found = list(conditions)
    arguments = tuple(argument for one in found for argument in one.arguments)
    return Condition(f"WHERE {' AND '.join(one.text for one in found)}" if found else "", arguments)


def of_runs(wanted: WantedRuns) -> Iterator[Condition]:
    """The conditions of a row of ``run``."""
    if wanted.project:
        yield Condition("project = ?", (to_bytes(wanted.project),))
    if wanted.state:
        yield Condition("state = ?", (wanted.state.value,))
    if wanted.agent:
        yield Condition("agent = ?", (wanted.agent,))
    if wanted.role:
        yield Condition("role = ?", (wanted.role,))
    if wanted.before:
        yield Condition("number < ?", (wanted.before,))
    yield from _common(wanted)


def of_proposals(wanted: WantedProposals) -> Iterator[Condition]:
    """The conditions of a row of ``proposal`` with its ``state_now``."""
    if wanted.target:
        yield Condition("target = ?", (to_bytes(wanted.target),))
    if wanted.states:
        places = ", ".join("?" for _ in wanted.states)
        yield Condition(f"state_now IN ({places})", tuple(sorted(wanted.states)))
    if wanted.risk:
        yield Condition("risk = ?", (wanted.risk,))
    if wanted.agent:
        yield Condition("run IN (SELECT number FROM run WHERE agent = ?)", (wanted.agent,))
    if wanted.role:
        yield Condition("run IN (SELECT number FROM run WHERE role = ?)", (wanted.role,))
    if wanted.after:
        columns = ORDERS[wanted.order]
        place = f"(SELECT {columns} FROM proposal WHERE number = ?)"  # noqa: S608  a constant of ours
        yield Condition(f"({columns}) > {place}", (wanted.after,))
    yield from _common(wanted)


def _common(wanted: WantedRuns | WantedProposals) -> Iterator[Condition]:
    if wanted.actor:
        yield Condition("is_of(actor, ?)", (wanted.actor,))
    if wanted.text:
        yield Condition("holds(purpose, ?)", (wanted.text,))


def is_of(packed: bytes, name: str) -> bool:
    """SQL function: whether this actor is called so."""
    actor = msgspec.msgpack.decode(packed, type=Actor)
    return name in {actor.name, actor.kind}


def holds(text: str, part: str) -> bool:
    """SQL function: whether a text has this part, whatever its case."""
    return part.casefold() in text.casefold()
