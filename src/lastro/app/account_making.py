"""Making an account: the key of the first owner, which signs its own enrolment; or of somebody invited, which an owner has to sign for.

What always holds: a key is enrolled only for who proved to hold it; a locked key whose enrolment was refused does not stay on the disk;
what an earlier human of the same name had (codes, sessions) opens nothing.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from lastro.accounts.accounts import Accounts
from lastro.accounts.nouns import MAKING, SETUP, Enrolment, Passkey, Session
from lastro.app.door import NewPasskey, Password, Where
from lastro.app.humans import human_named
from lastro.app.operations.enrolling import already_enrolled, enrol
from lastro.app.proving import assertion_of
from lastro.app.requests.policy import EnrolApprover
from lastro.app.services import Services
from lastro.domain.policy import HumanRole
from lastro.domain.record import Actor, ApproverBody
from lastro.errors import DeniedError
from lastro.messages import N_
from lastro.proposals.approvals import (
    ALGORITHM,
    ENROLLED,
    approver_statement,
    key_id_of,
    sign_approver,
    verify_approver,
)
from lastro.proposals.approver_keys import KeyCost, check_name, make_key, remove_key, unlock
from lastro.proposals.passkeys import (
    WEBAUTHN,
    PasskeyKey,
    challenge_of,
    key_of_registration,
    pack_assertion,
    pack_key,
)
from lastro.proposals.rows import ApproverRow

_LONGEST_LABEL: Final = 64


def make_account(
    services: Services,
    accounts: Accounts,
    session: Session,
    made: Password | NewPasskey,
    where: Where,
    *,
    now_ns: int,
    cost: KeyCost,
) -> ApproverRow | None:
    """The enrolled key of the first owner; ``None`` where the key of somebody invited waits for an owner.

    Raises:
        DeniedError: the session is for no such thing, or the passkey did not sign.
        ConflictError: somebody of this name has an account meanwhile.
        LastroError: the name or the password will not do.
    """
    if session.means not in MAKING:
        raise DeniedError(N_("You have an account already."), hint=N_("Other keys are made in the settings."))
    if session.human and human_named(services, session.human) is not None:
        raise already_enrolled(session.human)
    body = _signed(services, session, made, where, cost)
    try:
        _forget_the_former(accounts, body.name, session)
        if isinstance(made, NewPasskey):
            accounts.passkeys.add(_passkey(body, made, where, now_ns))
        if session.means != SETUP:
            for earlier in accounts.enrolments.waiting():
                if earlier.human == body.name:
                    remove_key(services.places.approver_keys, earlier.key_id)
            accounts.enrolments.ask(_enrolment(body, now_ns))
            return None
        fields = {**msgspec.structs.asdict(body), "roles": tuple(body.roles)}
        enrol(services.for_actor(Actor(kind="human", name=body.name, uid=body.uid)), EnrolApprover(**fields))
    except BaseException:
        if isinstance(made, Password):
            remove_key(services.places.approver_keys, body.key_id)
        raise
    return next(row for row in services.inbox.approvers() if row.key_id == body.key_id)


def challenge_for(session: Session, made: NewPasskey, where: Where) -> bytes:
    """What a new passkey has to sign to be enrolled.

    Raises:
        DeniedError: it is no passkey that can be used here.
        UsageError: the name will not do.
    """
    return challenge_of(approver_statement(_passkey_body(session, made, where)))


def host_of(where: Where) -> str:
    """The name that a passkey made there is for."""
    return urlsplit(where.origin).hostname or ""


def _body(session: Session, name: str, public_key: bytes, alg: str) -> ApproverBody:
    key_id = key_id_of(public_key)
    return ApproverBody(
        change=ENROLLED,
        key_id=key_id,
        name=session.human or name,
        public_key=public_key,
        roles=list(session.roles) or [HumanRole.OWNER.value],
        signature=b"",
        signed_by=key_id,
        uid=session.uid,
        alg=alg,
    )


def _signed(
    services: Services, session: Session, made: Password | NewPasskey, where: Where, cost: KeyCost
) -> ApproverBody:
    if isinstance(made, Password):
        return _signed_by_password(services, session, made, cost)
    return _signed_by_passkey(session, made, where)


def _signed_by_password(services: Services, session: Session, made: Password, cost: KeyCost) -> ApproverBody:
    directory = services.places.approver_keys
    key = make_key(directory, session.human or made.name, made.password, cost=cost)
    body = _body(session, key.name, key.public_key, ALGORITHM)
    return sign_approver(unlock(directory, key.key_id, made.password), body)


def _passkey_body(session: Session, made: NewPasskey, where: Where) -> ApproverBody:
    check_name(session.human or made.name)
    key = key_of_registration(made.public_key, made.authenticator_data, host_of(where))
    return _body(session, made.name, pack_key(key), WEBAUTHN)


def _signed_by_passkey(session: Session, made: NewPasskey, where: Where) -> ApproverBody:
    unsigned = _passkey_body(session, made, where)
    signature = pack_assertion(assertion_of(made.use)) if made.use is not None else b""
    body = msgspec.structs.replace(unsigned, signature=signature)
    if not verify_approver(body, body.public_key):
        raise DeniedError(
            N_("The new passkey did not sign, so it was not enrolled."),
            hint=N_("Try again, or take a password."),
        )
    return body


def _passkey(body: ApproverBody, made: NewPasskey, where: Where, now_ns: int) -> Passkey:
    key: PasskeyKey = key_of_registration(made.public_key, made.authenticator_data, host_of(where))
    return Passkey(
        credential=key.credential,
        human=body.name,
        key_id=body.key_id,
        public_key=body.public_key,
        label=host_of(where)[:_LONGEST_LABEL],
        transports=made.transports,
        began_ns=now_ns,
    )


def _enrolment(body: ApproverBody, now_ns: int) -> Enrolment:
    return Enrolment(
        key_id=body.key_id,
        human=body.name,
        uid=body.uid,
        roles=tuple(body.roles),
        alg=body.alg,
        public_key=body.public_key,
        began_ns=now_ns,
    )


def _forget_the_former(accounts: Accounts, name: str, session: Session) -> None:
    accounts.second_factors.remove(name)
    accounts.sessions.end_of(name, but=session.id)
    for passkey in accounts.passkeys.of(name):
        accounts.passkeys.remove(passkey.credential)
