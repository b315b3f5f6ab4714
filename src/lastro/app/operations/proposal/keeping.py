"""Proposals in the log: recording one, a new revision of it, and each state it goes through.

What always holds: a proposal holds exactly what its digest says, or it is not recorded; its id makes one proposal, however often it is
sent; and no state is entered here that only a decision may bring.
"""

from __future__ import annotations

from typing import Final

from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.operations.proposal import decisions, looking
from lastro.app.operations.proposal.cases import (
    case_of,
    effective_policy,
    enter,
    refuse_expired,
    state_draft,
    whole_of,
)
from lastro.app.requests.proposals import Propose, Proposed, RecordProposalState, Revise
from lastro.app.services import Services
from lastro.app.states import state_named
from lastro.domain.ids import LOCAL
from lastro.domain.paths import to_bytes
from lastro.domain.proposal import PROPOSAL_TRANSITIONS, ProposalKind, ProposalState, Risk
from lastro.domain.record import ProposalBody, ProposalRevisionBody, RecordKind
from lastro.errors import ConflictError, DeniedError, UsageError, WaitingError
from lastro.messages import N_
from lastro.proposals.case import HUMAN, narrowing_of
from lastro.proposals.pair import Pair, read_pair
from lastro.proposals.policy import POLICY_FILE, policy_digest
from lastro.proposals.rows import REVISABLE, ProposalWhole, clean_text, pack
from lastro.store.repository import RecordDraft

_S = ProposalState
_ID_SIZE: Final = 32
_SECOND_NS: Final = 1_000_000_000

_DECIDED: Final = frozenset({_S.APPROVED, _S.PARTLY_APPROVED})
_BY_DECISION: Final = frozenset({_S.REJECTED, _S.CHANGES_REQUESTED, _S.EXPIRED})
"""States that only a decision, or the clock, brings."""


def record(services: Services, request: Propose) -> Proposed:
    """Record a proposal, or find the one with this id."""
    kind, risk = _kind(request.kind), _risk(request.risk)
    if len(request.id) != _ID_SIZE or set(request.id) - set("0123456789abcdef"):
        raise UsageError(N_("A proposal's id is 32 hex digits."))
    with services.inbox.turn():
        now_ns = services.clock.wall_ns()
        known = services.inbox.proposal_by_id(request.id, now_ns=now_ns)
        if known is not None:
            return Proposed(proposal=known.number, revision=known.revision)
        if request.run is not None:
            services.inbox.run(request.run)
        if request.of is not None:
            whole_of(services, request.of)
        pair = _pair(services, request, request.target)
        policy = effective_policy(
            services, narrowing_of(services.repository, pair.before), f"{request.target}/{POLICY_FILE}"
        )
        draft = RecordDraft(
            kind=RecordKind.PROPOSAL,
            actor=services.actor,
            server=LOCAL,
            body=ProposalBody(
                after=request.after,
                before=request.before,
                change_digest=pair.changes.digest,
                checks=[pack(check) for check in request.checks],
                expires_ns=now_ns + policy.expires_s * _SECOND_NS,
                id=request.id,
                kind=kind.value,
                notes=[pack(note) for note in request.notes],
                of=request.of,
                policy_digest=policy_digest(policy),
                purpose=clean_text(request.purpose),
                risk=risk.value,
                run=request.run,
                target=to_bytes(request.target),
            ),
        )
        number = enter(services, draft)[0].record.number
        for over in services.inbox.undone_makers(request.before):
            detail = f"proposal-{over} {whole_of(services, over).proposal.state.value}"
            enter(services, state_draft(services, number, _S.HELD, detail=detail))
            break
        return Proposed(proposal=number)


def revise(services: Services, request: Revise) -> Proposed:
    """Record a new revision; every approval of an earlier one falls."""
    risk = _risk(request.risk)
    with services.inbox.turn():
        refuse_expired(services, request.proposal)
        whole = whole_of(services, request.proposal)
        proposal = whole.proposal
        if proposal.revision != request.was:
            raise ConflictError(
                N_("proposal-{number} has revision {revision} by now; nothing was changed."),
                hint=N_("Look at it again: lastro proposal show proposal-{number}"),
                number=proposal.number,
                revision=proposal.revision,
            )
        if proposal.state not in REVISABLE:
            raise _wrong_state(whole, _S.OPEN)
        pair = _pair(services, request, proposal.target)
        draft = RecordDraft(
            kind=RecordKind.PROPOSAL_REVISION,
            actor=services.actor,
            server=LOCAL,
            body=ProposalRevisionBody(
                after=request.after,
                before=request.before,
                change_digest=pair.changes.digest,
                checks=[pack(check) for check in request.checks],
                notes=[pack(note) for note in request.notes],
                proposal=proposal.number,
                reason=clean_text(request.reason),
                revision=proposal.revision + 1,
                risk=risk.value,
            ),
        )
        enter(services, draft)
        return Proposed(proposal=proposal.number, revision=proposal.revision + 1)


def _pair(services: Services, request: Propose | Revise, target: str) -> Pair:
    """The pair that is proposed.

    Raises:
        ConflictError: the snapshots do not differ by what is said, or not at all.
    """
    if not target.startswith("/"):
        raise UsageError(N_("What a proposal is about is named by its absolute path."))
    pair = read_pair(services.repository, before=request.before, after=request.after, target=target)
    if request.change_digest not in {pair.changes.digest.hex(), pair.raw_digest.hex()}:
        raise ConflictError(
            N_("The two snapshots do not differ by what is proposed; nothing was recorded."),
            hint=N_("Collect the run's work again: lastro runs propose RUN"),
        )
    if not pair.changes.changes:
        raise UsageError(N_("Nothing differs, so there is nothing to propose."))
    return pair


def _kind(text: str) -> ProposalKind:
    try:
        return ProposalKind(text)
    except ValueError:
        raise UsageError(N_("There is no such kind of proposal: {kind}"), kind=text) from None


def _risk(text: str) -> Risk:
    try:
        return Risk(text)
    except ValueError:
        raise UsageError(N_("There is no such risk: {risk}"), risk=text) from None


# States -------------------------------------------------------------------------------------------------------------------------------


def record_state(services: Services, request: RecordProposalState) -> Nothing:
    """Record that a proposal is in another state. What a decision brings is refused here."""
    state = state_named(ProposalState, request.state)
    if services.actor.kind != HUMAN:
        raise DeniedError(N_("Only a human carries out a proposal."))
    with services.inbox.turn():
        refuse_expired(services, request.proposal)
        whole = whole_of(services, request.proposal)
        state = _back_to_decided(whole, state)
        if state in _BY_DECISION or (state in _DECIDED and whole.proposal.state is not _S.APPLYING):
            raise DeniedError(
                N_("proposal-{number} becomes {state} by a decision alone."),
                hint=N_("See 'lastro proposal --help'."),
                number=whole.proposal.number,
                state=state.value,
            )
        if state not in PROPOSAL_TRANSITIONS.get(whole.proposal.state, frozenset()):
            raise _wrong_state(whole, state)
        if state is _S.APPLYING:
            _refuse_unapproved(services, whole, request.applies)
        if state is _S.APPLIED:
            _refuse_unapplied(whole, request.apply)
        drafts = [
            state_draft(services, whole.proposal.number, state, apply=request.apply, detail=request.detail)
        ]
        if state is _S.UNDONE:
            drafts += decisions.holds(services, whole.proposal.number, reason=state)
        enter(services, *drafts)
    return Nothing()


def _back_to_decided(whole: ProposalWhole, state: ProposalState) -> ProposalState:
    """An apply that did not happen leaves the proposal as it was decided, all of it or a part."""
    if whole.proposal.state is not _S.APPLYING or state not in _DECIDED:
        return state
    return next(passage.state for passage in reversed(whole.passages) if passage.state in _DECIDED)


def _refuse_unapproved(services: Services, whole: ProposalWhole, applies: str) -> None:
    """Refuse to apply what the policy and the keys that are good now do not let be applied, or another part than what is approved.

    Raises:
        DeniedError, WaitingError: why.
        ConflictError: another part was approved meanwhile.
    """
    case = case_of(services, whole.proposal.number)
    chosen = case.selected(decisions.approved_selection(whole)).changes
    if applies and applies != chosen.digest.hex():
        raise ConflictError(
            N_("Another part of proposal-{number} was approved meanwhile; nothing was done."),
            hint=N_("Look at it again: lastro proposal show proposal-{number}"),
            number=whole.proposal.number,
        )
    code, path = case.forbidden(chosen)
    if code:
        raise decisions.forbidden(code, path)
    count = case.count(chosen)
    if count.missing:
        raise WaitingError(
            N_("proposal-{number} lacks {missing} approvals, for {path} among others."),
            hint=N_(
                "A key may have been revoked, or the policy changed. See 'lastro proposal show proposal-{number}'."
            ),
            number=whole.proposal.number,
            missing=count.missing,
            path=count.path,
        )
    wait_ns = count.ready_ns - services.clock.wall_ns()
    if wait_ns > 0:
        raise WaitingError(
            N_("The policy wants {seconds} seconds more to pass before proposal-{number} is applied."),
            hint=N_("Then: lastro proposal approve proposal-{number}"),
            seconds=-(-wait_ns // _SECOND_NS),
            number=whole.proposal.number,
        )


def _refuse_unapplied(whole: ProposalWhole, apply: int | None) -> None:
    """An apply that is named has to be one of this proposal. None is named where everything was live already."""
    if apply is not None and apply not in whole.applies:
        raise ConflictError(
            N_("apply-{apply} did not carry out proposal-{number}."),
            apply=apply,
            number=whole.proposal.number,
        )


def _wrong_state(whole: ProposalWhole, wanted: ProposalState) -> ConflictError:
    return ConflictError(
        N_("proposal-{number} is {state}; it cannot become {wanted}."),
        hint=N_("Somebody else may be at it: see 'lastro proposal show proposal-{number}'."),
        number=whole.proposal.number,
        state=whole.proposal.state.value,
        wanted=wanted.value,
    )


OPERATIONS = (
    *looking.OPERATIONS,
    *decisions.OPERATIONS,
    Operation(
        name="proposal.record",
        request=Propose,
        reply=Proposed,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=record,
        summary=N_("Record a proposal."),
        internal=True,
    ),
    Operation(
        name="proposal.revise",
        request=Revise,
        reply=Proposed,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=revise,
        summary=N_("Record a new revision of a proposal."),
        internal=True,
    ),
    Operation(
        name="proposal.state",
        request=RecordProposalState,
        reply=Nothing,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=record_state,
        summary=N_("Record that a proposal is in another state."),
        internal=True,
    ),
)
