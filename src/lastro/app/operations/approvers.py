"""Approvers: making a human's key, enrolling it, other roles, revoking it.

What always holds: keys are made and unlocked in the process of the human alone, at a terminal or for one act in the console; what is
recorded are public halves and signatures (``enrolling``).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.enrolling import already_enrolled, enrol, last_owner, listed, roles_of
from lastro.app.requests.policy import (
    AddApprover,
    ApproverItem,
    Approvers,
    ApproversReply,
    ChangeRoles,
    EnrolApprover,
    RemoveApprover,
)
from lastro.domain.policy import HumanRole
from lastro.domain.record import Actor, ApproverBody
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.approvals import (
    ALGORITHM,
    CHANGED_ROLES,
    ENROLLED,
    NONCE_SIZE,
    REVOKED,
    key_id_of,
    sign_approver,
)
from lastro.proposals.approver_keys import (
    LocalKey,
    check_name,
    check_passphrase,
    find_key,
    make_key,
    remove_key,
    unlock,
)


def add(desk: Desk, request: AddApprover) -> ApproversReply:
    """Make a key for a human, locked with their passphrase, and enrol it."""
    name = request.name or desk.actor.name
    check_name(name)
    check_passphrase(request.passphrase)
    good = _good(desk)
    roles = roles_of(request.role or ((HumanRole.APPROVER if good else HumanRole.OWNER).value,))
    if any(approver.name == name for approver in good):
        raise already_enrolled(name)
    owner = _owner(desk, good, request.owner, request.owner_passphrase) if good else None
    directory = desk.places.approver_keys
    made = make_key(directory, name, request.passphrase)
    try:
        return _record(
            desk,
            owner or unlock(directory, made.key_id, request.passphrase),
            enrolment(made, roles=roles, uid=account_of(name, desk.actor)),
        )
    except BaseException:
        if made.key_id not in {approver.key_id for approver in _good(desk)}:
            remove_key(directory, made.key_id)
        raise


def change_roles(desk: Desk, request: ChangeRoles) -> ApproversReply:
    """Let a human be something else, with all their keys."""
    good = _good(desk)
    keys = _keys_of(good, request.name)
    roles = [role.value for role in roles_of(request.role)]
    if HumanRole.OWNER.value not in roles:
        _refuse_last_owner(good, keys)
    owner = _owner(desk, good, request.owner, request.passphrase)
    return _record(desk, owner, body_about(keys[0], CHANGED_ROLES, roles, nonce=os.urandom(NONCE_SIZE)))


def remove(desk: Desk, request: RemoveApprover) -> ApproversReply:
    """Let a key, or all keys of a human, approve nothing from now on."""
    good = _good(desk)
    keys = _keys_of(good, request.name)
    _refuse_last_owner(good, keys)
    owner = _owner(desk, good, request.owner, request.passphrase)
    signer = key_id_of(owner.public_key().public_bytes_raw())
    reply = ApproversReply(approvers=tuple(good))
    for key in sorted(
        keys, key=lambda key: key.key_id == signer
    ):  # whoever removes themselves signs for it last
        reply = _record(desk, owner, body_about(key, REVOKED, list(key.roles)))
        remove_key(desk.places.approver_keys, key.key_id)
    return reply


def enrolment(made: LocalKey, *, roles: Iterable[HumanRole], uid: int, alg: str = ALGORITHM) -> ApproverBody:
    """What is to be signed so that the key is good. ``uid``: account of its human here, -1 for none."""
    return ApproverBody(
        alg=alg,
        change=ENROLLED,
        key_id=made.key_id,
        name=made.name,
        public_key=made.public_key,
        roles=[role.value for role in roles],
        signature=b"",
        signed_by="",
        uid=uid,
    )


def body_about(key: ApproverItem, change: str, roles: list[str], *, nonce: bytes = b"") -> ApproverBody:
    """What is to be signed so that an enrolled key is so no more, or its human has other roles."""
    return ApproverBody(
        change=change,
        key_id=key.key_id,
        name=key.name,
        nonce=nonce,
        public_key=b"",
        roles=roles,
        signature=b"",
        signed_by="",
        uid=key.uid,
    )


def request_of(signed: ApproverBody) -> EnrolApprover:
    """What asks the keeper to record it."""
    return EnrolApprover(**{**msgspec.structs.asdict(signed), "roles": tuple(signed.roles)})


def _keys_of(good: list[ApproverItem], name: str) -> list[ApproverItem]:
    """The good keys of this human, or the one with this id."""
    found = [approver for approver in good if name in {approver.name, approver.key_id}]
    if not found:
        raise NotFoundError(N_("{name} is not enrolled."), hint=N_("See 'lastro approver list'."), name=name)
    return found


def _refuse_last_owner(good: list[ApproverItem], gone: list[ApproverItem]) -> None:
    if not any(HumanRole.OWNER in key.roles for key in good if key not in gone):
        raise last_owner(gone[0].name)


def _good(desk: Desk) -> list[ApproverItem]:
    reply = desk.caller.call("approver.list", Approvers())
    assert isinstance(reply, ApproversReply)
    return [approver for approver in reply.approvers if not approver.revoked_ns]


def _owner(desk: Desk, good: list[ApproverItem], name: str, passphrase: str) -> Ed25519PrivateKey:
    """The unlocked key of the owner who signs: the one that is named, or the only one whose key lies here."""
    owners = {approver.key_id for approver in good if HumanRole.OWNER in approver.roles}
    directory = desk.places.approver_keys
    key = find_key(directory, name, good=lambda key: key.key_id in owners)
    if not passphrase:
        raise UsageError(
            N_("{name} has to sign for it."),
            hint=N_("Give the passphrase of the approver key of {name}."),
            name=key.name,
        )
    return unlock(directory, key.key_id, passphrase)


def _record(desk: Desk, owner: Ed25519PrivateKey, body: ApproverBody) -> ApproversReply:
    signed = sign_approver(
        owner, msgspec.structs.replace(body, signed_by=key_id_of(owner.public_key().public_bytes_raw()))
    )
    reply = desk.caller.call("approver.enrol", request_of(signed))
    assert isinstance(reply, ApproversReply)
    return reply


def account_of(name: str, actor: Actor) -> int:
    """The account of this human here, as the one who asks knows it; -1 for somebody who has none."""
    if name == actor.name and actor.uid is not None:
        return actor.uid
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return -1


OPERATIONS = (
    Operation(
        name="approver.list",
        request=Approvers,
        reply=ApproversReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=listed,
        summary=N_("Who may approve proposals."),
    ),
    Operation(
        name="approver.enrol",
        request=EnrolApprover,
        reply=ApproversReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=enrol,
        summary=N_("Record an approver key, other roles, or its end."),
        internal=True,
    ),
    Operation(
        name="approver.add",
        request=AddApprover,
        reply=ApproversReply,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=add,
        summary=N_("Make an approver key for a human, and enrol it."),
        details=N_(
            "The first one is the owner. Later ones need the signature of an owner. The passphrase is asked for at every approval."
        ),
    ),
    Operation(
        name="approver.roles",
        request=ChangeRoles,
        reply=ApproversReply,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=change_roles,
        summary=N_("Let a human be something else from now on, with all their keys."),
    ),
    Operation(
        name="approver.remove",
        request=RemoveApprover,
        reply=ApproversReply,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=remove,
        summary=N_("Let an approver's keys approve nothing from now on."),
        details=N_("Approvals that were applied stay; those that still wait to be applied fall."),
    ),
)
