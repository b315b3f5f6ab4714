"""What a record says happened, as a row that can be filtered: pure, and the same for every database.

What always holds: every record has a row, also one of a kind that is not known yet or whose body cannot be read (it then has no
parameters); the parameters are codes and values, never a sentence; a row says what was true when its record was written.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from lastro.domain.paths import from_bytes
from lastro.domain.proposal import Approval
from lastro.domain.record import (
    ApplyBody,
    ApproverBody,
    DecisionBody,
    KeyBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    Record,
    RecordKind,
    RepositoryBody,
    RunBody,
    RunStateBody,
    ServerBody,
    decode_body,
)
from lastro.domain.run import RunState
from lastro.domain.snapshot import SnapshotBody

_MOST: Final = 2**63 - 1
_NIL: Final = msgspec.Raw(b"\xc0")


class Happening(NamedTuple):
    """One thing that happened. ``subject``: what it is about (``run-42``), ``also``: what that belongs to (a proposal's run); both may be
    empty. ``path``: raw bytes of the project or target. ``parameters``: JSON in ASCII.
    """

    seq: int
    time_ns: int
    kind: str
    actor_kind: str
    actor: str
    server: str
    path: bytes
    subject: str
    also: str
    parameters: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which happenings. Empty and zero: any. ``project``: at and below this absolute path. ``since_ns`` and ``until_ns`` belong to it;
    ``before`` and ``after`` are ``seq`` that do not.
    """

    kinds: Collection[str] = ()
    actor: str = ""
    server: str = ""
    project: str = ""
    subject: str = ""
    since_ns: int = 0
    until_ns: int = 0
    before: int = 0
    after: int | None = None


class About(NamedTuple):
    """What is known of a subject from earlier records."""

    path: bytes
    also: str
    parameters: Mapping[str, Any]


Known = Callable[[str], About | None]
"""Asks what the first record of a subject said."""


def happening_of(record: Record, known: Known) -> Happening:
    """The row of a record."""
    rule = _RULES.get(record.kind)
    told = _Told(kind=record.kind, path=record.target.path if record.target else b"")
    if rule is not None:
        with contextlib.suppress(
            msgspec.DecodeError, ValueError, TypeError
        ):  # `audit verify` says what is wrong
            told = rule(record, known)
    return Happening(
        seq=record.seq,
        time_ns=max(-_MOST, min(record.time_ns, _MOST)),
        kind=_storable(told.kind),
        actor_kind=_storable(record.actor.kind),
        actor=_storable(record.actor.name),
        server=_storable(record.server),
        path=told.path,
        subject=_storable(told.subject),
        also=_storable(told.also),
        parameters=json.dumps(dict(told.parameters or {}), ensure_ascii=True, separators=(",", ":")),
    )


def parameters_of(row: Happening) -> dict[str, Any]:
    """The parameters of a row, as they were."""
    parameters: dict[str, Any] = json.loads(row.parameters)
    return parameters


def about_of(row: Happening) -> About:
    """What the first row of a subject says about it."""
    return About(row.path, row.also, parameters_of(row))


class _Told(NamedTuple):
    kind: str
    path: bytes = b""
    subject: str = ""
    also: str = ""
    parameters: Mapping[str, Any] | None = None


def _storable(text: str) -> str:
    """Text as every database takes it: PostgreSQL knows no NUL."""
    return text.replace("\0", "\ufffd")


def _text(raw: bytes) -> str:
    return from_bytes(raw)


def _snapshot(record: Record, _: Known) -> _Told:
    body = decode_body(record, SnapshotBody)
    target = record.target
    path = target.path if target else b""
    statistics = body.statistics
    parameters = {
        "number": record.number,
        "path": _text(path),
        "target": target.kind if target else "",
        "reason": body.reason,
        "added": statistics.added,
        "changed": statistics.changed,
        "removed": statistics.removed,
        "bytes": statistics.read,
        "duration_ns": statistics.duration_ns,
        "warnings": len(body.warnings),
    }
    return _Told("snapshot", path, f"snap-{record.number}", "", parameters)


def _apply(record: Record, _: Known) -> _Told:
    body = decode_body(record, ApplyBody)
    of = "" if body.of is None else f"{'proposal' if body.kind == 'proposal' else 'apply'}-{body.of}"
    parameters = {
        "number": record.number,
        "kind": body.kind,
        "destination": _text(body.destination),
        "paths": len(body.paths),
        "outcome": body.outcome,
        "of": body.of or 0,
    }
    return _Told("apply", body.destination, f"apply-{record.number}", of, parameters)


def _server(record: Record, known: Known) -> _Told:
    body = decode_body(record, ServerBody)
    subject = f"server-{record.server}"
    again = known(subject) is not None
    return _Told("server", b"", subject, "", {"name": body.name, "address": body.address, "again": again})


def _run(record: Record, _: Known) -> _Told:
    body = decode_body(record, RunBody)
    resumed = "" if body.resumes is None else f"run-{body.resumes}"
    parameters = {
        "number": record.number,
        "state": RunState.QUEUED.value,
        "project": _text(body.project),
        "agent": body.agent,
        "role": body.role,
        "purpose": body.purpose,
    }
    return _Told("run", body.project, f"run-{record.number}", resumed, parameters)


def _run_state(record: Record, known: Known) -> _Told:
    body = decode_body(record, RunStateBody)
    about = known(f"run-{body.run}") or About(b"", "", {})
    parameters = {**about.parameters, "number": body.run, "state": body.state}
    return _Told("run", about.path, f"run-{body.run}", about.also, parameters)


def _proposal(record: Record, _: Known) -> _Told:
    body = decode_body(record, ProposalBody)
    parameters = {
        "number": record.number,
        "state": "open",
        "revision": 1,
        "risk": body.risk,
        "purpose": body.purpose,
        "target": _text(body.target),
        "run": body.run or 0,
    }
    run = "" if body.run is None else f"run-{body.run}"
    return _Told("proposal", body.target, f"proposal-{record.number}", run, parameters)


def _revision(record: Record, known: Known) -> _Told:
    body = decode_body(record, ProposalRevisionBody)
    about = known(f"proposal-{body.proposal}") or About(b"", "", {})
    parameters = {
        **about.parameters,
        "number": body.proposal,
        "state": "open",
        "revision": body.revision,
        "risk": body.risk,
    }
    return _Told("proposal", about.path, f"proposal-{body.proposal}", about.also, parameters)


def _proposal_state(record: Record, known: Known) -> _Told:
    body = decode_body(record, ProposalStateBody)
    about = known(f"proposal-{body.proposal}") or About(b"", "", {})
    parameters = {
        **about.parameters,
        "number": body.proposal,
        "state": body.state,
        "apply": body.apply or 0,
        "detail": _text(body.detail),
    }
    return _Told("proposal", about.path, f"proposal-{body.proposal}", about.also, parameters)


def _decision(record: Record, known: Known) -> _Told:
    body = decode_body(record, DecisionBody)
    about = known(f"proposal-{body.proposal}") or About(b"", "", {})
    approval = None if body.approval == _NIL else msgspec.msgpack.decode(body.approval, type=Approval)
    parameters = {
        "number": record.number,
        "proposal": body.proposal,
        "revision": body.revision,
        "verdict": body.verdict,
        "actor": record.actor.name or record.actor.kind,
        "single_user": body.single_user,
        "key_id": approval.key_id if approval else "",
        "alg": approval.alg if approval else "",
    }
    return _Told("decision", about.path, f"proposal-{body.proposal}", about.also, parameters)


def _approver(record: Record, _: Known) -> _Told:
    body = decode_body(record, ApproverBody)
    parameters = {
        "change": body.change,
        "name": body.name,
        "key_id": body.key_id,
        "roles": list(body.roles),
        "signed_by": body.signed_by,
    }
    return _Told("approver", b"", body.key_id, "", parameters)


def _key(record: Record, _: Known) -> _Told:
    body = decode_body(record, KeyBody)
    return _Told("key", b"", "", "", {"change": body.change, "slot": body.slot, "kind": body.kind})


def _repository(record: Record, _: Known) -> _Told:
    body = decode_body(record, RepositoryBody)
    return _Told("repository", b"", "", "", {"repository": body.repository})


_RULES: Final[Mapping[str, Callable[[Record, Known], _Told]]] = {
    RecordKind.SNAPSHOT: _snapshot,
    RecordKind.APPLY: _apply,
    RecordKind.SERVER: _server,
    RecordKind.RUN: _run,
    RecordKind.RUN_STATE: _run_state,
    RecordKind.PROPOSAL: _proposal,
    RecordKind.PROPOSAL_REVISION: _revision,
    RecordKind.PROPOSAL_STATE: _proposal_state,
    RecordKind.DECISION: _decision,
    RecordKind.APPROVER: _approver,
    RecordKind.KEY: _key,
    RecordKind.REPOSITORY: _repository,
}
