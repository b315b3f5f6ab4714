"""Chat Completions as it is met: what servers really send, and what clients really ask."""

from __future__ import annotations

import json

import pytest

from lastro.gateway.dialects.chat import CODEC
from lastro.gateway.dialects.codec import InexpressibleError, MalformedError, TruncatedError
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    Image,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolCallBegan,
    ToolCallDelta,
    ToolResult,
    Turn,
    Used,
)
from lastro.gateway.dialects.sse import format_event
from tests.gateway_strategies import said

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def chunk(delta=None, finish=None, **rest):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "model": "gpt", "choices": choices} | rest


def call(index=None, id_=None, name=None, arguments=None):
    entry = {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
    entry["function"] = {key: value for key, value in entry["function"].items() if value is not None}
    return {key: value for key, value in entry.items() if value is not None}


def read(*chunks, done=True):
    stream = b"".join(format_event(json.dumps(piece).encode()) for piece in chunks)
    return read_bytes(stream + (b"data: [DONE]\n\n" if done else b""))


def read_bytes(stream):
    decoder = CODEC.decoder()
    frames = decoder.feed(stream)
    frames += decoder.finish()
    assert b"".join(frame.raw for frame in frames) == stream
    return [happening for frame in frames for happening in frame.happenings]


def decode(**more):
    return CODEC.decode_request(json.dumps(ASKED | more).encode())


USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
USED = Used(input=10, output=5, cache_read=4, reasoning=2)


def test_a_plain_stream():
    assert read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        chunk(usage=USAGE),
    ) == [
        Began(id="c1", model="gpt"),
        TextDelta(block=0, text="Hel"),
        TextDelta(block=0, text="lo"),
        BlockEnded(block=0),
        Ended(reason=StopReason.END),
        USED,
    ]


def test_parallel_calls_mix_and_their_names_come_once():
    events = read(
        chunk({"content": "I look."}),
        chunk({"tool_calls": [call(0, "a", "read", ""), call(1, "b", "list", "")]}),
        chunk({"tool_calls": [call(1, None, None, '{"d"')]}),
        chunk({"tool_calls": [call(0, "a", "read", "{}")]}),
        chunk({"tool_calls": [call(1, "", "", ":1}")]}),
        chunk({}, "tool_calls"),
    )
    assert said(events).blocks == (
        ("text", "", "", "I look.", ""),
        ("call", "a", "read", "{}", ""),
        ("call", "b", "list", '{"d":1}', ""),
    )
    assert events[-1] == Ended(reason=StopReason.TOOL_USE)


@pytest.mark.parametrize("done", [True, False])
def test_the_end_may_come_with_the_last_words_and_the_mark_be_missing(done):
    events = read(chunk({"content": "hi"}), chunk({"content": "!"}, "stop", usage=USAGE), done=done)
    assert events[-3:] == [BlockEnded(block=0), USED, Ended(reason=StopReason.END)]
    assert said(events).blocks[0][3] == "hi!"


def test_a_call_whole_in_one_chunk_with_a_wrong_reason():
    events = read(chunk({"content": None, "tool_calls": [call(None, "a", "run", '{"x":1}')]}, "stop"))
    assert said(events).blocks == (("call", "a", "run", '{"x":1}', ""),)
    assert events[-1] == Ended(reason=StopReason.TOOL_USE)


def test_calls_without_indexes_or_all_with_the_same_one_are_several():
    for index in (None, 0):
        events = read(
            chunk({"tool_calls": [call(index, "a", "run", "{}")]}),
            chunk({"tool_calls": [call(index, "b", "run", "{}")]}),
            chunk({}, "tool_calls"),
        )
        assert [block[1:4] for block in said(events).blocks] == [("a", "run", "{}"), ("b", "run", "{}")]


def test_a_call_without_an_id_gets_the_same_one_each_time():
    chunks = (
        chunk({"tool_calls": [call(0, None, "run", "{}"), call(1, None, "run", "{}")]}),
        chunk({}, "stop"),
    )
    ids = [event.id for event in read(*chunks) if isinstance(event, ToolCallBegan)]
    assert ids == ["call_c1_0", "call_c1_1"]


def test_a_name_that_comes_late_holds_the_arguments_back():
    events = read(
        chunk({"tool_calls": [call(0, "a", None, "{")]}),
        chunk({"tool_calls": [call(0, None, "run", "}")]}),
        chunk({}, "tool_calls"),
    )
    assert events[1:4] == [
        ToolCallBegan(block=0, id="a", name="run"),
        ToolCallDelta(block=0, arguments="{}"),
        BlockEnded(block=0),
    ]
    with pytest.raises(MalformedError, match=r"no name"):
        read(chunk({"tool_calls": [call(0, "a", None, "{}")]}), chunk({}, "tool_calls"))


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm", "content": None},
        {"reasoning": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_thoughts_come_under_several_names(delta):
    events = read(chunk(delta), chunk({"content": "so", "reasoning_content": None}), chunk({}, "stop"))
    assert events[1:5] == [
        ThinkingDelta(block=0, text="hm"),
        BlockEnded(block=0),
        TextDelta(block=1, text="so"),
        BlockEnded(block=1),
    ]


def test_a_refusal_is_said_and_named():
    events = read(chunk({"refusal": "I will not."}), chunk({}, "stop"))
    assert said(events).blocks[0][3] == "I will not."
    assert events[-1] == Ended(reason=StopReason.REFUSAL)


def test_a_stop_sequence_where_the_server_says_it():
    piece = chunk({"content": "x"}, "stop")
    piece["choices"][0]["stop_reason"] = "END"
    assert read(piece)[-1] == Ended(reason=StopReason.STOP_SEQUENCE, sequence="END")


def test_comments_first_chunks_without_choices_and_null_deltas_say_nothing():
    stream = (
        b": OPENROUTER PROCESSING\n\n"
        b'data: {"id":"","model":"","choices":[],"prompt_filter_results":[]}\r\n\r\n'
        b'data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":null}]}\n\n'
        b'data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":""}]}\n\n'
        b'data: {"id":"c1","choices":[{"delta":{"content":""},"finish_reason":"stop"}]}\n\ndata:[DONE]'
    )
    events = read_bytes(stream)
    assert said(events).blocks[0][3] == "x" and events[0] == Began(id="c1", model="gpt")


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"data: [DONE]\n\n",
        format_event(json.dumps(chunk({"content": "x"})).encode()),
        format_event(json.dumps(chunk({"content": "x"}, "stop")).encode())[:-12],
        format_event(json.dumps(chunk({"tool_calls": [call(0, "a", "run", '{"x')]})).encode())
        + b"data: [DONE]\n\n",
        b"<html>busy</html>",
        b'{"choices": [',
    ],
)
def test_an_end_is_never_invented(stream):
    with pytest.raises(TruncatedError):
        read_bytes(stream)


def test_words_without_a_reason_end_with_the_mark():
    assert read(chunk({"content": "x"}))[-1] == Ended(reason=StopReason.END)


@pytest.mark.parametrize(
    "data", [b"nope", b"[]", b"{}", b'{"choices":{}}', b'{"choices":[{"delta":3}]}', b"\xff"]
)
def test_what_is_no_chunk_is_malformed(data):
    with pytest.raises(MalformedError):
        read_bytes(format_event(data))


def test_words_after_the_end_are_malformed():
    with pytest.raises(MalformedError, match=r"after its end|goes on"):
        read(chunk({"content": "x"}, "stop"), chunk({"content": "y"}))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "busy", "code": 503}, ErrorKind.OVERLOADED),
        ({"message": "busy", "type": "server_error", "code": "rate_limit_exceeded"}, ErrorKind.RATE_LIMIT),
        ({"message": "This model's maximum context length is 8 tokens", "code": 400}, ErrorKind.CONTEXT),
        ("out of memory", ErrorKind.UPSTREAM),
    ],
)
def test_errors_inside_a_stream_and_in_place_of_one(error, kind):
    body = json.dumps({"error": error}).encode()
    first = format_event(json.dumps(chunk({"content": "x"})).encode())
    for stream in (first + format_event(body), body, format_event(body, "error")):
        failed = read_bytes(stream)[-1]
        assert isinstance(failed, Failed) and failed.kind is kind
    assert CODEC.decode_answer(body) == [failed]
    assert read(chunk({"content": "x"}), chunk({}, "error"))[-1] == Failed(
        kind=ErrorKind.UPSTREAM, text="error"
    )


def test_of_several_alternatives_each_has_its_own_blocks():
    pieces = [
        {
            "id": "c",
            "model": "m",
            "choices": [{"index": at, "delta": {"content": text}, "finish_reason": end}],
        }
        for at, text, end in [(0, "a", None), (1, "b", None), (0, "A", "stop"), (1, "B", "length")]
    ]
    events = read(*pieces)
    assert [block[3] for block in said(events).blocks] == ["aA", "bB"]
    assert events[-1] == Ended(reason=StopReason.END)
    assert CODEC.envelope(json.dumps(ASKED | {"n": 2}).encode()).answers == 2
    with pytest.raises(InexpressibleError):
        decode(n=2)


def test_arguments_are_restored_in_calls_of_any_shape():
    chunks = [
        chunk({"content": "x"}),
        chunk({"tool_calls": [call(0, "a", "run", '{"k"')]}),
        chunk({"tool_calls": [call(0, None, None, ':"P"}'), call(1, "b", "stop")]}),
        chunk({}, "tool_calls"),
    ]
    decoder = CODEC.decoder()
    stream = b"".join(format_event(json.dumps(piece).encode()) for piece in chunks)
    frames = decoder.feed(stream) + decoder.finish()
    changed = CODEC.restore_calls(frames[1:], {1: '{"k":"secret"}', 2: '{"q":1}'})
    events = read_bytes(b"".join(frame.raw for frame in (frames[0], *changed)))
    assert [block[3] for block in said(events).blocks] == ["x", '{"k":"secret"}', '{"q":1}']
    assert changed[-1].raw == frames[-1].raw
    assert said([event for frame in (frames[0], *changed) for event in frame.happenings]) == said(events)


def test_a_call_without_arguments_is_written_with_an_empty_object_and_usage_only_where_asked():
    events = [
        Began(),
        ToolCallBegan(block=0, id="a", name="run"),
        BlockEnded(block=0),
        Ended(reason=StopReason.TOOL_USE),
        Used(input=3),
    ]
    for asked_for in (True, False):
        encoder = CODEC.encoder(id="c", model="m", created_s=1, usage_asked=asked_for)
        stream = b"".join(map(encoder.encode, events)) + encoder.finish()
        assert said(read_bytes(stream)).blocks == (("call", "a", "run", "{}", ""),)
        assert (b'"usage":{"prompt_tokens":3}}' in stream) is asked_for
        assert stream.endswith(b"data: [DONE]\n\n")


def test_a_real_request_in_neutral_words():
    conversation, losses = decode(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Always."}]},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
                    },
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "run", "arguments": '{"x": 1}'}},
                    {"id": "b", "type": "function", "function": {"name": "run", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "one"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "Go on."},
            {"role": "system", "content": "Later."},
        ],
        logit_bias={"5": 1},
        metadata={"a": "b"},
        store=False,
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        max_completion_tokens=9,
        stop="END",
        reasoning_effort="xhigh",
        chat_template_kwargs={"enable_thinking": False},
    )
    assert conversation.system == (Text(text="Be brief."), Text(text="Always."), Text(text="Later."))
    assert conversation.turns == (
        Turn(
            role="user",
            parts=(
                Text(text="What is this?"),
                Image(media_type="image/png", data="AAAA"),
                Image(url="https://example.org/a.png"),
            ),
        ),
        Turn(
            role="assistant",
            parts=(
                Thinking(text="hm"),
                ToolCall(id="a", name="run", arguments='{"x": 1}'),
                ToolCall(id="b", name="run", arguments="{}"),
            ),
        ),
        Turn(
            role="user",
            parts=(
                ToolResult(id="a", content=(Text(text="one"),)),
                ToolResult(id="b", content=(Text(text="two"),)),
                Text(text="Go on."),
            ),
        ),
    )
    assert (conversation.max_tokens, conversation.stop, conversation.reasoning_effort) == (
        9,
        ("END",),
        "high",
    )
    assert {loss.what for loss in losses} == {
        "logit_bias",
        "metadata",
        "messages.2.name",
        "messages.2.content.1.image_url.detail",
        "messages.7.role",
        "stream_options.include_obfuscation",
        "reasoning_effort",
        "chat_template_kwargs",
    }
    assert {loss.dialect for loss in losses} == {Dialect.CHAT}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"functions": [{"name": "x"}]},
        {"modalities": ["text", "audio"]},
        {"web_search_options": {"user_location": None}},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        {"messages": [{"role": "assistant", "function_call": {"name": "x", "arguments": "{}"}}]},
    ],
)
def test_what_only_this_dialect_can_say_is_refused(more):
    with pytest.raises(InexpressibleError):
        decode(**more)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"messages": "x"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"model": None}, "model"),
        ({"stop": [1]}, "stop"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
    ],
)
def test_a_wrong_type_is_malformed_and_says_where(more, where):
    with pytest.raises(MalformedError, match=where):
        decode(**more)


def asked(conversation):
    body, losses = CODEC.encode_request(conversation)
    return json.loads(body), {loss.what for loss in losses}


def test_a_request_is_written_so_that_every_imitator_reads_it():
    image = Image(media_type="image/png", data="AA==")
    body, losses = asked(
        Conversation(
            model="m",
            system=(Text(text="a"), Text(text="b")),
            turns=(
                Turn(role="user", parts=(Text(text="c"), Text(text="d"))),
                Turn(
                    role="assistant",
                    parts=(
                        Thinking(text="signed", signature="s", of=Dialect.MESSAGES),
                        Thinking(text="aloud"),
                        ToolCall(id="1", name="run", arguments=""),
                    ),
                ),
                Turn(
                    role="user",
                    parts=(
                        Text(text="look"),
                        ToolResult(id="1", content=(Text(text="no"), image), failed=True),
                    ),
                ),
                Turn(role="assistant", parts=(Thinking(text="hm"), Text(text="done"))),
            ),
            tools=(Tool(name="run"),),
            max_tokens=5,
            top_k=3,
            stream=True,
        )
    )
    assert body["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c\n\nd"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "aloud",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "run", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "no"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Pictures of the result 1:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "text", "text": "look"},
            ],
        },
        {"role": "assistant", "content": "done"},
    ]
    assert body["stream_options"] == {"include_usage": True} and body["max_tokens"] == 5
    assert losses == {"turns.1.parts.0", "turns.2.failed", "turns.3.parts.0", "top_k"}


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("gpt-4.1", "max_tokens"),
        ("gpt-5-mini", "max_completion_tokens"),
        ("openai/o3", "max_completion_tokens"),
    ],
)
def test_the_limit_is_said_as_the_model_knows_it(model, key):
    assert asked(Conversation(model=model, max_tokens=5))[0][key] == 5


def test_the_facts_of_a_request_are_read_without_its_content():
    body = json.dumps(
        ASKED
        | {
            "messages": [{"role": "user", "content": '"image_url" {"type":"image_url"}'}],
            "stream": True,
            "functions": [{}],
        }
    ).encode()
    envelope = CODEC.envelope(body)
    assert (envelope.stream, envelope.has_images, envelope.has_tools, envelope.usage_asked) == (
        True,
        False,
        True,
        False,
    )
    assert CODEC.envelope(json.dumps(ASKED | {"max_tokens": None}).encode()).usage_asked


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            401,
            b'{"error":{"message":"no","type":"invalid_request_error","code":"invalid_api_key"}}',
            ErrorKind.AUTHENTICATION,
        ),
        (
            429,
            b'{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}',
            ErrorKind.BUDGET,
        ),
        (429, b'{"object":"error","message":"slow","type":"x"}', ErrorKind.RATE_LIMIT),
        (
            400,
            b'{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}',
            ErrorKind.CONTEXT,
        ),
        (400, b'{"error":"the prompt is too long for the context window"}', ErrorKind.CONTEXT),
        (422, b'{"detail":[{"loc":["body"],"msg":"extra"}]}', ErrorKind.INVALID),
        (404, b'{"error":{"message":"no model","type":"invalid_request_error"}}', ErrorKind.NOT_FOUND),
        (502, b"<html>bad gateway</html>", ErrorKind.UPSTREAM),
        (503, b'{"error":{"message":"loading","type":"server_error"}}', ErrorKind.OVERLOADED),
        (500, b"", ErrorKind.UPSTREAM),
        (418, b"\xff", ErrorKind.INVALID),
        (400, b'[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]', ErrorKind.INVALID),
    ],
)
def test_errors_of_many_servers(status, body, kind):
    failed = CODEC.decode_error(status, {}, body)
    assert failed.kind is kind and failed.text


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, "", 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, "", 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, "", None),
        ({}, "Please try again in 6m1.5s.", 361.5),
        ({}, "Please try again in 120ms.", 0.12),
        ({"retry-after": "soon"}, "try again in vain", None),
    ],
)
def test_when_to_try_again(headers, text, seconds):
    body = json.dumps({"error": {"message": text}}).encode()
    assert CODEC.decode_error(429, headers, body).retry_after_s == seconds
