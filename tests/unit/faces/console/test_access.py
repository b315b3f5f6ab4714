"""Browsers that are signed in, and tokens, as pages."""

from __future__ import annotations

import time

import pytest

from tests.decision_kit import Office
from tests.door_kit import SignedIn, house
from tests.unit.faces.console.test_signing_in import HOSTILE, signed_in


@pytest.fixture
def kit(tmp_path):
    with house(tmp_path) as kit:
        office = Office(kit.services.places, "")
        office.enrol(kit.desk, "ana", ("owner",))
        office.enrol(kit.desk, "bruno", ("viewer",))
        yield kit


def begin(kit, human, **more):
    now_ns = time.time_ns()
    return kit.door.accounts.sessions.begin(human, uid=-1, means="password", now_ns=now_ns, **more)


def test_what_a_browser_says_of_itself_is_inert(kit):
    begin(kit, "ana", browser=HOSTILE, address=HOSTILE)
    page = signed_in(kit).get("/settings/sessions")
    assert "<script>alert" not in page.raw
    assert "\x1b" not in page.raw
    assert "\u202e" not in page.raw
    assert not [attributes for _tag, attributes in page.tags if "hx-get" in attributes]


def test_a_browser_is_signed_out_from_another(kit):
    secret, session = begin(kit, "ana")
    browser = signed_in(kit)
    page = browser.get("/settings/sessions")
    assert page.words.count("this one") == 1
    browser.post("/settings/sessions/end", {"session": session.id})
    assert kit.door.entered(secret) is None
    assert "Signed-in browsers" in browser.get("/settings/sessions").words


def test_signing_this_one_out_leads_to_the_door(kit):
    browser = signed_in(kit)
    (session,) = kit.door.accounts.sessions.of("ana", time.time_ns())
    browser.get("/settings/sessions")
    page = browser.post("/settings/sessions/end", {"session": session.id})
    assert "Sign in to Lastro" in page.words
    assert browser.cookie == ""


def test_all_the_others_are_signed_out_at_once(kit):
    others = [begin(kit, "ana")[0] for _ in range(3)]
    stranger, _ = begin(kit, "bruno")
    browser = signed_in(kit)
    browser.get("/settings/sessions")
    browser.button("/settings/sessions/end-others")
    assert [kit.door.entered(one) for one in others] == [None] * 3
    assert kit.door.entered(stranger) is not None
    assert "this one" in browser.get("/settings/sessions").words


def test_a_viewer_sees_and_ends_their_own_alone(kit):
    _secret, session = begin(kit, "ana", address="198.51.100.7")
    browser = signed_in(kit, "bruno")
    page = browser.get("/settings/sessions?all=1")
    assert "198.51.100.7" not in page.raw
    assert "/settings/sessions?all=1" not in page.links
    browser.post("/settings/sessions/end", {"session": session.id}, status=404)
    assert [one.id for one in kit.door.accounts.sessions.of("ana", time.time_ns())] == [session.id]


def test_an_owner_sees_everybodys(kit):
    begin(kit, "bruno", address="198.51.100.7")
    page = signed_in(kit).get("/settings/sessions?all=1")
    assert "198.51.100.7" in page.words
    assert "bruno" in page.words


def test_long_lists_are_paged(kit):
    for _ in range(120):
        begin(kit, "ana")
    browser = signed_in(kit)
    counts, path = [], "/settings/sessions"
    while path:
        page = browser.get(path)
        counts.append(len(page.all("tr")) - 1)
        older = [f"/settings/sessions{one}" for one in page.links if one == f"?page={len(counts) + 1}"]
        path = older[0] if older else ""
    assert counts == [50, 50, 21]


def test_a_token_is_shown_once(kit):
    browser = signed_in(kit)
    page = browser.get("/settings/tokens/new")
    assert [one["value"] for one in page.all("input", name="scope") if "checked" in one] == ["look"]
    page = browser.post("/settings/tokens/new", {"label": HOSTILE[:30], "scope": ["look"]}, status=400)
    page = browser.post(
        "/settings/tokens/new", {"label": "<b>ci</b>", "scope": ["look", "audit"], "expires": "30d"}
    )
    (secret,) = [word for word in page.words.replace(" ", "\n").splitlines() if word.startswith("lastro_")]
    secret = secret.partition("What")[0]
    principal = kit.door.bearer(secret)
    assert sorted(principal.rights) == ["audit", "look"]
    page = browser.get("/settings/tokens")
    assert secret not in page.raw
    assert "<b>ci</b>" in page.words
    assert "<b>" not in page.raw
    browser.button("/settings/tokens/revoke")
    assert kit.door.bearer(secret) is None


def test_a_viewer_is_offered_and_given_what_they_may(kit):
    browser = signed_in(kit, "bruno")
    page = browser.get("/settings/tokens/new")
    assert [one["value"] for one in page.all("input", name="scope")] == ["look"]
    browser.post("/settings/tokens/new", {"label": "x", "scope": "administer"}, status=403)
    assert kit.door.accounts.tokens.of("bruno") == []


def test_who_is_not_signed_in_gets_none_of_it(kit):
    for path in ("/settings/sessions", "/settings/tokens", "/settings/tokens/new", "/settings/second-factor"):
        assert "Sign in to Lastro" in SignedIn(kit.client).get(path).words
