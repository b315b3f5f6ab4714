"""Passkeys and roles in the log: who may record what, what counts, and what the audit says of it."""

from __future__ import annotations

import msgspec
import pytest

from lastro.app.requests.policy import Approvers
from lastro.domain.proposal import Approval
from lastro.domain.record import Actor, ApproverBody, RecordKind
from lastro.errors import ConflictError, DeniedError, UsageError
from lastro.proposals.approvals import (
    approval_statement,
    approver_statement,
    is_of,
    key_id_of,
    sign_approver,
    verify_approver,
)
from lastro.proposals.passkeys import challenge_of, pack_assertion
from tests.passkey_kit import Authenticator
from tests.proposal_kit import ANA, BIA, CAIO, Hall, approver_body, as_request, human, key_of


@pytest.fixture
def hall(tmp_path):
    made = Hall(str(tmp_path))
    made.enrol(ANA, "owner")
    yield made
    made.close()


def passkey_body(authenticator, actor=ANA, roles=("owner",), **changed):
    body = ApproverBody(
        alg="webauthn",
        change="enrolled",
        key_id=key_id_of(authenticator.public_key),
        name=actor.name,
        public_key=authenticator.public_key,
        roles=list(roles),
        signature=b"",
        signed_by=key_id_of(key_of(actor.name).public_key().public_bytes_raw()),
        uid=actor.uid,
    )
    return msgspec.structs.replace(body, **changed)


def signed_by(who, body):
    signer = key_of(who.name)
    signed = msgspec.structs.replace(body, signed_by=key_id_of(signer.public_key().public_bytes_raw()))
    return sign_approver(signer, signed)


def signed_with(authenticator, body):
    body = msgspec.structs.replace(body, signed_by=key_id_of(authenticator.public_key))
    signature = pack_assertion(authenticator.sign(challenge_of(approver_statement(body))))
    return msgspec.structs.replace(body, signature=signature)


def record(hall, body, actor=ANA):
    return hall.call("approver.enrol", as_request(body), actor)


def roles_body(actor, roles, nonce=b"n" * 16):
    body = approver_body(actor, roles, key_of("ana"))
    return msgspec.structs.replace(body, change="roles", public_key=b"", nonce=nonce)


def approval_with(hall, authenticator, number, who=ANA):
    unsigned = msgspec.structs.replace(
        hall.approval(number, who), alg="webauthn", key_id=key_id_of(authenticator.public_key), signature=b""
    )
    signature = pack_assertion(authenticator.sign(challenge_of(approval_statement(unsigned))))
    return msgspec.structs.replace(unsigned, signature=signature)


# What was recorded before -------------------------------------------------------------------------------------------------------------


def test_the_statement_of_what_is_recorded_already_is_as_it_was():
    body = approver_body(ANA, ("owner",), key_of("ana"))
    then = {
        "change": "enrolled",
        "key_id": body.key_id,
        "name": "ana",
        "public_key": body.public_key,
        "roles": ["owner"],
        "signed_by": body.signed_by,
        "uid": 1000,
    }
    assert approver_statement(body) == b"lastro-approver-0" + msgspec.msgpack.encode(then, order="sorted")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(body)).keys() == {*then, "signature"}


def test_of_a_passkey_the_algorithm_is_signed():
    body = passkey_body(Authenticator())
    assert approver_statement(body) != approver_statement(msgspec.structs.replace(body, alg="ed25519"))
    assert approver_statement(roles_body(ANA, ("owner",))) != approver_statement(
        roles_body(ANA, ("owner",), nonce=b"m" * 16)
    )


# Passkeys -----------------------------------------------------------------------------------------------------------------------------


def test_a_passkey_approves_like_any_key(hall):
    authenticator = Authenticator()
    record(hall, signed_by(ANA, passkey_body(authenticator)))
    number = hall.propose({"a": b"two\n"})
    decided = hall.approve(number, approval=approval_with(hall, authenticator, number))
    assert decided.state == "approved"
    assert hall.audit().sound and hall.audit().approvals == 1
    item = next(one for one in hall.call("approver.list", Approvers()).approvers if one.alg == "webauthn")
    assert item.used_ns and item.name == "ana"


@pytest.mark.parametrize("wrong", ["another passkey", "another proposal's", "as if by a password"])
def test_a_passkeys_approval_that_does_not_hold(hall, wrong):
    authenticator = Authenticator()
    record(hall, signed_by(ANA, passkey_body(authenticator)))
    number, other = hall.propose({"a": b"two\n"}), hall.propose({"b": b"two\n"})
    good = approval_with(hall, authenticator, number)
    match wrong:
        case "another passkey":
            stranger = Authenticator(seed=9)
            signature = pack_assertion(stranger.sign(challenge_of(approval_statement(good))))
            bad = msgspec.structs.replace(good, signature=signature)
        case "another proposal's":
            bad = msgspec.structs.replace(good, signature=approval_with(hall, authenticator, other).signature)
        case _:
            bad = msgspec.structs.replace(good, alg="ed25519")
    with pytest.raises(DeniedError):
        hall.approve(number, approval=bad)
    assert isinstance(good, Approval)
    hall.approve(number, approval=good)


def test_the_first_owner_may_have_a_passkey_alone(tmp_path):
    hall = Hall(str(tmp_path))
    authenticator = Authenticator()
    record(hall, signed_with(authenticator, passkey_body(authenticator)))
    record(hall, signed_with(authenticator, approver_body(BIA, ("approver",), key_of("bia"))))
    assert {one.name for one in hall.inbox.approvers()} == {"ana", "bia"}
    assert hall.audit().sound
    hall.close()


def test_two_keys_of_one_human_count_once(hall):
    hall.policy('[[review]]\npaths = ["**"]\napprovals = 2\nnot_author = false\n')
    hall.enrol(BIA, "approver", by=ANA)
    authenticator = Authenticator()
    record(hall, signed_by(ANA, passkey_body(authenticator)))
    number = hall.propose({"a": b"two\n"})
    assert hall.approve(number).waiting == 1
    assert hall.approve(number, approval=approval_with(hall, authenticator, number)).waiting == 1
    assert hall.approve(number, BIA).waiting == 0


def test_whoever_has_a_key_may_add_one_that_gives_them_nothing_more(hall):
    hall.enrol(BIA, "approver", by=ANA)
    record(hall, signed_by(BIA, passkey_body(Authenticator(), BIA, ("approver",))), BIA)
    assert hall.audit().sound


@pytest.mark.parametrize(
    "body",
    [
        signed_by(BIA, passkey_body(Authenticator(), BIA, ("owner",))),
        signed_by(BIA, passkey_body(Authenticator(), BIA, ("approver", "owner"))),
        signed_by(BIA, passkey_body(Authenticator(), CAIO, ("approver",))),
        signed_by(BIA, passkey_body(Authenticator(), human("bia", 7), ("approver",))),
        signed_by(CAIO, passkey_body(Authenticator(), BIA, ("approver",))),
        signed_with(Authenticator(), passkey_body(Authenticator(), BIA, ("approver",))),
        msgspec.structs.replace(
            signed_by(ANA, passkey_body(Authenticator(), BIA, ("approver",))), alg="ed25519"
        ),
        signed_by(ANA, passkey_body(Authenticator(), BIA, ("approver",), alg="ed25519")),
    ],
    ids=[
        "more",
        "also more",
        "somebody else",
        "another account",
        "by nobody",
        "by itself",
        "changed after signing",
        "another kind",
    ],
)
def test_what_nobody_may_enrol(hall, body):
    hall.enrol(BIA, "approver", by=ANA)
    with pytest.raises((DeniedError, ConflictError, UsageError)):
        record(hall, body, BIA)
    assert len(hall.inbox.approvers()) == 2
    seq = hall.append(RecordKind.APPROVER, body).seq
    assert [finding.seq for finding in hall.audit().findings] == [seq]


def test_one_passkey_is_of_one_human(hall):
    authenticator = Authenticator()
    record(hall, signed_by(ANA, passkey_body(authenticator)))
    same = Authenticator(credential=b"under another id")
    assert same.public_key != authenticator.public_key
    with pytest.raises(ConflictError):
        record(hall, signed_by(ANA, passkey_body(same, BIA, ("approver",))))


def test_all_keys_of_a_human_have_the_same_roles(hall):
    with pytest.raises(ConflictError):
        record(hall, signed_by(ANA, passkey_body(Authenticator(), ANA, ("approver",))))


# Roles --------------------------------------------------------------------------------------------------------------------------------


def test_other_roles_hold_for_all_keys_of_a_human(hall):
    hall.enrol(BIA, "approver", by=ANA)
    record(hall, signed_by(BIA, passkey_body(Authenticator(), BIA, ("approver",))), BIA)
    record(hall, signed_by(ANA, roles_body(BIA, ("viewer",))))
    assert {tuple(row.roles) for row in hall.inbox.approvers() if row.name == "bia"} == {("viewer",)}
    number = hall.propose({"a": b"two\n"})
    with pytest.raises(DeniedError):
        hall.approve(number, BIA)
    assert hall.audit().sound


def test_what_was_approved_before_stays_good(hall):
    hall.enrol(BIA, "approver", by=ANA)
    hall.approve(hall.propose({"a": b"two\n"}), BIA)
    record(hall, signed_by(ANA, roles_body(BIA, ("viewer",))))
    assert hall.audit().sound


@pytest.mark.parametrize(
    "body",
    [
        signed_by(BIA, roles_body(BIA, ("owner",))),
        signed_by(BIA, roles_body(BIA, ("approver",))),
        signed_by(CAIO, roles_body(BIA, ("viewer",))),
        signed_by(ANA, roles_body(BIA, ("viewer",), nonce=b"")),
        signed_by(ANA, roles_body(CAIO, ("viewer",))),
        msgspec.structs.replace(signed_by(ANA, roles_body(BIA, ("viewer",))), roles=["owner"]),
    ],
    ids=[
        "more for oneself",
        "for oneself",
        "by nobody",
        "could be said again",
        "of nobody",
        "changed after signing",
    ],
)
def test_roles_that_nobody_may_give(hall, body):
    hall.enrol(BIA, "approver", by=ANA)
    with pytest.raises(Exception, match=r".") as raised:
        record(hall, body, BIA)
    assert raised.type.__module__ == "lastro.errors"
    assert next(row for row in hall.inbox.approvers() if row.name == "bia").roles == ("approver",)
    seq = hall.append(RecordKind.APPROVER, body).seq
    assert [finding.seq for finding in hall.audit().findings] == [seq]


def test_other_roles_cannot_be_said_again(hall):
    hall.enrol(BIA, "approver", by=ANA)
    up = signed_by(ANA, roles_body(BIA, ("owner",)))
    record(hall, up)
    record(hall, signed_by(ANA, roles_body(BIA, ("viewer",), nonce=b"m" * 16)))
    with pytest.raises(DeniedError):
        record(hall, up, BIA)
    seq = hall.append(RecordKind.APPROVER, up).seq
    assert [finding.seq for finding in hall.audit().findings] == [seq]


def test_the_last_owner_stays_one(hall):
    hall.enrol(BIA, "approver", by=ANA)
    with pytest.raises(ConflictError):
        record(hall, signed_by(ANA, roles_body(ANA, ("viewer",))))
    authenticator = Authenticator()
    record(hall, signed_by(ANA, passkey_body(authenticator)))
    with pytest.raises(ConflictError):
        record(hall, signed_by(ANA, roles_body(ANA, ("viewer",), nonce=b"o" * 16)))
    record(hall, signed_by(ANA, roles_body(BIA, ("owner",), nonce=b"p" * 16)))
    record(hall, signed_by(ANA, roles_body(ANA, ("viewer",), nonce=b"q" * 16)))
    assert hall.audit().sound


def test_a_key_of_ones_own_can_be_ended_but_not_the_last_owners(hall):
    hall.enrol(BIA, "approver", by=ANA)
    end = msgspec.structs.replace(approver_body(BIA, ("approver",), key_of("bia")), change="revoked")
    record(hall, signed_by(BIA, msgspec.structs.replace(end, public_key=b"")), BIA)
    assert hall.audit().sound
    end = msgspec.structs.replace(approver_body(ANA, ("owner",), key_of("ana")), change="revoked")
    with pytest.raises(ConflictError):
        record(hall, signed_by(ANA, msgspec.structs.replace(end, public_key=b"")))


def test_who_has_no_account_here_is_not_everybody_who_has_none():
    body = approver_body(human("bia", -1), ("approver",), key_of("ana"))
    assert verify_approver(sign_approver(key_of("ana"), body), key_of("ana").public_key().public_bytes_raw())
    from tests.unit.proposals.test_approvals import row  # noqa: PLC0415

    assert is_of(row("bia"), Actor(kind="human", name="bia", uid=-1))
    assert not is_of(row("bia"), Actor(kind="human", name="caio", uid=-1))
