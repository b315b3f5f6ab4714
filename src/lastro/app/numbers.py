"""``run-42``, ``proposal-9``: what people type for what the log counts, and what they mean when they type nothing."""

from __future__ import annotations

import re

from lastro.app.services import Services
from lastro.domain.proposal import ProposalState
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.wanted import WantedProposals

_NUMBER = re.compile(r"[1-9][0-9]{0,17}\Z")


def number_of(text: str, kind: str) -> int:
    """The number in ``KIND-N``, or in ``N`` alone.

    Raises:
        UsageError: it is neither.
    """
    digits = text.strip().removeprefix(f"{kind}-")
    if _NUMBER.match(digits) is None:
        raise UsageError(
            N_("This does not name a {kind}: {text}"),
            hint=N_("Write it as {kind}-7."),
            kind=kind,
            text=text,
        )
    return int(digits)


def run_named(services: Services, text: str) -> int:
    """The run that ``text`` names; the last one for ``""``.

    Raises:
        NotFoundError: nothing ran yet.
        UsageError: it names no run.
    """
    if text:
        return number_of(text, "run")
    last = services.inbox.runs(limit=1)
    if not last:
        raise NotFoundError(
            N_("Nothing has been run yet."), hint=N_("Run an agent with 'lastro run -- COMMAND'.")
        )
    return last[0].number


def proposal_named(services: Services, text: str) -> int:
    """The proposal that ``text`` names; the only one that waits for a decision for ``""``.

    Raises:
        NotFoundError: none waits.
        UsageError: several do, or it names no proposal.
    """
    if text:
        return number_of(text, "proposal")
    waiting = services.inbox.proposals(
        WantedProposals(states=WAITING), now_ns=services.clock.wall_ns(), limit=4
    )
    if len(waiting) == 1:
        return waiting[0].number
    if not waiting:
        raise NotFoundError(
            N_("No proposal waits for a decision."), hint=N_("See 'lastro proposal list --all'.")
        )
    raise UsageError(
        N_("Several proposals wait for a decision: {names}"),
        hint=N_("Say which; 'lastro proposal list' shows them all."),
        names=", ".join(f"proposal-{row.number}" for row in waiting[:3])
        + (", …" if len(waiting) > 3 else ""),
    )


WAITING = frozenset(
    {
        ProposalState.OPEN,
        ProposalState.HELD,
        ProposalState.CONFLICT,
        ProposalState.CHANGES_REQUESTED,
        ProposalState.APPROVED,
        ProposalState.PARTLY_APPROVED,
        ProposalState.APPLYING,
        ProposalState.VERIFYING,
    }
)
"""What the inbox shows first: states in which somebody still has something to do."""
