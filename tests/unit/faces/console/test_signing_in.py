"""Signing in, out and proving it anew, as pages behind the real door."""

from __future__ import annotations

import re
import time

import pytest

from lastro.accounts import totp
from lastro.accounts.nouns import LinkPurpose
from lastro.app.keeper_door import NAME_LIMIT
from lastro.app.permissions import Right
from lastro.faces.console.asked import Asked, Page, Way
from lastro.faces.console.entrance import bytes_of, onward, rp_of
from tests.console_kit import COOKIE
from tests.decision_kit import PASSPHRASE, Office
from tests.door_kit import SignedIn, forms_of, house

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"' hx-get=/x"


@pytest.fixture
def kit(tmp_path):
    with house(tmp_path) as kit:
        yield kit


@pytest.fixture
def peopled(kit):
    """With ``ana``, an owner, and ``bruno``, a viewer."""
    office = Office(kit.services.places, "")
    office.enrol(kit.desk, "ana", ("owner",))
    office.enrol(kit.desk, "bruno", ("viewer",))
    return kit


def signed_in(kit, name="ana"):
    browser = SignedIn(kit.client)
    browser.get("/login")
    browser.post("/login", {"name": name, "password": PASSPHRASE, "code": ""})
    return browser


def factor(kit, name="ana"):
    factors, now_ns = kit.door.accounts.second_factors, time.time_ns()
    secret = factors.offer(name, now_ns)
    return factors.confirm(name, totp.code_of(secret, totp.step_at(now_ns)), now_ns)


def test_without_an_account_the_page_says_how_to_make_one(kit):
    page = SignedIn(kit.client).get("/inbox")
    assert "Nobody has an account here yet." in page.words
    assert "lastro login" in page.words
    assert page.all("form") == []


def test_who_signs_in_is_led_to_a_second_factor_and_then_on(peopled):
    browser = SignedIn(peopled.client)
    browser.get("/runs?state=failed")
    page = browser.button("/login", name="bruno", password=PASSPHRASE)
    assert page.all("h1") and "Second factor" in page.words
    assert "/runs?state=failed" in page.links
    assert "bruno" in browser.get("/settings/sessions").words


def test_with_a_second_factor_the_page_that_was_asked_for_comes(peopled):
    codes = factor(peopled)
    browser = SignedIn(peopled.client)
    browser.get("/runs?state=failed")
    page = browser.post(
        "/login", {"name": "ana", "password": PASSPHRASE, "code": codes[0], "next": "/runs?state=failed"}
    )
    assert "Runs" in page.words


def test_the_cookie_is_not_for_scripts_and_not_for_other_sites(peopled):
    answer = SignedIn(peopled.client).send("/login", {"name": "ana", "password": PASSPHRASE})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for word in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("name", ["ana", "nobody", HOSTILE])
def test_a_failure_says_the_same_for_every_name(peopled, name):
    browser = SignedIn(peopled.client)
    page = browser.post("/login", {"name": name, "password": "wrong passphrase"}, status=403)
    assert "The name, the password or the code is not right." in page.words
    (alert,) = page.all("div", role="alert")
    assert "autofocus" in alert
    assert page.words.startswith("Error: Sign in")
    assert "<script>alert" not in page.raw
    assert page.all("input", id="password")[0].get("value") is None
    assert page.all("input", id="name")[0]["value"] == name.strip()
    assert not [attributes for _tag, attributes in page.tags if "hx-get" in attributes]


def test_too_many_wait_with_429(peopled):
    browser = SignedIn(peopled.client)
    for _ in range(NAME_LIMIT.burst):
        browser.post("/login", {"name": "ana", "password": "wrong passphrase"}, status=403)
    page = browser.post("/login", {"name": "ana", "password": PASSPHRASE}, status=429)
    assert re.search(r"Try again in \d+ s", page.words)


def test_signing_out_ends_the_session(peopled):
    browser = signed_in(peopled)
    cookie = browser.cookie
    page = browser.post("/logout")
    assert "Signed out." in page.words
    assert browser.cookie == ""
    browser.cookie = cookie
    assert "Sign in to Lastro" in browser.get("/inbox").words


def test_another_site_signs_nobody_out_or_in(peopled):
    browser = signed_in(peopled)
    assert browser.send("/logout", {"csrf": "of another session"}).status_code == 403
    foreign = {"sec-fetch-site": "cross-site"}
    assert browser.send("/logout", {"csrf": browser.token}, **foreign).status_code == 403
    assert SignedIn(peopled.client).send("/login", {"name": "ana"}, **foreign).status_code == 403
    assert "Inbox" in browser.get("/inbox").words


def test_a_link_is_posted_from_its_page_and_good_once(peopled):
    link = peopled.door.accounts.links.make(LinkPurpose.LOGIN, "bruno", uid=-1, now_ns=time.time_ns())
    browser = SignedIn(peopled.client)
    page = browser.get("/link")
    assert page.all("form", action="/link")[0].get("data-fragment", "none") is None
    browser.button("/link", link=f"http://localhost:8420/link#{link}")
    assert "bruno" in browser.get("/settings/sessions").words
    other = SignedIn(peopled.client)
    page = other.post("/link", {"link": link}, status=403)
    assert "used already" in page.words
    assert link not in page.raw


@pytest.mark.parametrize(
    ("wanted", "comes"),
    [
        ("/runs?state=failed", "/runs?state=failed"),
        ("https://evil.test/", "/"),
        ("//evil.test/", "/"),
        ("/\\evil.test/", "/"),
        ("/\t/evil.test/", "/"),
        ("/ /evil.test", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/login?next=/", "/"),
        ("/step-up", "/"),
        ("/x\u202e", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_nobody_is_sent_elsewhere_after_signing_in(wanted, comes):
    asked = Asked(method="GET", path="/login", visit=None, door=None, query={"next": (wanted,)})
    assert onward(asked) == comes


@pytest.mark.parametrize(
    ("origin", "rp"),
    [
        ("http://localhost:8420", "localhost"),
        ("https://console.test:8420", "console.test"),
        ("http://console.test:8420", ""),
        ("http://127.0.0.1:8420", ""),
        ("https://[::1]:8420", ""),
    ],
)
def test_passkeys_are_for_names(origin, rp):
    assert rp_of(Asked(method="GET", path="/", visit=None, door=None, origin=origin)) == rp


@pytest.mark.parametrize("text", ["\udcff", "a b", "===", "=", "é"])
def test_what_is_no_base64_is_nothing(text):
    assert bytes_of(text) == b""


# Proving it anew


def danger(_asked):
    return Page(template="setup_done.html", values={"menu": ()})


DANGER = Way(path="/danger", handler=danger, right=Right.LOOK, dangerous=True)


def test_what_is_dangerous_asks_again_after_five_minutes(peopled):
    browser = signed_in(peopled)
    sessions = peopled.door.accounts.sessions
    (session,) = sessions.of("ana", time.time_ns())
    assert "New token" in browser.get("/settings/tokens/new").words
    sessions.step_up(session.id, time.time_ns() - 301 * 10**9)
    page = browser.get("/settings/tokens/new")
    assert "Is it you?" in page.words
    page = browser.post(
        "/step-up", {"password": "wrong passphrase", "next": "/settings/tokens/new"}, status=403
    )
    assert "not right" in page.words
    page = browser.button("/step-up", password=PASSPHRASE)
    assert "New token" in page.words


def test_who_came_by_a_link_proves_it_before_what_is_dangerous(peopled):
    link = peopled.door.accounts.links.make(LinkPurpose.LOGIN, "ana", uid=-1, now_ns=time.time_ns())
    browser = SignedIn(peopled.client)
    browser.post("/link", {"link": link})
    assert "Is it you?" in browser.get("/settings/second-factor").words
    assert "Is it you?" in browser.get("/setup/kit").words


def test_proving_anew_asks_for_the_code_where_there_is_one(peopled):
    codes = factor(peopled)
    browser = SignedIn(peopled.client)
    browser.post("/login", {"name": "ana", "password": PASSPHRASE, "code": codes[0]})
    page = browser.get("/step-up?next=/settings/tokens")
    assert page.all("input", name="code")[0]["autocomplete"] == "one-time-code"
    browser.post("/step-up", {"password": PASSPHRASE, "next": "/settings/tokens"}, status=403)
    page = browser.button("/step-up", password=PASSPHRASE, code=codes[1])
    assert "Tokens" in page.words


# The second factor


def test_a_second_factor_is_set_up_and_removed(peopled):
    browser = signed_in(peopled, "bruno")
    page = browser.get("/settings/second-factor?next=/runs")
    (address,) = [one for one in page.links if one.startswith("otpauth://")]
    secret = page.words.partition("30 seconds): ")[2].partition(" Open")[0].replace(" ", "")
    assert f"secret={secret}" in address
    page = browser.post("/settings/second-factor", {"code": "000000"}, status=403)
    assert "not the code" in page.words
    import base64  # noqa: PLC0415  once

    code = totp.code_of(base64.b32decode(secret), totp.step_at(time.time_ns()))
    page = browser.post("/settings/second-factor", {"code": code, "next": "/runs"})
    assert len(page.all("li")) - len(page.all("a", href="/inbox")) >= 10
    assert "/runs" in page.links
    assert "10 recovery codes are left" in browser.get("/settings/second-factor").words
    page = browser.button("/settings/second-factor/remove")
    assert "recovery codes are left" not in page.words


def test_the_picture_is_the_address():
    from lastro.faces.console.pages.stepping_up import picture_of  # noqa: PLC0415  its own law

    picture = picture_of("otpauth://totp/Lastro:ana?secret=AAAA")
    dark = {
        (int(x) + step, int(y))
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", picture.path)
        for step in range(int(length))
    }
    import segno  # noqa: PLC0415  once

    matrix = segno.make("otpauth://totp/Lastro:ana?secret=AAAA", error="m", micro=False).matrix
    assert dark == {(x + 4, y + 4) for y, row in enumerate(matrix) for x, module in enumerate(row) if module}
    assert picture.size == len(matrix) + 8


def test_forms_carry_the_token_of_their_session(peopled):
    browser = signed_in(peopled)
    for path in ("/settings/second-factor", "/settings/sessions", "/settings/tokens/new", "/step-up"):
        forms = forms_of(browser.get(path))
        assert forms
        assert all(form["fields"].get("csrf") for form in forms), path
