"""What carrying out a proposal would write now: its two sides, what was chosen, and how that settles with what is live. Changes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from blake3 import blake3

from lastro.app.desk import Desk
from lastro.app.operations.proposal.sides import Sides
from lastro.app.requests import Plan, RecordedEntry
from lastro.app.requests.proposals import (
    ProposalPair,
    ProposalPairReply,
    ProposalReply,
    ShowProposal,
)
from lastro.domain.ids import LOCAL
from lastro.domain.proposal import Selection
from lastro.errors import ConflictError, NotFoundError
from lastro.messages import N_
from lastro.proposals.selecting import Selected, select
from lastro.proposals.settling import Settlement, directories_to_list, paths_to_read, settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The chosen part of a change set, and what writing it now means. ``undoes``: the proposal it takes back."""

    sides: Sides
    selected: Selected
    settlement: Settlement
    written: dict[str, bytes] = field(default_factory=dict)

    def plan(self, *, snapshot: int, time_ns: int) -> Plan:
        """As people see it."""
        changes = self.settlement.changes
        return Plan(
            kind="proposal",
            server=LOCAL,
            destination=self.sides.target,
            snapshot=snapshot,
            time_ns=time_ns,
            changes=changes,
            digest=changes.digest.hex(),
        )

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Paths that cannot be settled."""
        return tuple(dict.fromkeys(path for path, _why in self.settlement.conflicts))

    def acceptance(self, shown: str) -> str:
        """What an answer names: the proposal as shown, the chosen part, and what would be written (hex)."""
        parts = (bytes.fromhex(shown), self.selected.changes.digest, self.settlement.changes.digest)
        return blake3(b"lastro-acceptance-0" + b"".join(parts)).hexdigest()


def show(desk: Desk, text: str) -> ProposalReply:
    """The proposal that ``text`` names, without its hunks."""
    reply = desk.caller.call("proposal.show", ShowProposal(proposal=text, names=True))
    assert isinstance(reply, ProposalReply)
    return reply


def sides_of(desk: Desk, shown: ProposalReply) -> Sides:
    """Both sides of a proposal.

    Raises:
        ConflictError: it has another revision by now.
    """
    pair = desk.caller.call("proposal.pair", ProposalPair(proposal=shown.proposal))
    assert isinstance(pair, ProposalPairReply)
    if pair.shown != shown.digest:
        raise changed_since(shown.proposal)
    return Sides(
        caller=desk.caller,
        target=pair.target,
        before_items=by_path(pair.before),
        after_items=by_path(pair.after),
    )


def by_path(items: tuple[RecordedEntry, ...]) -> dict[str, RecordedEntry]:
    """Recorded entries by their paths."""
    return {item.entry.path: item for item in items}


def prepare(desk: Desk, sides: Sides, selection: Selection) -> Prepared:
    """What writing ``selection`` now means.

    Raises:
        NotFoundError: the directory is gone.
        UsageError: the selection cannot stand by itself.
    """
    _refuse_elsewhere(sides.target)
    selected = select(sides.changes, selection, sides)
    destination = desk.destination(sides.target)
    live = destination.read(paths_to_read(selected.changes))
    below = [
        entry.path
        for directory in directories_to_list(selected.changes, live)
        for entry in destination.walk(directory)
        if entry.path != directory
    ]
    composed = Sides(
        caller=sides.caller,
        target=sides.target,
        before_items=sides.before_items,
        after_items=sides.after_items,
        written={**sides.written, **selected.composed},
    )
    settlement = settle(selected.changes, selected.composed, live, below, composed)
    return Prepared(
        sides=sides,
        selected=selected,
        settlement=settlement,
        written={**sides.written, **selected.composed, **settlement.written},
    )


def _refuse_elsewhere(target: str) -> None:
    """The directory has to be where it was: a link that stands in its place, or above it, may lead anywhere.

    Raises:
        NotFoundError: it is gone.
        ConflictError: its path leads to another directory.
    """
    real = os.path.realpath(target)
    if not os.path.isdir(real):
        raise NotFoundError(
            N_("The directory {path}, which the proposal is about, is gone."),
            hint=N_("Restore it first: lastro restore {path}"),
            path=target,
        )
    if real != target:
        raise ConflictError(
            N_("{path}, which the proposal is about, is a link to {real} by now; nothing was done."),
            hint=N_("Put the directory back in its place, or run the agent again in the other one."),
            path=target,
            real=real,
        )


def changed_since(number: int) -> ConflictError:
    """What to raise when a proposal is not what was shown any more."""
    return ConflictError(
        N_("proposal-{number} changed since it was shown; nothing was done."),
        hint=N_("Look at it again: lastro proposal show proposal-{number}"),
        number=number,
    )
