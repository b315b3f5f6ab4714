"""A human's answer to what was shown: may they give it, with which key, and the signature itself."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lastro.app.desk import Desk
from lastro.app.requests.proposals import Allowed, AllowedReply, Decide, DecisionRecorded, ProposalReply
from lastro.domain.proposal import Approval, Selection, Verdict
from lastro.errors import DeniedError, UsageError, WaitingError
from lastro.messages import N_
from lastro.proposals.approvals import ALGORITHM, sign_approval, unsigned_approval
from lastro.proposals.approver_keys import unlock

VALID_NS: Final = 60 * 60 * 1_000_000_000
"""How long an approval may wait to be recorded."""


def allowed(desk: Desk, shown: ProposalReply, selection: Selection, approver: str) -> AllowedReply:
    """What the policy says about this human approving ``selection``.

    Raises:
        DeniedError: the policy forbids the change itself, whoever approves.
        WaitingError: somebody else has to.
    """
    reply = desk.caller.call(
        "proposal.allowed", Allowed(proposal=shown.proposal, selection=selection, approver=approver)
    )
    assert isinstance(reply, AllowedReply)
    if not reply.may:
        raise refusal(reply, shown.proposal)
    return reply


def refusal(reply: AllowedReply, number: int) -> DeniedError | WaitingError:
    """What to raise where an approval of this human counts for nothing."""
    path = reply.path
    match reply.reason:
        case "no_key":
            return DeniedError(
                N_("You have no approver key, and nothing is approved without one."),
                hint=N_("Make one, once: lastro approver add"),
            )
        case "outside" | "blocked":
            return DeniedError(
                N_("The policy forbids {path} to the role that changed it, so it cannot be approved."),
                hint=N_(
                    "Choose other files with '--file', send it back with 'lastro proposal comment', or change the policy."
                ),
                path=path,
            )
        case "author":
            return WaitingError(
                N_("You asked for proposal-{number} yourself, so somebody else has to approve it."),
                hint=N_("Whoever may: lastro approver list"),
                number=number,
            )
        case _:
            return WaitingError(
                N_("Your role may not approve {path}; somebody else has to."),
                hint=N_("Whoever may: lastro approver list. Why: lastro policy explain {path}"),
                path=path,
            )


class Signature(Struct, frozen=True, kw_only=True):
    """With which key, and what unlocks it. ``nonce``: 16 random bytes."""

    key_id: str
    passphrase: str
    nonce: bytes


def sign(desk: Desk, shown: ProposalReply, applies: bytes, signature: Signature) -> Approval:
    """An approval of what was shown, letting the change set ``applies`` be applied.

    Raises:
        UsageError: no passphrase.
        WrongKeyError: the wrong one.
    """
    if not signature.passphrase:
        raise UsageError(
            N_("An approval is signed with your approver key, which its passphrase unlocks."),
            hint=N_("Type it when asked, or give it with --passphrase-stdin."),
        )
    key = unlock(desk.places.approver_keys, signature.key_id, signature.passphrase)
    unsigned = unsigned_for(
        shown, applies, key_id=signature.key_id, nonce=signature.nonce, time_ns=desk.clock.wall_ns()
    )
    return sign_approval(key, unsigned)


def unsigned_for(
    shown: ProposalReply, applies: bytes, *, key_id: str, nonce: bytes, time_ns: int, alg: str = ALGORITHM
) -> Approval:
    """What the key ``key_id`` is to sign so that the change set ``applies`` of what was shown may be applied."""
    return unsigned_approval(
        alg=alg,
        key_id=key_id,
        proposal=shown.proposal,
        revision=shown.revision,
        verdict=Verdict.APPROVE,
        digest=bytes.fromhex(shown.digest),
        applies=applies,
        nonce=nonce,
        time_ns=time_ns,
        expires_ns=time_ns + VALID_NS,
    )


def approve(
    desk: Desk, shown: ProposalReply, selection: Selection, approval: Approval | None
) -> DecisionRecorded:
    """Have an approval recorded; unsigned where the policy asks for none.

    Raises:
        ConflictError: what was shown is not what stands now.
    """
    reply = desk.caller.call(
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
