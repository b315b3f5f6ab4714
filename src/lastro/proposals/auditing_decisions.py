"""The part of the audit that is about decisions: each judged again as the keeper judged it, by the policy and the keys of its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from lastro.domain.changes import ChangeSet
from lastro.domain.policy import Policy
from lastro.domain.proposal import Approval, ProposalState, Selection, Verdict
from lastro.domain.record import DecisionBody
from lastro.domain.run import RunFacts, RunState
from lastro.errors import DeniedError, LastroError
from lastro.messages import N_, Message
from lastro.proposals.approvals import Given, count_approvals, given_for, verify_approval, why_not
from lastro.proposals.case import Case, build_case
from lastro.proposals.inbox import Inbox
from lastro.proposals.pair import read_pair
from lastro.proposals.policy import policy_digest
from lastro.proposals.rows import NIL, ApproverRow, ProposalWhole, Revision, RunWhole, unpack
from lastro.store.repository import Repository, StoredRecord

_BEFORE_TIME: Final = 0
"""The inbox is asked for what is recorded, not for what has expired by now."""


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is not right about record ``seq``."""

    seq: int
    message: Message


class Find(Protocol):
    """Takes a finding: the record's ``seq``, a msgid and what fills it."""

    def __call__(self, seq: int, msgid: str, **parameters: object) -> None:
        """Take it."""
        ...


class DecisionAudit:
    """Judges decisions again. It is told of runs and revisions in the order of the log."""

    def __init__(self, repository: Repository, inbox: Inbox, find: Find) -> None:
        self._repository = repository
        self._inbox = inbox
        self._find = find
        self._policies: dict[bytes, Policy] = {}
        self._facts: dict[int, RunFacts] = {}
        self._states: dict[int, RunState] = {}
        self._nonces: set[bytes] = set()
        self._decided: dict[int, DecisionBody] = {}
        self._rejected: set[int] = set()
        self.approvals = 0

    def run_is(self, run: int, state: RunState, facts: RunFacts | None) -> None:
        """A run came into a state."""
        self._states[run] = state
        if facts is not None:
            self._facts[run] = facts

    def paths(self, proposal: int, revision: int) -> set[str]:
        """What a revision changes."""
        return set(self._revision(proposal, revision).paths)

    def check_revision(self, seq: int, proposal: int, revision: int) -> None:
        """Whether its snapshots differ by what the record says."""
        try:
            intact = self._revision(proposal, revision).intact
        except (LastroError, ValueError):
            intact = False
        if not intact:
            self._find(
                seq,
                N_(
                    "The snapshots of revision {revision} of proposal-{number} do not differ by what is recorded."
                ),
                number=proposal,
                revision=revision,
            )

    def check_rejected(self, seq: int, proposal: int) -> None:
        """Whether somebody rejected it."""
        if proposal not in self._rejected:
            self._find(seq, N_("proposal-{number} was rejected by nobody."), number=proposal)

    def check_approved(
        self,
        stored: StoredRecord,
        proposal: int,
        revision: int,
        approvers: Sequence[ApproverRow],
        *,
        state: ProposalState,
    ) -> None:
        """Whether there were enough approvals when it went into ``state``, and to be applied, whether it had waited long enough."""
        body = self._decided.get(proposal)
        if body is None or body.revision != revision:
            self._find(stored.seq, N_("proposal-{number} was approved by nobody."), number=proposal)
            return
        case = self._case(stored.seq, body, approvers)
        if case is None:
            return
        count = case.count(case.selected(unpack(body.selection, Selection)).changes)
        if count.missing:
            self._find(
                stored.seq,
                N_("proposal-{number} lacked {missing} approvals when it went on."),
                number=proposal,
                missing=count.missing,
            )
        if state is ProposalState.APPLYING and stored.record.time_ns < count.ready_ns:
            self._find(
                stored.seq,
                N_("proposal-{number} was applied sooner than the policy lets it."),
                number=proposal,
            )

    def check(self, stored: StoredRecord, body: DecisionBody, approvers: Sequence[ApproverRow]) -> None:
        """One decision."""
        self._learn_policy(stored.seq, body)
        verdict = Verdict(body.verdict)
        if verdict is Verdict.REJECT:
            self._rejected.add(body.proposal)
        case = self._case(stored.seq, body, approvers)
        if case is None:
            return
        if case.shown != body.shown:
            self._find(
                stored.seq,
                N_("A decision on proposal-{number} names something else than what was shown."),
                number=body.proposal,
            )
        if verdict is not Verdict.APPROVE:
            return
        self._decided[body.proposal] = body
        approval = None if body.approval == NIL else unpack(body.approval, Approval)
        try:
            chosen = case.selected(unpack(body.selection, Selection)).changes
        except LastroError as error:
            self._find(
                stored.seq,
                N_("An approval of proposal-{number} chose what cannot be chosen: {reason}"),
                number=body.proposal,
                reason=str(error),
            )
            return
        code, path = case.forbidden(chosen)
        if code:
            self._find(
                stored.seq,
                N_("{path} of proposal-{number} was approved, and the role may not write it."),
                number=body.proposal,
                path=path,
            )
        if approval is None:
            if any(demand.rule.approvals for demand in case.demands_for(chosen)):
                self._find(
                    stored.seq,
                    N_("proposal-{number} was approved without a signature."),
                    number=body.proposal,
                )
            return
        self.approvals += 1
        self._check_approval(stored, case, approval, applies=chosen.digest)
        self._check_right(stored, case, approval, chosen, single_user=body.single_user)

    def _check_approval(
        self, stored: StoredRecord, case: Case, approval: Approval, *, applies: bytes
    ) -> None:
        number = case.proposal.number
        key = next((one for one in case.approvers if one.key_id == approval.key_id), None)
        if key is None:
            self._find(
                stored.seq,
                N_("An approval of proposal-{number} is by a key that was not good then: {key}"),
                number=number,
                key=approval.key_id,
            )
            return
        try:
            verify_approval(approval, key.public_key, stored.record.time_ns)
        except DeniedError as error:
            self._find(
                stored.seq,
                N_("An approval of proposal-{number} by {name} does not hold: {reason}"),
                number=number,
                name=key.name,
                reason=str(error),
            )
        if approval.nonce in self._nonces:
            self._find(stored.seq, N_("An approval of proposal-{number} was used twice."), number=number)
        self._nonces.add(approval.nonce)
        said = approval.proposal, approval.revision, approval.verdict, approval.digest, approval.applies
        if said != (number, case.revision.number, Verdict.APPROVE, case.shown, applies):
            self._find(
                stored.seq, N_("An approval of proposal-{number} is for something else."), number=number
            )

    def _check_right(
        self, stored: StoredRecord, case: Case, approval: Approval, chosen: ChangeSet, *, single_user: bool
    ) -> None:
        key = next((one for one in case.approvers if one.key_id == approval.key_id), None)
        if key is None:
            return
        demands = case.demands_for(chosen)
        reason, path = why_not(key, demands, approvers=case.approvers, authors=case.authors)
        if reason:
            self._find(
                stored.seq,
                N_("{name} had no right to approve {path} of proposal-{number} ({reason})."),
                name=key.name,
                path=path,
                number=case.proposal.number,
                reason=reason,
            )
        given = given_for(
            case.whole.decisions,
            revision=case.revision.number,
            applies=chosen.digest,
            approvers=case.approvers,
        )
        given.append(Given(approver=key, time_ns=stored.record.time_ns))
        alone = count_approvals(demands, given, approvers=case.approvers, authors=case.authors).single_user
        if alone and not single_user:
            self._find(
                stored.seq,
                N_("{name} approved an own change of proposal-{number}, and the record does not say so."),
                name=key.name,
                number=case.proposal.number,
            )

    def _learn_policy(self, seq: int, body: DecisionBody) -> None:
        if body.policy == NIL:
            return
        policy = unpack(body.policy, Policy)
        if policy_digest(policy) != body.policy_digest:
            self._find(seq, N_("The policy in record {seq} is not the one it names."))
            return
        self._policies.setdefault(body.policy_digest, policy)

    def _case(self, seq: int, body: DecisionBody, approvers: Sequence[ApproverRow]) -> Case | None:
        """The case as it was just before record ``seq``; ``None`` where it cannot be put together, which is found."""
        policy = self._policies.get(body.policy_digest)
        if policy is None:
            self._find(seq, N_("Record {seq} was judged by a policy that the log does not hold."))
            return None
        try:
            whole = self._inbox.proposal(body.proposal, now_ns=_BEFORE_TIME)
            revision = self._revision(body.proposal, body.revision)
            pair = read_pair(
                self._repository,
                before=revision.before,
                after=revision.after,
                target=whole.proposal.target,
            )
            run = None if whole.proposal.run is None else self._run_then(whole.proposal.run)
        except LastroError as error:
            self._find(
                seq,
                N_("What record {seq} decided on cannot be read any more: {reason}"),
                reason=str(error),
            )
            return None
        return build_case(
            self._repository,
            _until(whole, seq),
            revision,
            run=run,
            pair=pair,
            policy=policy,
            approvers=approvers,
        )

    def _run_then(self, number: int) -> RunWhole:
        """The run as it was when the decision was made."""
        whole = self._inbox.run(number)
        state = self._states.get(number, RunState.QUEUED)
        return msgspec.structs.replace(
            whole, run=msgspec.structs.replace(whole.run, state=state), facts=self._facts.get(number)
        )

    def _revision(self, proposal: int, revision: int) -> Revision:
        whole = self._inbox.proposal(proposal, now_ns=_BEFORE_TIME)
        return next(one for one in whole.revisions if one.number == revision)


def _until(whole: ProposalWhole, seq: int) -> ProposalWhole:
    """What was recorded of it before ``seq``."""
    return msgspec.structs.replace(
        whole,
        revisions=tuple(one for one in whole.revisions if one.seq < seq),
        decisions=tuple(one for one in whole.decisions if one.seq < seq),
    )
