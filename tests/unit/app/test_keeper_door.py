"""The door: who gets in, with what, and what they may do then."""

from __future__ import annotations

import time

import msgspec
import pytest

from lastro.accounts.nouns import SESSION_IDLE_NS, LinkPurpose
from lastro.app import keeper_door, proving
from lastro.app.door import Password
from lastro.app.keeper_door import CODE_LIMIT, NAME_LIMIT
from lastro.app.permissions import Right
from lastro.errors import ConflictError, DeniedError, UsageError
from lastro.proposals.approvals import NONCE_SIZE
from lastro.proposals.approver_keys import local_keys
from tests.console_kit import services_of_home
from tests.decision_kit import CHEAP
from tests.door_kit import AFAR, HERE, PASSWORD, House, Time, door_over

SECOND = 1_000_000_000


@pytest.fixture
def house(tmp_path):
    time = Time()
    with services_of_home(tmp_path) as services, door_over(services, now_ns=time) as door:
        yield House(services, door, time)


# A password -----------------------------------------------------------------------------------------------------------------------------


def test_a_password_opens_the_humans_key_and_the_door(house):
    house.make_owner()
    tried = house.sign_in()
    entered = house.door.entered(tried.secret)
    assert entered.principal.actor.name == "ana"
    assert entered.principal.rights == frozenset(Right)
    assert entered.session.stepped_up_ns == house.time()


@pytest.mark.parametrize("name", ["ana", "nobody", "bruno", "", "\x1b[31m<script>\u202e\udcff"])
def test_nobody_hears_whether_a_name_exists(house, name):
    house.make_owner()
    tried = house.sign_in(name, "wrong passphrase")
    assert tried == house.sign_in("nobody at all", "wrong passphrase")
    assert tried.refused == "wrong"
    assert not tried.secret


def test_a_name_without_a_key_costs_as_much_as_one_with(house, monkeypatch):
    house.make_owner()
    stretched = []
    monkeypatch.setattr(proving, "try_in_vain", lambda _password, *, cost: stretched.append(cost))
    house.sign_in("nobody", "wrong passphrase")
    house.sign_in("ana", "wrong passphrase")
    assert stretched == [CHEAP]  # the other one tried ana's own key


def test_a_revoked_key_opens_nothing(house):
    house.make_owner()
    key = house.enrol("bruno", "viewer")
    secret = house.sign_in("bruno").secret
    house.record(change="revoked", key=key, name="bruno")
    assert house.door.entered(secret) is None
    assert house.sign_in("bruno").refused == "wrong"


def test_roles_count_at_once(house):
    house.make_owner()
    key = house.enrol("bruno", "operator")
    secret = house.sign_in("bruno").secret
    assert Right.OPERATE in house.door.entered(secret).principal.rights
    house.record(change="roles", key=key, name="bruno", roles=("viewer",), nonce=bytes(NONCE_SIZE))
    assert house.door.entered(secret).principal.rights == {Right.LOOK}


def test_what_a_former_human_began_is_not_the_next_ones(house):
    house.make_owner()
    key = house.enrol("bruno", "viewer")
    house.time.now_ns = time.time_ns()
    secret = house.sign_in("bruno").secret
    bearer, _ = house.accounts.tokens.make("bruno", uid=-1, label="x", scopes=("look",), now_ns=house.time())
    assert house.door.bearer(bearer) is not None
    house.record(change="revoked", key=key, name="bruno")
    house.enrol("bruno", "owner")
    assert house.door.bearer(bearer) is None
    assert house.door.entered(secret) is None


def test_a_session_ends_after_twelve_idle_hours(house):
    secret = house.make_owner()
    house.time.pass_s(SESSION_IDLE_NS / SECOND)
    assert house.door.entered(secret) is None


# The second factor ----------------------------------------------------------------------------------------------------------------------


def test_beside_a_password_the_code_is_asked_for(house):
    house.make_owner()
    secret, codes = house.second_factor()
    house.time.pass_s(30)
    assert house.sign_in().refused == "wrong"
    assert house.sign_in(code="000000").refused == "wrong"
    assert house.sign_in(code=house.code(secret)).secret
    assert house.sign_in(code=house.code(secret)).refused == "wrong"  # once
    assert house.sign_in(code=codes[0]).secret
    assert house.sign_in(code=codes[0]).refused == "wrong"


def test_a_wrong_password_uses_no_code_up(house):
    house.make_owner()
    secret, _codes = house.second_factor()
    house.time.pass_s(30)
    house.sign_in(password="wrong passphrase", code=house.code(secret))
    assert house.sign_in(code=house.code(secret)).secret


def test_from_afar_a_password_alone_is_not_enough(house):
    house.make_owner()
    assert house.sign_in(where=AFAR).refused == "far"
    tunnel = msgspec.structs.replace(AFAR, address="127.0.0.1")
    assert house.sign_in(where=tunnel).refused == "far"  # as a proxy of this machine comes
    secret, _codes = house.second_factor()
    house.time.pass_s(30)
    assert house.sign_in(where=AFAR, code=house.code(secret)).secret


# Too many -------------------------------------------------------------------------------------------------------------------------------


def test_after_some_failures_it_waits_and_the_wait_ends(house):
    house.make_owner()
    for _ in range(NAME_LIMIT.burst):
        assert house.sign_in(password="wrong passphrase").refused == "wrong"
    tried = house.sign_in()
    assert 0 < tried.wait_ns <= NAME_LIMIT.every_ns
    assert not tried.secret
    assert house.sign_in(where=msgspec.structs.replace(HERE, address="127.0.0.2")).secret
    house.time.pass_s(tried.wait_ns / SECOND)
    assert house.sign_in().secret
    assert house.sign_in().secret  # what went well empties the bucket


def test_many_names_from_one_place_wait_too(house):
    house.make_owner()
    waits = [house.sign_in(f"name-{number}", "wrong passphrase", where=AFAR).wait_ns for number in range(30)]
    assert not any(waits[:20])
    assert all(waits[20:])


def test_an_attackers_network_is_one_place(house):
    house.make_owner()
    waits = [
        house.sign_in(
            f"n{number}",
            "wrong passphrase",
            where=msgspec.structs.replace(AFAR, address=f"2001:db8::{number:x}"),
        ).wait_ns
        for number in range(21)
    ]
    assert waits[20]


def test_codes_cannot_be_guessed_from_many_places(house):
    house.make_owner()
    house.second_factor()
    tries = [
        house.sign_in(code="000000", where=msgspec.structs.replace(AFAR, address=f"198.51.100.{number}"))
        for number in range(CODE_LIMIT.burst + 1)
    ]
    assert all(one.refused for one in tries[:-1])
    assert tries[-1].wait_ns


# Links ----------------------------------------------------------------------------------------------------------------------------------


def test_the_setup_link_works_at_this_machine_only_and_once(house):
    link = house.accounts.links.make(LinkPurpose.SETUP, "", uid=1000, now_ns=house.time())
    assert house.door.redeem(link, AFAR).refused == "loopback"
    proxied = msgspec.structs.replace(HERE, origin="https://console.test")
    assert house.door.redeem(link, proxied).refused == "loopback"
    secret = house.door.redeem(link, HERE).secret
    assert house.door.entered(secret).principal.rights == frozenset()
    assert house.door.redeem(link, HERE).refused == "used"


def test_with_an_owner_no_setup_link_is_good_and_none_who_came_by_one(house):
    waiting = house.setup().secret
    house.make_owner()
    assert house.setup().refused == "used"
    assert house.door.entered(waiting) is None


def test_a_login_link_is_for_its_human(house):
    house.make_owner()
    link = house.accounts.links.make(LinkPurpose.LOGIN, "ana", uid=1000, now_ns=house.time())
    entered = house.door.entered(house.door.redeem(link, HERE).secret)
    assert (entered.session.human, entered.session.means) == ("ana", "link")
    assert entered.session.stepped_up_ns == 0  # whoever sat at the terminal still has to prove who they are
    gone = house.accounts.links.make(LinkPurpose.LOGIN, "carla", uid=1, now_ns=house.time())
    assert house.door.redeem(gone, HERE).refused == "used"


@pytest.mark.parametrize("link", ["", "x", "\udcff", "a" * 10_000])
def test_what_is_no_link_opens_nothing(house, link):
    assert house.door.redeem(link, HERE).refused == "used"


# Making an account ----------------------------------------------------------------------------------------------------------------------


def test_the_first_owner_is_recorded_and_in(house):
    secret = house.make_owner()
    (row,) = house.services.inbox.approvers()
    assert (row.name, row.uid, [role.value for role in row.roles]) == ("ana", 1000, ["owner"])
    assert house.door.entered(secret).session.human == "ana"


@pytest.mark.parametrize(("name", "password"), [("", PASSWORD), ("ana", "short"), ("a\x1b", PASSWORD)])
def test_what_will_not_do_leaves_no_key(house, name, password):
    session = house.door.entered(house.setup().secret).session
    with pytest.raises(UsageError):
        house.door.make_account(session, Password(name=name, password=password), HERE)
    assert local_keys(house.services.places.approver_keys) == []
    assert house.services.inbox.approvers() == []


def test_of_two_who_set_up_at_once_the_second_leaves_no_key(house):
    session = house.door.entered(house.setup().secret).session
    house.make_owner()
    with pytest.raises(DeniedError):
        house.door.make_account(session, Password(name="eva", password=PASSWORD), HERE)
    assert [key.name for key in local_keys(house.services.places.approver_keys)] == ["ana"]


def test_who_has_an_account_makes_none(house):
    session = house.door.entered(house.make_owner()).session
    with pytest.raises(DeniedError):
        house.door.make_account(session, Password(name="eva", password=PASSWORD), HERE)


def invited(house, name="bruno"):
    link = house.accounts.links.make(
        LinkPurpose.INVITE, name, uid=-1, roles=("operator",), now_ns=house.time()
    )
    return house.door.entered(house.door.redeem(link, AFAR).secret).session


def test_an_invited_human_waits_for_an_owner(house):
    house.make_owner()
    session = invited(house)
    made = Password(name="somebody else", password=PASSWORD)
    assert house.door.make_account(session, made, AFAR).refused == "waiting"
    (waiting,) = house.accounts.enrolments.waiting()
    assert (waiting.human, waiting.roles, waiting.uid) == ("bruno", ("operator",), -1)
    assert house.sign_in("bruno").refused == "wrong"
    house.record(
        change="enrolled", key=waiting.key_id, name="bruno", public=waiting.public_key, roles=waiting.roles
    )
    assert house.sign_in("bruno").secret


def test_who_is_invited_again_leaves_one_key(house):
    house.make_owner()
    for _ in range(2):
        house.door.make_account(invited(house), Password(name="", password=PASSWORD), AFAR)
    (waiting,) = house.accounts.enrolments.waiting()
    assert {key.key_id for key in local_keys(house.services.places.approver_keys)} == {
        waiting.key_id,
        house.owner,
    }


def test_an_invitation_to_a_name_that_is_taken_meanwhile_is_over(house):
    house.make_owner()
    session = invited(house)
    house.enrol("bruno", "viewer")
    with pytest.raises(ConflictError):
        house.door.make_account(session, Password(name="bruno", password=PASSWORD), AFAR)


# Tokens ---------------------------------------------------------------------------------------------------------------------------------


def test_a_token_may_what_it_and_its_human_both_may(house):
    house.make_owner()
    key = house.enrol("bruno", "operator", "auditor")
    secret, _token = house.accounts.tokens.make(
        "bruno", uid=-1, label="x", scopes=("look", "audit", "administer"), now_ns=house.time()
    )
    principal = house.door.bearer(secret)
    assert (principal.how, principal.rights) == ("token", {Right.LOOK, Right.AUDIT})
    house.record(change="roles", key=key, name="bruno", roles=("viewer",), nonce=bytes(NONCE_SIZE))
    assert house.door.bearer(secret).rights == {Right.LOOK}
    assert house.door.bearer("") is None
    assert house.door.entered(secret) is None  # a token is no session
    assert keeper_door.making_key(house.door.entered(house.sign_in().secret).session).endswith("\n")
