"""Every route there is, walked: who comes through, what a form needs, what only looking leaves behind, and what hostile text does."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from lastro.app.operation import Effect, find_operation
from lastro.app.permissions import Right, rights_of
from lastro.app.requests.gateway.exchanges import ExchangeShown
from lastro.app.visiting import Visit
from lastro.domain.policy import HumanRole
from lastro.faces.console import pages
from lastro.faces.console.asked import Asked
from lastro.faces.console.pages import ALL, gateway
from tests.browser.sample import sample_console
from tests.console_kit import COOKIE, Html

pytestmark = pytest.mark.slow

FOR_EVERYBODY = {
    "GET": {
        "/login",
        "/link",
        "/setup",
        "/setup/language",
        "/setup/owner",
        "/manifest.webmanifest",
        "/service-worker.js",
        "/offline",
    },
    "POST": {
        "/login",
        "/logout",
        "/link",
        "/setup",
        "/setup/language",
        "/setup/owner",
        "/setup/passkey",
        "/setup/passkey/prove",
    },
}
PROVED_ANEW = {
    "/gateway/keys",
    "/gateway/providers/remove",
    "/restore/{job}/confirm",
    "/servers",
    "/settings/notifications",
    "/settings/notifications/remove",
    "/settings/second-factor",
    "/settings/second-factor/remove",
    "/settings/tokens/new",
    "/setup/kit",
    "/setup/second-factor",
    "/users/invite",
}
"""What is changed here after proving anew who one is. Proposals, users and passkeys are signed for, act by act."""
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\' hx-get="/x" data-key=a {{ 7*7 }} {% x %} \x1b[31m\u202e'
WAYS = [(way, method) for way in ALL for method in way.methods]
NAMES = sorted(
    {
        name
        for file in Path(pages.__file__).parent.parent.glob("**/*.py")
        for name in re.findall(
            r"(?:text|texts|ticked|count|bytes_in)\((?:asked, )?\"(\w+)\"", file.read_text("utf-8")
        )
    }
)


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    with sample_console(str(tmp_path_factory.mktemp("top"))) as made:
        yield made


def address(way, value="1"):
    path = re.sub(r"\{(\w+)(?::path)?\}", lambda found: local(found[1], value), way.path)
    return path.replace("//", "/")


def local(name, value):
    return "local" if name == "server" and value == "1" else value


def ask(browser, way, method, *, fields=None, token=True, **headers):
    if method == "POST":
        given = dict(fields or {"nothing": "1"})
        if token:
            given.setdefault("csrf", f"token-of-{browser.cookie.partition(':')[0]}")
        body = "&".join(f"{name}={quote(value)}" for name, value in given.items())
        form = {"content-type": "application/x-www-form-urlencoded"}
        return look(browser, address(way), "POST", content=body, **form, **headers)
    return look(browser, address(way), **headers)


def look(browser, path, method="GET", *, content="", **headers):
    cookie = {"cookie": f"{COOKIE}={browser.cookie}"} if browser.cookie else {}
    sent = {**browser.headers, **cookie, **headers}
    return browser.client.request(method, path, content=content, headers=sent, follow_redirects=False)


def named(ways):
    return pytest.mark.parametrize(
        ("way", "method"), ways, ids=[f"{method} {way.path}" for way, method in ways]
    )


def last_record(kit):
    return kit.services.repository.head()


def test_what_needs_no_right_is_known():
    for method, known in FOR_EVERYBODY.items():
        assert {way.path for way, one in WAYS if one == method and way.right is None} == known


def test_what_has_consequences_is_done_after_proving_anew_who_one_is():
    assert {way.path for way, _ in WAYS if way.dangerous} == PROVED_ANEW


@named([one for one in WAYS if one[0].right is not None])
def test_nobody_comes_in_without_a_session(kit, way, method):
    answer = ask(kit.browser(), way, method, token=False)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")


@named([one for one in WAYS if one[0].right is not None])
def test_a_role_without_the_right_is_refused(kit, way, method):
    before = last_record(kit)
    for role in HumanRole:
        if way.right in rights_of([role.value]):
            continue
        answer = ask(kit.browser("eve", role.value), way, method)
        assert answer.status_code == 403
        assert f"it takes the right '{way.right.value}'" in Html(answer.text).words
    assert last_record(kit) == before


@named([one for one in WAYS if one[1] == "POST" and one[0].right is not None])
def test_a_form_needs_its_token_and_its_own_site(kit, way, method):
    ana = kit.browser("ana")
    asked = len(kit.jobs.done)
    wrong = [
        {"token": False},
        {"fields": {"csrf": "token-of-eve"}},
        {"fields": {"csrf": b"\xff\xed\xa0\x80"}},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
        {"origin": "http://localhost:8421"},
        {"origin": "http://localhost:8420.evil.example"},
        {"origin": "https://localhost:8420"},
    ]
    for one in wrong:
        assert ask(ana, way, method, **one).status_code == 403, one
    assert len(kit.jobs.done) == asked


@named([one for one in WAYS if one[0].dangerous])
def test_who_did_not_prove_it_lately_is_asked_to(kit, way, method):
    kit.door.stepped_up.discard("olga")
    answer = ask(kit.browser("olga", "owner"), way, method)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/step-up")


@named([one for one in WAYS if one[1] == "GET"])
def test_looking_changes_nothing(kit, way, method):
    before, asked = last_record(kit), len(kit.jobs.done)
    for who in (kit.browser("ana"), kit.browser("vera", "viewer")):
        assert ask(who, way, method).status_code != 500
    assert last_record(kit) == before
    assert all(find_operation(job.order.operation).effect is Effect.READ for job in kit.jobs.done[asked:])


def test_whoever_may_only_look_changes_nothing_that_is_kept(kit):
    before, asked = last_record(kit), len(kit.jobs.done)
    vera = kit.browser("vera", "viewer")
    kit.door.stepped_up.add("vera")
    for way, method in WAYS:
        if method == "POST" and way.right is Right.LOOK and way.path != "/step-up":
            for fields in ({}, dict.fromkeys(NAMES, "1"), dict.fromkeys(NAMES, "vera")):
                assert ask(vera, way, method, fields={**fields, "csrf": "token-of-vera"}).status_code != 500
    assert last_record(kit) == before
    assert len(kit.jobs.done) == asked


@named(
    [
        one
        for one in WAYS
        if one[0].right is not None and one[0].path not in {"/step-up", "/runs/{run}/propose"}
    ]
)  # the latter waits for the run's own process, and takes no field
@pytest.mark.parametrize(
    "value", [HOSTILE.encode() + b"\xff\xed\xa0\x80\x00\r\nX-Evil: 1", b"9" * 30], ids=["text", "number"]
)
def test_hostile_fields_are_answered_and_inert(kit, way, method, value):
    ana = kit.browser("ana")
    if method == "GET":
        query = "&".join(f"{name}={quote(value[:300])}" for name in NAMES if name != "said")
        answers = [
            look(ana, target)
            for target in (f"{address(way)}?{query}", address(way, quote(value[:300], safe="") or "0"))
        ]
    else:
        fields = {**dict.fromkeys(NAMES, value), "csrf": "token-of-ana"}
        for name in ("digest", "proposal"):
            fields.pop(name, None)
        answers = [ask(ana, way, method, fields=fields)]
    for answer in answers:
        assert answer.status_code in {200, 303, 400, 403, 404, 409, 413, 503}, Html(answer.text).words[-600:]
        assert "x-evil" not in answer.headers
        if answer.headers.get("content-type", "").startswith("text/html"):
            inert(Html(answer.text))
        target = answer.headers.get("location", "/")
        assert target.startswith("/")
        assert not target.startswith(("//", "/\\"))


def test_after_proving_it_who_sent_a_form_is_back_at_the_page_with_it(kit):
    kit.door.stepped_up.discard("olga")
    olga = kit.browser("olga", "owner")
    for referer, to in (
        ("http://localhost:8420/gateway?days=7", "%2Fgateway%3Fdays%3D7"),
        ("http://localhost:8420.evil.example/x", "%2F"),
        ("https://evil.example/", "%2F"),
        ("http://localhost:8420//evil.example/", "%2F%2Fevil.example%2F"),  # which the page does not go on at
    ):
        answer = olga.send("/gateway/keys", {"name": "a"}, referer=referer)
        assert answer.headers["location"] == f"/step-up?next={to}"
    assert olga.get("/step-up?next=%2F%2Fevil.example%2F").all("input", name="next") == [
        {"type": "hidden", "name": "next", "value": "/"}
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000])
def test_what_a_model_nests_too_deep_is_shown_as_it_is(kit, monkeypatch, text):
    one = ExchangeShown(exchange=None, recorded=True, request=text)
    monkeypatch.setattr(Visit, "call", lambda *_: one)
    visit = Visit(kit.services, kit.jobs, None)
    shown = gateway.exchange(
        Asked(method="GET", path="/", visit=visit, door=kit.door, parameters={"exchange": "1"})
    )
    assert shown.values["texts"]["request"][0] == text[: gateway.LONGEST_TEXT]


def inert(page):
    """No tag or attribute came of it, and no link leads elsewhere."""
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), attributes
        assert attributes.get("hx-get", "").partition("?")[0] != "/x"
        assert attributes.get("src", "/").startswith(("/", "data:image")), attributes
        assert tag != "script" or attributes.get("src", "").startswith("/static/"), attributes
        assert tag != "base"
        link = attributes.get("href") or attributes.get("action") or "/"
        assert link.startswith(("/", "#", "?", "otpauth:")) and not link.startswith("//"), attributes
    assert "49 {% x %}" not in page.raw
    assert "\x1b" not in page.raw and "\u202e" not in page.raw
