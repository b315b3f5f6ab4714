"""The inbox: what waits for a human, by risk and age. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from lastro.app.numbers import WAITING
from lastro.app.operations.proposal.cases import effective_policy, whole_of
from lastro.app.requests.proposals import (
    Proposals,
    ProposalsReply,
    ProposalSummary,
)
from lastro.app.services import Services
from lastro.app.states import state_named
from lastro.domain.policy import Policy
from lastro.domain.proposal import ProposalState, Risk
from lastro.errors import ConfigError, DamagedError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.approvals import demands_of, needed_by, rules_of, standing
from lastro.proposals.case import narrowing_of
from lastro.proposals.pair import side_of
from lastro.proposals.policy import POLICY_FILE
from lastro.proposals.rows import Decision, ProposalWhole
from lastro.proposals.wanted import ORDERS, WantedProposals


def list_proposals(services: Services, request: Proposals) -> ProposalsReply:
    """What waits for somebody, by risk and age; with ``all`` or a state also what is over."""
    states = frozenset({state_named(ProposalState, request.state)}) if request.state else WAITING
    wanted = WantedProposals(
        target=request.project,
        states=frozenset() if request.all and not request.state else states,
        risk=state_named(Risk, request.risk) if request.risk else "",
        agent=request.agent,
        role=request.role,
        actor=request.actor,
        text=request.text,
        after=max(0, request.after),
        order=_order(request.order),
    )
    limit = max(0, request.limit)
    found = services.inbox.proposals(wanted, now_ns=services.clock.wall_ns(), limit=limit + 1 if limit else 0)
    shown = found[:limit] if limit else found
    return ProposalsReply(
        proposals=tuple(_summary(services, whole_of(services, row.number)) for row in shown),
        more=len(found) > len(shown),
        open=services.inbox.count(WAITING, now_ns=services.clock.wall_ns()),
    )


def _order(name: str) -> str:
    if name not in ORDERS:
        raise UsageError(
            N_("There is no such order: {name}"),
            hint=N_("There are: {names}."),
            name=name,
            names=", ".join(ORDERS),
        )
    return name


def _summary(services: Services, whole: ProposalWhole) -> ProposalSummary:
    row = whole.proposal
    return ProposalSummary(
        proposal=row.number,
        revision=row.revision,
        state=row.state.value,
        kind=row.kind.value,
        risk=row.risk.value,
        target=row.target,
        purpose=row.purpose,
        actor=row.actor.name or row.actor.kind,
        run=row.run or 0,
        time_ns=row.time_ns,
        expires_ns=row.expires_ns,
        files=row.files,
        failed_checks=row.failed_checks,
        approvals=approvals_given(services, whole),
        needed=_needed(services, whole),
    )


def approvals_given(services: Services, whole: ProposalWhole) -> int:
    """Humans who approved what stands, in whole or in part."""
    good = {approver.key_id: approver.human for approver in standing(services.inbox.approvers())}
    return len(
        {
            good[decision.approval.key_id]
            for decision in whole.decisions
            if counts(decision, whole, good) and decision.approval is not None
        }
    )


def counts(decision: Decision, whole: ProposalWhole, good: Mapping[str, str]) -> bool:
    """Whether a decision is about what stands now, and was signed by a key that does (``good``: key id → human), if it was signed."""
    if decision.revision != whole.proposal.revision:
        return False
    return decision.approval is None or decision.approval.key_id in good


def _needed(services: Services, whole: ProposalWhole) -> int:
    """Approvals that its most demanding path wants, by the policy that holds now; by the built-in one if that cannot be read."""
    revision = whole.newest
    try:
        side = side_of(services.repository, revision.before, whole.proposal.target)
        narrowing = narrowing_of(services.repository, side)
        policy = effective_policy(services, narrowing, f"{whole.proposal.target}/{POLICY_FILE}")
    except (ConfigError, DamagedError, NotFoundError):
        return 1  # the proposal itself says what is wrong; a list goes on
    return _most(policy, revision.paths)


@lru_cache(maxsize=256)
def _most(policy: Policy, paths: tuple[str, ...]) -> int:
    return needed_by(demands_of(rules_of(policy, paths)))
