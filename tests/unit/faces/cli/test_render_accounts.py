"""What people see of links, sessions and tokens."""

from __future__ import annotations

import pytest

from lastro.app.requests.accounts import (
    OneTimeLink,
    SessionItem,
    SessionsReply,
    TokenAdded,
    TokenItem,
    TokensReply,
)
from lastro.faces.cli.render import render
from lastro.faces.wording.account_words import browser_name
from tests.unit.faces.cli.conftest import NOW_NS

HOSTILE = "a\x1b[31m\n\u202eb\udcff"
INERT = "a\\x1b[31m\\x0a\\u202eb\\xff"
HOUR = 3600 * 1_000_000_000


@pytest.fixture
def shown(context, streams):
    def show(reply):
        streams()
        render(reply, None, context)
        return streams()

    return show


def test_a_link_stands_alone(shown):
    link = OneTimeLink(
        url="http://localhost:8420/link#x",
        path="/link",
        fragment="x",
        purpose="login",
        human="ana",
        ends_ns=NOW_NS,
    )
    out, err = shown(link)
    assert out == "http://localhost:8420/link#x\n"
    assert "good once, until 2026-11-18" in err


def session(**changed):
    return SessionItem(
        **{
            "id": "0a1b",
            "human": HOSTILE,
            "means": "passkey",
            "began_ns": NOW_NS,
            "seen_ns": NOW_NS - HOUR,
            "ends_ns": NOW_NS + HOUR,
            "address": "192.0.2.1",
            "browser": HOSTILE,
            **changed,
        }
    )


def test_sessions_are_told_apart(shown):
    out, _ = shown(SessionsReply(sessions=(session(), session(id="ff", means="rope"))))
    assert out.splitlines()[0].split() == ["0a1b", INERT, "passkey", "192.0.2.1", INERT, "1", "h", "ago"]
    assert "rope" in out
    assert "\x1b" not in out
    assert "lastro login" in shown(SessionsReply(sessions=()))[1]


def token(**changed):
    return TokenItem(
        **{
            "id": "0a1b",
            "human": "ana",
            "label": HOSTILE,
            "scopes": ("look", "audit"),
            "began_ns": NOW_NS,
            **changed,
        }
    )


def test_tokens_say_what_they_may_and_how_long(shown):
    out, _ = shown(TokensReply(tokens=(token(), token(id="ff", ends_ns=NOW_NS, used_ns=NOW_NS - HOUR))))
    first, second = out.splitlines()
    assert "look, audit" in first
    assert "does not end" in first
    assert first.endswith("never used")
    assert "until 2026-11-18" in second
    assert "used 1 h ago" in second
    assert INERT in first
    assert "lastro token add" in shown(TokensReply(tokens=()))[1]


def test_a_tokens_secret_stands_alone(shown):
    out, err = shown(TokenAdded(token=token(), secret="lastro_secret"))
    assert out == "lastro_secret\n"
    assert "the only time" in err


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox, Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604.1",
            "Safari, iPhone",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/130 Safari/537.36 Edg/130.0", "Edge, Windows"),
        ("curl/8.5", "curl/8.5"),
        ("", ""),
        ("x" * 300, "x" * 40),
    ],
)
def test_a_browser_has_a_short_name(said, name):
    assert browser_name(said) == name
