"""What holds of every codec: nothing lost, nothing invented, nothing that a stranger sends breaks it."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.gateway.dialects.codec import InexpressibleError, MalformedError, TruncatedError, codec_of
from lastro.gateway.dialects.neutral import (
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    OutputFormat,
    Text,
    Thinking,
    ToolCallBegan,
    ToolChoice,
)
from lastro.gateway.dialects.sse import format_event
from tests.gateway_strategies import (
    answers,
    conversations,
    cut,
    failures,
    json_objects,
    json_values,
    said,
    words,
)

CODECS = [codec_of(dialect) for dialect in (Dialect.CHAT, Dialect.MESSAGES)]
codecs = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.dialect.value)
CALLS = st.lists(answers(overlapping=True), min_size=1, max_size=1).map(lambda drawn: drawn[0])


def streamed(codec, happenings):
    encoder = codec.encoder(id="answer-1", model="model-1", created_s=7)
    return b"".join(map(encoder.encode, happenings)) + encoder.finish()


def decoded(codec, parts):
    decoder = codec.decoder()
    return [frame for part in parts for frame in decoder.feed(part)] + decoder.finish()


def happenings_of(frames):
    return [happening for frame in frames for happening in frame.happenings]


@codecs
@given(happenings=answers(overlapping=True))
def test_a_stream_says_what_was_encoded(codec, happenings):
    assert said(happenings_of(decoded(codec, [streamed(codec, happenings)]))) == said(happenings)


@codecs
@given(data=st.data(), happenings=answers(overlapping=True))
def test_no_cut_changes_a_frame_and_no_byte_is_lost(codec, data, happenings):
    stream = streamed(codec, happenings)
    frames = decoded(codec, data.draw(cut(stream)))
    assert b"".join(frame.raw for frame in frames) == stream
    assert frames == decoded(codec, [stream])


@codecs
@given(happenings=answers(), with_ids=st.booleans())
def test_a_whole_answer_says_what_was_encoded(codec, happenings, with_ids):
    events = happenings if with_ids else happenings[1:]
    body = codec.encode_answer(events, id="answer-1", model="model-1", created_s=7)
    expected = said(happenings)
    if not with_ids:
        expected = replace(expected, id="answer-1", model="model-1")
    assert said(codec.decode_answer(body)) == expected


@codecs
@given(data=st.data(), happenings=answers(overlapping=True))
def test_a_stream_that_stops_early_is_truncated_or_complete(codec, data, happenings):
    stream = streamed(codec, happenings)
    part = stream[: data.draw(st.integers(0, len(stream) - 1))]
    decoder = codec.decoder()
    frames = decoder.feed(part)
    try:
        frames += decoder.finish()
    except TruncatedError:
        return
    whole, cut_off = said(happenings), said(happenings_of(frames))
    assert replace(cut_off, used=whole.used) == whole
    assert b"".join(frame.raw for frame in frames) == part


@codecs
@given(happenings=answers(), failed=failures)
def test_an_error_inside_a_stream_ends_it(codec, happenings, failed):
    events = [event for event in happenings if not isinstance(event, Ended)]
    events = [*events[: len(events) // 2], failed]
    stream = streamed(codec, events)
    read = happenings_of(decoded(codec, [stream]))[-1]
    assert isinstance(read, Failed)
    assert read.kind in {failed.kind, *([ErrorKind.UPSTREAM] * (failed.kind is ErrorKind.INTERNAL))}
    assert read.text.endswith(failed.text)


@codecs
@given(failed=failures)
def test_an_error_goes_there_and_back(codec, failed):
    status, headers, body = codec.encode_error(failed)
    assert headers["content-type"] == "application/json"
    read = codec.decode_error(status, headers, body)
    kind = ErrorKind.UPSTREAM if failed.kind is ErrorKind.INTERNAL else failed.kind
    assert (read.kind, read.retry_after_s) == (kind, failed.retry_after_s)
    assert read.text.endswith(failed.text)


def expressible(codec, conversation):
    """The conversation as this dialect can say it, and as it says it back."""
    tools, choice = conversation.tools, conversation.tool_choice
    if codec.dialect is Dialect.CHAT:
        return replace(conversation, top_k=None)
    for part in (part for turn in conversation.turns for part in turn.parts):
        texts = [part] if isinstance(part, Text) else getattr(part, "content", ())
        assume(all(text.text.strip() for text in texts if isinstance(text, Text)))
    assume(all(text.text.strip() for text in conversation.system))
    if conversation.parallel_tool_calls is not None and choice is None:
        choice = ToolChoice()
    form = conversation.output_format
    return replace(
        conversation,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=None
        if choice is not None and choice.mode == "none"
        else conversation.parallel_tool_calls,
        max_tokens=conversation.max_tokens or 5,
        top_p=None if conversation.temperature is not None else conversation.top_p,
        stop=tuple(stop for stop in conversation.stop if stop.strip()),
        seed=None,
        reasoning_effort="",
        output_format=None if form is None or not form.schema else OutputFormat(schema=form.schema),
    )


@codecs
@given(conversation=conversations())
def test_a_request_says_what_was_encoded(codec, conversation):
    conversation = expressible(codec, conversation)
    body, losses = codec.encode_request(conversation)
    assert losses == []
    assert codec.decode_request(body) == (conversation, [])


@codecs
@given(conversation=conversations(with_thinking=True, with_failed=True))
def test_what_a_request_cannot_say_is_named(codec, conversation):
    """Whatever is missing after the way there and back has been said to be missing."""
    body, losses = codec.encode_request(conversation)
    back, more = codec.decode_request(body)
    assert not more
    named = {loss.what for loss in losses}
    assert {loss.dialect for loss in losses} <= {codec.dialect}
    settings = ("top_k", "top_p", "seed", "stop", "temperature", "reasoning_effort")
    for name in settings:
        assert getattr(back, name) == getattr(conversation, name) or name in named
    for number, turn in enumerate(conversation.turns):
        kept = [part for there in back.turns for part in there.parts]
        for at, part in enumerate(turn.parts):
            if isinstance(part, Thinking) and replace(part, of=None) not in kept:
                assert f"turns.{number}.parts.{at}" in named


@codecs
@given(conversation=conversations(), name=words, data=st.data())
def test_only_the_model_changes(codec, conversation, name, data):
    body, _ = codec.encode_request(conversation)
    spaced = json.dumps(json.loads(body), indent=data.draw(st.sampled_from([None, 1])), ensure_ascii=False)
    changed = codec.with_model(spaced.encode(), name)
    assert json.loads(changed) == json.loads(spaced) | {"model": name}
    assert codec.with_model(changed, conversation.model) == spaced.encode()


@codecs
@given(conversation=conversations())
def test_the_envelope_says_what_the_conversation_does(codec, conversation):
    envelope = codec.envelope(codec.encode_request(conversation)[0])
    images = any("Image" in type(part).__name__ for turn in conversation.turns for part in turn.parts)
    expected = conversation.max_tokens
    assert envelope.max_tokens == expected or (expected is None and codec.dialect is Dialect.MESSAGES)
    assert (envelope.model, envelope.stream, envelope.has_tools, envelope.has_images) == (
        conversation.model,
        conversation.stream,
        bool(conversation.tools),
        images,
    )
    assert envelope.usage_asked and envelope.answers == 1


@codecs
@given(data=st.data(), happenings=answers(overlapping=True))
def test_restored_calls_change_and_nothing_else(codec, data, happenings):
    stream = streamed(codec, happenings)
    frames = decoded(codec, [stream])
    calls = [event.block for event in happenings_of(frames) if isinstance(event, ToolCallBegan)]
    restored = {block: data.draw(json_objects) for block in calls if data.draw(st.booleans())}
    changed = codec.restore_calls(frames, restored)
    before = said(happenings_of(frames))
    blocks = tuple(
        (*block[:3], restored.get(number, block[3]), block[4]) for number, block in enumerate(before.blocks)
    )
    assert said(happenings_of(changed)) == replace(before, blocks=blocks)
    assert said(happenings_of(decoded(codec, [frame.raw for frame in changed]))) == replace(
        before, blocks=blocks
    )
    for old, new in zip(frames, changed, strict=True):
        touched = {getattr(event, "block", -1) for event in old.happenings} & set(restored)
        assert touched or old == new


@codecs
@given(data=st.data(), happenings=answers())
def test_restored_calls_of_a_whole_answer_change_and_nothing_else(codec, data, happenings):
    body = codec.encode_answer(happenings, id="a", model="m", created_s=1)
    before = said(codec.decode_answer(body))
    calls = [number for number, block in enumerate(before.blocks) if block[0] == "call"]
    restored = {block: data.draw(json_objects) for block in calls if data.draw(st.booleans())}
    blocks = tuple(
        (*block[:3], restored.get(number, block[3]), block[4]) for number, block in enumerate(before.blocks)
    )
    changed = codec.restore_answer(body, restored)
    assert said(codec.decode_answer(changed)) == replace(before, blocks=blocks)
    assert restored or changed == body


KEYS = [
    "model",
    "messages",
    "system",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "stop_sequences",
    "seed",
    "reasoning_effort",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "n",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "metadata",
    "service_tier",
    "store",
    "user",
    "thinking",
    "functions",
    "function_call",
    "modalities",
    "audio",
    "verbosity",
    "web_search_options",
    "mcp_servers",
    "container",
    "output_config",
    "output_format",
    "cache_control",
    "context_management",
    "unheard_of",
]
SILENT = {"stream_options": {"include_usage": True}, "n": 1, "thinking": {"type": "disabled"}}
"""Values that ask for what holds anyway."""
values = st.one_of(
    json_values,
    st.sampled_from(
        ["auto", "high", 3, 0.5, True, ["x"], {"type": "auto"}, {"effort": "max"}, {"type": "json_object"}]
    ),
)


@codecs
@given(key=st.sampled_from(KEYS), value=values)
def test_no_key_of_a_request_is_dropped_silently(codec, key, value):
    """With it, the conversation differs, or a loss names it, or it is refused; else it says what its absence says."""
    plain = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    try:
        there = codec.decode_request(msgspec.json.encode(plain | {key: value}))
    except (MalformedError, InexpressibleError):
        return
    absent = codec.decode_request(msgspec.json.encode(plain))
    if there == absent:
        assert (
            not value
            or plain.get(key) == value
            or SILENT.get(key) == value
            or value in ({"type": "text"}, "auto", {})
        )
    elif there[0] == absent[0]:
        assert all(loss.what.startswith(key) for loss in there[1])


PICTURES = {
    Dialect.CHAT: {"type": "image_url", "image_url": {"url": "u"}},
    Dialect.MESSAGES: {"type": "image", "source": {"type": "url", "url": "u"}},
}
TOOLS = {
    Dialect.CHAT: {"type": "function", "function": {"name": "run", "parameters": {}}},
    Dialect.MESSAGES: {"name": "run", "input_schema": {}},
}
CALLED = {
    Dialect.CHAT: [
        {
            "role": "assistant",
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "run", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "t", "content": [{"type": "text", "text": "x"}]},
    ],
    Dialect.MESSAGES: [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "run", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]}
            ],
        },
    ],
}
SETTINGS = {
    Dialect.CHAT: {
        "tool_choice": {"type": "function", "function": {"name": "run"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "stream_options": {"include_usage": True},
    },
    Dialect.MESSAGES: {
        "tool_choice": {"type": "tool", "name": "run"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    },
}
READ_BY_NOBODY = {"parameters", "input_schema", "schema", "input"}
"""JSON that is passed on as it is."""


def objects_in(value, path=""):
    """Every object of a request that the codec itself reads, and where it stands."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            if key not in READ_BY_NOBODY:
                yield from objects_in(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from objects_in(inner, f"{path}.{number}")


@codecs
def test_no_key_of_any_object_of_a_request_is_dropped_silently(codec):
    dialect = codec.dialect
    asked = {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x"}, PICTURES[dialect]]},
            *CALLED[dialect],
        ],
        "tools": [TOOLS[dialect]],
        **SETTINGS[dialect],
    }
    body = msgspec.json.encode(asked)
    assert codec.decode_request(body)[1] == []
    places = [path for path, _ in objects_in(asked)]
    assert len(places) > 10
    for place in places:
        copied = msgspec.json.decode(body)
        target = next(found for path, found in objects_in(copied) if path == place)
        target["unheard_of"] = 1
        losses = codec.decode_request(msgspec.json.encode(copied))[1]
        assert [loss.what for loss in losses] == [f"{place}.unheard_of".lstrip(".")]


@codecs
@given(
    body=st.one_of(st.binary(max_size=60), json_values.map(msgspec.json.encode)), status=st.integers(100, 599)
)
def test_whatever_is_sent_is_read_or_malformed(codec, body, status):
    assert codec.decode_error(status, {"retry-after": body.decode(errors="replace")}, body).text
    for read in (codec.envelope, codec.decode_request, codec.decode_answer):
        with contextlib.suppress(MalformedError, InexpressibleError):
            read(body)
    for stream in (body, format_event(body), format_event(body, "message_start") * 2):
        with contextlib.suppress(MalformedError):
            decoded(codec, [stream])


FRAGMENTS = st.sampled_from(
    [
        "id",
        "model",
        "choices",
        "index",
        "delta",
        "message",
        "content",
        "role",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "finish_reason",
        "usage",
        "error",
        "type",
        "text",
        "thinking",
        "signature",
        "content_block",
        "input",
        "stop_reason",
        "prompt_tokens",
        "input_tokens",
        "messages",
        "tools",
        "system",
        "tool_use",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "image",
        "source",
        "url",
        "tool_result",
        "user",
        "assistant",
        "image_url",
    ]
)
fragments = st.recursive(
    st.one_of(FRAGMENTS, st.none(), st.integers(0, 2), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FRAGMENTS, inner, max_size=5)),
    max_leaves=15,
)


@codecs
@given(value=fragments)
def test_words_of_the_dialect_in_the_wrong_places_are_read_or_malformed(codec, value):
    body = msgspec.json.encode(value)
    assert isinstance(codec.decode_error(400, {}, body), Failed)
    for read in (codec.envelope, codec.decode_request, codec.decode_answer):
        with contextlib.suppress(MalformedError, InexpressibleError):
            read(body)
    with contextlib.suppress(MalformedError):
        decoded(codec, [format_event(body)])


@codecs
@pytest.mark.parametrize("depth", [10_000])
def test_json_that_is_too_deep_is_malformed(codec, depth):
    body = b'{"model":"m","messages":' + b"[" * depth + b"]" * depth + b"}"
    for read in (codec.decode_request, codec.decode_answer):
        with pytest.raises(MalformedError):
            read(body)
    assert codec.decode_error(500, {}, body).kind is ErrorKind.UPSTREAM
