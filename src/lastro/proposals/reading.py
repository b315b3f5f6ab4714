"""Rows of the inbox as nouns."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from lastro.domain.paths import from_bytes
from lastro.domain.policy import HumanRole
from lastro.domain.proposal import (
    Approval,
    ChangeNote,
    Comment,
    ProposalKind,
    ProposalState,
    Risk,
    Selection,
    Verdict,
)
from lastro.domain.record import Actor, DecisionBody
from lastro.domain.run import CheckResult, RunFacts, RunState
from lastro.proposals.rows import (
    NIL,
    ApproverRow,
    Decision,
    Happening,
    HappeningKind,
    ProposalPassage,
    ProposalRow,
    Revision,
    RunPassage,
    RunRow,
    unpack,
)

RUN_COLUMNS: Final = (
    "number, seq, id, project, role, agent, command, purpose, actor, policy_digest, leases, resumes, rebases, state, began_ns, changed_ns,"
    " before, after, proposal"
)
PROPOSAL_COLUMNS: Final = (
    "number, seq, id, state_now, revision, kind, risk, target, purpose, actor, run, of, time_ns, expires_ns, before, after, change_digest,"
    " policy_digest, files, failed_checks"
)


def run_of(row: sqlite3.Row) -> RunRow:
    """A row of ``run`` with ``RUN_COLUMNS``."""
    return RunRow(
        number=row["number"],
        seq=row["seq"],
        id=row["id"],
        project=from_bytes(row["project"]),
        role=row["role"],
        agent=row["agent"],
        command=tuple(from_bytes(word) for word in unpack(row["command"], list[bytes])),
        purpose=row["purpose"],
        actor=unpack(row["actor"], Actor),
        policy_digest=row["policy_digest"],
        leases=unpack(row["leases"], tuple[str, ...]),
        resumes=row["resumes"],
        rebases=row["rebases"],
        state=RunState(row["state"]),
        began_ns=row["began_ns"],
        changed_ns=row["changed_ns"],
        before=row["before"],
        after=row["after"],
        proposal=row["proposal"],
    )


def run_passage_of(row: sqlite3.Row) -> RunPassage:
    """A row of ``run_state``."""
    return RunPassage(seq=row["seq"], state=RunState(row["state"]), time_ns=row["time_ns"])


def facts_of(row: sqlite3.Row) -> RunFacts | None:
    """The facts in a row of ``run``."""
    return None if row["facts"] is None else unpack(row["facts"], RunFacts)


def proposal_of(row: sqlite3.Row) -> ProposalRow:
    """A row of ``proposal`` with ``PROPOSAL_COLUMNS``."""
    return ProposalRow(
        number=row["number"],
        seq=row["seq"],
        id=row["id"],
        state=ProposalState(row["state_now"]),
        revision=row["revision"],
        kind=ProposalKind(row["kind"]),
        risk=Risk(row["risk"]),
        target=from_bytes(row["target"]),
        purpose=row["purpose"],
        actor=unpack(row["actor"], Actor),
        run=row["run"],
        of=row["of"],
        time_ns=row["time_ns"],
        expires_ns=row["expires_ns"],
        before=row["before"],
        after=row["after"],
        change_digest=row["change_digest"],
        policy_digest=row["policy_digest"],
        files=row["files"],
        failed_checks=row["failed_checks"],
    )


def revision_of(row: sqlite3.Row) -> Revision:
    """A row of ``revision``."""
    return Revision(
        number=row["revision"],
        seq=row["seq"],
        time_ns=row["time_ns"],
        actor=unpack(row["actor"], Actor),
        reason=row["reason"],
        before=row["before"],
        after=row["after"],
        change_digest=row["change_digest"],
        risk=Risk(row["risk"]),
        notes=unpack(row["notes"], tuple[ChangeNote, ...]),
        checks=unpack(row["checks"], tuple[CheckResult, ...]),
        paths=tuple(from_bytes(path) for path in unpack(row["paths"], list[bytes])),
        intact=bool(row["intact"]),
    )


def proposal_passage_of(row: sqlite3.Row) -> ProposalPassage:
    """A row of ``proposal_state``."""
    return ProposalPassage(
        seq=row["seq"],
        state=ProposalState(row["state"]),
        time_ns=row["time_ns"],
        apply=row["apply"],
        detail=from_bytes(row["detail"]),
    )


def decision_of(row: sqlite3.Row) -> Decision:
    """A row of ``decision``."""
    body = msgspec.msgpack.decode(row["body"], type=DecisionBody)
    return Decision(
        number=row["number"],
        seq=row["seq"],
        proposal=body.proposal,
        revision=body.revision,
        time_ns=row["time_ns"],
        actor=unpack(row["actor"], Actor),
        verdict=Verdict(body.verdict),
        shown=body.shown,
        single_user=body.single_user,
        approval=None if body.approval == NIL else unpack(body.approval, Approval),
        selection=unpack(body.selection, Selection),
        comments=tuple(unpack(comment, Comment) for comment in body.comments),
        policy_digest=body.policy_digest,
    )


def happening_of(row: sqlite3.Row) -> Happening:
    """A row of ``Inbox.happenings``."""
    actor = None if row["actor"] is None else unpack(row["actor"], Actor)
    return Happening(
        kind=HappeningKind(row["kind"]),
        seq=row["seq"],
        time_ns=row["time_ns"],
        number=row["number"],
        word=row["word"],
        revision=row["revision"],
        actor=(actor.name or actor.kind) if actor else "",
    )


def approver_of(row: sqlite3.Row) -> ApproverRow:
    """A row of ``approver``."""
    return ApproverRow(
        key_id=row["key_id"],
        name=row["name"],
        uid=row["uid"],
        roles=unpack(row["roles"], tuple[HumanRole, ...]),
        public_key=row["public_key"],
        since_seq=row["since_seq"],
        since_ns=row["since_ns"],
        signed_by=row["signed_by"],
        revoked_seq=row["revoked_seq"],
        revoked_ns=row["revoked_ns"],
    )
