"""Codes of an authenticator application, and recovery codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.accounts import totp
from lastro.accounts.database import open_accounts_memory
from lastro.accounts.second_factors import CODES, SecondFactors

SECOND = 1_000_000_000
NOW = 1_795_000_005 * SECOND
RFC = b"12345678901234567890"


@pytest.fixture
def factors():
    database = open_accounts_memory()
    yield SecondFactors(database)
    database.close()


def code_at(secret, now_ns):
    return totp.code_of(secret, totp.step_at(now_ns))


@pytest.fixture
def ana(factors):
    """Her secret, confirmed at ``NOW``, and her recovery codes."""
    secret = factors.offer("ana", NOW)
    return secret, factors.confirm("ana", code_at(secret, NOW), NOW)


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(second, code):
    assert code_at(RFC, second * SECOND) == code[-6:]


@given(st.binary(min_size=20, max_size=20), st.integers(100, 10**10), st.integers(-3, 3))
def test_clocks_may_differ_by_one_step(secret, step, away):
    now_ns = step * totp.STEP_S * SECOND
    code = totp.code_of(secret, step + away)
    near = {totp.code_of(secret, step + one) for one in (-1, 0, 1)}
    assert (totp.step_of(secret, code, now_ns) is not None) == (code in near)


@given(st.text(max_size=12))
def test_whatever_is_typed_is_a_code_or_none(text):
    assert totp.step_of(RFC, text, 59 * SECOND) in {None, 0, 1, 2}


def test_an_address_says_what_an_application_needs():
    address = totp.address_of(RFC, "ana maria:1", "Lastro")
    assert address.startswith("otpauth://totp/Lastro%3Aana%20maria%3A1?secret=GEZDGNBV")
    assert address.endswith("&issuer=Lastro")


def test_what_was_only_offered_asks_for_nothing(factors):
    secret = factors.offer("ana", NOW)
    assert factors.offer("ana", NOW + 60 * SECOND) == secret  # the page is opened again
    assert not factors.stands("ana")
    assert not factors.check("ana", code_at(secret, NOW), NOW)
    assert factors.confirm("ana", "000000", NOW) == ()
    assert not factors.stands("ana")


def test_a_code_is_good_once_and_none_older_after_it(factors, ana):
    secret, _codes = ana
    assert not factors.check("ana", code_at(secret, NOW), NOW)  # it confirmed
    later = NOW + 30 * SECOND
    assert factors.check("ana", f" {code_at(secret, later)[:3]} {code_at(secret, later)[3:]}", later)
    assert not factors.check("ana", code_at(secret, later), later)
    assert not factors.check("ana", code_at(secret, NOW), later)


def test_a_recovery_code_is_good_once_and_for_one_human(factors, ana):
    _secret, codes = ana
    assert len(set(codes)) == CODES == factors.codes_left("ana")
    bruno = factors.offer("bruno", NOW)
    factors.confirm("bruno", code_at(bruno, NOW), NOW)
    assert not factors.check("bruno", codes[0], NOW)
    assert factors.check("ana", codes[0].upper().replace("-", " "), NOW)
    assert not factors.check("ana", codes[0], NOW)
    assert factors.codes_left("ana") == CODES - 1


def test_the_present_one_is_good_until_another_is_confirmed(factors, ana):
    secret, codes = ana
    later = NOW + 60 * SECOND
    other = factors.offer("ana", later)
    assert factors.check("ana", code_at(secret, later), later)
    later += 30 * SECOND
    assert factors.confirm("ana", code_at(other, later), later)
    later += 30 * SECOND
    assert not factors.check("ana", code_at(secret, later), later)
    assert factors.check("ana", code_at(other, later), later)
    assert not factors.check("ana", codes[1], later)


def test_removed_is_removed(factors, ana):
    _secret, codes = ana
    factors.remove("ana")
    assert not factors.stands("ana")
    assert not factors.check("ana", codes[0], NOW)
