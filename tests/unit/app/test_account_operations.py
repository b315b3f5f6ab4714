"""Links, sessions and tokens as operations: who gets what, for whom."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from lastro.accounts.accounts import opened_accounts
from lastro.app.operation import find_operation
from lastro.app.permissions import Right, right_of
from lastro.app.requests.accounts import (
    AddToken,
    ConfirmKit,
    Invite,
    Login,
    RevokeSession,
    RevokeToken,
    SessionsList,
    ShowKit,
    TokensList,
)
from lastro.domain.clock import SystemClock
from lastro.domain.record import Actor
from lastro.errors import ConfigError, ConflictError, DeniedError, NotFoundError, UsageError
from tests.console_kit import services_of_home
from tests.decision_kit import Office

NOBODY = Actor(kind="human", name="nobody", uid=4_000_000)


def call(services, name, request):
    return find_operation(name).run(services, request)


@pytest.fixture
def services(tmp_path):
    with services_of_home(tmp_path) as services:
        yield services


@pytest.fixture
def peopled(services):
    """With the owner who runs the tests, and ``bruno``, a viewer."""
    office = Office(services.places, "")
    desk = _desk(services)
    office.enrol(desk, services.actor.name, ("owner",))
    office.enrol(desk, "bruno", ("viewer",))
    return services


def _desk(services):
    from tests.console_kit import desk_in_keeper  # noqa: PLC0415  a desk over these services

    return desk_in_keeper(services)


def bruno(services):
    return services.for_actor(Actor(kind="human", name="bruno"))


# Links


def test_before_there_is_an_owner_the_link_makes_one(services):
    link = call(services, "login", Login())
    assert (link.purpose, link.human) == ("setup", "")
    assert link.url == f"http://localhost:8420/setup#{link.fragment}"


def test_who_has_an_account_gets_a_link_of_their_own(peopled):
    link = call(peopled, "login", Login())
    assert (link.purpose, link.human) == ("login", peopled.actor.name)
    with opened_accounts(peopled.places.accounts_database) as accounts:
        assert accounts.links.look(link.fragment, link.ends_ns - 1).human == peopled.actor.name
        assert accounts.links.look(link.fragment, link.ends_ns) is None


def test_whose_account_nobody_enrolled_gets_none(peopled):
    with pytest.raises(NotFoundError):
        call(peopled.for_actor(NOBODY), "login", Login())
    name_alone = Actor(kind="run", name="bruno")
    with pytest.raises(NotFoundError):
        call(peopled.for_actor(name_alone), "login", Login())


def test_a_console_that_is_switched_off_has_no_link(services):
    os.makedirs(services.places.config, exist_ok=True)
    with open(services.places.keeper_settings, "w", encoding="utf-8") as file:
        file.write("[console]\nenabled = false\n")
    with pytest.raises(ConfigError):
        call(services, "login", Login())


def test_an_invitation_says_who_and_what(peopled):
    link = call(peopled, "invite", Invite(name="carla", role=("operator", "auditor")))
    with opened_accounts(peopled.places.accounts_database) as accounts:
        found = accounts.links.look(link.fragment, SystemClock().wall_ns())
    assert (found.human, found.roles, found.uid) == ("carla", ("operator", "auditor"), -1)


@pytest.mark.parametrize(
    ("name", "role", "error"),
    [
        ("bruno", (), ConflictError),
        ("", (), UsageError),
        ("a\x1b[31m", (), UsageError),
        ("carla", ("king",), UsageError),
    ],
)
def test_what_will_not_do_invites_nobody(peopled, name, role, error):
    with pytest.raises(error):
        call(peopled, "invite", Invite(name=name, role=role))


def test_nobody_is_invited_before_there_is_an_owner(services):
    with pytest.raises(ConflictError):
        call(services, "invite", Invite(name="carla"))


@pytest.mark.parametrize(
    "name",
    ["login", "invite", "token.add", "token.revoke", "session.revoke", "recovery.show", "recovery.confirm"],
)
def test_no_program_with_a_token_opens_a_way_in(name):
    with pytest.raises(DeniedError):
        right_of(find_operation(name))


# Tokens


def test_a_token_is_made_listed_and_revoked(peopled):
    added = call(peopled, "token.add", AddToken(label=" ci ", scope=("audit",), expires="2h"))
    assert added.token.label == "ci"
    assert added.token.scopes == ("look", "audit")  # what it can do begins with seeing
    assert added.token.ends_ns - added.token.began_ns == 2 * 3600 * 10**9
    (listed,) = call(peopled, "token.list", TokensList()).tokens
    assert listed == added.token
    call(peopled, "token.revoke", RevokeToken(token=added.token.id))
    assert call(peopled, "token.list", TokensList()).tokens == ()


def test_a_token_that_never_ends_says_so(peopled):
    assert call(peopled, "token.add", AddToken(label="x", expires="never")).token.ends_ns == 0


def test_nobody_gives_away_what_they_may_not(peopled):
    with pytest.raises(DeniedError):
        call(bruno(peopled), "token.add", AddToken(label="x", scope=(Right.OPERATE.value,)))
    assert call(bruno(peopled), "token.list", TokensList()).tokens == ()


@pytest.mark.parametrize(
    "request_",
    [
        AddToken(label=""),
        AddToken(label="a\n"),
        AddToken(label="a\x1bb"),
        AddToken(label="x" * 65),
        AddToken(label="x", scope=("fly",)),
        AddToken(label="x", expires="soon"),
        AddToken(label="x", expires="-1d"),
    ],
)
def test_what_is_no_token_is_refused(peopled, request_):
    if request_.label == "a\n":
        assert call(peopled, "token.add", request_).token.label == "a"
        return
    with pytest.raises(UsageError):
        call(peopled, "token.add", request_)


def test_others_tokens_are_an_owners_business_alone(peopled):
    mine = call(peopled, "token.add", AddToken(label="mine")).token
    his = call(bruno(peopled), "token.add", AddToken(label="his")).token
    with pytest.raises(DeniedError):
        call(bruno(peopled), "token.list", TokensList(all=True))
    with pytest.raises(NotFoundError):
        call(bruno(peopled), "token.revoke", RevokeToken(token=mine.id))
    assert {one.id for one in call(peopled, "token.list", TokensList(all=True)).tokens} == {mine.id, his.id}
    call(peopled, "token.revoke", RevokeToken(token=his.id))


# Sessions


def test_others_sessions_are_an_owners_business_alone(peopled):
    now_ns = peopled.clock.wall_ns()
    with opened_accounts(peopled.places.accounts_database) as accounts:
        mine = accounts.sessions.begin(peopled.actor.name, uid=0, means="link", now_ns=now_ns)[1]
        his = accounts.sessions.begin("bruno", uid=-1, means="link", now_ns=now_ns)[1]
    with pytest.raises(DeniedError):
        call(bruno(peopled), "session.list", SessionsList(all=True))
    with pytest.raises(NotFoundError):
        call(bruno(peopled), "session.revoke", RevokeSession(session=mine.id))
    assert [one.id for one in call(bruno(peopled), "session.list", SessionsList()).sessions] == [his.id]
    call(peopled, "session.revoke", RevokeSession(session=his.id))
    assert call(bruno(peopled), "session.list", SessionsList()).sessions == ()


# The recovery kit


def test_the_kit_is_shown_and_a_group_is_typed_back(services):
    kit = call(services, "recovery.show", ShowKit())
    assert kit.groups == 14
    with open(services.places.recovery_kit, encoding="utf-8") as file:
        assert kit.text == file.read()
    key = next(line.strip() for line in kit.text.splitlines() if line.count("-") == 13)
    wrong = key.split("-")[4]
    with pytest.raises(UsageError):
        call(services, "recovery.confirm", ConfirmKit(number=3, group=wrong))
    typed = key.split("-")[2].lower().replace("1", "l").replace("0", "o")
    call(services, "recovery.confirm", ConfirmKit(number=3, group=f" {typed} "))
    with opened_accounts(services.places.accounts_database) as accounts:
        assert accounts.first_run.steps() == {"kit"}


@pytest.mark.parametrize("number", [0, -1, 15])
def test_there_is_no_such_group(services, number):
    with pytest.raises(NotFoundError):
        call(services, "recovery.confirm", ConfirmKit(number=number, group=""))


def test_a_kit_that_was_moved_away_is_well(services):
    os.rename(services.places.recovery_kit, f"{services.places.home}/elsewhere")
    os.symlink(f"{services.places.home}/elsewhere", services.places.recovery_kit)
    assert call(services, "recovery.show", ShowKit()).text == ""


def test_the_accounts_come_with_the_keeper_alone(services, monkeypatch):
    import builtins  # noqa: PLC0415  to make an installation without them

    real = builtins.__import__

    def without(name, *rest):
        if name == "lastro.accounts.accounts":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError):
        call(replace(services), "login", Login())
