"""The door, for passkeys of a software authenticator."""

from __future__ import annotations

import msgspec
import pytest

from lastro.app.account_making import challenge_for
from lastro.app.door import NewPasskey, PasskeyUse, Password
from lastro.errors import DeniedError
from tests.console_kit import services_of_home
from tests.door_kit import HERE, PASSWORD, Authenticator, House, Time, door_over


@pytest.fixture
def house(tmp_path):
    time = Time()
    with services_of_home(tmp_path) as services, door_over(services, now_ns=time) as door:
        yield House(services, door, time)


def new_passkey(authenticator, name="ana", answer=None):
    return NewPasskey(
        name=name,
        public_key=authenticator.public_key,
        authenticator_data=authenticator.made(),
        transports=("internal",),
        use=None if answer is None else PasskeyUse(**answer),
    )


def owner_with_passkey(house):
    authenticator = Authenticator()
    session = house.door.entered(house.setup().secret).session
    answer = authenticator.answer(challenge_for(session, new_passkey(authenticator), HERE))
    tried = house.door.make_account(session, new_passkey(authenticator, answer=answer), HERE)
    return authenticator, tried.secret


def use(house, authenticator, **changed):
    challenge = house.accounts.challenges.make(house.time())
    return house.door.sign_in(PasskeyUse(**{**authenticator.answer(challenge), **changed}), HERE)


def test_a_passkey_becomes_the_owner_and_opens_the_door(house):
    authenticator, secret = owner_with_passkey(house)
    assert house.door.entered(secret).session.means == "passkey"
    assert house.door.entered(use(house, authenticator).secret).principal.actor.name == "ana"


def test_a_passkey_that_signs_something_else_is_not_enrolled(house):
    authenticator = Authenticator()
    session = house.door.entered(house.setup().secret).session
    for answer in (None, authenticator.answer(b"x" * 32)):
        with pytest.raises(DeniedError):
            house.door.make_account(session, new_passkey(authenticator, answer=answer), HERE)
    other = new_passkey(authenticator, name="eva")
    answer = authenticator.answer(challenge_for(session, other, HERE))
    with pytest.raises(DeniedError):
        house.door.make_account(session, new_passkey(authenticator, answer=answer), HERE)
    assert house.services.inbox.approvers() == []
    assert house.accounts.passkeys.of("") == []


def test_an_answer_is_good_once_and_to_what_was_asked(house):
    authenticator, _secret = owner_with_passkey(house)
    challenge = house.accounts.challenges.make(house.time())
    answer = PasskeyUse(**authenticator.answer(challenge))
    assert house.door.sign_in(answer, HERE).secret
    assert house.door.sign_in(answer, HERE).refused == "wrong"
    never = PasskeyUse(**authenticator.answer(b"n" * 32))
    assert house.door.sign_in(never, HERE).refused == "wrong"


@pytest.mark.parametrize(
    "changed",
    [
        {"signature": b""},
        {"credential": b"other"},
        {"client_data": b"\xff"},
        {"client_data": b'{"challenge": 7}'},
        {"client_data": b"[]"},
        {"authenticator_data": b""},
    ],
)
def test_what_is_no_answer_opens_nothing(house, changed):
    authenticator, _secret = owner_with_passkey(house)
    assert use(house, authenticator, **changed).refused == "wrong"


def test_a_copy_of_a_passkey_is_found(house):
    authenticator, _secret = owner_with_passkey(house)
    assert use(house, authenticator).secret
    authenticator.count = 0
    assert use(house, authenticator).refused == "wrong"


def test_somebody_elses_passkey_under_a_known_credential_opens_nothing(house):
    authenticator, _secret = owner_with_passkey(house)
    stranger = Authenticator(count=50)
    stranger.credential = authenticator.credential
    assert use(house, stranger).refused == "wrong"


def test_proving_anew_takes_the_sessions_own_human(house):
    authenticator, secret = owner_with_passkey(house)
    house.time.pass_s(600)
    session = house.door.entered(secret).session
    challenge = house.accounts.challenges.make(house.time())
    assert house.door.step_up(session, PasskeyUse(**authenticator.answer(challenge)), HERE).good
    assert house.door.entered(secret).session.stepped_up_ns == house.time()
    stranger = msgspec.structs.replace(session, human="eva")
    challenge = house.accounts.challenges.make(house.time())
    tried = house.door.step_up(stranger, PasskeyUse(**authenticator.answer(challenge)), HERE)
    assert tried.refused == "wrong"


def test_proving_anew_with_a_password_is_of_ones_own_name(house):
    secret = house.make_owner()
    house.enrol("bruno", "viewer")
    session = house.door.entered(secret).session
    assert house.door.step_up(session, Password(name="bruno", password=PASSWORD), HERE).good
    assert (
        house.door.step_up(session, Password(name="", password="wrong passphrase"), HERE).refused == "wrong"
    )
