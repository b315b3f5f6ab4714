"""Addresses, headers and bodies of calls to providers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.asking import AskedRequest
from lastro.gateway.calling import Asked, call_body, call_headers, call_url, count_url, path_of
from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import Dialect
from tests.answering_kit import asking, candidate

URLS = {
    Dialect.CHAT: "http://h/v1/chat/completions",
    Dialect.RESPONSES: "http://h/v1/responses",
    Dialect.MESSAGES: "http://h/v1/messages",
    Dialect.GEMINI: "http://h/v1/models/model-of-p:streamGenerateContent?alt=sse",
}


def asked(request, limit=0):
    codec = codec_of(request.dialect)
    envelope = codec.envelope(request.body, model=request.model, stream=request.stream)
    return Asked(request=request, codec=codec, envelope=envelope, max_output_tokens=limit)


@pytest.mark.parametrize("dialect", Dialect)
def test_each_dialect_has_its_address(dialect):
    choice = candidate("p", "http://h/v1", dialect)
    assert call_url("http://h/v1", asked(asking(dialect)), choice) == URLS[dialect]


def test_a_gemini_model_stands_in_the_address_and_cannot_leave_it():
    choice = candidate("p", "http://h/v1beta", Dialect.GEMINI)
    choice = type(choice)(
        provider=choice.provider, model="../a b?c#d", facts=choice.facts, dialect=choice.dialect
    )
    url = call_url("http://h/v1beta", asked(asking(Dialect.GEMINI, stream=False)), choice)
    assert url == "http://h/v1beta/models/../a%20b%3Fc%23d:generateContent"
    assert count_url("http://h/v1beta", choice).endswith(":countTokens")


@pytest.mark.parametrize("query", ["key=lastro-1", "KEY=lastro-1&alt=json", "api_key=x&access_token=y"])
@pytest.mark.parametrize("dialect", Dialect)
def test_no_key_in_a_query_goes_on(dialect, query):
    plain = asking(dialect)
    request = AskedRequest(
        dialect=dialect, body=plain.body, model=plain.model, stream=plain.stream, query=f"{query}&beta=true"
    )
    url = call_url("http://h/v1", asked(request), candidate("p", "http://h/v1", dialect))
    separator = "&" if "?" in URLS[dialect] else "?"
    assert url == f"{URLS[dialect]}{separator}beta=true"
    other = next(one for one in Dialect if one is not dialect)
    assert "beta" not in call_url("http://h/v1", asked(request), candidate("p", "http://h/v1", other))


@given(
    dialect=st.sampled_from(list(Dialect)),
    source=st.sampled_from(list(Dialect)),
    names=st.lists(
        st.sampled_from(
            (
                "authorization",
                "x-api-key",
                "x-goog-api-key",
                "cookie",
                "host",
                "content-length",
                "connection",
                "transfer-encoding",
                "accept-encoding",
                "proxy-authorization",
                "x-lastro-task",
                "openai-organization",
                "x-forwarded-for",
                "content-encoding",
                "origin",
            )
        )
    ),
)
def test_nothing_that_belongs_to_the_client_alone_goes_on(dialect, source, names):
    request = AskedRequest(dialect=dialect, body=b"{}", headers=dict.fromkeys(names, "secret"))
    headers = call_headers(request, candidate("p", "http://h", source), {"Authorization": "Bearer own"})
    assert "secret" not in headers.values()
    assert headers["authorization"] == "Bearer own"
    assert headers["content-type"] == "application/json"


def test_a_key_wins_over_configured_headers_and_a_client_over_the_version():
    choice = candidate("p", "http://h", Dialect.MESSAGES)
    request = AskedRequest(dialect=Dialect.MESSAGES, body=b"{}", headers={"anthropic-version": "new"})
    keys = {"x-api-key": "own", "anthropic-version": "old"}
    assert call_headers(request, choice, keys)["anthropic-version"] == "new"
    other = AskedRequest(dialect=Dialect.CHAT, body=b"{}", headers={"anthropic-version": "new"})
    assert call_headers(other, choice, keys)["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("dialect", Dialect)
def test_a_body_of_the_same_dialect_differs_in_the_model_alone(dialect):
    request = asking(dialect)
    body, losses = call_body(asked(request), request.body, candidate("p", "http://h", dialect))
    expected = request.body
    if dialect is not Dialect.GEMINI:
        expected = expected.replace(b'"model": "auto"', b'"model": "model-of-p"')
    assert body == expected
    assert losses == ()


LIMITED = [
    (Dialect.CHAT, {"messages": []}, {"max_completion_tokens": 9}),
    (Dialect.CHAT, {"messages": [], "max_tokens": 50}, {"max_tokens": 9}),
    (Dialect.CHAT, {"messages": [], "max_completion_tokens": 50}, {"max_completion_tokens": 9}),
    (Dialect.CHAT, {"messages": [], "max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    (Dialect.RESPONSES, {"input": "hi"}, {"max_output_tokens": 9}),
    (Dialect.MESSAGES, {"messages": [], "max_tokens": 10}, {"max_tokens": 9}),
    (Dialect.GEMINI, {"contents": []}, {"generationConfig": {"maxOutputTokens": 9}}),
    (
        Dialect.GEMINI,
        {"contents": [], "generationConfig": None},
        {"generationConfig": {"maxOutputTokens": 9}},
    ),
    (Dialect.GEMINI, {"generationConfig": {}, "contents": []}, {"generationConfig": {"maxOutputTokens": 9}}),
    (
        Dialect.GEMINI,
        {"generationConfig": {"topK": 1}, "contents": []},
        {"generationConfig": {"topK": 1, "maxOutputTokens": 9}},
    ),
]


@pytest.mark.parametrize(("dialect", "before", "changed"), LIMITED)
def test_a_routes_limit_is_written_where_the_dialect_says_it(dialect, before, changed):
    body = json.dumps({**before, "model": "m"}, indent=1).encode()
    request = AskedRequest(dialect=dialect, body=body, model="m")
    sent, _ = call_body(asked(request, limit=9), body, candidate("p", "http://h", dialect))
    model = "m" if dialect is Dialect.GEMINI else "model-of-p"
    assert json.loads(sent) == {**before, **changed, "model": model}


def test_a_path_for_the_record_holds_no_host():
    assert path_of("https://user:word@host/v1/messages?beta=true") == "/v1/messages?beta=true"
