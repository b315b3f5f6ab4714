"""Approver keys in the log: what may be recorded about them, and who is enrolled.

What always holds: the first key is an owner's and signs for itself; what comes later is signed by an owner, or by its own human where it
gives them nothing new; all keys of one human have the same roles; there is always an owner.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lastro.app.requests.policy import ApproverItem, Approvers, ApproversReply, EnrolApprover
from lastro.app.services import Services
from lastro.domain.ids import LOCAL
from lastro.domain.policy import HumanRole
from lastro.domain.record import ApproverBody, RecordKind
from lastro.errors import ConflictError, DeniedError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.approvals import (
    ALGORITHM,
    NONCE_SIZE,
    algorithm_of,
    key_id_of,
    may_sign,
    standing,
    verify_approver,
)
from lastro.proposals.approver_keys import check_name, local_keys
from lastro.proposals.passkeys import unpack_key
from lastro.proposals.rows import ApproverRow
from lastro.store.repository import RecordDraft


def enrol(services: Services, request: EnrolApprover) -> ApproversReply:
    """Record an approver key, other roles of its human, or its end."""
    body = ApproverBody(**{**msgspec.structs.asdict(request), "roles": list(request.roles)})
    with services.inbox.turn():
        known = services.inbox.approvers()
        good = standing(known)
        match request.change:
            case "enrolled":
                _check_enrolment(body, known, good)
            case "revoked":
                _check_revocation(body, good)
            case "roles":
                _check_roles(services, body, good)
            case _:
                raise UsageError(
                    N_("An approver key is enrolled, revoked, or gets other roles, not {change}."),
                    change=request.change,
                )
        services.repository.append(
            RecordDraft(kind=RecordKind.APPROVER, actor=services.actor, server=LOCAL, body=body)
        )
    return listed(services, Approvers())


def _check_enrolment(body: ApproverBody, known: Sequence[ApproverRow], good: Sequence[ApproverRow]) -> None:
    check_name(body.name)
    roles = roles_of(tuple(body.roles))
    _check_key(body, known)
    others = [key for key in good if key.name == body.name]
    if any(key.uid != body.uid or {*key.roles} != {*roles} for key in others):
        raise ConflictError(
            N_("{name} is enrolled already, as somebody else."),
            hint=N_(
                "All keys of one human have the same roles. To begin anew: lastro approver remove {name}"
            ),
            name=body.name,
        )
    if any(algorithm_of(key.public_key) == body.alg == ALGORITHM for key in others):
        raise already_enrolled(body.name)
    if known:
        _check_signature(body, good)
        return
    if HumanRole.OWNER not in roles:
        raise UsageError(
            N_("The first approver is an owner."),
            hint=N_("Add one first: lastro approver add --role owner"),
        )
    if not verify_approver(body, body.public_key):
        raise DeniedError(N_("The first owner signs for itself; this signature does not hold."))


def _check_key(body: ApproverBody, known: Sequence[ApproverRow]) -> None:
    if body.alg != algorithm_of(body.public_key) or body.key_id != key_id_of(body.public_key):
        raise UsageError(N_("The key's id does not follow from the key."))
    same = any(key.key_id == body.key_id for key in known)
    if body.alg != ALGORITHM:
        mine = unpack_key(body.public_key).key
        passkeys = [unpack_key(key.public_key) for key in known if algorithm_of(key.public_key) != ALGORITHM]
        same = same or any(other.key == mine for other in passkeys)
    if same:
        raise ConflictError(
            N_("The key {key} is recorded already."),
            hint=N_("A revoked key stays revoked; make a new one."),
            key=body.key_id,
        )


def already_enrolled(name: str) -> ConflictError:
    """What to raise for a second key with a passphrase of the same human."""
    return ConflictError(
        N_("{name} is enrolled already."),
        hint=N_("To give {name} a new key, remove the old one first: lastro approver remove {name}"),
        name=name,
    )


def _check_revocation(body: ApproverBody, good: Sequence[ApproverRow]) -> None:
    revoked = _good_key(body, good)
    _check_an_owner_stays([key for key in good if key is not revoked], revoked.name)
    _check_signature(body, good)


def _check_roles(services: Services, body: ApproverBody, good: Sequence[ApproverRow]) -> None:
    changed = _good_key(body, good)
    roles = roles_of(tuple(body.roles))
    if (body.name, body.uid, body.public_key) != (changed.name, changed.uid, b""):
        raise UsageError(N_("Other roles are all that is said with them."))
    if len(body.nonce) != NONCE_SIZE or services.inbox.was_used(body.nonce):
        raise DeniedError(N_("This was signed and recorded before."), hint=N_("Sign it anew."))
    if HumanRole.OWNER not in roles:
        _check_an_owner_stays([key for key in good if key.name != changed.name], changed.name)
    _check_signature(body, good)


def _good_key(body: ApproverBody, good: Sequence[ApproverRow]) -> ApproverRow:
    found = next((key for key in good if key.key_id == body.key_id), None)
    if found is None:
        raise NotFoundError(
            N_("No key {key} is enrolled."), hint=N_("See 'lastro approver list'."), key=body.key_id
        )
    return found


def _check_an_owner_stays(left: Sequence[ApproverRow], name: str) -> None:
    if not any(HumanRole.OWNER in key.roles for key in left):
        raise last_owner(name)


def last_owner(name: str) -> ConflictError:
    """What to raise where nobody would be an owner any more."""
    return ConflictError(
        N_("{name} is the last owner; without one nobody could be enrolled any more."),
        hint=N_("Enrol another owner first: lastro approver add NAME --role owner"),
        name=name,
    )


def _check_signature(body: ApproverBody, good: Sequence[ApproverRow]) -> None:
    if not may_sign(body, good):
        raise DeniedError(
            N_("No owner signed for this key."),
            hint=N_("Owners: lastro approver list. Say which with --owner."),
        )


def roles_of(names: tuple[str, ...]) -> tuple[HumanRole, ...]:
    """The roles with these names.

    Raises:
        UsageError: there is none, or one is not known.
    """
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
    used = services.inbox.last_signed()
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
                alg=algorithm_of(approver.public_key),
                used_ns=used.get(approver.key_id, 0),
            )
            for approver in services.inbox.approvers()
        )
    )
