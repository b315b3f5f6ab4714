"""Cases as the keeper's operations open them, and what they write into the log about them.

What always holds: a proposal whose time is over is treated as expired from that instant, and gets the record of it from the first
operation that may write.
"""

from __future__ import annotations

from collections.abc import Sequence

from lastro.app.decision_events import publish_since
from lastro.app.services import Services
from lastro.domain.ids import LOCAL
from lastro.domain.paths import to_bytes
from lastro.domain.policy import Policy
from lastro.domain.proposal import ProposalState
from lastro.domain.record import ProposalStateBody, RecordKind
from lastro.errors import DeniedError
from lastro.messages import N_
from lastro.proposals.case import Case, open_case
from lastro.proposals.policy_file import narrow_recorded, read_policy
from lastro.proposals.rows import ProposalWhole
from lastro.store.repository import RecordDraft, StoredRecord


def case_of(services: Services, number: int) -> Case:
    """The proposal with this number and what it is judged by now."""
    return open_case(
        services.repository,
        services.inbox,
        number,
        policy_for=lambda text, origin: effective_policy(services, text, origin),
        now_ns=services.clock.wall_ns(),
    )


def effective_policy(services: Services, narrowing: str, origin: str) -> Policy:
    """The keeper's policy, narrowed by the text of a project's file.

    Raises:
        ConfigError: one of the two says something impossible.
    """
    policy, _ = read_policy(services.places.policy_file)
    return narrow_recorded(policy, narrowing, origin) if narrowing else policy


def whole_of(services: Services, number: int) -> ProposalWhole:
    """The proposal with this number as it is now."""
    return services.inbox.proposal(number, now_ns=services.clock.wall_ns())


def refuse_expired(services: Services, number: int) -> None:
    """Record that a proposal's time is over, if it is and nothing says so yet; refuse to go on with it.

    Raises:
        DeniedError: it is over.
    """
    whole = whole_of(services, number)
    if whole.proposal.state is not ProposalState.EXPIRED:
        return
    if whole.passages[-1].state is not ProposalState.EXPIRED:
        enter(services, state_draft(services, number, ProposalState.EXPIRED))
    raise DeniedError(
        N_("proposal-{number} was not decided in its time; it is expired."),
        hint=N_("Run the agent again, or propose it anew."),
        number=number,
    )


def state_draft(
    services: Services, number: int, state: ProposalState, *, apply: int | None = None, detail: str = ""
) -> RecordDraft:
    """The record that says that a proposal is in another state."""
    return RecordDraft(
        kind=RecordKind.PROPOSAL_STATE,
        actor=services.actor,
        server=LOCAL,
        body=ProposalStateBody(apply=apply, detail=to_bytes(detail), proposal=number, state=state.value),
    )


def enter(services: Services, *drafts: RecordDraft) -> Sequence[StoredRecord]:
    """Append these records, all or none, and tell who watches."""
    with services.repository.begin() as transaction:
        stored = transaction.commit(*drafts)
    publish_since(services, stored[0].seq - 1)
    return stored
