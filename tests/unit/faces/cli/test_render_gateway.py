"""What people see of the gateway's replies: readable, and inert whatever a provider, a file or a person put into them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lastro.app.requests import doctor, gateway
from lastro.app.requests.sentence import Sentence
from lastro.faces.cli.render import render
from lastro.faces.wording.gateway_words import money, span, sum_of, tokens
from tests.hostile_values import hostile_value

REPLIES = (
    gateway.ProviderList,
    gateway.ProviderState,
    gateway.ProviderRemoved,
    gateway.GatewayStatus,
    gateway.ModelList,
    gateway.ModelHere,
    gateway.ModelRemoved,
    gateway.EnvironmentReply,
    gateway.RouteExplained,
    gateway.RouteList,
    gateway.KeyList,
    gateway.KeyState,
    gateway.KeyAdded,
    gateway.UsageReply,
    gateway.ExchangeList,
    gateway.ExchangeShown,
    gateway.Replayed,
    doctor.Diagnosis,
)
CODES = {
    gateway.KeyState: {"state": "revoked", "id": "key-1"},
    gateway.KeyAdded: {"text": "lastro-text"},
    gateway.ProviderState: {"key": "file", "circuit": "open", "tools": "yes"},
    doctor.Finding: {"state": "warning"},
    Sentence: {"msgid": "{a} was not found.", "hint": "See {a}."},
    gateway.ExchangeItem: {"id": "x-1"},
    gateway.ModelState: {"digest": "00", "good_for": "Small edits."},
    gateway.ModelHere: {"digest": "00"},
}
"""What is a code or an id in these, and no text from elsewhere."""


def hostile(kind: Any) -> Any:
    """A value of a type with hostile text wherever text can be."""
    return hostile_value(kind, CODES)


@pytest.fixture
def shown(context, streams):
    def show(reply, request=None):
        streams()
        render(reply, request, context)
        return streams()

    return show


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_nothing_that_came_from_elsewhere_steers_the_terminal(shown, kind):
    out, err = shown(hostile(kind))
    assert out
    for text in (out, err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\udcff" not in text


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_what_is_missing_is_shown_as_missing(shown, kind):
    """Every field that may be absent is."""
    shown(msgspec.structs.replace(hostile(kind), **_absent(kind)))


def _absent(kind):
    return {
        field.name: field.default
        for field in msgspec.structs.fields(kind)
        if not field.required
        and field.default is not msgspec.NODEFAULT
        and field.name not in CODES.get(kind, {})
    }


def test_unknown_money_is_never_shown_as_nothing():
    assert money(None) == "unknown"
    assert money(0) == "$0"
    assert money(1) == "$0.000001"
    assert money(1_250_000) == "$1.25"
    assert sum_of(0, 3) == "unknown (3 exchanges)"
    assert sum_of(1_250_000, 3) == "$1.25 + 3 unknown"
    assert sum_of(1_250_000, 0) == "$1.25"
    assert tokens(None) == "?"
    assert (tokens(9_999), tokens(12_345), tokens(1_500_000)) == ("9999", "12k", "1.50M")
    assert span(None) == "-"
    assert (span(1_500_000), span(12_000_000), span(3_400_000_000)) == ("1.5 ms", "12 ms", "3.4 s")


def test_the_text_of_a_key_stands_alone_on_standard_output(shown):
    key = gateway.KeyState(id="key-1", name="me", state="valid")
    out, err = shown(gateway.KeyAdded(key=key, text="lastro-secret"))
    assert out == "lastro-secret\n"
    assert "lastro-secret" not in err
