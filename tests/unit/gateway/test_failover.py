"""``Relay``: what passes when, what a cut means in each stage, and answers that are put together from two attempts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.codec import TooLargeError, codec_of
from lastro.gateway.dialects.neutral import (
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
)
from lastro.gateway.exchange import Visible
from lastro.gateway.failover import ClientForm, Relay, Stage
from tests.answering_kit import PLACEHOLDER, SECRET
from tests.upstreams import Call, Says
from tests.upstreams.rendering import events

DIALECTS = st.sampled_from(list(Dialect))
CALLS = (
    Call(id="call_a", name="write", arguments='{"path": "a"}'),
    Call(id="call_b", name="read", arguments='{"path": "b"}'),
)
ANSWERS = st.sampled_from(
    (
        Says(text="one two three"),
        Says(text="one two three", calls=CALLS),
        Says(calls=CALLS[:1]),
        Says(thinking="well", text="one", calls=CALLS),
        Says(thinking="well", text="one two three"),
    )
)


def relay_for(client, *, held_bytes=1 << 20):
    codec = codec_of(client)
    return Relay(
        ClientForm(
            codec=codec,
            encoder=lambda: codec.encoder(id="x-1", model="m", created_s=1),
            held_bytes=held_bytes,
        )
    )


def stream(source, says):
    return events(source.value, "m", says)


class Attempt:
    """Feeds a relay with one attempt."""

    def __init__(self, relay, source, *, restore=None):
        codec = codec_of(source)
        self.relay, self.decoder = relay, codec.decoder()
        relay.begin(codec, restore=restore)

    def feed(self, data):
        return self.relay.take(self.decoder.feed(data))

    def finish(self):
        return self.relay.take(self.decoder.finish()) + (self.relay.complete() or b"")


def read(client, body):
    """What the client understands; an error may end it."""
    decoder = codec_of(client).decoder()
    happenings = [one for frame in decoder.feed(body) for one in frame.happenings]
    if not any(isinstance(one, Failed) for one in happenings):
        happenings += [one for frame in decoder.finish() for one in frame.happenings]
    return happenings


def texts(happenings, kind=TextDelta):
    return "".join(one.text for one in happenings if isinstance(one, kind))


def calls(happenings):
    began = {one.block: one for one in happenings if isinstance(one, ToolCallBegan)}
    arguments = dict.fromkeys(began, "")
    for one in happenings:
        if isinstance(one, ToolCallDelta):
            arguments[one.block] += one.arguments
    return [(began[block].id, began[block].name, json.loads(arguments[block])) for block in began]


def expected(says):
    return [(call.id, call.name, json.loads(call.arguments)) for call in says.calls]


@given(dialect=DIALECTS, says=ANSWERS, size=st.integers(1, 400))
def test_the_same_dialect_passes_the_same_bytes_however_they_are_cut(dialect, says, size):
    body = b"".join(stream(dialect, says))
    attempt = Attempt(relay_for(dialect), dialect)
    passed = [attempt.feed(body[start : start + size]) for start in range(0, len(body), size)]
    assert b"".join(passed) + attempt.finish() == body
    assert attempt.relay.visible is Visible.ALL
    assert attempt.relay.stage is Stage.CLOSED


@given(client=DIALECTS, source=DIALECTS, says=ANSWERS)
def test_another_dialect_gets_the_same_answer(client, source, says):
    attempt = Attempt(relay_for(client), source)
    body = b"".join([attempt.feed(event) for event in stream(source, says)]) + attempt.finish()
    happenings = read(client, body)
    assert texts(happenings) == says.text
    assert texts(happenings, ThinkingDelta) == says.thinking
    assert calls(happenings) == expected(says)


@given(client=DIALECTS, source=DIALECTS, says=ANSWERS, data=st.data())
def test_a_cut_is_unseen_until_something_is_visible_and_again_inside_calls(client, source, says, data):
    sent = stream(source, says)
    count = data.draw(st.integers(0, len(sent) - 1))
    attempt = Attempt(relay_for(client), source)
    passed = b"".join([attempt.feed(event) for event in sent[:count]])
    decoder = codec_of(source).decoder()
    before = [one for frame in decoder.feed(b"".join(sent[:count])) for one in frame.happenings]
    visible = bool(texts(before) or texts(before, ThinkingDelta))
    calling = any(isinstance(one, ToolCallBegan) for one in before)
    assert attempt.relay.visible is (Visible.TEXT if passed else Visible.NOTHING)
    assert not any(isinstance(one, ToolCallBegan) for one in read_open(client, passed))
    again = attempt.relay.cut()
    if passed:
        assert again == calling
    else:
        assert again
        # Gemini says text and the end in one event, and an end waits until it is certain.
        assert not visible or any(isinstance(one, Ended) for one in before) or calling


def read_open(client, body):
    return [one for frame in codec_of(client).decoder().feed(body) for one in frame.happenings]


@given(client=DIALECTS, first=DIALECTS, second=DIALECTS, data=st.data())
def test_text_of_one_attempt_and_calls_of_the_next_make_one_sound_answer(client, first, second, data):
    relay = relay_for(client)
    thinking = data.draw(st.sampled_from(("", "hm")))
    broken = stream(first, Says(thinking=thinking, text="one two three", calls=CALLS))
    attempt = Attempt(relay, first)
    decoder = codec_of(first).decoder()
    until = next(
        place
        for place, event in enumerate(broken)
        if any(isinstance(one, ToolCallBegan) for frame in decoder.feed(event) for one in frame.happenings)
    )
    count = data.draw(st.integers(until + 1, len(broken) - 1))
    body = b"".join([attempt.feed(event) for event in broken[:count]])
    assert relay.cut()
    others = (Call(id="call_z", name="write", arguments='{"path": "zz"}'), CALLS[1])
    says = Says(text="something else", thinking="other thoughts", calls=others)
    attempt = Attempt(relay, second)
    assert relay.stage is Stage.RESUMING
    assert b"".join([attempt.feed(event) for event in stream(second, says)]) == b""
    happenings = read(client, body + attempt.finish())
    assert texts(happenings) == "one two three"
    assert texts(happenings, ThinkingDelta) == thinking
    assert calls(happenings) == expected(says)
    assert sum(isinstance(one, Ended) for one in happenings) == 1


@given(client=DIALECTS, source=DIALECTS)
def test_text_that_was_followed_by_calls_is_not_followed_by_other_text(client, source):
    relay = relay_for(client)
    attempt = Attempt(relay, source)
    sent = stream(source, Says(text="one two three", calls=CALLS))
    body = b"".join([attempt.feed(event) for event in sent[:-1]])
    assert relay.cut()
    attempt = Attempt(relay, source)
    for event in stream(source, Says(text="no calls any more")):
        attempt.feed(event)
    relay.take(attempt.decoder.finish())
    assert relay.complete() is None
    happenings = read(client, body + relay.end(Failed(kind=ErrorKind.INTERNAL, text="no")))
    assert texts(happenings) == "one two three"
    assert isinstance(happenings[-1], Failed)
    assert relay.visible is Visible.TEXT


@given(client=DIALECTS, source=DIALECTS)
def test_an_error_after_text_is_one_that_clients_try_again_after(client, source):
    relay = relay_for(client)
    attempt = Attempt(relay, source)
    body, sent = b"", iter(stream(source, Says(text="one two three")))
    while relay.visible is Visible.NOTHING:
        body += attempt.feed(next(sent))
    assert not relay.cut()
    happenings = read(client, body + relay.end(Failed(kind=ErrorKind.INVALID, text="broken off")))
    assert happenings[-1].kind in (ErrorKind.OVERLOADED, ErrorKind.UPSTREAM)
    assert "broken off" in happenings[-1].text


@given(client=DIALECTS, source=DIALECTS, piece=st.integers(1, 40), data=st.data())
def test_no_end_is_shown_before_it_is_certain(client, source, piece, data):
    sent = stream(source, Says(text="one two three", piece=piece))
    count = data.draw(st.integers(len(sent) - 3, len(sent)))
    relay = relay_for(client)
    attempt = Attempt(relay, source)
    passed = b"".join([attempt.feed(event) for event in sent[: max(count, 0)]])
    assert not any(isinstance(one, Ended) for one in read_open(client, passed))
    if not relay.cut():
        happenings = read(client, passed + relay.end(Failed(kind=ErrorKind.UPSTREAM, text="cut")))
        assert not any(isinstance(one, Ended) for one in happenings)


def test_a_whole_answer_in_one_event_waits_for_its_end():
    relay = relay_for(Dialect.GEMINI)
    chunk = b'data: {"candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": "STOP", "index": 0}]}\n\n'
    attempt = Attempt(relay, Dialect.GEMINI)
    assert attempt.feed(chunk) == b""
    assert attempt.finish() == chunk


@given(client=DIALECTS)
def test_an_error_before_anything_is_an_error_alone(client):
    relay = relay_for(client)
    happenings = read(client, relay.end(Failed(kind=ErrorKind.RATE_LIMIT, text="later")))
    assert isinstance(happenings[-1], Failed)
    assert texts(happenings) == ""


@given(source=DIALECTS)
def test_a_shown_thought_that_is_cut_off_cannot_be_taken_back(source):
    relay = relay_for(source)
    attempt = Attempt(relay, source)
    sent = iter(stream(source, Says(thinking="a long thought", text="well", piece=3)))
    while relay.visible is Visible.NOTHING:
        attempt.feed(next(sent))
    assert not relay.cut()


@pytest.mark.parametrize("source", Dialect)
def test_calls_that_are_too_large_to_hold_pass_as_they_come(source):
    says = Says(
        text="so", calls=(Call(id="c", name="write", arguments=json.dumps({"path": "x" * 4000})),), piece=50
    )
    relay = relay_for(source, held_bytes=600)
    attempt = Attempt(relay, source)
    sent = stream(source, says)
    passed = [attempt.feed(event) for event in sent]
    assert relay.stage is Stage.LOOSE
    assert not relay.cut()
    body = b"".join(passed) + attempt.finish()
    assert body == b"".join(sent)


@pytest.mark.parametrize("source", Dialect)
def test_calls_that_are_too_large_to_hold_never_pass_with_placeholders(source):
    arguments = json.dumps({"path": PLACEHOLDER + "x" * 4000})
    relay = relay_for(source, held_bytes=600)
    attempt = Attempt(relay, source, restore=lambda text: text.replace(PLACEHOLDER, SECRET))
    sent = stream(source, Says(calls=(Call(id="c", name="write", arguments=arguments),), piece=50))
    passed = []
    with pytest.raises(TooLargeError):
        passed.extend(map(attempt.feed, sent))
    assert b"".join(passed) == b""


@given(client=DIALECTS, source=DIALECTS, piece=st.integers(1, 30))
def test_secrets_are_put_back_into_calls_however_their_placeholders_were_cut(client, source, piece):
    arguments = json.dumps({"path": f"p/{PLACEHOLDER}", "other": 1})
    says = Says(
        text=f"I use {PLACEHOLDER}",
        calls=(CALLS[0], Call(id="c", name="write", arguments=arguments)),
        piece=piece,
    )
    attempt = Attempt(relay_for(client), source, restore=lambda text: text.replace(PLACEHOLDER, SECRET))
    body = b"".join([attempt.feed(event) for event in stream(source, says)]) + attempt.finish()
    happenings = read(client, body)
    assert calls(happenings) == [
        ("call_a", "write", {"path": "a"}),
        ("c", "write", {"path": f"p/{SECRET}", "other": 1}),
    ]
    assert texts(happenings) == f"I use {PLACEHOLDER}"


@pytest.mark.parametrize("dialect", Dialect)
def test_a_sign_of_life_says_nothing(dialect):
    relay = relay_for(dialect)
    attempt = Attempt(relay, dialect)
    assert relay.holds
    sent = stream(dialect, Says(text="one", calls=CALLS))
    body = relay.keep_alive() * 2
    for event in sent:
        body += attempt.feed(event)
        if relay.holds:
            body += relay.keep_alive()
    happenings = read(dialect, body + attempt.finish())
    assert texts(happenings) == "one"
    assert calls(happenings) == expected(Says(calls=CALLS))
