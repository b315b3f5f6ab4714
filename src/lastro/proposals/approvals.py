"""Approvals: what a human signs, whether a signature holds, and whether there are enough. Pure; the log and the clock are the caller's.

What always holds: an approval counts for one proposal, one revision, exactly what was shown, and one change set that may be applied; a
human counts once, however many keys they have; and nobody who asked for or made a change counts for it, as long as somebody else could.
A rule that wants more approvals than there are humans stays unmet: nothing lowers it but the policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from lastro.domain.policy import HumanRole, Policy, ReviewRule
from lastro.domain.proposal import Approval, Verdict
from lastro.domain.record import Actor, ApproverBody
from lastro.errors import DeniedError
from lastro.messages import N_
from lastro.proposals.passkeys import WEBAUTHN, is_asserted_by
from lastro.proposals.policy import review_of
from lastro.proposals.rows import ApproverRow, Decision

ALGORITHM: Final = "ed25519"
APPROVAL_CONTEXT: Final = b"lastro-approval-0"
APPROVER_CONTEXT: Final = b"lastro-approver-0"
_KEY_ID_CONTEXT: Final = b"lastro-approver-key-0"
_RAW_SIZE: Final = 32

ENROLLED: Final = "enrolled"
REVOKED: Final = "revoked"
CHANGED_ROLES: Final = "roles"
"""What an ``ApproverBody`` says: a key is good from now on, is not any more, its human is something else."""

NONCE_SIZE: Final = 16
LONGEST_VALID_NS: Final = 24 * 60 * 60 * 1_000_000_000
"""How long a signed approval may be on its way to the log."""
CLOCK_SKEW_NS: Final = 5 * 60 * 1_000_000_000
"""How far ahead the clock of whoever signs may be."""

APPROVING: Final = frozenset({HumanRole.OWNER, HumanRole.APPROVER})
"""Roles that make somebody one who could approve instead of the author."""


# Signing ------------------------------------------------------------------------------------------------------------------------------


def key_id_of(public_key: bytes) -> str:
    """What an approver key (32 raw bytes, or a packed ``PasskeyKey``) is called: 32 hex digits that follow from it."""
    return blake3(_KEY_ID_CONTEXT + public_key).hexdigest(length=16)


def algorithm_of(public_key: bytes) -> str:
    """What this key signs with: ``ed25519`` (32 raw bytes) or ``webauthn`` (a packed ``PasskeyKey``, which is always longer)."""
    return ALGORITHM if len(public_key) == _RAW_SIZE else WEBAUTHN


def approval_statement(approval: Approval) -> bytes:
    """The bytes that ``approval.signature`` is over: every other field."""
    return _statement(APPROVAL_CONTEXT, approval)


def approver_statement(body: ApproverBody) -> bytes:
    """The bytes that ``body.signature`` is over: every other field, without those that came later where they say what held before."""
    then = {"alg": ALGORITHM, "nonce": b""}
    return _statement(
        APPROVER_CONTEXT, body, left_out=tuple(name for name in then if getattr(body, name) == then[name])
    )


def _statement(context: bytes, signed: Struct, *, left_out: tuple[str, ...] = ()) -> bytes:
    fields = msgspec.structs.asdict(signed)
    for name in ("signature", *left_out):
        del fields[name]
    return context + msgspec.msgpack.encode(fields, order="sorted")


def unsigned_approval(
    *,
    alg: str = ALGORITHM,
    key_id: str,
    proposal: int,
    revision: int,
    verdict: Verdict,
    digest: bytes,
    applies: bytes,
    nonce: bytes,
    time_ns: int,
    expires_ns: int,
) -> Approval:
    """An approval of what was shown as ``digest``, letting the change set ``applies`` be applied, that nobody has signed yet. ``nonce``: 16
    random bytes. It has to be recorded before ``expires_ns``.
    """
    return Approval(
        alg=alg,
        applies=applies,
        digest=digest,
        expires_ns=expires_ns,
        key_id=key_id,
        nonce=nonce,
        proposal=proposal,
        revision=revision,
        signature=b"",
        time_ns=time_ns,
        verdict=verdict.value,
    )


def sign_approval(private_key: Ed25519PrivateKey, unsigned: Approval) -> Approval:
    """``unsigned`` with the signature of whose key this is."""
    return msgspec.structs.replace(unsigned, signature=private_key.sign(approval_statement(unsigned)))


def sign_approver(private_key: Ed25519PrivateKey, body: ApproverBody) -> ApproverBody:
    """``body`` with the signature of the owner whose key this is."""
    return msgspec.structs.replace(body, signature=private_key.sign(approver_statement(body)))


def verify_approval(approval: Approval, public_key: bytes, now_ns: int) -> None:
    """Refuse an approval that this key did not sign, or that is not good at ``now_ns`` (when the log took it in).

    Raises:
        DeniedError: why.
    """
    hint = N_("Look at the proposal and approve it again.")
    if approval.alg != algorithm_of(public_key) or approval.key_id != key_id_of(public_key):
        raise DeniedError(N_("The approval names another key than the one it is checked with."), hint=hint)
    if not is_signed_by(public_key, approval.signature, approval_statement(approval)):
        raise DeniedError(N_("The signature of the approval does not hold."), hint=hint)
    if len(approval.nonce) != NONCE_SIZE:
        raise DeniedError(N_("The approval has no nonce, so it could be used twice."), hint=hint)
    if approval.expires_ns <= now_ns:
        raise DeniedError(N_("The approval is too old; it was never recorded in its time."), hint=hint)
    if not -CLOCK_SKEW_NS <= now_ns - approval.time_ns <= LONGEST_VALID_NS:
        raise DeniedError(
            N_("The approval was not signed now: the clocks differ, or it was kept back."),
            hint=N_("Set the clocks, and approve it again."),
        )


def verify_approver(body: ApproverBody, public_key: bytes) -> bool:
    """Whether the owner with this key signed the enrolment or revocation ``body``."""
    return body.signed_by == key_id_of(public_key) and is_signed_by(
        public_key, body.signature, approver_statement(body)
    )


def is_signed_by(public_key: bytes, signature: bytes, statement: bytes) -> bool:
    """Whether the ``signature`` over ``statement`` is of this key (32 raw bytes, or a packed ``PasskeyKey``)."""
    if algorithm_of(public_key) == WEBAUTHN:
        return is_asserted_by(public_key, signature, statement)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def may_sign(body: ApproverBody, good: Iterable[ApproverRow]) -> bool:
    """Whether who signed this may say it: an owner; or somebody for one more key of their own, or the end of one, that gives them nothing
    they are not. ``good``: keys that are good.
    """
    signer = next((key for key in good if key.key_id == body.signed_by), None)
    if signer is None or not verify_approver(body, signer.public_key):
        return False
    own = (body.name, body.uid, {*body.roles}) == (signer.name, signer.uid, {*signer.roles})
    return HumanRole.OWNER in signer.roles or (own and body.change != CHANGED_ROLES)


# Counting -----------------------------------------------------------------------------------------------------------------------------


class Demand(Struct, frozen=True, kw_only=True):
    """What the policy asks for ``paths``."""

    rule: ReviewRule
    paths: tuple[str, ...]


class Given(Struct, frozen=True, kw_only=True):
    """An approval that was given, by the owner of this key."""

    approver: ApproverRow
    time_ns: int


class Count(Struct, frozen=True, kw_only=True):
    """How it stands. ``needed``, ``given``: of the most demanding rule; ``missing``: of the one that lacks most.

    ``path``: an example of what lacks. ``single_user``: an approval counts although its human asked for the change, because nobody else
    could give it. ``ready_ns``: when the last cool-down is over (0: there is none).
    """

    needed: int
    given: int
    missing: int
    path: str = ""
    single_user: bool = False
    ready_ns: int = 0


def rules_of(policy: Policy, paths: Iterable[str]) -> dict[str, ReviewRule]:
    """What the policy asks for each of ``paths``, without the globs it says it by, so that rules which ask the same are equal."""
    return {path: msgspec.structs.replace(review_of(policy, path), paths=()) for path in paths}


def demands_of(rules: Mapping[str, ReviewRule]) -> tuple[Demand, ...]:
    """What is asked for changing the paths of ``rules``: one demand for each rule, over the paths it is for."""
    grouped: dict[ReviewRule, list[str]] = {}
    for path, rule in rules.items():
        grouped.setdefault(rule, []).append(path)
    return tuple(Demand(rule=rule, paths=tuple(held)) for rule, held in grouped.items())


def needed_by(demands: Sequence[Demand]) -> int:
    """Approvals that the most demanding path wants."""
    return max((demand.rule.approvals for demand in demands), default=0)


def standing(approvers: Iterable[ApproverRow], seq: int | None = None) -> list[ApproverRow]:
    """The keys that are good; with ``seq``, those that were good just before that record."""
    return [
        approver
        for approver in approvers
        if (approver.revoked_seq is None or (seq is not None and approver.revoked_seq >= seq))
        and (seq is None or approver.since_seq < seq)
    ]


def is_single_user(approvers: Iterable[ApproverRow]) -> bool:
    """Whether fewer than two humans could approve. ``approvers``: keys that are good."""
    return len({approver.human for approver in approvers if APPROVING & set(approver.roles)}) < 2


def is_of(approver: ApproverRow, actor: Actor) -> bool:
    """Whether the key belongs to this actor: the same account, or the same name."""
    return (actor.uid is not None and actor.uid >= 0 and actor.uid == approver.uid) or (
        bool(actor.name) and actor.name == approver.name
    )


def why_not(
    approver: ApproverRow,
    demands: Sequence[Demand],
    *,
    approvers: Sequence[ApproverRow],
    authors: Collection[Actor],
) -> tuple[str, str]:
    """Why an approval of this human counts for nothing: a code (``role``, ``author``) and an example path; ``""`` where it counts.

    It counts when it does for at least one demand: others may be met by other humans.
    """
    reasons = [
        (_why_not(approver, demand.rule, approvers=approvers, authors=authors), demand.paths[0])
        for demand in demands
        if demand.rule.approvals
    ]
    if not reasons or any(not reason for reason, _ in reasons):
        return "", ""
    return reasons[0]


def _why_not(
    approver: ApproverRow,
    rule: ReviewRule,
    *,
    approvers: Sequence[ApproverRow],
    authors: Collection[Actor],
) -> str:
    if not set(rule.by) & set(approver.roles):
        return "role"
    if rule.not_author and _wrote(approver, authors) and not is_single_user(approvers):
        return "author"
    return ""


def _wrote(approver: ApproverRow, authors: Collection[Actor]) -> bool:
    return any(is_of(approver, author) for author in authors)


def count_approvals(
    demands: Sequence[Demand],
    given: Sequence[Given],
    *,
    approvers: Sequence[ApproverRow],
    authors: Collection[Actor],
) -> Count:
    """How far ``given`` meets ``demands``. ``approvers``: keys that are good; ``authors``: who asked for the change, and who edited it."""
    missing, path, single, ready, counted = 0, "", False, 0, 0
    for demand in demands:
        humans = {
            one.approver.human: one
            for one in sorted(given, key=lambda one: -one.time_ns)  # of several of one human the first stays
            if not _why_not(one.approver, demand.rule, approvers=approvers, authors=authors)
        }
        lacking = max(0, demand.rule.approvals - len(humans))
        if lacking > missing:
            missing, path = lacking, demand.paths[0]
        if demand.rule.approvals == needed_by(demands):
            counted = max(counted, len(humans))
        single = single or (
            demand.rule.not_author and any(_wrote(one.approver, authors) for one in humans.values())
        )
        if demand.rule.cool_down_s and humans:
            last = max(one.time_ns for one in humans.values())
            ready = max(ready, last + demand.rule.cool_down_s * 1_000_000_000)
    return Count(
        needed=needed_by(demands),
        given=counted,
        missing=missing,
        path=path,
        single_user=single,
        ready_ns=ready,
    )


def given_for(
    decisions: Iterable[Decision], *, revision: int, applies: bytes, approvers: Iterable[ApproverRow]
) -> list[Given]:
    """The approvals among a proposal's decisions that are for this revision and change set. ``approvers``: keys that are good."""
    keys = {approver.key_id: approver for approver in approvers}
    return [
        Given(approver=keys[decision.approval.key_id], time_ns=decision.time_ns)
        for decision in decisions
        if decision.verdict is Verdict.APPROVE
        and decision.revision == revision
        and decision.approval is not None
        and decision.approval.applies == applies
        and decision.approval.key_id in keys
    ]
