"""Decisions in the log: what an answer does.

What always holds: a decision names exactly what was shown, and what was shown is computed again before it is recorded; an approval is
signed by a key that was enrolled and not revoked, used once, in its time, and for what it would let be applied; and the records of a
decision and of the state it brings are written together.
"""

from __future__ import annotations

from typing import Final

from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.proposal.allowing import allowed, count_of
from lastro.app.operations.proposal.cases import case_of, enter, refuse_expired, state_draft, whole_of
from lastro.app.requests.proposals import Allowed, AllowedReply, Decide, DecisionRecorded
from lastro.app.services import Services
from lastro.domain.changes import ChangeSet
from lastro.domain.ids import LOCAL
from lastro.domain.proposal import PROPOSAL_TRANSITIONS, Approval, ProposalState, Selection, Verdict
from lastro.domain.record import DecisionBody, RecordKind
from lastro.errors import ConflictError, DeniedError, UsageError
from lastro.messages import N_
from lastro.proposals.approvals import (
    APPROVING,
    Given,
    is_of,
    verify_approval,
    why_not,
)
from lastro.proposals.case import HUMAN, Case
from lastro.proposals.rows import NIL, ApproverRow, ProposalWhole, pack
from lastro.store.repository import RecordDraft

_S = ProposalState
_DECIDED: Final = frozenset({_S.APPROVED, _S.PARTLY_APPROVED})
_APPROVABLE: Final = frozenset({_S.OPEN, *_DECIDED})
_SECOND_NS: Final = 1_000_000_000


def decide(services: Services, request: Decide) -> DecisionRecorded:
    """Record what a human decided."""
    if services.actor.kind != HUMAN:
        raise DeniedError(N_("Only a human decides on a proposal."))
    try:
        verdict = Verdict(request.verdict)
    except ValueError:
        raise UsageError(N_("There is no such verdict: {verdict}"), verdict=request.verdict) from None
    with services.inbox.turn():
        refuse_expired(services, request.proposal)
        case = case_of(services, request.proposal)
        if request.revision != case.revision.number or request.shown != case.shown.hex():
            raise ConflictError(
                N_("What you saw of proposal-{number} is not what stands now; nothing was decided."),
                hint=N_("Look at it again: lastro proposal show proposal-{number}"),
                number=request.proposal,
            )
        if verdict is Verdict.APPROVE:
            return _approve(services, case, request)
        return _refuse(services, case, request, verdict)


def _approve(services: Services, case: Case, request: Decide) -> DecisionRecorded:
    if case.proposal.state not in _APPROVABLE:
        raise _wrong_state(case, _S.APPROVED)
    selected = case.selected(request.selection)
    chosen = selected.changes
    code, path = case.forbidden(chosen)
    if code:
        raise forbidden(code, path)
    also = None
    if request.approval is not None:
        key = _checked(services, case, request.approval, chosen)
        also = Given(approver=key, time_ns=services.clock.wall_ns())
    elif any(demand.rule.approvals for demand in case.demands_for(chosen)):
        raise DeniedError(
            N_("An approval of proposal-{number} needs a signature."),
            hint=N_("Make an approver key, once: lastro approver add"),
            number=case.proposal.number,
        )
    count = count_of(case, chosen, also=also)
    drafts = [_decision_draft(services, case, request, Verdict.APPROVE, single_user=count.single_user)]
    wanted = _S.PARTLY_APPROVED if selected.rest else _S.APPROVED
    if not count.missing:
        drafts += _ways(services, case, wanted, again=not _is_approved_for(case, chosen))
    enter(services, *drafts)
    return DecisionRecorded(
        state=whole_of(services, case.proposal.number).proposal.state.value,
        waiting=count.missing,
        single_user=count.single_user,
    )


def _is_approved_for(case: Case, chosen: ChangeSet) -> bool:
    """Whether the proposal stands approved, and for exactly this."""
    if case.proposal.state not in _DECIDED:
        return False
    return case.selected(approved_selection(case.whole)).changes.digest == chosen.digest


def _checked(services: Services, case: Case, approval: Approval, chosen: ChangeSet) -> ApproverRow:
    """The key that gave ``approval``, which is good for exactly this.

    Raises:
        DeniedError: it is not good, or does not count.
        ConflictError: it is for something else.
    """
    key = next((one for one in case.approvers if one.key_id == approval.key_id), None)
    if key is None:
        raise DeniedError(
            N_("The approver key {key} is not enrolled, or was revoked."),
            hint=N_("See 'lastro approver list'."),
            key=approval.key_id,
        )
    verify_approval(approval, key.public_key, services.clock.wall_ns())
    if services.inbox.was_used(approval.nonce):
        raise DeniedError(
            N_("This approval was used before."), hint=N_("Look at the proposal and approve it again.")
        )
    said = approval.proposal, approval.revision, approval.verdict, approval.digest, approval.applies
    if said != (case.proposal.number, case.revision.number, Verdict.APPROVE, case.shown, chosen.digest):
        raise ConflictError(
            N_("The approval is not for what it came with; nothing was decided."),
            hint=N_("Look at it again: lastro proposal show proposal-{number}"),
            number=case.proposal.number,
        )
    reason, path = why_not(key, case.demands_for(chosen), approvers=case.approvers, authors=case.authors)
    if reason == "author":
        raise DeniedError(
            N_("{name} asked for proposal-{number} or edited it, so somebody else has to approve {path}."),
            hint=N_("Whoever may: lastro approver list"),
            name=key.name,
            number=case.proposal.number,
            path=path,
        )
    if reason:
        raise DeniedError(
            N_("{name} may not approve {path}."),
            hint=N_("Whoever may: lastro approver list. Why: lastro policy explain {path}"),
            name=key.name,
            path=path,
        )
    return key


def forbidden(code: str, path: str) -> DeniedError:
    """What to raise for what the policy forbids whoever approves."""
    if code == "outside":
        return DeniedError(
            N_("The role may not write {path}, so nobody can approve it."),
            hint=N_(
                "Choose other files with '--file', edit the proposal, or change the policy and run again."
            ),
            path=path,
        )
    return DeniedError(
        N_("The policy blocked the run, so nobody can approve what it made."),
        hint=N_("See 'lastro runs show'."),
    )


def _refuse(services: Services, case: Case, request: Decide, verdict: Verdict) -> DecisionRecorded:
    """A rejection, or a comment back to the agent. It needs no signature, but somebody who is known here."""
    if not _is_known(services, case):
        raise DeniedError(
            N_("Only an enrolled approver decides on a proposal."),
            hint=N_("Who is enrolled: lastro approver list"),
        )
    wanted = _S.REJECTED if verdict is Verdict.REJECT else _S.CHANGES_REQUESTED
    drafts = [_decision_draft(services, case, request, verdict, single_user=False)]
    drafts += _ways(services, case, wanted)
    if wanted is _S.REJECTED:
        drafts += holds(services, case.proposal.number, reason=wanted)
    enter(services, *drafts)
    return DecisionRecorded(state=wanted.value)


def _is_known(services: Services, case: Case) -> bool:
    """Whether the asking human is enrolled with a say, or nobody with an account here is, so that there is only one who can ask at all."""
    have_a_say = [key for key in case.approvers if APPROVING & set(key.roles)]
    if any(is_of(key, services.actor) for key in have_a_say):
        return True
    return all(key.uid < 0 for key in have_a_say)


def _ways(services: Services, case: Case, wanted: ProposalState, *, again: bool = False) -> list[RecordDraft]:
    """The records that lead to ``wanted``: one, or by way of ``open``. None if it stands, unless it is decided ``again`` for another part.

    Raises:
        ConflictError: no way leads there.
    """
    state, number = case.proposal.state, case.proposal.number
    following = PROPOSAL_TRANSITIONS.get(state, frozenset())
    if state is wanted and following and not again:
        return []
    if wanted in following:
        return [state_draft(services, number, wanted)]
    if _S.OPEN in following and wanted in PROPOSAL_TRANSITIONS[_S.OPEN]:
        return [state_draft(services, number, _S.OPEN), state_draft(services, number, wanted)]
    raise _wrong_state(case, wanted)


def _wrong_state(case: Case, wanted: ProposalState) -> ConflictError:
    return ConflictError(
        N_("proposal-{number} is {state}; it cannot become {wanted}."),
        hint=N_("See 'lastro proposal show proposal-{number}'."),
        number=case.proposal.number,
        state=case.proposal.state.value,
        wanted=wanted.value,
    )


def approved_selection(whole: ProposalWhole) -> Selection:
    """What the newest approval of the revision that stands chose."""
    return next(
        (
            decision.selection
            for decision in reversed(whole.decisions)
            if decision.verdict is Verdict.APPROVE and decision.revision == whole.proposal.revision
        ),
        Selection(),
    )


def holds(services: Services, number: int, *, reason: ProposalState) -> list[RecordDraft]:
    """The records that hold what builds on proposal ``number``, which is rejected or undone."""
    now_ns = services.clock.wall_ns()
    return [
        state_draft(services, other, _S.HELD, detail=f"proposal-{number} {reason.value}")
        for other in services.inbox.built_on(number, now_ns=now_ns)
        if _S.HELD in PROPOSAL_TRANSITIONS.get(whole_of(services, other).proposal.state, frozenset())
    ]


# The record ---------------------------------------------------------------------------------------------------------------------------


def _decision_draft(
    services: Services, case: Case, request: Decide, verdict: Verdict, *, single_user: bool
) -> RecordDraft:
    known = services.inbox.knows_policy(case.policy_digest)
    return RecordDraft(
        kind=RecordKind.DECISION,
        actor=services.actor,
        server=LOCAL,
        body=DecisionBody(
            approval=NIL if request.approval is None else pack(request.approval),
            comments=[pack(comment) for comment in request.comments],
            policy=NIL if known else pack(case.policy),
            policy_digest=case.policy_digest,
            proposal=case.proposal.number,
            revision=case.revision.number,
            selection=pack(request.selection),
            shown=case.shown,
            single_user=single_user,
            verdict=verdict.value,
        ),
    )


OPERATIONS = (
    Operation(
        name="proposal.allowed",
        request=Allowed,
        reply=AllowedReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=allowed,
        summary=N_("Whether an approval of the asking human would count."),
        internal=True,
    ),
    Operation(
        name="proposal.decide",
        request=Decide,
        reply=DecisionRecorded,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=decide,
        summary=N_("Record what a human decided."),
        internal=True,
    ),
)
