"""Which path means what, whatever stands before it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, strategies

from lastro.gateway.addresses import Verb, address_of, likely_dialect
from lastro.gateway.dialects.neutral import Dialect

PREFIXES = strategies.lists(strategies.sampled_from(["/v1", "/v1beta", "/openai"]), max_size=3).map("".join)


@given(
    PREFIXES,
    strategies.sampled_from(
        [
            ("/chat/completions", Verb.ANSWER, Dialect.CHAT),
            ("/responses", Verb.ANSWER, Dialect.RESPONSES),
            ("/messages", Verb.ANSWER, Dialect.MESSAGES),
            ("/messages/count_tokens", Verb.COUNT, Dialect.MESSAGES),
        ]
    ),
    strategies.sampled_from(["", "/"]),
)
def test_version_segments_in_front_mean_nothing(prefix, fixed, end):
    path, verb, dialect = fixed
    found = address_of(prefix + path + end, {})
    assert found is not None
    assert (found.verb, found.dialect, found.method) == (verb, dialect, "POST")


@given(PREFIXES, strategies.text(min_size=1, max_size=30), strategies.booleans())
def test_a_gemini_path_names_any_model(prefix, model, stream):
    verb = "streamGenerateContent" if stream else "generateContent"
    found = address_of(f"{prefix}/models/{quote(model, safe='')}:{verb}", {})
    assert found is not None
    assert (found.verb, found.dialect, found.model, found.stream) == (
        Verb.ANSWER,
        Dialect.GEMINI,
        model,
        stream,
    )


def test_a_model_may_hold_slashes_and_colons():
    for written in ("offline/smollm2", "offline%2Fsmollm2"):
        found = address_of(f"/v1beta/models/{written}:countTokens", {})
        assert found is not None and (found.verb, found.model) == (Verb.COUNT, "offline/smollm2")
    found = address_of("/v1beta/models/openrouter/a/b:free:generateContent", {})
    assert found is not None and found.model == "openrouter/a/b:free"


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/models", {}, Dialect.CHAT),
        ("/models", {}, Dialect.CHAT),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, Dialect.MESSAGES),
        ("/v1beta/models", {}, Dialect.GEMINI),
        ("/v1beta/openai/models", {}, Dialect.CHAT),
        ("/v1/models/offline/smollm2", {"x-goog-api-key": "k"}, Dialect.GEMINI),
    ],
)
def test_the_list_of_models_has_the_form_of_whoever_asks(path, headers, dialect):
    found = address_of(path, headers)
    assert found is not None
    assert (found.verb, found.dialect, found.method) == (Verb.MODELS, dialect, "GET")


def test_the_gateways_own_paths():
    for path in ("/healthz", "/health", "/", "/v1"):
        found = address_of(path, {})
        assert found is not None and found.verb is Verb.HEALTH
    found = address_of("/lastro/exchanges/x-01ABC", {})
    assert found is not None and (found.verb, found.name) == (Verb.EXCHANGE, "x-01ABC")


@pytest.mark.parametrize(
    "path", ["/v2/messages", "/v1/embeddings", "/v1x/messages", "/etc/passwd", "/v1/models:x"]
)
def test_other_paths_are_nothing(path):
    assert address_of(path, {}) is None


def test_an_unknown_path_is_refused_in_the_likely_form():
    assert likely_dialect("/v1/messages/batches") is Dialect.MESSAGES
    assert likely_dialect("/v1beta/cachedContents") is Dialect.GEMINI
    assert likely_dialect("/v1/embeddings") is Dialect.CHAT
