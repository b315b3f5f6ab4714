"""Signing in the keeper's process: a human at the console signs one act, with the passphrase of their key or with a passkey.

What always holds: what is signed is put together here from what stands now, never from a form; only the human's own keys sign, and only
where that counts; a passphrase serves one act and is kept nowhere, unless its human asks to stay unlocked, which holds for low risk alone.

Nothing is remembered between showing a page and getting its answer: the page carries a ``ticket`` (the time and the nonce), so that the
same thing is put together again. Whoever changes it signs something else, which is refused or is their own signature all the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from lastro.app.operations.approvers import request_of
from lastro.app.operations.proposal.cases import case_of
from lastro.app.operations.proposal.signing import VALID_NS, refusal, unsigned_for
from lastro.app.permissions import Right
from lastro.app.requests.policy import ApproversReply
from lastro.app.requests.proposals import (
    Allowed,
    AllowedReply,
    Decide,
    DecisionRecorded,
    ProposalReply,
    RecordProposalState,
)
from lastro.app.visiting import Visit
from lastro.domain.policy import HumanRole
from lastro.domain.proposal import Approval, ProposalState, Risk, Selection, Verdict
from lastro.domain.record import ApproverBody
from lastro.errors import DeniedError, NotFoundError, UsageError, WrongKeyError
from lastro.messages import N_
from lastro.proposals.approvals import (
    ALGORITHM,
    NONCE_SIZE,
    algorithm_of,
    approval_statement,
    approver_statement,
    is_of,
    is_signed_by,
    standing,
)
from lastro.proposals.approver_keys import local_keys, unlock
from lastro.proposals.passkeys import Assertion, challenge_of, pack_assertion, unpack_key
from lastro.proposals.rows import ApproverRow

SIGNED = TypeVar("SIGNED", Approval, ApproverBody)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer(Generic[SIGNED]):
    """A key of this human that can sign here, and what it would sign. ``credential``: id of the passkey, empty for a passphrase."""

    key_id: str
    public_key: bytes
    unsigned: SIGNED
    credential: bytes = b""

    @property
    def statement(self) -> bytes:
        """The bytes that are signed."""
        if isinstance(self.unsigned, Approval):
            return approval_statement(self.unsigned)
        return approver_statement(self.unsigned)

    @property
    def challenge(self) -> bytes:
        """What a browser has the passkey answer."""
        return challenge_of(self.statement)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSign(Generic[SIGNED]):
    """What to show, and by which keys it can be signed; by none where the policy asks for nobody's signature.

    ``ticket`` comes back with the answer. ``missing``: approvals still missing after this one. ``single_user``: it would be an approval of
    one's own change, because nobody else could give it. ``lasting``: it may be signed with a key that stays unlocked.
    """

    ticket: str
    signers: tuple[Signer[SIGNED], ...]
    host: str
    missing: int = 0
    single_user: bool = False
    cool_down_s: int = 0
    lasting: bool = False

    @property
    def passkeys(self) -> tuple[Signer[SIGNED], ...]:
        """Those that are passkeys."""
        return tuple(signer for signer in self.signers if signer.credential)

    @property
    def password(self) -> Signer[SIGNED] | None:
        """The one that a passphrase unlocks."""
        return next((signer for signer in self.signers if not signer.credential), None)

    def signer(self, key_id: str) -> Signer[SIGNED]:
        """The one with this key.

        Raises:
            NotFoundError: it cannot sign this.
        """
        found = next((signer for signer in self.signers if signer.key_id == key_id), None)
        if found is None:
            raise NotFoundError(N_("This key cannot sign this: {key}"), key=key_id)
        return found


# Put together -------------------------------------------------------------------------------------------------------------------------


def prepare(
    visit: Visit, shown: ProposalReply, selection: Selection, *, host: str, ticket: str = ""
) -> ToSign[Approval]:
    """What approving ``selection`` of what was shown takes. ``host``: name of the console as the browser has it; ``ticket``: of the answer.

    Raises:
        DeniedError: the policy forbids it, or no key of theirs can sign here.
        WaitingError: somebody else has to approve.
    """
    time_ns, nonce = _ticket(visit, ticket)
    own = own_keys(visit)
    replies = [(key, _allowed(visit, shown.proposal, selection, key.key_id)) for key in own]
    if not own:
        replies = []
        refused = _allowed(visit, shown.proposal, selection, "")
        if (
            not refused.may or refused.key_id
        ):  # another's key would do, for who sits at this machine's terminal
            raise refusal(msgspec.structs.replace(refused, reason=refused.reason or "no_key"), shown.proposal)
        return ToSign(ticket=_said(time_ns, nonce), signers=(), host=host)
    good = [(key, reply) for key, reply in replies if reply.may]
    if not good:
        raise refusal(replies[0][1], shown.proposal)
    reply = good[0][1]
    signers: tuple[Signer[Approval], ...] = ()
    if reply.key_id:
        applies = case_of(visit.services, shown.proposal).selected(selection).changes.digest
        signers = tuple(
            Signer(
                key_id=key.key_id,
                public_key=key.public_key,
                credential=credential,
                unsigned=unsigned_for(
                    shown,
                    applies,
                    alg=algorithm_of(key.public_key),
                    key_id=key.key_id,
                    nonce=nonce,
                    time_ns=time_ns,
                ),
            )
            for key, credential in _usable(visit, [key for key, _ in good], host)
        )
    return ToSign(
        ticket=_said(time_ns, nonce),
        signers=signers,
        host=host,
        missing=reply.missing,
        single_user=reply.single_user,
        cool_down_s=reply.cool_down_s,
        lasting=shown.risk == Risk.LOW,
    )


def may(visit: Visit, number: int, selection: Selection) -> AllowedReply:
    """Whether an approval of this visitor counts, and why not."""
    replies = [_allowed(visit, number, selection, key.key_id) for key in own_keys(visit)]
    if replies:
        return next((reply for reply in replies if reply.may), replies[0])
    reply = _allowed(visit, number, selection, "")
    return AllowedReply(may=False, reason="no_key") if reply.key_id else reply


def prepare_change(
    visit: Visit, body: ApproverBody, *, host: str, ticket: str = "", own: bool = False
) -> ToSign[ApproverBody]:
    """What enrolling or revoking a key, or giving other roles, takes. ``own``: it is about a further key of the visitor's.

    Raises:
        DeniedError: no key of theirs can sign it.
    """
    time_ns, nonce = _ticket(visit, ticket)
    keys = [key for key in own_keys(visit) if own or HumanRole.OWNER in key.roles]
    if not keys:
        raise DeniedError(
            N_("No owner signed for this key."),
            hint=N_("Owners: lastro approver list. Say which with --owner."),
        )
    if body.change == "roles":
        body = msgspec.structs.replace(body, nonce=nonce)
    signers = tuple(
        Signer(
            key_id=key.key_id,
            public_key=key.public_key,
            credential=credential,
            unsigned=msgspec.structs.replace(body, signed_by=key.key_id),
        )
        for key, credential in _usable(visit, keys, host)
    )
    return ToSign(ticket=_said(time_ns, nonce), signers=signers, host=host)


def own_keys(visit: Visit) -> list[ApproverRow]:
    """The visitor's keys that are good."""
    approvers = standing(visit.services.inbox.approvers())
    return [key for key in approvers if is_of(key, visit.principal.actor)]


def _usable(visit: Visit, keys: Iterable[ApproverRow], host: str) -> list[tuple[ApproverRow, bytes]]:
    """Those that can sign at this console, with the credential's id where it is a passkey."""
    here = {key.key_id for key in local_keys(visit.services.places.approver_keys)}
    usable = []
    for key in keys:
        if algorithm_of(key.public_key) == ALGORITHM:
            usable += [(key, b"")] if key.key_id in here else []
        else:
            passkey = unpack_key(key.public_key)
            usable += [(key, passkey.credential)] if passkey.rp_id == host else []
    if not usable:
        raise DeniedError(
            N_("None of your keys can sign at this console."),
            hint=N_(
                "A passkey is for one host name, and a key with a passphrase lies on one machine. Sign there."
            ),
        )
    return usable


def _allowed(visit: Visit, number: int, selection: Selection, key_id: str) -> AllowedReply:
    reply = visit.step(
        Right.DECIDE, "proposal.allowed", Allowed(proposal=number, selection=selection, approver=key_id)
    )
    assert isinstance(reply, AllowedReply)
    return reply


# Signed -------------------------------------------------------------------------------------------------------------------------------


def sign_with_password(
    visit: Visit, to_sign: ToSign[SIGNED], passphrase: str, *, unlocked_for: str = ""
) -> SIGNED:
    """Signed with the key that ``passphrase`` unlocks. ``unlocked_for``: id of the session in which it stays so for some minutes.

    Raises:
        WrongKeyError: it unlocks nothing.
        LimitError: too many were wrong.
        UsageError: there is no such key, or no passphrase.
    """
    signer = to_sign.password
    if signer is None or not passphrase:
        raise UsageError(
            N_("An approval is signed with your approver key, which its passphrase unlocks."),
            hint=N_("Type your password, or use a passkey."),
        )
    services, now_ns = visit.services, visit.services.clock.wall_ns()
    services.unlocked.refuse_guessing(signer.key_id, now_ns)
    try:
        private_key = unlock(services.places.approver_keys, signer.key_id, passphrase)
    except WrongKeyError:
        services.unlocked.guessed_wrong(signer.key_id, now_ns)
        raise
    if unlocked_for and to_sign.lasting:
        services.unlocked.keep(unlocked_for, signer.key_id, private_key, now_ns)
    return _signed(signer, private_key.sign(signer.statement))


def sign_unlocked(visit: Visit, to_sign: ToSign[SIGNED], session: str) -> SIGNED | None:
    """Signed with the key that this session keeps unlocked; ``None`` where it does not, or this is not for it."""
    held = visit.services.unlocked.key(session, visit.services.clock.wall_ns())
    signer = to_sign.password
    if held is None or signer is None or signer.key_id != held.key_id or not to_sign.lasting:
        return None
    return _signed(signer, held.private_key.sign(signer.statement))


def accept_assertion(to_sign: ToSign[SIGNED], key_id: str, assertion: Assertion) -> SIGNED:
    """Signed by the passkey ``key_id``.

    Raises:
        NotFoundError: it cannot sign this.
        DeniedError: its signature does not hold.
    """
    return _signed(to_sign.signer(key_id), pack_assertion(assertion))


def _signed(signer: Signer[SIGNED], signature: bytes) -> SIGNED:
    if not is_signed_by(signer.public_key, signature, signer.statement):
        raise DeniedError(N_("The signature does not hold."), hint=N_("Open the page again, and sign there."))
    return msgspec.structs.replace(signer.unsigned, signature=signature)


# Recorded -----------------------------------------------------------------------------------------------------------------------------


def decide(
    visit: Visit, shown: ProposalReply, selection: Selection, approval: Approval | None
) -> DecisionRecorded:
    """Have an approval recorded. What is approved then is carried out by the job ``proposal.approve`` with the plan's ``acceptance``.

    Raises:
        ConflictError: what was shown is not what stands now.
    """
    if shown.state == ProposalState.CONFLICT:  # the plan found none any more
        visit.step(
            Right.DECIDE,
            "proposal.state",
            RecordProposalState(proposal=shown.proposal, state=ProposalState.OPEN.value),
        )
    reply = visit.step(
        Right.DECIDE,
        "proposal.decide",
        Decide(
            proposal=shown.proposal,
            revision=shown.revision,
            verdict=Verdict.APPROVE,
            shown=shown.digest,
            selection=selection,
            approval=approval,
        ),
    )
    assert isinstance(reply, DecisionRecorded)
    return reply


def record_change(visit: Visit, right: Right, signed: ApproverBody) -> ApproversReply:
    """Have a signed enrolment, revocation or change of roles recorded. ``right``: ``LOOK`` for a human's own keys, else ``ADMINISTER``."""
    reply = visit.step(right, "approver.enrol", request_of(signed))
    assert isinstance(reply, ApproversReply)
    return reply


_APART: Final = "."


def _ticket(visit: Visit, ticket: str) -> tuple[int, bytes]:
    """The time and the nonce of what is signed: as the page was given them, or new ones."""
    now_ns = visit.services.clock.wall_ns()
    if not ticket:
        return now_ns, secrets.token_bytes(NONCE_SIZE)
    said, _, nonce = ticket.partition(_APART)
    if not (said.isascii() and said.isdigit() and len(said) < 20 and len(nonce) == 2 * NONCE_SIZE):
        raise UsageError(N_("This form was changed on its way."), hint=N_("Open the page again."))
    time_ns = int(said)
    try:
        raw = bytes.fromhex(nonce)
    except ValueError:
        raw = b""
    if len(raw) != NONCE_SIZE or not 0 <= now_ns - time_ns < VALID_NS:
        raise UsageError(N_("This page is too old to be signed."), hint=N_("Open the page again."))
    return time_ns, raw


def _said(time_ns: int, nonce: bytes) -> str:
    return f"{time_ns}{_APART}{nonce.hex()}"
