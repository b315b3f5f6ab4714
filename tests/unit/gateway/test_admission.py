"""Who may ask: names of this gateway, web pages, and the places where tools put their keys."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies

from lastro.gateway.admission import TurnedAwayError, admitted, key_text, require_host, require_no_browser
from lastro.gateway.dialects.neutral import ErrorKind
from lastro.gateway.keys import ANONYMOUS, GatewayKey
from lastro.gateway.settings import Anonymous

KEY = GatewayKey(id="key-1", name="laptop", digest="00")


class OneKey:
    def find(self, text):
        return KEY if text == "lastro-good" else None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "Bearer lastro-good"}, ""),
        ({"authorization": "bearer  lastro-good "}, ""),
        ({"x-api-key": "lastro-good"}, ""),
        ({"x-goog-api-key": "lastro-good"}, ""),
        ({"api-key": "lastro-good"}, ""),
        ({}, "alt=sse&key=lastro-good"),
        ({"authorization": "Bearer lastro-good", "x-api-key": "lastro-good"}, "key=lastro-good"),
    ],
)
def test_a_key_is_found_wherever_tools_put_it(headers, query):
    assert admitted(key_text(headers, query), OneKey(), Anonymous.NONE) is KEY


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "Basic bGFzdHJvOg=="}, ""),
        ({"authorization": "lastro-good"}, ""),
        ({"x-api-key": "lastro-good", "authorization": "Bearer lastro-other"}, ""),
        ({}, "key=lastro-good&key=lastro-other"),
    ],
)
def test_doubtful_credentials_are_refused(headers, query):
    with pytest.raises(TurnedAwayError) as caught:
        admitted(key_text(headers, query), OneKey(), Anonymous.ALL)
    assert caught.value.kind is ErrorKind.AUTHENTICATION
    assert "lastro-good" not in str(caught.value) + caught.value.hint_text + repr(caught.value.parameters)


@given(
    strategies.text(min_size=1).filter(lambda text: text != "lastro-good"), strategies.sampled_from(Anonymous)
)
def test_a_wrong_key_never_has_the_rights_of_nobody(text, anonymous):
    with pytest.raises(TurnedAwayError):
        admitted(text, OneKey(), anonymous)


def test_nobody_is_let_in_where_configuration_says_so():
    assert admitted("", OneKey(), Anonymous.OFFLINE) is ANONYMOUS
    assert admitted("", OneKey(), Anonymous.ALL) is ANONYMOUS
    with pytest.raises(TurnedAwayError):
        admitted("", OneKey(), Anonymous.NONE)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8421", "127.0.0.1:1", "[::1]:8421", "localhost.", "gw.example:99"]
)
def test_own_names_are_answered_on_any_port(host):
    require_host({"host": host}, {"gw.example"})


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example:8421", "192.0.2.7", "localhost@evil.example"]
)
def test_rebound_names_are_not(host):
    with pytest.raises(TurnedAwayError) as caught:
        require_host({"host": host}, {"gw.example"})
    assert caught.value.status == 403


def test_a_gateway_on_every_address_answers_addresses_and_no_further_names():
    require_host({"host": "192.0.2.7:8421"}, {"*"})
    require_host({"host": "[2001:db8::1]"}, {"*"})
    with pytest.raises(TurnedAwayError):
        require_host({"host": "evil.example"}, {"*"})


@pytest.mark.parametrize("origin", ["null", "http://localhost:3000", ""])
def test_web_pages_are_not_answered(origin):
    with pytest.raises(TurnedAwayError):
        require_no_browser({"origin": origin})
    require_no_browser({"referer": "x"})
