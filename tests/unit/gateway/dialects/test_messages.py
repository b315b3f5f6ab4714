"""Messages as it is met: what the provider and its imitators really send, and what clients really ask."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.codec import InexpressibleError, MalformedError, TruncatedError
from lastro.gateway.dialects.messages import CODEC
from lastro.gateway.dialects.messages_asking import DEFAULT_MAX_TOKENS
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    Image,
    OutputFormat,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolCallBegan,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Turn,
    Used,
)
from lastro.gateway.dialects.signatures import unwrap, wrap
from lastro.gateway.dialects.sse import format_event
from tests.gateway_strategies import said, words

ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


def start(**usage):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude"}
    return {"type": "message_start", "message": message | {"usage": usage}}


def block(index, **content):
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(index, **content):
    return {"type": "content_block_delta", "index": index, "delta": content}


def stop(index):
    return {"type": "content_block_stop", "index": index}


def end(reason, sequence=None, **usage):
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": sequence},
        "usage": usage,
    }


STOP = {"type": "message_stop"}


def written(*events):
    return b"".join(format_event(json.dumps(event).encode(), event["type"]) for event in events)


def read_bytes(stream):
    decoder = CODEC.decoder()
    frames = decoder.feed(stream)
    frames += decoder.finish()
    assert b"".join(frame.raw for frame in frames) == stream
    return [happening for frame in frames for happening in frame.happenings]


def read(*events):
    return read_bytes(written(*events))


def encoded(*happenings):
    encoder = CODEC.encoder(id="msg_9", model="claude", created_s=1)
    stream = b"".join(map(encoder.encode, happenings)) + encoder.finish()
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: ")]


def decode(**more):
    return CODEC.decode_request(json.dumps(ASKED | more).encode())


def asked(conversation):
    body, losses = CODEC.encode_request(conversation)
    return json.loads(body), {loss.what for loss in losses}


def test_a_stream_with_thoughts_words_and_calls():
    events = read(
        start(input_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20, output_tokens=1),
        block(0, type="thinking", thinking="", signature=""),
        {"type": "ping"},
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="c2ln"),
        stop(0),
        block(1, type="text", text=""),
        delta(1, type="text_delta", text="Look"),
        stop(1),
        block(2, type="tool_use", id="toolu_1", name="run", input={}),
        delta(2, type="input_json_delta", partial_json=""),
        delta(2, type="input_json_delta", partial_json='{"a"'),
        delta(2, type="input_json_delta", partial_json=":1}"),
        stop(2),
        end("tool_use", output_tokens=42),
        STOP,
    )
    assert events == [
        Began(id="msg_1", model="claude"),
        Used(input=123, output=1, cache_read=100, cache_write=20),
        ThinkingDelta(block=0, text="hm"),
        ThinkingDelta(block=0, signature="c2ln", of=Dialect.MESSAGES),
        BlockEnded(block=0),
        TextDelta(block=1, text="Look"),
        BlockEnded(block=1),
        ToolCallBegan(block=2, id="toolu_1", name="run"),
        ToolCallDelta(block=2, arguments='{"a"'),
        ToolCallDelta(block=2, arguments=":1}"),
        BlockEnded(block=2),
        Used(input=123, output=42, cache_read=100, cache_write=20),
        Ended(reason=StopReason.TOOL_USE),
    ]


def test_events_and_blocks_of_unknown_kinds_say_nothing_and_are_passed_on():
    events = read(
        {"type": "welcome"},
        start(input_tokens=1, output_tokens=1),
        block(0, type="redacted_thinking", data="xx"),
        stop(0),
        block(1, type="server_tool_use", id="s", name="web_search", input={}),
        delta(1, type="input_json_delta", partial_json="{}"),
        stop(1),
        {"type": "telemetry", "index": 5},
        block(2, type="text", text="hi"),
        delta(2, type="citations_delta", citation={}),
        stop(2),
        end("stop_sequence", "END", output_tokens=2),
        STOP,
    )
    assert said(events).blocks == (("text", "", "", "hi", ""),)
    assert events[-1] == Ended(reason=StopReason.STOP_SEQUENCE, sequence="END")


def test_arguments_may_stand_in_the_beginning_of_a_call():
    events = read(
        start(), block(0, type="tool_use", id="t", name="run", input={"a": 1}), stop(0), end("tool_use"), STOP
    )
    assert said(events).blocks == (("call", "t", "run", '{"a": 1}', ""),)


SOUND = (
    start(input_tokens=1, output_tokens=1),
    block(0, type="tool_use", id="t", name="run", input={}),
    delta(0, type="input_json_delta", partial_json="{}"),
    stop(0),
    end("tool_use", output_tokens=2),
    STOP,
)


@pytest.mark.parametrize("length", range(len(SOUND)))
def test_a_stream_without_its_last_event_is_truncated(length):
    with pytest.raises(TruncatedError):
        read(*SOUND[:length])


def test_a_last_event_without_its_empty_line_counts():
    assert read_bytes(written(*SOUND)[:-2])[-1] == Ended(reason=StopReason.TOOL_USE)


@pytest.mark.parametrize(
    "events",
    [
        [block(0, type="text", text="")],
        [start(), start()],
        [start(), delta(0, type="text_delta", text="x")],
        [start(), stop(0)],
        [start(), block(0, type="text", text=""), block(0, type="text", text="")],
        [start(), block(0, type="tool_use", id="t", name="run", input={}), end("tool_use"), STOP],
        [start(), {"type": "content_block_start", "index": "0"}],
        [start(), block(0, type="tool_use", id="t", input={})],
    ],
)
def test_events_in_a_wrong_order_are_malformed(events):
    with pytest.raises(MalformedError) as caught:
        read(*events)
    assert not isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize("data", [b"nope", b"[]", b"3"])
def test_data_that_is_no_event_is_malformed(data):
    with pytest.raises(MalformedError):
        read_bytes(format_event(data, "message_start"))


def test_an_error_event_ends_a_stream_and_may_stand_in_place_of_one():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    failed = Failed(kind=ErrorKind.OVERLOADED, text="Overloaded")
    assert read(start(), error)[-1] == failed
    assert read_bytes(json.dumps(error).encode()) == [failed]
    assert CODEC.decode_answer(json.dumps(error).encode()) == [failed]
    assert read_bytes(b'data: {"error":{"message":"x","code":429}}\n\n')[-1].kind is ErrorKind.RATE_LIMIT


def test_overlapping_blocks_are_written_one_after_the_other():
    events = encoded(
        Began(),
        TextDelta(block=0, text="x"),
        ToolCallBegan(block=1, id="a", name="run"),
        ToolCallBegan(block=2, id="b", name="run"),
        ToolCallDelta(block=2, arguments="{}"),
        ToolCallDelta(block=1, arguments="{"),
        BlockEnded(block=2),
        BlockEnded(block=0),
        ToolCallDelta(block=1, arguments="}"),
        BlockEnded(block=1),
        Ended(reason=StopReason.TOOL_USE),
        Used(input=10, output=4, cache_read=7),
    )
    kinds = [(event["type"], event.get("index")) for event in events]
    assert kinds == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert events[0]["message"]["id"] == "msg_9" and events[0]["message"]["model"] == "claude"
    assert events[-2]["usage"] == {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 4}
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_tokens_that_nobody_knows_are_left_out_of_the_end():
    events = encoded(
        Began(), TextDelta(block=0, text="x"), BlockEnded(block=0), Ended(reason=StopReason.LENGTH)
    )
    assert events[-2]["usage"] == {} and events[-2]["delta"]["stop_reason"] == "max_tokens"


def test_after_an_error_nothing_is_written():
    events = encoded(Began(), Failed(kind=ErrorKind.OVERLOADED, text="gone"))
    assert events[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "gone"}}


@given(words, st.sampled_from(Dialect), st.sampled_from(Dialect))
def test_a_proof_of_a_thought_reaches_only_its_own_dialect(signature, of, shown_in):
    shown = wrap(signature, of=of, shown_in=shown_in)
    assert unwrap(shown, shown_in=shown_in) == (signature, of if signature else None)
    assert wrap(signature, of=None, shown_in=shown_in) == ""


def test_a_foreign_proof_comes_back_to_its_own_provider():
    events = encoded(
        Began(),
        ThinkingDelta(block=0, text="hm"),
        ThinkingDelta(block=0, signature="enc", of=Dialect.RESPONSES),
        BlockEnded(block=0),
        Ended(reason=StopReason.END),
    )
    given_back = {"type": "thinking", "thinking": "hm", "signature": events[3]["delta"]["signature"]}
    conversation, _ = decode(messages=[{"role": "assistant", "content": [given_back]}])
    assert conversation.turns[0].parts == (Thinking(text="hm", signature="enc", of=Dialect.RESPONSES),)
    assert asked(conversation)[0]["messages"] == []


def test_restored_arguments_of_a_call_whose_pieces_stand_anywhere():
    stream = written(
        start(),
        block(0, type="text", text="x"),
        stop(0),
        block(1, type="tool_use", id="a", name="run", input={"k": "P"}),
        stop(1),
        block(2, type="tool_use", id="b", name="run", input={}),
        delta(2, type="input_json_delta", partial_json='{"k":'),
        delta(2, type="input_json_delta", partial_json='"P"}'),
        stop(2),
        block(3, type="tool_use", id="c", name="run", input={}),
        stop(3),
        end("tool_use"),
        STOP,
    )
    decoder = CODEC.decoder()
    frames = decoder.feed(stream) + decoder.finish()
    changed = CODEC.restore_calls(frames[3:], {1: '{"k":"s1"}', 2: '{"k":"s2"}', 3: '{"k":3}'})
    events = read_bytes(b"".join(frame.raw for frame in (*frames[:3], *changed)))
    assert [entry[3] for entry in said(events).blocks] == ["x", '{"k":"s1"}', '{"k":"s2"}', '{"k":3}']
    assert said([event for frame in (*frames[:3], *changed) for event in frame.happenings]) == said(events)


def test_an_answer_whose_call_has_broken_arguments_is_no_answer():
    events = [
        ToolCallBegan(block=0, id="a", name="run"),
        ToolCallDelta(block=0, arguments="{"),
        BlockEnded(block=0),
        Ended(reason=StopReason.LENGTH),
    ]
    with pytest.raises(MalformedError, match=r"run"):
        CODEC.encode_answer(events, id="i", model="m", created_s=1)


def test_a_real_request_in_neutral_words():
    cached = {"cache_control": {"type": "ephemeral"}}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    conversation, losses = decode(
        system=[{"type": "text", "text": "You are.", **cached}, {"type": "text", "text": "Be brief."}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "hi", **cached}, picture]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "xx"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "run", "input": {"a": [1, 2.5]}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": True,
                        "content": [{"type": "text", "text": "no"}, picture],
                    },
                    {"type": "tool_result", "tool_use_id": "t2", "content": "fine"},
                    {"type": "tool_result", "tool_use_id": "t3"},
                ],
            },
        ],
        tools=[{"name": "run", "description": "Runs.", "input_schema": {"type": "object"}, **cached}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 1024},
        metadata={"user_id": "u"},
        stop_sequences=["END"],
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        top_k=5,
        stream=True,
    )
    image = Image(media_type="image/png", data="AAAA")
    assert conversation == Conversation(
        model="m",
        system=(Text(text="You are."), Text(text="Be brief.")),
        turns=(
            Turn(role="user", parts=(Text(text="hi"), image)),
            Turn(
                role="assistant",
                parts=(
                    Thinking(text="hm", signature="c2ln", of=Dialect.MESSAGES),
                    Text(text="I look."),
                    ToolCall(id="t1", name="run", arguments='{"a":[1,2.5]}'),
                ),
            ),
            Turn(
                role="user",
                parts=(
                    ToolResult(id="t1", content=(Text(text="no"), image), failed=True),
                    ToolResult(id="t2", content=(Text(text="fine"),)),
                    ToolResult(id="t3"),
                ),
            ),
        ),
        tools=(Tool(name="run", description="Runs.", parameters='{"type":"object"}'),),
        tool_choice=ToolChoice(mode="any"),
        parallel_tool_calls=False,
        max_tokens=9,
        top_k=5,
        stop=("END",),
        reasoning_effort="high",
        output_format=OutputFormat(schema='{"type":"object"}'),
        stream=True,
    )
    named = [loss.what for loss in losses]
    assert sorted(named) == [
        "cache_control",
        "messages.1.content.1",
        "metadata",
        "output_config.effort",
        "thinking",
    ]


def test_a_count_of_tokens_is_asked_with_the_same_words():
    body = b'{"model":"m","system":"s","messages":[{"role":"user","content":"x"}]}'
    conversation, losses = CODEC.decode_request(body)
    assert (conversation.max_tokens, losses) == (None, [])
    assert CODEC.envelope(body).max_tokens is None


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {"mcp_servers": [{"type": "url", "url": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
            ]
        },
        {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use", "id": "s"}]}]},
    ],
)
def test_what_only_this_dialect_can_say_is_refused(more):
    with pytest.raises(InexpressibleError):
        decode(**more)


def test_what_the_provider_refuses_is_not_sent():
    body, losses = asked(
        Conversation(
            model="m",
            system=(Text(text=" \n"),),
            turns=(
                Turn(role="user", parts=(Text(text="go"),)),
                Turn(
                    role="assistant",
                    parts=(
                        Thinking(text="aloud"),
                        Thinking(text="signed", signature="s", of=Dialect.MESSAGES),
                        Text(text="\n\n"),
                        ToolCall(id="t", name="run", arguments=""),
                    ),
                ),
                Turn(role="user", parts=(Text(text="and"), ToolResult(id="t", failed=True))),
            ),
            tools=(Tool(name="run", strict=True),),
            parallel_tool_calls=False,
            temperature=1.5,
            top_p=0.5,
            stop=(" ", "END"),
            seed=1,
            reasoning_effort="low",
            output_format=OutputFormat(),
        )
    )
    assert body == {
        "model": "m",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "signed", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "run", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "is_error": True},
                    {"type": "text", "text": "and"},
                ],
            },
        ],
        "tools": [{"name": "run", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "temperature": 1.0,
        "stop_sequences": ["END"],
    }
    assert losses == {
        "system.0",
        "turns.1.parts.0",
        "turns.1.parts.2",
        "tools.0.strict",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "reasoning_effort",
        "output_format",
    }


def test_a_call_whose_arguments_are_no_object_cannot_be_said():
    turn = Turn(role="assistant", parts=(ToolCall(id="t", name="run", arguments="[1]"),))
    with pytest.raises(InexpressibleError, match=r"turns\.0\.parts\.0\.arguments"):
        CODEC.encode_request(Conversation(model="m", turns=(turn,)))


def test_ids_that_other_models_make_are_written_as_this_interface_takes_them():
    call = Turn(role="assistant", parts=(ToolCall(id="functions.run:0", name="run", arguments="{}"),))
    result = Turn(role="user", parts=(ToolResult(id="functions.run:0"),))
    messages = asked(Conversation(model="m", turns=(call, result)))[0]["messages"]
    assert messages[0]["content"][0]["id"] == messages[1]["content"][0]["tool_use_id"] == "functions_run_0"


def test_pictures_are_seen_also_in_results():
    picture = {"type": "image", "source": {"type": "url", "url": "u"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [picture]}
    odd = {"type": "web_search_tool_result", "tool_use_id": "t", "content": {"type": "image"}}
    for content, expected in [
        ([picture], True),
        ([result], True),
        ([odd], False),
        ('{"type":"image"}', False),
    ]:
        body = json.dumps(ASKED | {"messages": [{"role": "user", "content": content}]}).encode()
        assert CODEC.envelope(body).has_images is expected


@pytest.mark.parametrize(
    ("status", "type_", "message", "kind"),
    [
        (400, "invalid_request_error", "messages: bad", ErrorKind.INVALID),
        (400, "invalid_request_error", "prompt is too long: 3 tokens > 2 maximum", ErrorKind.CONTEXT),
        (402, "billing_error", "pay", ErrorKind.BUDGET),
        (413, "request_too_large", "large", ErrorKind.TOO_LARGE),
        (429, "rate_limit_error", "slow", ErrorKind.RATE_LIMIT),
        (429, "invalid_request_error", "odd proxy", ErrorKind.RATE_LIMIT),
        (500, "api_error", "oops", ErrorKind.UPSTREAM),
        (529, "overloaded_error", "busy", ErrorKind.OVERLOADED),
        (503, "unheard_of", "busy", ErrorKind.OVERLOADED),
    ],
)
def test_errors_of_the_provider(status, type_, message, kind):
    body = json.dumps({"type": "error", "error": {"type": type_, "message": message}, "request_id": "r"})
    failed = CODEC.decode_error(status, {"retry-after": "3"}, body.encode())
    assert failed == Failed(kind=kind, text=message, retry_after_s=3.0)


def test_clients_shorten_a_conversation_that_is_called_too_long_and_never_retry_a_budget():
    status, _, body = CODEC.encode_error(Failed(kind=ErrorKind.CONTEXT, text="9 tokens"))
    assert (status, json.loads(body)["error"]["message"]) == (400, "prompt is too long: 9 tokens")
    status, headers, _ = CODEC.encode_error(Failed(kind=ErrorKind.BUDGET, text="spent", retry_after_s=1.2))
    assert (status, headers["x-should-retry"], headers["retry-after"]) == (402, "false", "2")
