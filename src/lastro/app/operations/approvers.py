"""Approvers: making a human's key, enrolling it, revoking it, and who is enrolled.

What always holds: keys are made and unlocked in the process of the human alone; the keeper sees public halves and signatures. The first
key is an owner's and signs for itself; every later enrolment or revocation is signed by an owner whose key is good.
"""

from __future__ import annotations

import pwd
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.policy import (
    AddApprover,
    ApproverItem,
    Approvers,
    ApproversReply,
    EnrolApprover,
    RemoveApprover,
)
from lastro.app.services import Services
from lastro.domain.ids import LOCAL
from lastro.domain.policy import HumanRole
from lastro.domain.record import ApproverBody, RecordKind
from lastro.errors import ConflictError, DeniedError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.approvals import key_id_of, sign_approver, standing, verify_approver
from lastro.proposals.approver_keys import (
    check_name,
    check_passphrase,
    find_key,
    local_keys,
    make_key,
    remove_key,
    unlock,
)
from lastro.proposals.rows import ApproverRow
from lastro.store.repository import RecordDraft

_ENROLLED: Final = "enrolled"
_REVOKED: Final = "revoked"


# In the keeper ------------------------------------------------------------------------------------------------------------------------


def enrol(services: Services, request: EnrolApprover) -> ApproversReply:
    """Record an approver key, or its end."""
    body = ApproverBody(
        change=request.change,
        key_id=request.key_id,
        name=request.name,
        public_key=request.public_key,
        roles=list(request.roles),
        signature=request.signature,
        signed_by=request.signed_by,
        uid=request.uid,
    )
    with services.inbox.turn():
        known = services.inbox.approvers()
        good = standing(known)
        if request.change == _ENROLLED:
            _check_enrolment(body, known, good)
        elif request.change == _REVOKED:
            _check_revocation(body, good)
        else:
            raise UsageError(
                N_("An approver key is enrolled or revoked, not {change}."), change=request.change
            )
        services.repository.append(
            RecordDraft(kind=RecordKind.APPROVER, actor=services.actor, server=LOCAL, body=body)
        )
    return listed(services, Approvers())


def _check_enrolment(body: ApproverBody, known: list[ApproverRow], good: list[ApproverRow]) -> None:
    check_name(body.name)
    roles = _roles(tuple(body.roles))
    if len(body.public_key) != 32 or body.key_id != key_id_of(body.public_key):
        raise UsageError(N_("The key's id does not follow from the key."))
    if any(approver.key_id == body.key_id for approver in known):
        raise ConflictError(
            N_("The key {key} is recorded already."),
            hint=N_("A revoked key stays revoked; make a new one."),
            key=body.key_id,
        )
    if any(approver.name == body.name for approver in good):
        raise ConflictError(
            N_("{name} is enrolled already."),
            hint=N_("To give {name} a new key, remove the old one first: lastro approver remove {name}"),
            name=body.name,
        )
    if not known:
        if HumanRole.OWNER not in roles:
            raise UsageError(
                N_("The first approver is an owner."),
                hint=N_("Add one first: lastro approver add --role owner"),
            )
        if not verify_approver(body, body.public_key):
            raise DeniedError(N_("The first owner signs for itself; this signature does not hold."))
        return
    _check_owner(body, good)


def _check_revocation(body: ApproverBody, good: list[ApproverRow]) -> None:
    revoked = next((approver for approver in good if approver.key_id == body.key_id), None)
    if revoked is None:
        raise NotFoundError(
            N_("No key {key} is enrolled."), hint=N_("See 'lastro approver list'."), key=body.key_id
        )
    owners = [approver for approver in good if HumanRole.OWNER in approver.roles]
    if owners == [revoked]:
        raise ConflictError(
            N_("{name} is the last owner; without one nobody could be enrolled any more."),
            hint=N_("Enrol another owner first: lastro approver add NAME --role owner"),
            name=revoked.name,
        )
    _check_owner(body, good)


def _check_owner(body: ApproverBody, good: list[ApproverRow]) -> None:
    owner = next((approver for approver in good if approver.key_id == body.signed_by), None)
    if owner is None or HumanRole.OWNER not in owner.roles or not verify_approver(body, owner.public_key):
        raise DeniedError(
            N_("No owner signed for this key."),
            hint=N_("Owners: lastro approver list. Say which with --owner."),
        )


def _roles(names: tuple[str, ...]) -> tuple[HumanRole, ...]:
    try:
        roles = tuple(HumanRole(name) for name in dict.fromkeys(names))
    except ValueError:
        roles = ()
    if not roles:
        raise UsageError(
            N_("An approver is one or more of: {roles}"), roles=", ".join(HumanRole), hint=N_("Give --role.")
        )
    return roles


def listed(services: Services, _: Approvers) -> ApproversReply:
    """Who may approve, and who might once."""
    here = {key.key_id for key in local_keys(services.places.approver_keys)}
    return ApproversReply(
        approvers=tuple(
            ApproverItem(
                name=approver.name,
                key_id=approver.key_id,
                roles=tuple(role.value for role in approver.roles),
                uid=approver.uid,
                since_ns=approver.since_ns,
                revoked_ns=approver.revoked_ns,
                here=approver.key_id in here,
            )
            for approver in services.inbox.approvers()
        )
    )


# At the human's desk ------------------------------------------------------------------------------------------------------------------


def add(desk: Desk, request: AddApprover) -> ApproversReply:
    """Make a key for a human, locked with their passphrase, and enrol it."""
    name = request.name or desk.actor.name
    check_name(name)
    check_passphrase(request.passphrase)
    good = _good(desk)
    roles = _roles(request.role or ((HumanRole.APPROVER if good else HumanRole.OWNER).value,))
    if any(approver.name == name for approver in good):
        raise ConflictError(
            N_("{name} is enrolled already."),
            hint=N_("To give {name} a new key, remove the old one first: lastro approver remove {name}"),
            name=name,
        )
    owner = _owner(desk, good, request.owner, request.owner_passphrase) if good else None
    directory = desk.places.approver_keys
    made = make_key(directory, name, request.passphrase)
    try:
        return _record(
            desk,
            owner or unlock(directory, made.key_id, request.passphrase),
            ApproverBody(
                change=_ENROLLED,
                key_id=made.key_id,
                name=name,
                public_key=made.public_key,
                roles=[role.value for role in roles],
                signature=b"",
                signed_by="",
                uid=_uid(desk, name),
            ),
        )
    except BaseException:
        if made.key_id not in {approver.key_id for approver in _good(desk)}:
            remove_key(directory, made.key_id)
        raise


def remove(desk: Desk, request: RemoveApprover) -> ApproversReply:
    """Let a key approve nothing from now on."""
    good = _good(desk)
    gone = [approver for approver in good if request.name in {approver.name, approver.key_id}]
    if not gone:
        raise NotFoundError(
            N_("{name} is not enrolled."), hint=N_("See 'lastro approver list'."), name=request.name
        )
    item = gone[0]
    reply = _record(
        desk,
        _owner(desk, good, request.owner, request.passphrase),
        ApproverBody(
            change=_REVOKED,
            key_id=item.key_id,
            name=item.name,
            public_key=b"",
            roles=list(item.roles),
            signature=b"",
            signed_by="",
            uid=item.uid,
        ),
    )
    remove_key(desk.places.approver_keys, item.key_id)
    return reply


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
    reply = desk.caller.call(
        "approver.enrol",
        EnrolApprover(
            change=signed.change,
            name=signed.name,
            key_id=signed.key_id,
            public_key=signed.public_key,
            roles=tuple(signed.roles),
            uid=signed.uid,
            signed_by=signed.signed_by,
            signature=signed.signature,
        ),
    )
    assert isinstance(reply, ApproversReply)
    return reply


def _uid(desk: Desk, name: str) -> int:
    """The account of this human here; -1 for somebody who has none."""
    if name == desk.actor.name and desk.actor.uid is not None:
        return desk.actor.uid
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
        summary=N_("Record an approver key, or its end."),
        internal=True,
    ),
    Operation(
        name="approver.add",
        request=AddApprover,
        reply=ApproversReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=add,
        summary=N_("Make an approver key for a human, and enrol it."),
        details=N_(
            "The first one is the owner. Later ones need the signature of an owner. The passphrase is asked for at every approval."
        ),
    ),
    Operation(
        name="approver.remove",
        request=RemoveApprover,
        reply=ApproversReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=remove,
        summary=N_("Let an approver's key approve nothing from now on."),
        details=N_("Approvals that were applied stay; those that still wait to be applied fall."),
    ),
)
