"""Enrolling and revoking: at the human's desk, and in the keeper."""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec
import pytest

from lastro.app.desk import Desk
from lastro.app.operation import find_operation
from lastro.app.requests.policy import AddApprover, Approvers, RemoveApprover
from lastro.errors import ConflictError, DeniedError, NotFoundError, UsageError, WrongKeyError
from lastro.proposals import approver_keys
from lastro.proposals.approver_keys import KeyCost, local_keys, unlock
from tests.proposal_kit import ANA, BIA, CAIO, Hall, approver_body, as_request, human, key_of

WORDS = "four words in a row"


@dataclass
class HallCaller:
    """A ``Caller`` of the operations in this process."""

    hall: Hall
    actor: object = ANA

    def call(self, name, request):
        return self.hall.call(name, request, self.actor)


@pytest.fixture
def hall(tmp_path, monkeypatch):
    # The cost of a passphrase is a constant for good reasons; a test of what is recorded need not pay it.
    made_key = approver_keys.make_key
    monkeypatch.setattr(
        "lastro.app.operations.approvers.make_key",
        lambda directory, name, words: made_key(
            directory, name, words, cost=KeyCost(memory=64, passes=1, lanes=1)
        ),
    )
    made = Hall(str(tmp_path))
    yield made
    made.close()


def at_desk(hall, request, name, actor=ANA):
    desk = Desk(
        places=hall.services.places,
        caller=HallCaller(hall, actor),
        clock=hall.kit.clock,
        actor=actor,
        local_source=lambda _: None,
        destination=lambda _: None,
    )
    return find_operation(name).run(desk, request)


def add(hall, actor=ANA, **fields):
    return at_desk(hall, AddApprover(**{"passphrase": WORDS, **fields}), "approver.add", actor)


def test_the_first_approver_is_the_owner(hall):
    (item,) = add(hall).approvers
    assert (item.name, item.roles, item.uid, item.here, item.revoked_ns) == ("ana", ("owner",), 1000, True, 0)
    unlock(hall.services.places.approver_keys, "ana", WORDS)
    assert hall.audit().sound


def test_the_first_approver_cannot_be_less(hall):
    with pytest.raises(UsageError):
        add(hall, role=("approver",))
    assert local_keys(hall.services.places.approver_keys) == []


def test_a_later_one_needs_an_owners_signature(hall):
    add(hall)
    with pytest.raises(UsageError):
        add(hall, name="bia")
    with pytest.raises(WrongKeyError):
        add(hall, name="bia", owner_passphrase="another one entirely")
    assert [key.name for key in local_keys(hall.services.places.approver_keys)] == ["ana"]
    reply = add(hall, name="bia", passphrase="other words in a row", owner_passphrase=WORDS)
    assert [(item.name, item.roles) for item in reply.approvers] == [
        ("ana", ("owner",)),
        ("bia", ("approver",)),
    ]
    assert hall.audit().sound


def test_a_human_without_an_account_has_none(hall):
    add(hall)
    reply = add(hall, name="nobody-of-this-name", owner_passphrase=WORDS)
    assert reply.approvers[1].uid == -1


def test_a_name_is_enrolled_once(hall):
    add(hall)
    with pytest.raises(ConflictError):
        add(hall)
    assert len(local_keys(hall.services.places.approver_keys)) == 1


@pytest.mark.parametrize("words", ["", "short"])
def test_a_passphrase_has_to_lock_something(hall, words):
    with pytest.raises(UsageError):
        add(hall, passphrase=words)
    assert not os.path.exists(hall.services.places.approver_keys)


def test_a_removed_approver_is_over(hall):
    add(hall)
    add(hall, name="bia", owner_passphrase=WORDS)
    with pytest.raises(WrongKeyError):
        at_desk(hall, RemoveApprover(name="bia", passphrase="another one entirely"), "approver.remove")
    reply = at_desk(hall, RemoveApprover(name="bia", passphrase=WORDS), "approver.remove")
    assert reply.approvers[1].revoked_ns > 0
    assert [key.name for key in local_keys(hall.services.places.approver_keys)] == ["ana"]
    with pytest.raises(NotFoundError):
        at_desk(hall, RemoveApprover(name="bia", passphrase=WORDS), "approver.remove")
    assert len(add(hall, name="bia", owner_passphrase=WORDS).approvers) == 3
    assert hall.audit().sound


def test_the_last_owner_stays(hall):
    add(hall)
    add(hall, name="bia", owner_passphrase=WORDS)
    with pytest.raises(ConflictError):
        at_desk(hall, RemoveApprover(name="ana", passphrase=WORDS), "approver.remove")
    assert hall.call("approver.list", Approvers()).approvers[0].revoked_ns == 0


# In the keeper


def test_the_keeper_checks_every_signature(hall):
    hall.enrol(ANA, "owner")
    good = approver_body(BIA, ("approver",), key_of("ana"))
    for wrong in (
        {},
        {"signature": bytes(64)},
        {"signed_by": "0" * 32},
        {"public_key": b"short"},
        {"key_id": "0" * 32},
        {"roles": ["emperor"]},
        {"roles": []},
        {"name": "a\nb"},
        {"change": "invited"},
    ):
        body = msgspec.structs.replace(good, **wrong)
        with pytest.raises((DeniedError, UsageError)):
            hall.call("approver.enrol", as_request(body))
    with pytest.raises(DeniedError):
        hall.enrol(BIA, by=CAIO)
    hall.enrol(BIA, by=ANA)
    with pytest.raises(DeniedError):
        hall.enrol(CAIO, by=BIA)
    with pytest.raises(DeniedError):
        hall.revoke(ANA, by=BIA) if hall.enrol(CAIO, "owner", by=ANA) else None
    assert [approver.name for approver in hall.inbox.approvers()] == ["ana", "bia", "caio"]


def test_a_revoked_owner_signs_for_nobody(hall):
    hall.enrol(ANA, "owner")
    hall.enrol(BIA, "owner", by=ANA)
    hall.revoke(ANA, by=BIA)
    with pytest.raises(DeniedError):
        hall.enrol(CAIO, by=ANA)
    with pytest.raises(ConflictError):
        hall.enrol(ANA, "owner", by=BIA)  # a revoked key stays revoked
    hall.enrol(human("davi", 1003), by=BIA)
    assert hall.audit().sound
