"""Who may approve: what the policy says of one human and one part of a proposal. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from lastro.app.operations.proposal.cases import case_of
from lastro.app.requests.proposals import Allowed, AllowedReply
from lastro.app.services import Services
from lastro.domain.changes import ChangeSet
from lastro.proposals.approvals import (
    Count,
    Demand,
    Given,
    count_approvals,
    given_for,
    is_of,
    why_not,
)
from lastro.proposals.case import Case
from lastro.proposals.rows import ApproverRow


def allowed(services: Services, request: Allowed) -> AllowedReply:
    """What the policy says about the asking human approving a part of a proposal."""
    case = case_of(services, request.proposal)
    chosen = case.selected(request.selection).changes
    code, path = case.forbidden(chosen)
    if code:
        return AllowedReply(may=False, reason=code, path=path)
    demands = case.demands_for(chosen)
    if not any(demand.rule.approvals for demand in demands):
        return AllowedReply(may=True, cool_down_s=_cool_down(demands))  # nobody has to sign
    keys = keys_of(services, case, request.approver)
    if not keys:
        return AllowedReply(may=False, reason="no_key")
    reasons = [(key, *why_not(key, demands, approvers=case.approvers, authors=case.authors)) for key in keys]
    key, reason, path = next((found for found in reasons if not found[1]), reasons[0])
    if reason:
        return AllowedReply(may=False, reason=reason, path=path, key_id=key.key_id, signer=key.name)
    count = count_of(case, chosen, also=Given(approver=key, time_ns=services.clock.wall_ns()))
    return AllowedReply(
        may=True,
        missing=count.missing,
        single_user=count.single_user,
        cool_down_s=_cool_down(demands),
        key_id=key.key_id,
        signer=key.name,
    )


def _cool_down(demands: Sequence[Demand]) -> int:
    return max((demand.rule.cool_down_s for demand in demands), default=0)


def keys_of(services: Services, case: Case, approver: str) -> list[ApproverRow]:
    """The good keys that ``approver`` names, by name or id; without one those of the asking human, or the only one of somebody without an
    account here.
    """
    if approver:
        return [key for key in case.approvers if approver in {key.name, key.key_id}]
    own = [key for key in case.approvers if is_of(key, services.actor)]
    without_account = [key for key in case.approvers if key.uid < 0]
    return own or (without_account if len(without_account) == 1 else [])


def count_of(case: Case, chosen: ChangeSet, *, also: Given | None = None) -> Count:
    """How it stands with the approvals that are recorded for ``chosen``, and this one."""
    given = given_for(
        case.whole.decisions,
        revision=case.revision.number,
        applies=chosen.digest,
        approvers=case.approvers,
    )
    return count_approvals(
        case.demands_for(chosen),
        [*given, also] if also else given,
        approvers=case.approvers,
        authors=case.authors,
    )
