"""Origin in headers, in answers and in streams."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.dialects.sse import format_event
from lastro.gateway.origin import AnswerOrigin, JsonArray, dollars, kept_headers, origin_headers, with_origin

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(text=st.text())
def test_nothing_in_a_name_ends_a_header(text):
    headers = origin_headers(
        AnswerOrigin(exchange="x-1", model=text, provider=text, route=text, lost=(text,))
    )
    assert all(" " <= letter <= "~" for value in headers.values() for letter in value)


@given(cost=st.integers(0, 10**12))
def test_money_is_an_exact_decimal(cost):
    whole, _, rest = dollars(cost).partition(".")
    assert int(whole) * 1_000_000 + int(rest) == cost
    assert len(rest) == 6


def test_unknown_is_not_free():
    assert dollars(None) == "unknown"
    assert dollars(0) == "0.000000"


@given(answer=st.dictionaries(st.text(), JSON), indent=st.sampled_from((None, 1)))
def test_an_explicit_answer_is_the_answer_and_its_origin(answer, indent):
    answer.pop("lastro", None)
    body = json.dumps(answer, indent=indent).encode() + b"\n"
    said = json.loads(with_origin(body, AnswerOrigin(exchange="x-1", provider="p")))
    assert said.pop("lastro")["provider"] == "p"
    assert said == answer


def test_cookies_and_connections_of_providers_end_here():
    headers = {
        "set-cookie": "a=b",
        "connection": "close",
        "transfer-encoding": "chunked",
        "content-length": "3",
        "anthropic-ratelimit-requests-remaining": "9",
        "request-id": "req",
        "retry-after": "3",
    }
    kept = kept_headers(headers, Dialect.MESSAGES)
    assert set(kept) == {"anthropic-ratelimit-requests-remaining", "request-id", "retry-after"}


@given(values=st.lists(JSON), size=st.integers(1, 50))
def test_a_stream_as_an_array_holds_what_its_events_hold(values, size):
    stream = b"".join(format_event(json.dumps(value).encode()) + b"\n\n" for value in values)
    array = JsonArray()
    pieces = [array.feed(stream[start : start + size]) for start in range(0, len(stream), size)]
    assert json.loads(b"".join(pieces) + array.finish()) == values


@given(text=st.text(st.characters(codec=None)))
def test_what_a_provider_puts_in_a_header_cannot_cost_its_answer(text):
    kept = kept_headers({"x-request-id": text, "x-ratelimit-left": text, "set-cookie": text}, Dialect.CHAT)
    assert set(kept) == {"x-request-id", "x-ratelimit-left"}
    assert all(" " <= letter <= "~" for value in kept.values() for letter in value)
