"""The audit: the whole log read again from its first record, and every rule checked that a decision ever had to keep.

What always holds: it trusts nothing that was computed before, neither the inbox's cache nor a record's own word for what it may. It needs
the log and the snapshots it names, nothing else: each policy that a decision was judged by lies in the log. What it cannot see: a keeper
that was dishonest from the first record on and signed it all; for that the head it names is written down elsewhere (a witness).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.paths import from_bytes
from lastro.domain.policy import HumanRole
from lastro.domain.proposal import PROPOSAL_TRANSITIONS, ProposalState
from lastro.domain.record import (
    ApplyBody,
    ApproverBody,
    DecisionBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    RecordKind,
    RunBody,
    RunStateBody,
    decode_body,
)
from lastro.domain.run import RUN_TRANSITIONS, RunFacts, RunState
from lastro.messages import N_, Message
from lastro.proposals.approvals import (
    CHANGED_ROLES,
    ENROLLED,
    NONCE_SIZE,
    REVOKED,
    algorithm_of,
    key_id_of,
    may_sign,
    verify_approver,
)
from lastro.proposals.auditing_decisions import DecisionAudit, Finding
from lastro.proposals.inbox import Inbox
from lastro.proposals.rows import NIL, REVISABLE, ApproverRow, unpack
from lastro.store.log import NO_SEQ, follows, is_signed
from lastro.store.repository import Repository, StoredRecord

_S = ProposalState
_CARRIED: Final = frozenset({_S.APPLYING, _S.VERIFYING})
_NEED_APPROVAL: Final = frozenset({_S.APPROVED, _S.PARTLY_APPROVED, _S.APPLYING})


class Audited(Struct, frozen=True, kw_only=True):
    """What was read, and what is not right, by ``seq``."""

    records: int
    runs: int
    proposals: int
    decisions: int
    approvals: int
    applies: int
    findings: tuple[Finding, ...]


def audit(repository: Repository) -> Audited:
    """Read the whole log again.

    Raises:
        LastroError: the repository cannot be read at all.
    """
    inbox = Inbox(repository, None)
    try:
        walk = _Audit(repository, inbox)
        walk.run()
        return walk.result()
    finally:
        inbox.close()


class _Audit:
    """The state of the walk: what stands before the record that is read."""

    def __init__(self, repository: Repository, inbox: Inbox) -> None:
        self._repository = repository
        self._findings: list[Finding] = []
        self._counts = dict.fromkeys(
            (RecordKind.RUN, RecordKind.PROPOSAL, RecordKind.DECISION, RecordKind.APPLY), 0
        )
        self._records = 0
        self._runs: dict[int, RunState] = {}
        self._proposals: dict[int, tuple[ProposalState, int]] = {}
        self._expires: dict[int, int] = {}
        self._ids: set[tuple[str, str]] = set()
        self._approvers: dict[str, ApproverRow] = {}
        self._nonces: set[bytes] = set()
        self._decisions = DecisionAudit(repository, inbox, self._find)
        self._rules: Mapping[str, Callable[[StoredRecord], None]] = {
            RecordKind.RUN: self._run,
            RecordKind.RUN_STATE: self._run_state,
            RecordKind.PROPOSAL: self._proposal,
            RecordKind.PROPOSAL_REVISION: self._revision,
            RecordKind.PROPOSAL_STATE: self._proposal_state,
            RecordKind.DECISION: self._decision,
            RecordKind.APPROVER: self._approver,
            RecordKind.APPLY: self._apply,
        }

    def run(self) -> None:
        """Read every record."""
        previous: StoredRecord | None = None
        for stored in self._repository.records(past_damage=True):
            expected = NO_SEQ + 1 if previous is None else previous.seq + 1
            if stored.seq != expected:
                self._find(expected, N_("Record {seq} is missing or was changed."))
            elif not follows(stored, previous):
                self._find(stored.seq, N_("Record {seq} does not follow the one before it."))
            if not is_signed(stored, self._repository.public_key):
                self._find(stored.seq, N_("Record {seq} is not signed with the repository's key."))
            self._records += 1
            self._judge(stored)
            previous = stored

    def result(self) -> Audited:
        """What came of it."""
        return Audited(
            records=self._records,
            runs=self._counts[RecordKind.RUN],
            proposals=self._counts[RecordKind.PROPOSAL],
            decisions=self._counts[RecordKind.DECISION],
            approvals=self._decisions.approvals,
            applies=self._counts[RecordKind.APPLY],
            findings=tuple(sorted(self._findings, key=lambda finding: finding.seq)),
        )

    def _judge(self, stored: StoredRecord) -> None:
        kind = stored.record.kind
        for counted in self._counts:
            if kind == counted:
                self._counts[counted] += 1
        rule = self._rules.get(kind)
        if rule is None:
            return
        try:
            rule(stored)
        except (msgspec.DecodeError, ValueError):
            self._find(stored.seq, N_("Record {seq} ({kind}) says something impossible."), kind=kind)

    def _find(self, seq: int, msgid: str, **parameters: object) -> None:
        self._findings.append(
            Finding(seq=seq, message=Message(msgid=msgid, parameters={"seq": seq, **parameters}))
        )

    def _new_id(self, stored: StoredRecord, identity: str) -> None:
        if (stored.record.kind, identity) in self._ids:
            self._find(stored.seq, N_("Record {seq} has an id that another has: {id}"), id=identity)
        self._ids.add((stored.record.kind, identity))

    # Runs -----------------------------------------------------------------------------------------------------------------------------

    def _run(self, stored: StoredRecord) -> None:
        self._new_id(stored, decode_body(stored.record, RunBody).id)
        self._runs[stored.record.number] = RunState.QUEUED

    def _run_state(self, stored: StoredRecord) -> None:
        body = decode_body(stored.record, RunStateBody)
        state, before = RunState(body.state), self._runs.get(body.run)
        if before is None or state not in RUN_TRANSITIONS.get(before, frozenset()):
            self._find(
                stored.seq,
                N_("run-{run} went from {before} to {state}, which cannot be."),
                run=body.run,
                before=before.value if before else "-",
                state=state.value,
            )
            return
        self._runs[body.run] = state
        facts = None if body.facts == NIL else unpack(body.facts, RunFacts)
        self._decisions.run_is(body.run, state, facts)

    # Proposals ------------------------------------------------------------------------------------------------------------------------

    def _proposal(self, stored: StoredRecord) -> None:
        body, number = decode_body(stored.record, ProposalBody), stored.record.number
        self._new_id(stored, body.id)
        if body.run is not None and body.run not in self._runs:
            self._find(stored.seq, N_("proposal-{number} is of a run that is not recorded."), number=number)
        self._proposals[number] = (_S.OPEN, 1)
        self._expires[number] = body.expires_ns
        self._decisions.check_revision(stored.seq, number, 1)

    def _revision(self, stored: StoredRecord) -> None:
        body = decode_body(stored.record, ProposalRevisionBody)
        state, revision = self._proposals.get(body.proposal, (None, 0))
        if state not in REVISABLE or body.revision != revision + 1:
            self._find(
                stored.seq,
                N_("proposal-{number} cannot have had the revision {revision} then."),
                number=body.proposal,
                revision=body.revision,
            )
            return
        self._proposals[body.proposal] = (_S.OPEN, body.revision)
        self._decisions.check_revision(stored.seq, body.proposal, body.revision)

    def _proposal_state(self, stored: StoredRecord) -> None:
        body = decode_body(stored.record, ProposalStateBody)
        number, state = body.proposal, ProposalState(body.state)
        before, revision = self._proposals.get(number, (None, 0))
        if before is None or state not in PROPOSAL_TRANSITIONS.get(before, frozenset()):
            self._find(
                stored.seq,
                N_("proposal-{number} went from {before} to {state}, which cannot be."),
                number=number,
                before=before.value if before else "-",
                state=state.value,
            )
            return
        self._proposals[number] = (state, revision)
        if state in _NEED_APPROVAL and before is not _S.APPLYING:
            self._decisions.check_approved(stored, number, revision, self._good(), state=state)
        if state is _S.REJECTED:
            self._decisions.check_rejected(stored.seq, number)
        if state is _S.EXPIRED and stored.record.time_ns < self._expires[number]:
            self._find(stored.seq, N_("proposal-{number} expired before its time."), number=number)

    def _decision(self, stored: StoredRecord) -> None:
        body = decode_body(stored.record, DecisionBody)
        state, revision = self._proposals.get(body.proposal, (None, 0))
        if state is None or body.revision != revision:
            self._find(
                stored.seq,
                N_("A decision is on revision {revision} of proposal-{number}, which did not stand then."),
                number=body.proposal,
                revision=body.revision,
            )
            return
        if stored.record.time_ns >= self._expires[body.proposal]:
            self._find(stored.seq, N_("proposal-{number} was decided after its time."), number=body.proposal)
        self._decisions.check(stored, body, self._good())

    def _apply(self, stored: StoredRecord) -> None:
        body = decode_body(stored.record, ApplyBody)
        if body.kind != "proposal":
            return
        number = body.of or 0
        state, revision = self._proposals.get(number, (None, 0))
        if state not in _CARRIED:
            self._find(
                stored.seq,
                N_("apply-{apply} carried out proposal-{number}, which was not approved then."),
                apply=stored.record.number,
                number=number,
            )
            return
        strange = {from_bytes(path) for path in body.paths} - self._decisions.paths(number, revision)
        if strange:
            self._find(
                stored.seq,
                N_("apply-{apply} wrote {path}, which proposal-{number} does not change."),
                apply=stored.record.number,
                path=min(strange),
                number=number,
            )

    # Approvers ------------------------------------------------------------------------------------------------------------------------

    def _good(self) -> tuple[ApproverRow, ...]:
        """The keys that are good before the record that is read."""
        return tuple(row for row in self._approvers.values() if row.revoked_seq is None)

    def _approver(self, stored: StoredRecord) -> None:
        body = decode_body(stored.record, ApproverBody)
        if body.change == REVOKED:
            self._revoked(stored, body)
            return
        if body.change == CHANGED_ROLES:
            self._roles(stored, body)
            return
        roles = tuple(HumanRole(role) for role in body.roles)
        row = ApproverRow(
            key_id=body.key_id,
            name=body.name,
            uid=body.uid,
            roles=roles,
            public_key=body.public_key,
            since_seq=stored.seq,
            since_ns=stored.record.time_ns,
            signed_by=body.signed_by,
        )
        first = not self._approvers and HumanRole.OWNER in roles and verify_approver(body, body.public_key)
        if (
            body.change != ENROLLED
            or body.key_id in self._approvers
            or body.key_id != key_id_of(body.public_key)
            or body.alg != algorithm_of(body.public_key)
            or not (first or may_sign(body, self._good()))
        ):
            self._find(
                stored.seq,
                N_("The key of {name} was enrolled without the signature of an owner."),
                name=body.name,
            )
            return
        self._approvers[body.key_id] = row

    def _roles(self, stored: StoredRecord, body: ApproverBody) -> None:
        said_before = body.nonce in self._nonces or len(body.nonce) != NONCE_SIZE
        self._nonces.add(body.nonce)
        keys = [row for row in self._good() if (row.name, row.uid) == (body.name, body.uid)]
        named = any(row.key_id == body.key_id for row in keys)
        if not named or said_before or not may_sign(body, self._good()):
            self._find(
                stored.seq, N_("{name} got other roles without the signature of an owner."), name=body.name
            )
            return
        for row in keys:
            self._approvers[row.key_id] = msgspec.structs.replace(
                row, roles=tuple(HumanRole(role) for role in body.roles)
            )

    def _revoked(self, stored: StoredRecord, body: ApproverBody) -> None:
        row = self._approvers.get(body.key_id)
        if row is None or row.revoked_seq is not None or not may_sign(body, self._good()):
            self._find(
                stored.seq,
                N_("The key of {name} was revoked without the signature of an owner."),
                name=body.name,
            )
            return
        self._approvers[body.key_id] = msgspec.structs.replace(
            row, revoked_seq=stored.seq, revoked_ns=stored.record.time_ns
        )
