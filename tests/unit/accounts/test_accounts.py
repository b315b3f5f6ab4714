"""Sessions, tokens, links, attempts and what else signing in is kept with: laws of each, over a real file."""

from __future__ import annotations

import os
import stat
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.accounts.accounts import Accounts, opened_accounts
from lastro.accounts.attempts import Limit
from lastro.accounts.challenges import GOOD_NS, MOST, Challenges
from lastro.accounts.database import open_accounts_memory
from lastro.accounts.nouns import (
    LINK_NS,
    SESSION_IDLE_NS,
    SESSION_LONGEST_NS,
    Enrolment,
    LinkPurpose,
    Passkey,
    Preferences,
    Theme,
)

NOW = 1_795_000_000_000_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "data" / "accounts.db")


@pytest.fixture
def accounts(place):
    with opened_accounts(place) as opened:
        yield opened


def begin(accounts, human="ana", now_ns=NOW, **more):
    return accounts.sessions.begin(human, uid=1000, means="password", now_ns=now_ns, **more)


# The file -------------------------------------------------------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone(accounts, place):
    begin(accounts)
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o600


def test_no_secret_stands_in_the_file(accounts, place):
    session, noun = begin(accounts)
    token, _ = accounts.tokens.make("ana", uid=1, label="ci", scopes=("look",), now_ns=NOW)
    link = accounts.links.make(LinkPurpose.LOGIN, "ana", uid=1, now_ns=NOW)
    accounts.second_factors.offer("ana", NOW)
    accounts.close()
    content = b""
    for name in os.listdir(os.path.dirname(place)):
        with open(f"{os.path.dirname(place)}/{name}", "rb") as file:
            content += file.read()
    assert b"ana" in content
    for secret in (session, noun.csrf, token, token.removeprefix("lastro_"), link):
        assert secret.encode() not in content


def test_what_was_kept_is_there_for_the_next_process(place):
    with opened_accounts(place) as accounts:
        secret, session = begin(accounts)
    with opened_accounts(place) as accounts:
        assert accounts.sessions.find(secret, NOW) == session


# Sessions -------------------------------------------------------------------------------------------------------------------------------


def test_a_session_is_found_by_its_secret_alone(accounts):
    secret, session = begin(accounts)
    assert accounts.sessions.find(secret, NOW + 1) == session
    assert session.id not in secret
    assert session.csrf not in secret
    for other in ("", session.id, session.csrf, secret[:-1], secret + "x", secret.swapcase()):
        assert accounts.sessions.find(other, NOW) is None


def test_secrets_and_form_tokens_are_never_the_same_twice(accounts):
    made = [begin(accounts) for _ in range(50)]
    assert len({secret for secret, _ in made}) == len({one.csrf for _, one in made}) == 50
    assert all(len(secret) >= 43 for secret, _ in made)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 2 * SESSION_IDLE_NS), max_size=30))
def test_a_session_lives_while_it_is_used_and_no_longer_than_a_week(steps):
    accounts = Accounts(open_accounts_memory())
    secret, _ = begin(accounts)
    now = seen = NOW
    alive = True
    for step in steps:
        now += step
        found = accounts.sessions.find(secret, now)
        # It is kept to the minute when it was seen, so it may end a minute early.
        if now - NOW >= SESSION_LONGEST_NS or now - seen >= SESSION_IDLE_NS:
            alive = False
        if not alive:
            assert found is None
        elif now - seen < SESSION_IDLE_NS - 60 * SECOND:
            assert found is not None
        alive = found is not None
        seen = now if found else seen
    accounts.close()


def test_twelve_hours_without_a_request_end_a_session(accounts):
    secret, _ = begin(accounts)
    assert accounts.sessions.find(secret, NOW + SESSION_IDLE_NS - 1) is not None
    assert accounts.sessions.find(secret, NOW + 2 * SESSION_IDLE_NS - 1) is None


def test_a_session_that_was_ended_is_gone(accounts):
    secret, session = begin(accounts)
    other, _ = begin(accounts)
    assert accounts.sessions.end(session.id)
    assert not accounts.sessions.end(session.id)
    assert accounts.sessions.find(secret, NOW) is None
    assert accounts.sessions.find(other, NOW) is not None


def test_everything_of_a_human_ends_but_one(accounts):
    kept = begin(accounts)[1]
    begin(accounts)
    stranger = begin(accounts, "bruno")[1]
    assert accounts.sessions.end_of("ana", but=kept.id) == 1
    assert [one.id for one in accounts.sessions.of("ana", NOW)] == [kept.id]
    assert [one.id for one in accounts.sessions.of("bruno", NOW)] == [stranger.id]


def test_lists_hold_no_form_token_and_none_that_is_over(accounts):
    begin(accounts, now_ns=NOW - SESSION_LONGEST_NS)
    live = begin(accounts)[1]
    found = accounts.sessions.of("", NOW)
    assert [one.id for one in found] == [live.id]
    assert found[0].csrf == ""


def test_proving_anew_is_of_one_session(accounts):
    one, first = begin(accounts)
    other, _ = begin(accounts)
    accounts.sessions.step_up(first.id, NOW + 5)
    assert accounts.sessions.find(one, NOW).stepped_up_ns == NOW + 5
    assert accounts.sessions.find(other, NOW).stepped_up_ns == 0


# Tokens ---------------------------------------------------------------------------------------------------------------------------------


def test_a_token_is_good_until_it_ends(accounts):
    secret, token = accounts.tokens.make(
        "ana", uid=1, label="ci", scopes=("look", "audit"), now_ns=NOW, ends_ns=NOW + HOUR
    )
    assert accounts.tokens.find(secret, NOW + HOUR - 1).scopes == ("look", "audit")
    assert accounts.tokens.find(secret, NOW + HOUR) is None
    assert accounts.tokens.find(token.id, NOW) is None
    assert accounts.tokens.of("ana")[0].used_ns == NOW + HOUR - 1


def test_a_revoked_token_opens_nothing(accounts):
    secret, token = accounts.tokens.make("ana", uid=1, label="ci", scopes=("look",), now_ns=NOW)
    assert accounts.tokens.find(secret, NOW + 10**18) is not None
    assert accounts.tokens.revoke(token.id)
    assert accounts.tokens.find(secret, NOW) is None
    assert not accounts.tokens.revoke(token.id)


# Links ----------------------------------------------------------------------------------------------------------------------------------


def test_a_link_is_good_once(accounts):
    secret = accounts.links.make(LinkPurpose.INVITE, "bruno", uid=-1, roles=("viewer", "auditor"), now_ns=NOW)
    assert accounts.links.look(secret, NOW) == accounts.links.look(secret, NOW)
    link = accounts.links.redeem(secret, NOW)
    assert (link.human, link.roles, link.purpose) == ("bruno", ("viewer", "auditor"), LinkPurpose.INVITE)
    assert accounts.links.redeem(secret, NOW) is None
    assert accounts.links.look(secret, NOW) is None


def test_a_link_is_good_for_a_quarter_of_an_hour(accounts):
    secret = accounts.links.make(LinkPurpose.LOGIN, "ana", uid=1, now_ns=NOW)
    assert accounts.links.look(secret, NOW + LINK_NS - 1) is not None
    assert accounts.links.redeem(secret, NOW + LINK_NS) is None
    assert accounts.links.redeem(secret, NOW) is None  # whoever came too late used it up


def test_a_new_setup_link_ends_the_earlier_one(accounts):
    first = accounts.links.make(LinkPurpose.SETUP, "", uid=1, now_ns=NOW)
    other = accounts.links.make(LinkPurpose.LOGIN, "ana", uid=1, now_ns=NOW)
    accounts.links.make(LinkPurpose.SETUP, "", uid=1, now_ns=NOW)
    assert accounts.links.look(first, NOW) is None
    assert accounts.links.look(other, NOW) is not None


def test_of_many_who_redeem_at_once_one_gets_in(accounts):
    secret = accounts.links.make(LinkPurpose.LOGIN, "ana", uid=1, now_ns=NOW)
    found, barrier, look = [], threading.Barrier(8, timeout=30), accounts.links.look

    def look_together(*arguments):
        seen = look(*arguments)
        barrier.wait()  # all have seen it before anybody uses it
        return seen

    accounts.links.look = look_together

    def redeem():
        found.append(accounts.links.redeem(secret, NOW))

    threads = [threading.Thread(target=redeem) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in found if one is not None]) == 1


# Attempts -------------------------------------------------------------------------------------------------------------------------------

LIMIT = Limit(burst=3, every_ns=10 * SECOND)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 15 * SECOND), max_size=60))
def test_no_more_get_through_than_the_bucket_lets(steps):
    accounts = Accounts(open_accounts_memory())
    now, through = NOW, 0
    for step in steps:
        now += step
        wait = accounts.attempts.take("ana", LIMIT, now)
        assert 0 <= wait <= LIMIT.every_ns
        through += not wait
        assert (through - LIMIT.burst) * LIMIT.every_ns <= now - NOW
        if wait:  # a wait is over by itself
            assert accounts.attempts.take("ana", LIMIT, now + wait) == 0
            now, through = now + wait, through + 1
    accounts.close()


def test_buckets_are_apart_and_success_empties(accounts):
    for _ in range(3):
        assert accounts.attempts.take("ana", LIMIT, NOW) == 0
    assert accounts.attempts.take("ana", LIMIT, NOW)
    assert accounts.attempts.take("bruno", LIMIT, NOW) == 0
    accounts.attempts.succeeded("ana")
    assert accounts.attempts.take("ana", LIMIT, NOW) == 0


def test_a_clock_that_jumps_back_locks_nobody_out(accounts):
    for _ in range(3):
        accounts.attempts.take("ana", LIMIT, NOW + 365 * 24 * HOUR)
    assert accounts.attempts.take("ana", LIMIT, NOW) <= LIMIT.every_ns


# The rest -------------------------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_keeps_nobody_out_for_longer_than_the_limit(accounts):
    while not accounts.attempts.take("ana", LIMIT, NOW + 365 * 24 * HOUR):
        pass
    wait = accounts.attempts.take("ana", LIMIT, NOW)
    assert 0 < wait <= LIMIT.every_ns
    assert accounts.attempts.take("ana", LIMIT, NOW + wait) == 0


def test_a_challenge_is_answered_once_and_in_time():
    challenges = Challenges()
    first, second = challenges.make(NOW), challenges.make(NOW)
    assert challenges.take(first, NOW + GOOD_NS - 1)
    assert not challenges.take(first, NOW)
    assert not challenges.take(second, NOW + GOOD_NS)
    assert not challenges.take(b"", NOW)


def test_challenges_fill_no_memory():
    challenges = Challenges()
    made = [challenges.make(NOW) for _ in range(MOST + 10)]
    assert not challenges.take(made[0], NOW)
    assert challenges.take(made[-1], NOW)


def passkey(credential=b"one", **more):
    return Passkey(
        credential=credential,
        human="ana",
        key_id="k",
        public_key=b"p",
        label="phone",
        transports=("usb", "nfc"),
        began_ns=NOW,
        **more,
    )


def test_a_passkey_whose_counter_does_not_grow_is_a_copy(accounts):
    accounts.passkeys.add(passkey())
    assert accounts.passkeys.used(b"one", count=0, now_ns=NOW)  # one that counts nothing
    assert accounts.passkeys.used(b"one", count=7, now_ns=NOW)
    assert not accounts.passkeys.used(b"one", count=7, now_ns=NOW)
    assert not accounts.passkeys.used(b"one", count=0, now_ns=NOW)
    assert accounts.passkeys.used(b"one", count=8, now_ns=NOW + 1)
    assert accounts.passkeys.find(b"one") == passkey(count=8, used_ns=NOW + 1)
    assert not accounts.passkeys.used(b"none", count=1, now_ns=NOW)


def test_passkeys_are_named_and_removed(accounts):
    accounts.passkeys.add(passkey())
    accounts.passkeys.add(passkey(b"two"))
    accounts.passkeys.rename(b"one", "key ring")
    assert [one.label for one in accounts.passkeys.of("ana")] == ["key ring", "phone"]
    accounts.passkeys.remove(b"one")
    assert accounts.passkeys.find(b"one") is None
    assert accounts.passkeys.of("bruno") == []


def test_preferences_are_of_each(accounts):
    chosen = Preferences(language="pt_BR", theme=Theme.DARK, keys=False)
    accounts.preferred.choose("ana", Preferences(side_by_side=True))
    accounts.preferred.choose("ana", chosen)
    assert accounts.preferred.of("ana") == chosen
    assert accounts.preferred.of("bruno") == Preferences()


def test_of_one_human_one_enrolment_waits(accounts):
    def enrolment(key_id, human="bruno"):
        return Enrolment(
            key_id=key_id,
            human=human,
            uid=-1,
            roles=("viewer",),
            alg="ed25519",
            public_key=b"p",
            began_ns=NOW,
        )

    accounts.enrolments.ask(enrolment("a"))
    accounts.enrolments.ask(enrolment("b"))
    accounts.enrolments.ask(enrolment("c", "carla"))
    assert [one.key_id for one in accounts.enrolments.waiting()] == ["b", "c"]
    assert accounts.enrolments.drop("b")
    assert not accounts.enrolments.drop("b")


def test_the_first_run_knows_what_was_done(accounts):
    accounts.first_run.done("kit", NOW)
    accounts.first_run.done("kit", NOW)
    assert accounts.first_run.steps() == {"kit"}
