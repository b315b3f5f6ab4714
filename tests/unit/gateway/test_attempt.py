"""How a provider's refusal is understood: whose fault it is, and who else may be asked."""

from __future__ import annotations

import json

import pytest

from lastro.gateway.attempt import in_stream_failure, refusal
from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import Dialect, ErrorKind, Failed
from lastro.gateway.exchange import AttemptOutcome


def refused(dialect, status, value, **headers):
    codec = codec_of(dialect)
    return refusal(codec, status, headers, json.dumps(value).encode(), "p/m")


def openai(message, **more):
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def anthropic(message, kind="invalid_request_error"):
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("dialect", "status", "value"),
    [
        (Dialect.CHAT, 402, openai("Insufficient Balance")),
        (Dialect.CHAT, 429, openai("x", code="insufficient_quota")),
        (Dialect.RESPONSES, 403, openai("Your account is not active, please check your billing details.")),
        (Dialect.MESSAGES, 400, anthropic("Your credit balance is too low to access the API.")),
        (Dialect.MESSAGES, 403, anthropic("x", "billing_error")),
        (
            Dialect.GEMINI,
            400,
            {"error": {"code": 400, "message": "Enable billing on the project.", "status": "x"}},
        ),
    ],
)
def test_an_empty_account_opens_the_circuit_and_is_no_budget(dialect, status, value):
    failure = refused(dialect, status, value)
    assert failure.elsewhere
    assert failure.blames
    assert failure.at_once
    assert failure.untouched is None
    assert failure.failed.kind is ErrorKind.UPSTREAM
    assert "account" in failure.failed.text


@pytest.mark.parametrize(
    ("dialect", "status", "value", "headers"),
    [
        (Dialect.CHAT, 400, openai("billing_address is not a property of tools.0"), {}),
        (Dialect.CHAT, 400, openai("insufficient funds, says the text of the user: " + "long " * 200), {}),
        (Dialect.MESSAGES, 429, anthropic("slow down", "rate_limit_error"), {"retry-after": "3"}),
    ],
)
def test_other_refusals_are_what_they_are(dialect, status, value, headers):
    failure = refused(dialect, status, value, **headers)
    assert not failure.at_once
    assert failure.untouched is not None


def test_an_account_that_runs_empty_inside_a_stream_is_the_providers_trouble_too():
    failure = in_stream_failure(Failed(kind=ErrorKind.BUDGET, text="quota"), "p/m", 200)
    assert failure.failed.kind is ErrorKind.UPSTREAM
    assert failure.outcome is AttemptOutcome.REJECTED
    assert failure.at_once
    assert failure.elsewhere
