"""``Answerer`` over real sockets: what providers get, what clients get, and what is remembered of it."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from lastro.errors import DamagedError, DeniedError, NotFoundError, StorageFullError
from lastro.gateway.asking import AskedRequest
from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import Dialect, Ended, ErrorKind, Failed, TextDelta, ToolCallBegan
from lastro.gateway.exchange import AttemptOutcome, ExchangeOutcome, Visible
from lastro.gateway.keys import GatewayKey
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind
from lastro.gateway.route import Candidate, Origin
from lastro.gateway.settings import Bounds, Circuit
from tests.answering_kit import BASE, PLACEHOLDER, SECRET, asking, bench, candidate, heard, taken
from tests.upstreams import Call, Fault, FaultKind, Says, Turn, refusing_upstream, scripted_upstream
from tests.upstreams.rendering import events

CALLS = (Call(id="call_a", name="write", arguments='{"path": "a"}'),)
HELLO = Says(text="hello there")
WITH_CALLS = Says(text="hello there", calls=CALLS)
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
EACH = pytest.mark.parametrize("dialect", Dialect)


def run(scene):
    return asyncio.run(scene)


def turn(kind=None, *, says=HELLO, at=0, status=500, retry_after_s=None, pause_s=0.0):
    fault = None if kind is None else Fault(kind=kind, at=at, status=status, retry_after_s=retry_after_s)
    return Turn(says=says, fault=fault, pause_s=pause_s)


@asynccontextmanager
async def scene(*scripts, dialects=(Dialect.CHAT,), local=False, **options):
    """An answerer over providers p0, p1, … with these scripts; ``dialects`` repeat."""
    async with asyncio.timeout(20):
        opened = [scripted_upstream(script) for script in scripts]
        upstreams = [await one.__aenter__() for one in opened]
        try:
            candidates = [
                candidate(f"p{place}", upstream.base_url, dialects[place % len(dialects)], local=local)
                for place, upstream in enumerate(upstreams)
            ]
            async with bench(candidates, **options) as parts:
                yield parts, upstreams
        finally:
            for one in opened:
                await one.__aexit__(None, None, None)


async def ask(parts, request):
    answer = await parts.answerer.answer(request)
    body = await taken(answer)
    return answer, body


def fault_name(value):
    return f"{value.fault.kind.value}{value.fault.status}"


def words(happenings):
    return "".join(one.text for one in happenings if isinstance(one, TextDelta))


# What providers and clients get ---------------------------------------------------------------------------------------------------------


@EACH
@BOTH
def test_the_same_dialect_is_passed_on_untouched_but_for_model_and_key(dialect, stream):
    async def play():
        async with scene([turn(says=WITH_CALLS)], dialects=(dialect,)) as (parts, (upstream,)):
            request = asking(dialect, stream=stream)
            answer, body = await ask(parts, request)
            got = upstream.requests[0]
            assert got.body == codec_of(dialect).with_model(request.body, "model-of-p0")
            if stream:
                assert body == b"".join(events(dialect.value, "model-of-p0", WITH_CALLS))
            assert got.model == "model-of-p0"
            assert "key-of-p0" in str(got.headers)
            assert "lastro-client" not in got.raw.decode()
            assert "cookie" not in got.headers
            assert got.headers["user-agent"] == "tests/1"
            assert answer.headers["x-lastro-provider"] == "p0"
            assert parts.recorder.last.outcome is ExchangeOutcome.ANSWERED
            assert parts.recorder.last.attempts[0].visible is Visible.ALL

    run(play())


def test_headers_of_the_dialect_go_on_and_others_do_not():
    async def play():
        async with scene([turn()], dialects=(Dialect.MESSAGES,)) as (parts, (upstream,)):
            request = asking(Dialect.MESSAGES)
            headers = {
                **request.headers,
                "anthropic-version": "2024-01-01",
                "anthropic-beta": "tools-1",
                "x-lastro-task": "edit",
                "connection": "close",
                "x-forwarded-for": "10.0.0.1",
                "x-api-key": "lastro-client",
            }
            sent = AskedRequest(
                dialect=request.dialect,
                body=request.body,
                headers=headers,
                query="beta=true&key=lastro-client",
            )
            answer, _ = await ask(parts, sent)
            got = upstream.requests[0]
            assert got.headers["anthropic-version"] == "2024-01-01"
            assert got.headers["anthropic-beta"] == "tools-1"
            assert got.headers["x-api-key"] == "key-of-p0"
            assert not {"x-lastro-task", "x-forwarded-for"} & set(got.headers)
            assert got.target == "/v1/messages?beta=true"
            assert "set-cookie" not in answer.headers

    run(play())


@pytest.mark.parametrize("source", Dialect)
@EACH
@BOTH
def test_every_dialect_is_answered_from_every_other(dialect, source, stream):
    async def play():
        async with scene([turn(says=WITH_CALLS)], dialects=(source,)) as (parts, (upstream,)):
            answer, body = await ask(parts, asking(dialect, stream=stream))
            happenings = heard(dialect, answer, body)
            assert words(happenings) == "hello there"
            assert [one.name for one in happenings if isinstance(one, ToolCallBegan)] == ["write"]
            assert any(isinstance(one, Ended) for one in happenings)
            assert upstream.requests[0].dialect == source.value
            used = parts.recorder.last.used
            assert (used.input, used.output) == (11, 7)
            assert not parts.recorder.last.used_estimated

    run(play())


def test_a_gemini_stream_without_sse_is_one_array_that_grows():
    async def play():
        async with scene([turn(says=WITH_CALLS)], dialects=(Dialect.GEMINI,)) as (parts, (upstream,)):
            request = asking(Dialect.GEMINI)
            answer, body = await ask(
                parts,
                AskedRequest(
                    dialect=request.dialect, body=request.body, model="auto", stream=True, array=True
                ),
            )
            assert "alt=sse" in upstream.requests[0].target
            assert answer.headers["content-type"] == "application/json"
            said = json.loads(body)
            assert said[-1]["candidates"][0]["finishReason"] == "STOP"
            assert (
                "".join(one["candidates"][0]["content"]["parts"][0].get("text", "") for one in said)
                == "hello there"
            )

    run(play())


def test_settings_that_are_lost_between_dialects_are_named():
    async def play():
        async with scene([turn()], dialects=(Dialect.MESSAGES,)) as (parts, _):
            body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "logit_bias": {"1": 2}}
            answer, _ = await ask(parts, AskedRequest(dialect=Dialect.CHAT, body=json.dumps(body).encode()))
            assert answer.headers["x-lastro-lost"] == "logit_bias"
            assert parts.recorder.last.losses == ("logit_bias",)

    run(play())


@EACH
@BOTH
def test_explicit_routes_say_the_origin_inside_the_answer_too(dialect, stream):
    async def play():
        async with scene([turn()], dialects=(dialect,), origin=Origin.EXPLICIT) as (parts, _):
            answer, body = await ask(parts, asking(dialect, stream=stream))
            heard(dialect, answer, body)
            if stream:
                assert answer.headers["x-lastro-cost"] == "pending"
                said = json.loads(body.rsplit(b": lastro ", 1)[1])
            else:
                said = json.loads(body)["lastro"]
            assert said["provider"] == "p0"
            assert said["cost"] == "0.000018"
            assert said["exchange"] == answer.headers["x-lastro-exchange"]

    run(play())


@EACH
def test_the_route_limits_what_is_asked_of_a_model(dialect):
    async def play():
        async with scene([turn()], dialects=(dialect,), max_output_tokens=50) as (parts, (upstream,)):
            await ask(parts, asking(dialect))
            envelope = codec_of(dialect).envelope(upstream.requests[0].body, model="m", stream=True)
            assert envelope.max_tokens == 50

    run(play())


# Failover -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (turn(FaultKind.CUT_BEFORE_HEADERS), AttemptOutcome.CONNECT),
        (turn(FaultKind.CUT_AFTER_HEADERS), AttemptOutcome.TRUNCATED),
        (turn(FaultKind.STALL_FIRST), AttemptOutcome.FIRST_BYTE),
        (turn(FaultKind.STATUS, status=429, retry_after_s=7), AttemptOutcome.RATE_LIMITED),
        (turn(FaultKind.STATUS, status=500), AttemptOutcome.SERVER_ERROR),
        (turn(FaultKind.STATUS, status=529), AttemptOutcome.SERVER_ERROR),
        (turn(FaultKind.STATUS, status=401), AttemptOutcome.REJECTED),
        (turn(FaultKind.STATUS, status=404), AttemptOutcome.REJECTED),
        (turn(FaultKind.WEB_PAGE), None),
        (turn(FaultKind.ERROR_BODY), None),
        (turn(FaultKind.MALFORMED), None),
    ],
    ids=lambda value: fault_name(value) if isinstance(value, Turn) else "",
)
@BOTH
def test_what_happens_before_the_first_content_is_invisible(fault, outcome, stream):
    async def play():
        async with scene([fault], [turn(says=WITH_CALLS)]) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT, stream=stream))
            assert answer.status == 200
            assert words(heard(Dialect.CHAT, answer, body)) == "hello there"
            assert answer.headers["x-lastro-provider"] == "p1"
            ended = parts.recorder.last
            assert ended.provider == "p1"
            assert ended.attempts[-1].outcome is AttemptOutcome.ANSWERED
            if outcome is not None:
                assert ended.attempts[0].outcome is outcome
                assert int(answer.headers["x-lastro-attempts"]) == len(ended.attempts)

    run(play())


def test_nobody_listening_is_invisible_too():
    async def play():
        async with refusing_upstream() as url, scripted_upstream() as upstream:
            choices = [
                candidate("gone", url, Dialect.CHAT),
                candidate("here", upstream.base_url, Dialect.CHAT),
            ]
            async with bench(choices) as parts:
                answer, _ = await ask(parts, asking(Dialect.CHAT))
                assert answer.headers["x-lastro-provider"] == "here"
                assert [one.outcome.value for one in parts.recorder.last.attempts] == ["connect", "answered"]

    run(play())


def test_a_connection_that_closed_while_idle_is_made_anew():
    async def play():
        async with scene([turn(), turn(FaultKind.CUT_BEFORE_HEADERS), turn()]) as (parts, (upstream,)):
            await ask(parts, asking(Dialect.CHAT))
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert words(heard(Dialect.CHAT, answer, body)) == "hello there"
            assert len(upstream.requests) == 3

    run(play())


@EACH
def test_a_cut_after_text_ends_with_the_dialects_error_and_the_next_call_goes_elsewhere(dialect):
    async def play():
        broken = turn(FaultKind.CUT_AT_EVENT, at=len(events(dialect.value, "m", HELLO)) - 3)
        if dialect is Dialect.GEMINI:
            broken = turn(FaultKind.CUT_AT_EVENT, at=1)
        if dialect is Dialect.RESPONSES:
            broken = turn(FaultKind.CUT_AT_EVENT, at=6)
        async with scene([broken], [turn()], dialects=(dialect,)) as (parts, (first, second)):
            request = asking(dialect)
            answer, body = await ask(parts, request)
            happenings = heard(dialect, answer, body)
            assert words(happenings)
            assert isinstance(happenings[-1], Failed)
            assert parts.recorder.last.outcome is ExchangeOutcome.BROKEN
            assert parts.recorder.last.attempts[0].visible is Visible.TEXT
            assert not second.requests
            answer, body = await ask(parts, request)
            assert words(heard(dialect, answer, body)) == "hello there"
            assert len(first.requests) == 1

    run(play())


@pytest.mark.parametrize("stream_status", [400, 422])
@EACH
@BOTH
def test_a_request_that_a_provider_refuses_is_refused_with_its_own_words(dialect, stream, stream_status):
    async def play():
        refusal = turn(FaultKind.STATUS, status=stream_status)
        options = {"dialects": (dialect,), "circuit": Circuit(failures=1)}
        async with scene([refusal], [turn()], **options) as (parts, (_, second)):
            answer, body = await ask(parts, asking(dialect, stream=stream))
            assert answer.status == stream_status
            assert b"scripted" in body
            assert b"p0/" not in body, "untouched"
            assert answer.headers["x-lastro-provider"] == "p0"
            assert not second.requests
            assert parts.circuits.allows("p0", "model-of-p0")

    run(play())


def test_a_refusal_of_another_dialect_is_translated():
    async def play():
        async with scene([turn(FaultKind.STATUS, status=400)], dialects=(Dialect.CHAT,)) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.MESSAGES))
            assert answer.status == 400
            assert json.loads(body)["type"] == "error"

    run(play())


def test_a_wrong_provider_key_never_looks_like_a_wrong_client_key():
    async def play():
        async with scene([turn(FaultKind.STATUS, status=401)]) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert answer.status >= 500
            assert b"gateway's own key" in body
            assert not parts.circuits.allows("p0", "model-of-p0")

    run(play())


def test_text_and_then_an_answer_without_calls_is_an_error_and_recorded_as_broken():
    async def play():
        breaks = turn(FaultKind.CUT_AT_EVENT, says=WITH_CALLS, at=len(events("chat", "m", WITH_CALLS)) - 4)
        async with scene([breaks], [turn(says=Says(text="quite another thing"))]) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT))
            happenings = heard(Dialect.CHAT, answer, body)
            assert words(happenings) == "hello there"
            assert isinstance(happenings[-1], Failed)
            assert parts.recorder.last.outcome is ExchangeOutcome.BROKEN
            assert parts.circuits.allows("p1", "model-of-p1")

    run(play())


def test_a_status_from_far_away_proves_the_network():
    async def play():
        async with scene([turn(FaultKind.STATUS, status=500)]) as (parts, _):
            parts.circuits.enter("lost", "m", local=False).failed(connecting=True, no_route=True)
            assert parts.circuits.network_down
            await ask(parts, asking(Dialect.CHAT))
            assert not parts.circuits.network_down

    run(play())


def test_a_storm_of_429_tells_when_to_come_back_and_leaves_providers_alone():
    async def play():
        storm = turn(FaultKind.STATUS, status=429, retry_after_s=30)
        async with scene([storm], [storm]) as (parts, upstreams):
            answer, _ = await ask(parts, asking(Dialect.CHAT))
            assert answer.status == 429
            assert answer.headers["retry-after"] == "30"
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert isinstance(heard(Dialect.CHAT, answer, body)[0], Failed)
            assert [len(upstream.requests) for upstream in upstreams] == [1, 1]

    run(play())


def test_a_conversation_that_is_too_long_goes_to_a_larger_model_only():
    async def play():
        long_one = [turn(FaultKind.STATUS, status=413)]
        async with (
            scripted_upstream(long_one) as small,
            scripted_upstream() as same,
            scripted_upstream() as large,
        ):
            choices = [
                candidate("small", small.base_url, Dialect.CHAT, context=1000),
                candidate("same", same.base_url, Dialect.CHAT, context=1000),
                candidate("large", large.base_url, Dialect.CHAT, context=9000),
            ]
            async with bench(choices, circuit=Circuit(failures=1)) as parts:
                answer, _ = await ask(parts, asking(Dialect.CHAT))
                assert answer.headers["x-lastro-provider"] == "large"
                assert not same.requests
                assert parts.recorder.last.attempts[0].outcome is AttemptOutcome.CONTEXT
                assert parts.circuits.allows("small", "model-of-small")

    run(play())


def test_the_route_bounds_the_attempts():
    async def play():
        fails = [turn(FaultKind.STATUS, status=500)]
        async with scene(fails, fails, fails, attempts=2) as (parts, upstreams):
            answer, _ = await ask(parts, asking(Dialect.CHAT))
            assert answer.status == 500
            assert [len(upstream.requests) for upstream in upstreams] == [1, 1, 0]

    run(play())


def test_content_without_words_in_the_other_dialect_goes_to_one_that_has_them():
    async def play():
        async with scene([turn()], [turn()], dialects=(Dialect.MESSAGES, Dialect.CHAT)) as (
            parts,
            (first, _),
        ):
            audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
            body = {"model": "auto", "messages": [{"role": "user", "content": [audio]}]}
            answer, _ = await ask(parts, AskedRequest(dialect=Dialect.CHAT, body=json.dumps(body).encode()))
            assert answer.headers["x-lastro-provider"] == "p1"
            assert not first.requests
            assert parts.recorder.last.attempts[0].outcome is AttemptOutcome.UNEXPRESSED

    run(play())


def test_with_the_network_down_the_offline_model_stands_in_and_says_so(monkeypatch):
    async def play():
        async with scripted_upstream() as near, scripted_upstream() as far:
            stand_in = candidate("offline", near.base_url, Dialect.CHAT, local=True, degraded=True)
            # A name whose look-up fails as it does without a network.
            gone = far.base_url.replace("127.0.0.1", "far.example")
            choices = [candidate("far", gone, Dialect.CHAT)]
            async with bench(choices, stand_ins=[stand_in], attempts=1) as parts:
                answer, _ = await ask(parts, asking(Dialect.CHAT))
                assert answer.headers["x-lastro-provider"] == "offline"
                assert answer.headers["x-lastro-degraded"] == "true"
                assert parts.recorder.last.degraded
                assert parts.circuits.network_down

    def no_names(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    run(play())


# Patience, bounds, and clients that leave -----------------------------------------------------------------------------------------------


def test_a_client_that_waits_for_held_calls_gets_signs_of_life():
    async def play():
        slow = turn(says=Says(calls=CALLS, piece=1), pause_s=0.02)
        bounds = Bounds(first_byte_s=5, between_bytes_s=5, keep_alive_s=0.01)
        async with scene([slow], dialects=(Dialect.MESSAGES,), bounds=bounds) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.MESSAGES))
            assert body.startswith(b"event: ping")
            assert answer.headers["x-lastro-provider"] == "pending", "who answers is not known yet"
            happenings = heard(Dialect.MESSAGES, answer, body)
            assert [one.name for one in happenings if isinstance(one, ToolCallBegan)] == ["write"]
            assert parts.recorder.last.provider == "p0"

    run(play())


def test_after_a_sign_of_life_an_error_stands_in_the_stream():
    async def play():
        stalls = turn(FaultKind.STALL_AT_EVENT, at=1)
        bounds = Bounds(first_byte_s=5, between_bytes_s=0.1, keep_alive_s=0.02)
        async with scene([stalls], bounds=bounds) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert answer.status == 200
            assert isinstance(heard(Dialect.CHAT, answer, body)[-1], Failed)
            assert parts.recorder.last.outcome is ExchangeOutcome.FAILED
            assert parts.recorder.last.attempts[0].outcome is AttemptOutcome.BETWEEN_BYTES

    run(play())


@EACH
def test_a_client_that_leaves_ends_the_call_and_is_recorded_once(dialect):
    async def play():
        endless = turn(says=Says(text="word " * 2000), pause_s=0.005)
        async with scene([endless], dialects=(dialect,)) as (parts, (upstream,)):
            answer = await parts.answerer.answer(asking(dialect))
            await anext(answer.body)
            await answer.aclose()
            ended = parts.recorder.last
            assert ended.outcome is ExchangeOutcome.ABANDONED
            assert ended.attempts[0].outcome is AttemptOutcome.ABANDONED
            assert ended.used_estimated
            assert ended.cost
            assert parts.purse.holds[0].settled == [(ended.cost, ended.used.input + ended.used.output)]
            assert parts.circuits.in_flight("p0", "model-of-p0") == 0
            assert parts.circuits.allows("p0", "model-of-p0")
            await upstream.left.wait()

    run(play())


def test_a_client_that_leaves_before_the_first_byte_is_recorded_too():
    async def play():
        async with scene([turn(FaultKind.STALL_FIRST)], bounds=Bounds()) as (parts, (upstream,)):
            task = asyncio.ensure_future(parts.answerer.answer(asking(Dialect.CHAT)))
            await upstream.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert parts.recorder.last.outcome is ExchangeOutcome.ABANDONED
            assert len(parts.recorder.ended) == 1

    run(play())


@BOTH
def test_an_answer_that_is_too_large_ends(stream):
    async def play():
        large = turn(says=Says(text="x" * 20_000, piece=1000))
        bounds = Bounds(answer_bytes=10_000)
        async with scene([large], [turn()], bounds=bounds) as (parts, (_, second)):
            answer, body = await ask(parts, asking(Dialect.CHAT, stream=stream))
            assert isinstance(heard(Dialect.CHAT, answer, body)[-1], Failed)
            assert not second.requests

    run(play())


def test_all_attempts_together_have_one_limit_of_time():
    async def play():
        drips = turn(says=Says(text="word " * 500), pause_s=0.01)
        bounds = Bounds(total_s=0.15)
        async with scene([drips], bounds=bounds) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert isinstance(heard(Dialect.CHAT, answer, body)[-1], Failed)
            assert parts.recorder.last.attempts[0].outcome is AttemptOutcome.TOTAL

    run(play())


def test_a_provider_that_keeps_its_connection_open_after_the_end_holds_nobody_up():
    async def play():
        # The last event is the one after all calls: everything was said, and then nothing more comes.
        last = len(events("chat", "m", WITH_CALLS)) - 1
        hangs = turn(FaultKind.STALL_AT_EVENT, says=WITH_CALLS, at=last)
        async with scene([hangs], bounds=Bounds(between_bytes_s=60)) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert [one.name for one in heard(Dialect.CHAT, answer, body) if isinstance(one, ToolCallBegan)]
            assert parts.recorder.last.outcome is ExchangeOutcome.ANSWERED

    run(play())


# Refusals, secrets, steps, records ------------------------------------------------------------------------------------------------------


@EACH
@BOTH
def test_a_budget_stops_the_call_before_it_is_made(dialect, stream):
    async def play():
        async with scene([turn()], dialects=(dialect,)) as (parts, (upstream,)):
            parts.purse.error = DeniedError("The budget {name} is spent.", hint="Raise it.", name="day")
            answer, body = await ask(parts, asking(dialect, stream=stream))
            failed = codec_of(dialect).decode_error(answer.status, answer.headers, body)
            assert "The budget day is spent" in failed.text
            assert failed.kind in (
                ErrorKind.BUDGET,
                ErrorKind.RATE_LIMIT,
                ErrorKind.PERMISSION,
                ErrorKind.INVALID,
            )
            assert answer.headers["x-lastro-exchange"] == parts.recorder.last.id
            assert parts.recorder.last.outcome is ExchangeOutcome.REFUSED
            assert not upstream.requests

    run(play())


@pytest.mark.parametrize("text", ["", "well, "])
def test_an_attempt_after_one_that_cost_something_is_paid_for_before_it_is_made(text):
    async def play():
        says = Says(text=text, calls=CALLS)
        breaks = turn(FaultKind.CUT_AT_EVENT, says=says, at=len(events("chat", "m", says)) - 4)
        async with scene([breaks], [turn(says=says)]) as (parts, (_, second)):
            parts.purse.most = 1
            answer, body = await ask(parts, asking(Dialect.CHAT))
            failed = heard(Dialect.CHAT, answer, body)[-1]
            assert "The budget day is spent" in failed.text
            assert not second.requests
            assert len(parts.purse.holds[0].settled) == 1
        async with scene([breaks], [turn(says=says)]) as (parts, _):
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert [one.name for one in heard(Dialect.CHAT, answer, body) if isinstance(one, ToolCallBegan)]
            first, second = (hold.settled for hold in parts.purse.holds)
            assert first == [(parts.recorder.last.cost, parts.recorder.last.cost)]
            assert second == [(0, 0)]
        async with scene([turn(FaultKind.STATUS, status=500)], [turn()]) as (parts, _):
            await ask(parts, asking(Dialect.CHAT))
            assert len(parts.purse.holds) == 1, "what cost nothing needs no second budget"

    run(play())


def test_a_body_that_is_none_is_refused_in_the_dialects_form():
    async def play():
        async with scene([turn()]) as (parts, (upstream,)):
            for dialect in Dialect:
                answer, body = await ask(parts, AskedRequest(dialect=dialect, body=b"[1", model="m"))
                assert answer.status == 400
                assert json.loads(body)["error"]["message"]
                assert parts.recorder.last.outcome is ExchangeOutcome.REFUSED
            assert not upstream.requests

    run(play())


@pytest.mark.parametrize("source", Dialect)
@BOTH
def test_secrets_are_taken_out_before_a_request_leaves_and_put_back_into_calls(source, stream):
    async def play():
        says = Says(
            text="ok",
            calls=(Call(id="c", name="write", arguments=json.dumps({"path": PLACEHOLDER})),),
            piece=3,
        )
        options = {"dialects": (source,), "redaction": True}
        async with scene([turn(says=says)], **options) as (parts, (upstream,)):
            answer, body = await ask(parts, asking(Dialect.CHAT, text=f"use {SECRET}", stream=stream))
            assert SECRET.encode() not in upstream.requests[0].raw
            assert PLACEHOLDER.encode() in upstream.requests[0].body
            arguments = "".join(getattr(one, "arguments", "") for one in heard(Dialect.CHAT, answer, body))
            assert json.loads(arguments) == {"path": SECRET}
            bodies = parts.recorder.bodies[answer.headers["x-lastro-exchange"]]
            assert all(SECRET.encode() not in one for one in (bodies.request, bodies.sent, bodies.answer))
            assert parts.recorder.begun[bodies and answer.headers["x-lastro-exchange"]].redacted == 1

    run(play())


def test_what_stays_on_this_network_keeps_its_secrets_but_the_record_does_not():
    async def play():
        async with scene([turn()], local=True, redaction=True) as (parts, (upstream,)):
            answer, _ = await ask(parts, asking(Dialect.CHAT, text=f"use {SECRET}"))
            assert SECRET.encode() in upstream.requests[0].body
            bodies = parts.recorder.bodies[answer.headers["x-lastro-exchange"]]
            assert SECRET.encode() not in bodies.request + bodies.sent

    run(play())


@pytest.mark.parametrize("fault", [DamagedError("It cannot be read."), RuntimeError("a defect")])
def test_a_fault_in_redaction_lets_nothing_leave(fault):
    async def play():
        async with scene([turn()], redaction=True) as (parts, (upstream,)):
            parts.redactor.error = fault
            answer, body = await ask(parts, asking(Dialect.CHAT, text=f"use {SECRET}"))
            assert answer.status >= 400
            assert json.loads(body)["error"]["message"]
            assert SECRET.encode() not in body
            assert not upstream.requests

    run(play())


def test_a_fault_in_redaction_leaves_local_models():
    async def play():
        async with scripted_upstream() as near, scripted_upstream() as far:
            choices = [
                candidate("far", far.base_url, Dialect.CHAT),
                candidate("near", near.base_url, Dialect.CHAT, local=True),
            ]
            async with bench(choices, redaction=True) as parts:
                parts.redactor.error = DamagedError("It cannot be read.")
                answer, _ = await ask(parts, asking(Dialect.CHAT, text=f"use {SECRET}"))
                assert answer.headers["x-lastro-provider"] == "near"
                assert not far.requests
                assert parts.recorder.bodies[answer.headers["x-lastro-exchange"]] is None

    run(play())


def test_what_cannot_be_recorded_is_not_asked():
    async def play():
        async with scene([turn()]) as (parts, (upstream,)):
            parts.recorder.error = StorageFullError("The disk is full.")
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert answer.status >= 500
            assert b"The disk is full" in body
            assert not upstream.requests
            assert parts.purse.holds[0].settled == [(0, 0)]

    run(play())


def test_routes_without_recording_keep_no_bodies():
    async def play():
        async with scene([turn()], recording=False) as (parts, _):
            answer, _ = await ask(parts, asking(Dialect.CHAT))
            assert parts.recorder.bodies[answer.headers["x-lastro-exchange"]] is None
            assert parts.recorder.last.attempts

    run(play())


def test_a_run_is_told_of_each_step():
    async def play():
        async with scene([turn()]) as (parts, _):
            key = GatewayKey(id="k", name="k", digest="", run="run-1", steps="/run/s.sock")
            request = asking(Dialect.CHAT)
            for _ in range(2):
                await ask(parts, AskedRequest(dialect=request.dialect, body=request.body, key=key))
            assert parts.steps.noticed == [("run-1", 1), ("run-1", 2)]
            assert [began.step for began in parts.recorder.begun.values()] == [1, 2]
            assert parts.recorder.last.step_seen

    run(play())


def offline():
    engine = Provider(name="offline", kind=ProviderKind.OFFLINE, base_url="", local=True)
    return Candidate(provider=engine, model="smollm2", facts=ModelFacts(), dialect=Dialect.CHAT)


@EACH
def test_the_offline_engine_is_started_and_asked(dialect):
    async def play():
        async with scripted_upstream() as upstream, bench([offline()]) as parts:
            parts.engine.base_url = upstream.base_url
            answer, body = await ask(parts, asking(dialect))
            assert words(heard(dialect, answer, body)) == "hello"
            assert answer.headers["x-lastro-provider"] == "offline"
            assert upstream.requests[0].model == "smollm2"
            assert upstream.requests[0].headers["authorization"] == "Bearer key-of-engine"
            assert parts.recorder.last.cost == 0

    run(play())


@pytest.mark.parametrize(
    ("error", "status"),
    [(DamagedError("The weights are cut off."), 500), (NotFoundError("It was not pulled."), 404)],
)
def test_an_engine_that_cannot_answer_says_why(error, status):
    async def play():
        async with bench([offline()]) as parts:
            parts.engine.error = error
            answer, body = await ask(parts, asking(Dialect.CHAT))
            assert answer.status == status
            assert str(error).encode() in body
            assert parts.recorder.last.outcome is ExchangeOutcome.FAILED
            assert parts.circuits.allows("offline", "smollm2")

    run(play())


def test_a_missing_provider_key_is_passed_over():
    async def play():
        async with scene([turn()], [turn()]) as (parts, (first, _)):
            parts.credentials.missing = frozenset({"p0"})
            answer, _ = await ask(parts, asking(Dialect.CHAT))
            assert answer.headers["x-lastro-provider"] == "p1"
            assert not first.requests

    run(play())


def test_a_stream_that_says_no_usage_is_estimated_and_marked():
    async def play():
        async with scene([turn()]) as (parts, _):
            body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            await ask(parts, AskedRequest(dialect=Dialect.CHAT, body=json.dumps(body).encode()))
            ended = parts.recorder.last
            assert ended.used_estimated
            assert ended.used.input
            assert ended.used.output
            assert ended.cost

    run(play())


def test_half_open_circuits_let_one_probe_through():
    async def play():
        script = [turn(FaultKind.STATUS, status=401), turn(pause_s=0.05)]
        circuit = Circuit(pause_s=0.05)
        async with scene(script, [turn()], circuit=circuit) as (parts, (first, _)):
            await ask(parts, asking(Dialect.CHAT))
            assert not parts.circuits.allows("p0", "model-of-p0")
            await asyncio.sleep(0.06)
            answers = await asyncio.gather(*(ask(parts, asking(Dialect.CHAT)) for _ in range(6)))
            assert sorted(answer.headers["x-lastro-provider"] for answer, _ in answers) == ["p0"] + ["p1"] * 5
            assert len(first.requests) == 2
            assert parts.circuits.allows("p0", "model-of-p0")

    run(play())


# Counting -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "name"), [(Dialect.MESSAGES, "input_tokens"), (Dialect.GEMINI, "totalTokens")]
)
def test_tokens_are_counted_by_a_provider_of_the_dialect_else_estimated(dialect, name):
    async def play():
        async with scene([turn()], dialects=(dialect,), redaction=True) as (parts, (upstream,)):
            request = asking(dialect, text=f"use {SECRET}", stream=False)
            answer = await parts.answerer.count_tokens(request)
            assert json.loads(answer.body) == {name: 11}
            assert "x-lastro-estimated" not in answer.headers
            assert SECRET.encode() not in upstream.requests[0].raw
            assert not parts.recorder.begun
        async with scene([turn()], dialects=(Dialect.CHAT,)) as (parts, (upstream,)):
            answer = await parts.answerer.count_tokens(request)
            assert json.loads(answer.body)[name] > 0
            assert answer.headers["x-lastro-estimated"] == "true"
            assert not upstream.requests

    run(play())


@EACH
@BOTH
@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_provider_that_repeats_its_key_in_an_error_tells_it_to_nobody(dialect, stream, status):
    async def play():
        error = json.dumps({"error": {"message": "wrong key: key-of-p0", "code": "key-of-p0"}}).encode()

        async def refuse(request):
            await request.read()
            return web.Response(status=status, body=error, content_type="application/json")

        runner = web.ServerRunner(web.Server(refuse))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        refusing = candidate("p0", f"http://127.0.0.1:{port}{BASE[dialect]}", dialect)
        try:
            async with bench([refusing]) as parts:
                answer, body = await ask(parts, asking(dialect, stream=stream))
                ended, bodies = parts.recorder.last, parts.recorder.bodies
        finally:
            await runner.cleanup()
        assert answer.status >= 400
        told = (body, str(answer.headers).encode(), repr(ended).encode(), repr(bodies).encode())
        assert not any(b"key-of-p0" in text for text in told)

    run(play())
