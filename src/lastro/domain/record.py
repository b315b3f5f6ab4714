"""A record: something that happened, signed, in one hash-chained log per repository (``docs/format.md``, Record).

The order of history is ``seq``. ``time_ns`` is the keeper's UTC clock as it was read, never bent to be monotonic. Text inside a record is a
code with parameters, never a sentence. Readers skip kinds they do not know; nobody ever rewrites or removes a record.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar

import msgspec
from blake3 import blake3
from msgspec import Struct

from lastro.domain.ids import RecordId

SIGNATURE_CONTEXT: Final = b"lastro-record-0"
"""Prefix of what the repository's Ed25519 key signs: this, then the record id."""

CLOCK_JUMP_NS: Final = 5 * 60 * 1_000_000_000
"""A wall clock that moved this much more or less than the monotonic clock, since the record before, is marked as having jumped."""


class RecordKind(StrEnum):
    """The kinds this version writes."""

    REPOSITORY = "repository"
    """Record 0: which repository this is, and the public half of its signing key."""
    KEY = "key"
    """A key slot was added or removed."""
    SERVER = "server"
    """A server was added, renamed, or its node has a new device id or address."""
    SNAPSHOT = "snapshot"
    APPLY = "apply"
    EXCHANGE = "exchange"
    """A model was asked through the gateway. Only in a gateway's own repository."""
    RUN = "run"
    """An agent's run was asked for. Its number is what people type: ``run-42``."""
    RUN_STATE = "run-state"
    """A run went into another state."""
    PROPOSAL = "proposal"
    PROPOSAL_REVISION = "proposal-revision"
    PROPOSAL_STATE = "proposal-state"
    DECISION = "decision"
    APPROVER = "approver"
    """A human's approver key was enrolled or revoked."""


class Actor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who did it. ``kind``: ``human``, ``keeper``, ``run``, ``gateway``. Fields stand in canonical (sorted) order."""

    kind: str
    name: str = ""
    uid: int | None = None


class RecordTarget(Struct, frozen=True, kw_only=True):
    """A target as it stands in a record; ``path`` is raw bytes."""

    kind: str
    path: bytes


class Record(Struct, frozen=True, kw_only=True):
    """One record, as its canonical msgpack says. The fields stand in the canonical order: sorted by name."""

    actor: Actor
    body: msgspec.Raw
    """Canonical msgpack of one of the body types below, by ``kind``."""
    clock_jump: bool
    kind: str
    number: int
    """Counts the records of this kind, from 1: what people type, as in ``snap-118``. It stands here, and is not counted again by readers,
    so that a record which cannot be read any more shifts no name."""
    previous: bytes
    """The id of the record with ``seq - 1``; 32 zero bytes in record 0."""
    seq: int
    server: str
    """A ``ServerId``, or empty when the record is of no server."""
    target: RecordTarget | None
    time_ns: int
    v: int = 0


class RepositoryBody(Struct, frozen=True, kw_only=True):
    """Body of record 0."""

    public_key: bytes
    """Ed25519, 32 raw bytes."""
    repository: str
    """The repository's id, 32 hex digits."""


class KeyBody(Struct, frozen=True, kw_only=True):
    """Body of a ``key`` record. ``change``: ``added`` or ``removed``."""

    change: str
    kind: str
    slot: str


class ServerBody(Struct, frozen=True, kw_only=True):
    """Body of a ``server`` record: what is true of the server from now on."""

    address: str
    certificate: bytes
    """DER of the node's pinned certificate; empty for a server without a node."""
    device: str
    name: str


class ApplyBody(Struct, frozen=True, kw_only=True):
    """Body of an ``apply`` record: what changed a destination, as the pair of snapshots around it.

    ``before`` and ``after`` are the ``seq`` of snapshot records (``None`` when nothing could be captured). ``of`` names the apply that
    this one undoes; of kind ``proposal`` the proposal that it carries out.
    """

    after: int | None
    before: int | None
    change_digest: bytes
    destination: bytes
    """Absolute path of the destination directory on the record's server."""
    kind: str
    """``restore``, ``undo`` or ``proposal``."""
    of: int | None
    outcome: str
    """``applied``, ``partial``, ``conflict``, ``rolled_back``."""
    paths: list[bytes]
    """The touched paths, relative to ``destination``."""
    warnings: list[list[bytes]]


class ExchangeBody(Struct, frozen=True, kw_only=True):
    """Body of an ``exchange`` record: who asked, who answered, and what was said.

    ``began`` and ``ended`` are canonical msgpack of ``gateway.exchange.ExchangeBegan`` and ``ExchangeEnded``, keys sorted; readers ignore
    fields that they do not know.
    """

    began: msgspec.Raw
    bodies: list[bytes]
    """Encoded tree entries of the files ``answer``, ``request`` and ``sent``, sorted; empty where no bodies were recorded."""
    bodies_lost: bool
    """Bodies were to be recorded, and a crash came first."""
    content_type: str
    """Of the answer."""
    ended: msgspec.Raw
    sent_path: str
    """Path and query of the provider's address, without the host."""


class RunBody(Struct, frozen=True, kw_only=True):
    """Body of a ``run`` record. ``id``: 32 hex digits its supervisor chose, so that asking twice makes one run."""

    agent: str
    """The adapter: ``generic``, ``codex``, ``offline``..."""
    command: list[bytes]
    id: str
    leases: list[str]
    """Globs that no other run may write while this one lasts."""
    policy_digest: bytes
    project: bytes
    """Absolute path."""
    purpose: str
    """What was asked, for people."""
    rebases: int | None
    """The proposal whose work it is to bring onto the present."""
    resumes: int | None
    """The run whose conversation it goes on with."""
    role: str


class RunStateBody(Struct, frozen=True, kw_only=True):
    """Body of a ``run-state`` record. ``before`` and ``after`` are the ``seq`` of snapshot records, once they are there.

    ``facts``: canonical msgpack of ``domain.run.RunFacts`` when the agent has ended, else nil.
    """

    after: int | None
    before: int | None
    facts: msgspec.Raw
    run: int
    state: str


class ProposalBody(Struct, frozen=True, kw_only=True):
    """Body of a ``proposal`` record: revision 1. ``before`` and ``after`` are the ``seq`` of snapshot records that hold ``target``."""

    after: int
    before: int
    change_digest: bytes
    checks: list[msgspec.Raw]
    """``domain.run.CheckResult`` each."""
    expires_ns: int
    id: str
    """32 hex digits of whoever proposed, so that proposing twice makes one proposal."""
    kind: str
    notes: list[msgspec.Raw]
    """``domain.proposal.ChangeNote`` each."""
    of: int | None
    """The proposal that this one undoes."""
    policy_digest: bytes
    purpose: str
    risk: str
    run: int | None
    target: bytes
    """Absolute path of the directory it is about, on the record's server."""


class ProposalRevisionBody(Struct, frozen=True, kw_only=True):
    """Body of a ``proposal-revision`` record: what is proposed from now on. Approvals of earlier revisions fall."""

    after: int
    before: int
    change_digest: bytes
    checks: list[msgspec.Raw]
    notes: list[msgspec.Raw]
    proposal: int
    reason: str
    """``edit``, ``rebase``."""
    revision: int
    risk: str


class ProposalStateBody(Struct, frozen=True, kw_only=True):
    """Body of a ``proposal-state`` record. ``apply``: number of the apply that did it. ``detail``: a code, or a path in conflict."""

    apply: int | None
    detail: bytes
    proposal: int
    state: str


class DecisionBody(Struct, frozen=True, kw_only=True):
    """Body of a ``decision`` record. ``approval``: ``domain.proposal.Approval``, nil for what needs no signature (a rejection, a comment).

    ``selection``: ``domain.proposal.Selection``; ``comments``: ``domain.proposal.Comment`` each. ``single_user``: the asker was let approve
    because nobody else is enrolled.

    ``policy_digest``: of the effective policy by which it was judged; ``policy``: its canonical msgpack (``domain.policy.Policy``), nil
    where an earlier decision holds it. So an audit needs nothing but the log.
    """

    approval: msgspec.Raw
    comments: list[msgspec.Raw]
    policy: msgspec.Raw = msgspec.Raw(b"\xc0")
    policy_digest: bytes = b""
    proposal: int
    revision: int
    selection: msgspec.Raw
    shown: bytes
    """Digest of exactly what was shown."""
    single_user: bool
    verdict: str


class ApproverBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of an ``approver`` record. ``change``: ``enrolled``, ``revoked``, ``roles`` (all keys of this human). ``signature`` by the key
    ``signed_by`` over ``lastro-approver-0`` + msgpack of the other fields, without ``alg`` where it is ``ed25519`` and without ``nonce``
    where it is empty; the first owner signs for itself.
    """

    alg: str = "ed25519"
    change: str
    key_id: str
    name: str
    nonce: bytes = b""
    """16 random bytes of a change of ``roles``, which could be said again otherwise."""
    public_key: bytes
    """``alg`` ``ed25519``: 32 raw bytes; ``webauthn``: ``proposals.passkeys.PasskeyKey``, packed."""
    roles: list[str]
    signature: bytes
    signed_by: str
    uid: int


def encode_record(record: Record) -> bytes:
    """The canonical bytes of a record."""
    return msgspec.msgpack.encode(record)


def decode_record(raw: bytes) -> Record:
    """The inverse of ``encode_record``. Unknown fields are ignored.

    Raises:
        msgspec.DecodeError: these are not the bytes of a record.
    """
    return _DECODER.decode(raw)


def record_id(raw: bytes) -> RecordId:
    """The id of the record with these canonical bytes."""
    return RecordId(blake3(raw).digest())


def encode_body(body: Struct) -> msgspec.Raw:
    """A body as it stands inside its record."""
    return msgspec.Raw(msgspec.msgpack.encode(body))


Body = TypeVar("Body", bound=Struct)


def decode_body(record: Record, kind: type[Body]) -> Body:
    """The body of ``record`` as the type that belongs to its kind. Unknown fields are ignored.

    Raises:
        msgspec.DecodeError: it is no such body.
    """
    return msgspec.msgpack.decode(record.body, type=kind)


_DECODER: Final = msgspec.msgpack.Decoder(Record)

NO_RECORD: Final = RecordId(bytes(32))
