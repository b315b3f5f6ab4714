"""How records become rows of the inbox (``inbox_schema``): one function for each kind.

What always holds: a record has its whole effect or none. A transition counts only where the tables of ``domain.run`` and
``domain.proposal`` allow it, so a row's state is always one that was reached in order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.policy import HumanRole
from lastro.domain.proposal import (
    PROPOSAL_TRANSITIONS,
    Approval,
    ChangeNote,
    Comment,
    ProposalKind,
    ProposalState,
    Risk,
    Selection,
    Verdict,
)
from lastro.domain.record import (
    Actor,
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
from lastro.domain.run import RUN_TRANSITIONS, CheckResult, RunFacts, RunState, failed_checks
from lastro.errors import DamagedError, NotFoundError
from lastro.proposals.approvals import CHANGED_ROLES, ENROLLED, REVOKED
from lastro.proposals.pair import read_pair
from lastro.proposals.rows import NIL, REVISABLE, unpack
from lastro.store.repository import Repository, StoredRecord

_RISKS: Final = {Risk.HIGH: 0, Risk.MEDIUM: 1, Risk.LOW: 2}
"""Order in the inbox."""


class _OddError(Exception):
    """The record says what cannot be; it is left out."""


def fold(database: sqlite3.Connection, repository: Repository, stored: StoredRecord) -> None:
    """Let ``stored`` have its effect, inside a transaction of the caller's. A record that says what cannot be has none."""
    rule = _RULES.get(stored.record.kind)
    if rule is None:
        return
    database.execute("SAVEPOINT record")
    try:
        rule(database, repository, stored)
    except (_OddError, msgspec.DecodeError, ValueError, OverflowError, sqlite3.IntegrityError):
        # Not an error of ours: an older reader, or a log that was tampered with. `audit verify` says what is wrong with it.
        database.execute("ROLLBACK TO record")
    database.execute("RELEASE record")


def _fold_run(database: sqlite3.Connection, _: Repository, stored: StoredRecord) -> None:
    record, body = stored.record, decode_body(stored.record, RunBody)
    database.execute(
        "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, 0)",
        (
            record.number,
            stored.seq,
            body.id,
            body.project,
            body.role,
            body.agent,
            msgspec.msgpack.encode(body.command),
            body.purpose,
            _packed_actor(record.actor),
            body.policy_digest,
            msgspec.msgpack.encode(body.leases),
            body.resumes,
            body.rebases,
            RunState.QUEUED.value,
            record.time_ns,
            record.time_ns,
        ),
    )
    _enter_run_state(database, record.number, stored, RunState.QUEUED)


def _fold_run_state(database: sqlite3.Connection, _: Repository, stored: StoredRecord) -> None:
    body = decode_body(stored.record, RunStateBody)
    state = RunState(body.state)
    row = _one(database, "SELECT state FROM run WHERE number = ?", body.run)
    if state not in RUN_TRANSITIONS.get(RunState(row[0]), frozenset()):
        raise _OddError
    if body.facts != NIL:
        unpack(body.facts, RunFacts)
    database.execute(
        "UPDATE run SET state = ?, changed_ns = ?, before = coalesce(?, before), after = coalesce(?, after), facts = coalesce(?, facts)"
        " WHERE number = ?",
        (
            state.value,
            stored.record.time_ns,
            body.before,
            body.after,
            None if body.facts == NIL else bytes(body.facts),
            body.run,
        ),
    )
    _enter_run_state(database, body.run, stored, state)


def _enter_run_state(database: sqlite3.Connection, run: int, stored: StoredRecord, state: RunState) -> None:
    database.execute(
        "INSERT INTO run_state VALUES (?, ?, ?, ?)", (run, stored.seq, state.value, stored.record.time_ns)
    )


def _fold_proposal(database: sqlite3.Connection, repository: Repository, stored: StoredRecord) -> None:
    record, body = stored.record, decode_body(stored.record, ProposalBody)
    database.execute(
        "INSERT INTO proposal VALUES (?, ?, ?, ?, 1, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, 0, 0, x'', ?, 0, 0)",
        (
            record.number,
            stored.seq,
            body.id,
            ProposalState.OPEN.value,
            ProposalKind(body.kind).value,
            Risk(body.risk).value,
            body.target,
            body.purpose,
            _packed_actor(record.actor),
            body.run,
            body.of,
            record.time_ns,
            body.expires_ns,
            body.policy_digest,
        ),
    )
    if body.run is not None:
        database.execute("UPDATE run SET proposal = ? WHERE number = ?", (record.number, body.run))
    _enter_revision(database, repository, stored, body, proposal=record.number, revision=1, reason="")
    _enter_proposal_state(database, stored, record.number, ProposalState.OPEN)


def _fold_revision(database: sqlite3.Connection, repository: Repository, stored: StoredRecord) -> None:
    body = decode_body(stored.record, ProposalRevisionBody)
    state, revision = _one(database, "SELECT state, revision FROM proposal WHERE number = ?", body.proposal)
    if body.revision != revision + 1 or ProposalState(state) not in REVISABLE:
        raise _OddError
    _enter_revision(
        database, repository, stored, body, proposal=body.proposal, revision=body.revision, reason=body.reason
    )
    _enter_proposal_state(database, stored, body.proposal, ProposalState.OPEN)


def _enter_revision(
    database: sqlite3.Connection,
    repository: Repository,
    stored: StoredRecord,
    body: ProposalBody | ProposalRevisionBody,
    *,
    proposal: int,
    revision: int,
    reason: str,
) -> None:
    checks = [unpack(check, CheckResult) for check in body.checks]
    notes = [unpack(note, ChangeNote) for note in body.notes]
    risk = Risk(body.risk)
    target = from_bytes(_one(database, "SELECT target FROM proposal WHERE number = ?", proposal)[0])
    paths, intact = _paths(repository, body, target)
    if not intact and not paths:
        paths = [note.path for note in notes]
    database.execute(
        "INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            proposal,
            revision,
            stored.seq,
            stored.record.time_ns,
            _packed_actor(stored.record.actor),
            reason,
            body.before,
            body.after,
            body.change_digest,
            risk.value,
            msgspec.msgpack.encode(notes),
            msgspec.msgpack.encode(checks),
            msgspec.msgpack.encode(paths),
            int(intact),
        ),
    )
    _stand(database, body, paths, proposal=proposal, revision=revision, failed=failed_checks(checks))


def _stand(
    database: sqlite3.Connection,
    body: ProposalBody | ProposalRevisionBody,
    paths: Sequence[bytes],
    *,
    proposal: int,
    revision: int,
    failed: int,
) -> None:
    """Let a revision be the one that stands."""
    risk = Risk(body.risk)
    database.execute("DELETE FROM changed_path WHERE proposal = ?", (proposal,))
    database.executemany(
        "INSERT OR IGNORE INTO changed_path VALUES (?, ?)", ((proposal, path) for path in paths)
    )
    database.execute(
        "UPDATE proposal SET revision = ?, risk = ?, risk_rank = ?, before = ?, after = ?, change_digest = ?, files = ?, failed_checks = ?"
        " WHERE number = ?",
        (
            revision,
            risk.value,
            _RISKS[risk],
            body.before,
            body.after,
            body.change_digest,
            len(paths),
            failed,
            proposal,
        ),
    )


def _paths(
    repository: Repository, body: ProposalBody | ProposalRevisionBody, target: str
) -> tuple[list[bytes], bool]:
    """What differs between the two snapshots, in spite of damage; and whether that is what the record says."""
    try:
        changes = read_pair(repository, before=body.before, after=body.after, target=target).changes
    except (DamagedError, NotFoundError):
        return [], False
    return [to_bytes(change.path) for change in changes.changes], changes.digest == body.change_digest


def _fold_proposal_state(database: sqlite3.Connection, _: Repository, stored: StoredRecord) -> None:
    body = decode_body(stored.record, ProposalStateBody)
    state = ProposalState(body.state)
    row = _one(database, "SELECT state FROM proposal WHERE number = ?", body.proposal)
    if state not in PROPOSAL_TRANSITIONS.get(ProposalState(row[0]), frozenset()):
        raise _OddError
    _enter_proposal_state(database, stored, body.proposal, state, apply=body.apply, detail=body.detail)


def _enter_proposal_state(
    database: sqlite3.Connection,
    stored: StoredRecord,
    proposal: int,
    state: ProposalState,
    *,
    apply: int | None = None,
    detail: bytes = b"",
) -> None:
    database.execute(
        "INSERT INTO proposal_state VALUES (?, ?, ?, ?, ?, ?)",
        (proposal, stored.seq, state.value, stored.record.time_ns, apply, detail),
    )
    database.execute("UPDATE proposal SET state = ? WHERE number = ?", (state.value, proposal))


def _fold_decision(database: sqlite3.Connection, _: Repository, stored: StoredRecord) -> None:
    record, body = stored.record, decode_body(stored.record, DecisionBody)
    _one(database, "SELECT 1 FROM proposal WHERE number = ?", body.proposal)
    unpack(body.selection, Selection)
    for comment in body.comments:
        unpack(comment, Comment)
    approval = None if body.approval == NIL else unpack(body.approval, Approval)
    database.execute(
        "INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stored.seq,
            record.number,
            body.proposal,
            body.revision,
            record.time_ns,
            _packed_actor(record.actor),
            Verdict(body.verdict).value,
            approval.nonce if approval else None,
            bytes(record.body),
        ),
    )
    if approval:
        database.execute(
            "INSERT OR REPLACE INTO last_signed VALUES (?, ?)", (approval.key_id, record.time_ns)
        )
    if body.policy != NIL:
        database.execute(
            "INSERT OR IGNORE INTO policy VALUES (?, ?)", (body.policy_digest, bytes(body.policy))
        )


def _fold_approver(database: sqlite3.Connection, _: Repository, stored: StoredRecord) -> None:
    record, body = stored.record, decode_body(stored.record, ApproverBody)
    if body.change == REVOKED:
        _one(database, "SELECT 1 FROM approver WHERE key_id = ? AND revoked_seq IS NULL", body.key_id)
        database.execute(
            "UPDATE approver SET revoked_seq = ?, revoked_ns = ? WHERE key_id = ?",
            (stored.seq, record.time_ns, body.key_id),
        )
        return
    roles = msgspec.msgpack.encode([HumanRole(role) for role in body.roles])
    if body.change == CHANGED_ROLES:
        good = database.execute(
            "SELECT key_id FROM approver WHERE name = ? AND uid = ? AND revoked_seq IS NULL",
            (body.name, body.uid),
        ).fetchall()
        if body.key_id not in {key for (key,) in good}:
            raise _OddError
        database.execute("INSERT INTO roles_nonce VALUES (?)", (body.nonce,))
        database.executemany(
            "UPDATE approver SET roles = ? WHERE key_id = ?", [(roles, key) for (key,) in good]
        )
        return
    if body.change != ENROLLED:
        raise _OddError
    database.execute(
        "INSERT INTO approver VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, 0)",
        (
            body.key_id,
            body.name,
            body.uid,
            roles,
            body.public_key,
            stored.seq,
            record.time_ns,
            body.signed_by,
        ),
    )


def _fold_apply(database: sqlite3.Connection, _: Repository, stored: StoredRecord) -> None:
    body = decode_body(stored.record, ApplyBody)
    database.execute(
        "INSERT INTO apply VALUES (?, ?, ?, ?, ?, ?)",
        (stored.record.number, stored.seq, body.kind, body.of, body.before, body.after),
    )


def _packed_actor(actor: Actor) -> bytes:
    return msgspec.msgpack.encode(actor)


def _one(database: sqlite3.Connection, query: str, *arguments: object) -> tuple[Any, ...]:
    row = database.execute(query, arguments).fetchone()
    if row is None:
        raise _OddError
    return tuple(row)


_RULES: Final[Mapping[str, Callable[[sqlite3.Connection, Repository, StoredRecord], None]]] = {
    RecordKind.RUN: _fold_run,
    RecordKind.RUN_STATE: _fold_run_state,
    RecordKind.PROPOSAL: _fold_proposal,
    RecordKind.PROPOSAL_REVISION: _fold_revision,
    RecordKind.PROPOSAL_STATE: _fold_proposal_state,
    RecordKind.DECISION: _fold_decision,
    RecordKind.APPROVER: _fold_approver,
    RecordKind.APPLY: _fold_apply,
}
