"""One's own passkeys as pages: making one, calling it something, removing it. What the browser does, the test does."""

from __future__ import annotations

import os

import pytest

from lastro.proposals.approvals import key_id_of
from tests.console_kit import console_over
from tests.decision_kit import PASSPHRASE, Office
from tests.passkey_kit import ATTESTED, PRESENT, Authenticator, base64url
from tests.signing_kit import answer_with, hidden_fields, passkey_forms

ADD = "/settings/passkeys/add"


@pytest.fixture
def kit(tmp_path):
    office = Office.made(str(tmp_path), {"a": b"one\n"})
    with office.desk() as desk:
        office.enrol(desk, "bia", ("viewer",))
    with console_over(office) as made:
        made.owner = next(row.name for row in made.services.inbox.approvers() if "owner" in row.roles)
        yield made


def made_by(authenticator, **changed):
    return {
        "public_key": base64url(authenticator.spki),
        "authenticator_data": base64url(authenticator.registration()),
        "transports": "internal evil",
        "label": "laptop <b>\x1b[1m",
        **changed,
    }


def add(browser, authenticator):
    page = browser.post(ADD, made_by(authenticator))
    return browser.post(ADD, {**hidden_fields(page, ADD), "password": PASSPHRASE})


def good(kit, name):
    return [row.key_id for row in kit.services.inbox.approvers() if row.name == name and not row.revoked_ns]


@pytest.mark.parametrize("name", ["owner", "bia"])
def test_whoever_has_a_key_adds_a_passkey(kit, name):
    human = kit.owner if name == "owner" else name
    browser, authenticator = kit.browser(human, "owner" if name == "owner" else "viewer"), Authenticator()
    (form,) = passkey_forms(browser.get("/settings/passkeys"))
    assert (
        form["data-passkey"] == "make"
        and form["data-rp"] == "localhost"
        and form["data-algorithms"] == "-7 -8 -257"
    )
    page = add(browser, authenticator)
    assert "The passkey is yours now" in page.words
    assert "laptop <b>" in page.text and "<b>" not in page.raw and "\x1b" not in page.raw
    assert key_id_of(authenticator.public_key) in good(kit, human)
    (kept,) = kit.door.accounts.passkeys.of(human)
    assert (kept.credential, kept.transports) == (authenticator.credential, ("internal",))
    assert base64url(authenticator.credential) in passkey_forms(page)[0]["data-credentials"]


def test_a_passkey_signs_for_the_next_one(kit):
    browser, first = kit.browser(kit.owner), Authenticator()
    add(browser, first)
    second = Authenticator("eddsa", seed=2, credential=b"credential-2")
    page = browser.post(ADD, made_by(second))
    browser.post(ADD, answer_with(first, page))
    assert len(good(kit, kit.owner)) == 3


def test_nothing_is_added_without_a_signature(kit):
    browser, authenticator = kit.browser("bia", "viewer"), Authenticator()
    fields = hidden_fields(browser.post(ADD, made_by(authenticator)), ADD)
    browser.post(ADD, {**fields, "password": "something else"}, status=403)
    browser.post(ADD, fields, status=400)
    assert len(good(kit, "bia")) == 1 and not kit.door.accounts.passkeys.of("bia")


@pytest.mark.parametrize(
    "changed",
    [
        {"public_key": ""},
        {"public_key": base64url(b"\x30\x00")},
        {"authenticator_data": base64url(Authenticator(host="elsewhere.example").registration())},
        {"authenticator_data": base64url(Authenticator().registration(flags=PRESENT | ATTESTED))},
        {"authenticator_data": "%%%"},
    ],
)
def test_what_no_browser_made_here(kit, changed):
    answer = kit.browser(kit.owner).send(ADD, made_by(Authenticator(), **changed))
    assert answer.status_code in {400, 403}


def test_the_same_passkey_is_not_added_twice(kit):
    browser = kit.browser(kit.owner)
    add(browser, Authenticator())
    page = browser.post(ADD, made_by(Authenticator()))
    browser.post(ADD, {**hidden_fields(page, ADD), "password": PASSPHRASE}, status=409)


def test_it_is_renamed_and_removed(kit):
    browser, authenticator = kit.browser(kit.owner), Authenticator()
    add(browser, authenticator)
    key = key_id_of(authenticator.public_key)
    assert "work" in browser.post(f"/settings/passkeys/{key}/name", {"label": "work"}).raw
    path = f"/settings/passkeys/{key}/remove"
    browser.post(path, answer_with(authenticator, browser.get(path)))  # its own last act
    assert key not in good(kit, kit.owner) and not kit.door.accounts.passkeys.of(kit.owner)
    browser.get(path, status=404)


def test_nobody_touches_somebody_elses(kit):
    browser, authenticator = kit.browser(kit.owner), Authenticator()
    add(browser, authenticator)
    key = key_id_of(authenticator.public_key)
    other = kit.browser("bia", "viewer")
    other.get(f"/settings/passkeys/{key}/remove", status=404)
    other.post(f"/settings/passkeys/{key}/name", {"label": "mine"}, status=404)
    assert key not in other.get("/settings/passkeys").raw
    stranger = kit.browser("zoe", "viewer")
    assert not passkey_forms(stranger.get("/settings/passkeys"))
    stranger.post(ADD, made_by(Authenticator(seed=5)), status=404)


def test_the_only_key_stays(kit):
    browser, authenticator = kit.browser(kit.owner), Authenticator()
    add(browser, authenticator)
    key = key_id_of(authenticator.public_key)
    row = next(one for one in kit.services.inbox.approvers() if one.name == kit.owner and one.key_id != key)
    path = f"/users/{row.key_id}/revoke"
    browser.post(path, answer_with(authenticator, browser.get(path)))
    assert good(kit, kit.owner) == [key]
    assert not os.path.exists(f"{kit.services.places.approver_keys}/{row.key_id}.key")
    browser.get(f"/settings/passkeys/{key}/remove", status=409)


@pytest.mark.parametrize(
    ("host", "can"), [("127.0.0.1:8420", False), ("[::1]:8420", False), ("console.test", True)]
)
def test_a_bare_address_has_no_passkeys(kit, host, can):
    page = kit.browser(kit.owner).get("/settings/passkeys", host=host)
    assert bool(passkey_forms(page)) == can
    assert ("bare address" in page.words) != can


def test_a_name_that_is_no_text_is_made_one(kit):
    browser, authenticator = kit.browser(kit.owner), Authenticator()
    add(browser, authenticator)
    body = f"csrf=token-of-{kit.owner}&label=%80%FF%1B%E2%80%AElaptop".encode()
    path = f"/settings/passkeys/{key_id_of(authenticator.public_key)}/name"
    sent = {**browser.headers, **browser._cookie(), "content-type": "application/x-www-form-urlencoded"}  # noqa: SLF001  raw bytes
    assert browser.client.post(path, content=body, headers=sent, follow_redirects=False).status_code == 303
    assert [one.label for one in kit.door.accounts.passkeys.of(kit.owner)] == ["laptop"]
