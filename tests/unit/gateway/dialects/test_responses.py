"""Laws and hand-written expectations of OpenAI Responses."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.codec import InexpressibleError, MalformedError, TruncatedError, codec_of
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    Image,
    Loss,
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
from lastro.gateway.dialects.sse import SseSplitter, format_event
from tests.gateway_strategies import answers, conversations, cut, failures, json_values, said

CODEC = codec_of(Dialect.RESPONSES)
APPLY_PATCH = Tool(name="apply_patch", native="custom")


def written(happenings, request=None):
    encoder = CODEC.encoder(id="resp_1", model="m", created_s=7, request=request)
    return b"".join(encoder.encode(happening) for happening in happenings) + encoder.finish()


def decoded(data, pieces=None):
    decoder = CODEC.decoder()
    frames = [frame for piece in pieces or [data] for frame in decoder.feed(piece)] + decoder.finish()
    assert b"".join(frame.raw for frame in frames) == data
    return [happening for frame in frames for happening in frame.happenings]


def events(data):
    splitter = SseSplitter()
    found = splitter.feed(data) + splitter.finish()
    for event in found:
        assert event.event == msgspec.json.decode(event.data)["type"]
    return [msgspec.json.decode(event.data) for event in found]


def stream(*said_events):
    return b"".join(format_event(msgspec.json.encode(event), event["type"]) for event in said_events)


def requested(**fields):
    return CODEC.decode_request(msgspec.json.encode({"model": "m", "input": "hi"} | fields))


# Laws -----------------------------------------------------------------------------------------------------------------


@given(answers(overlapping=True))
def test_a_stream_that_was_written_says_the_same_when_read(happenings):
    assert said(decoded(written(happenings))) == said(happenings)


@given(st.data())
def test_how_a_stream_is_cut_changes_nothing(data):
    whole = written(data.draw(answers()))
    assert decoded(whole, data.draw(cut(whole))) == decoded(whole)


@given(answers())
def test_a_whole_answer_says_the_same_as_its_stream(happenings):
    body = CODEC.encode_answer(happenings, id="resp_1", model="m", created_s=7)
    assert said(CODEC.decode_answer(body)) == said(happenings)


@given(answers())
def test_the_order_of_a_stream_is_the_one_that_clients_need(happenings):
    seen = events(written(happenings))
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert [event["type"] for event in seen[:2]] == ["response.created", "response.in_progress"]
    added, done, deltas = {}, {}, {}
    for event in seen[2:-1]:
        index = event["output_index"]
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert index == len(added)
                added[index] = event["item"]
            case "output_item.done":
                assert event["item"]["id"] == added[index]["id"] and index not in done
                done[index] = event["item"]
            case kind:
                assert index in added and index not in done
                assert event["item_id"] == added[index]["id"]
                if kind.endswith(".delta"):
                    deltas[index] = deltas.get(index, "") + event["delta"]
    assert seen[-1]["type"] in {"response.completed", "response.incomplete"}
    assert seen[-1]["response"]["output"] == [done[index] for index in sorted(done)]
    for index, item in done.items():
        if item["type"] == "function_call":
            assert item["arguments"] == deltas[index]


@given(
    conversations().map(
        lambda c: msgspec.structs.replace(
            c,
            stop=(),
            seed=None,
            top_k=None,
        )
    )
)
def test_a_conversation_comes_back_as_it_was(conversation):
    body, losses = CODEC.encode_request(conversation)
    assert losses == []
    assert CODEC.decode_request(body) == (conversation, [])


@given(conversations(with_failed=True, with_thinking=True))
def test_settings_without_words_are_named(conversation):
    _, losses = CODEC.encode_request(conversation)
    expected = {"stop"} if conversation.stop else set()
    expected |= {name for name in ("seed", "top_k") if getattr(conversation, name) is not None}
    parts = [part for turn in conversation.turns for part in turn.parts]
    if any(isinstance(part, Thinking) for part in parts):
        expected.add("thinking")
    if any(isinstance(part, ToolResult) and part.failed for part in parts):
        expected.add("tool_result.failed")
    assert {loss.what for loss in losses} == expected


UNDERSTOOD = {
    "model",
    "instructions",
    "input",
    "stream",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "temperature",
    "top_p",
    "reasoning",
    "text",
}


@given(st.text(max_size=12), json_values)
def test_no_field_is_dropped_unseen(name, value):
    if name in UNDERSTOOD:
        return
    _, losses = requested(**{name: value})
    assert [loss.what for loss in losses] == ([] if value is None else [name])


@given(failures)
def test_errors_keep_their_kind(failed):
    status, headers, body = CODEC.encode_error(failed)
    back = CODEC.decode_error(status, headers, body)
    kind = ErrorKind.UPSTREAM if failed.kind is ErrorKind.INTERNAL else failed.kind
    assert (back.kind, back.text) == (kind, failed.text)
    assert back.retry_after_s == failed.retry_after_s


@given(st.integers(400, 599), st.binary(max_size=40))
def test_no_error_is_too_strange_to_be_read(status, body):
    assert CODEC.decode_error(status, {}, body).text


@given(st.binary(max_size=60))
def test_bytes_that_are_no_request_are_refused(body):
    for read in (CODEC.decode_request, CODEC.envelope, CODEC.decode_answer):
        with pytest.raises((MalformedError, InexpressibleError)):
            read(b"[" + body)


@given(conversations())
def test_the_envelope_tells_what_the_request_says(conversation):
    body, _ = CODEC.encode_request(conversation)
    envelope = CODEC.envelope(body)
    assert (envelope.model, envelope.stream) == (conversation.model, conversation.stream)
    assert envelope.max_tokens == conversation.max_tokens
    assert envelope.has_tools == bool(conversation.tools)
    pictures = [part for turn in conversation.turns for part in turn.parts if isinstance(part, Image)]
    assert envelope.has_images == bool(pictures)
    changed = CODEC.with_model(body, "another")
    assert CODEC.decode_request(changed)[0] == msgspec.structs.replace(
        CODEC.decode_request(body)[0], model="another"
    )


@given(answers(overlapping=True), st.data())
def test_restored_arguments_stand_wherever_a_call_is_told(happenings, data):
    request = Conversation(model="m", tools=(APPLY_PATCH,))
    whole = written(happenings, request)
    decoder = CODEC.decoder()
    frames = decoder.feed(whole) + decoder.finish()
    blocks = [h.block for frame in frames for h in frame.happenings if isinstance(h, ToolCallBegan)]
    chosen = data.draw(st.lists(st.sampled_from(blocks), unique=True)) if blocks else []
    secret = '{"input":"tĥe \\"secret\\" of %d"}'
    restored = {block: secret % block for block in chosen}
    after = CODEC.restore_calls(frames, restored)
    raw = b"".join(frame.raw for frame in after)
    if not chosen:
        assert raw == whole
    expected = {
        h.block: restored.get(h.block) for frame in frames for h in frame.happenings if hasattr(h, "block")
    }
    for told in (decoded(raw), [h for frame in after for h in frame.happenings]):
        texts = {}
        for happening in told:
            if isinstance(happening, ToolCallDelta):
                texts[happening.block] = texts.get(happening.block, "") + happening.arguments
        assert all(texts[block] == text for block, text in expected.items() if text is not None)
    assert said(decoded(raw)).ended == said(happenings).ended
    last = events(raw)[-1]["response"]
    finished = {e["output_index"]: e["item"] for e in events(raw) if e["type"] == "response.output_item.done"}
    assert last["output"] == [finished[index] for index in sorted(finished)]
    body = msgspec.json.encode(events(whole)[-1]["response"])
    assert msgspec.json.decode(CODEC.restore_answer(body, restored)) == last


# Requests -------------------------------------------------------------------------------------------------------------


def test_what_codex_sends_is_understood():
    body = {
        "model": "auto",
        "instructions": "You are Codex.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "e1"},
            {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}', "call_id": "c1"},
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "c2", "status": "completed"},
            {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done"},
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "description": "d", "strict": False, "parameters": {"type": "object"}},
            {
                "type": "custom",
                "name": "apply_patch",
                "description": "Edit.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
            },
            {"type": "web_search", "external_web_access": False},
            {"type": "local_shell"},
            {
                "type": "namespace",
                "name": "mcp__db__",
                "description": "",
                "tools": [{"type": "function", "name": "query", "parameters": {}}],
            },
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "high", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "text": {"verbosity": "low"},
    }  # fmt: skip
    conversation, losses = CODEC.decode_request(msgspec.json.encode(body))
    assert conversation.system == (Text(text="You are Codex."), Text(text="rules"))
    assert conversation.turns == (
        Turn(role="user", parts=(Text(text="list"),)),
        Turn(
            role="assistant",
            parts=(
                Thinking(text="hm", signature="e1", of=Dialect.RESPONSES),
                ToolCall(id="c1", name="exec_command", arguments='{"cmd":"ls"}'),
                ToolCall(id="c2", name="apply_patch", arguments='{"input":"*** Begin"}'),
            ),
        ),
        Turn(
            role="user",
            parts=(
                ToolResult(id="c1", content=(Text(text="a.txt"),)),
                ToolResult(id="c2", content=(Text(text="Done"),)),
            ),
        ),
    )
    assert [(tool.name, tool.native) for tool in conversation.tools] == [
        ("exec_command", ""),
        ("apply_patch", "custom"),
        ("local_shell", "local_shell"),
        ("mcp__db__query", "function@mcp__db__"),
    ]
    assert "start: x" in conversation.tools[1].description
    assert conversation.reasoning_effort == "high" and conversation.stream
    assert {loss.what for loss in losses} == {
        "include",
        "prompt_cache_key",
        "text.verbosity",
        "reasoning.summary",
        "tools.1.format",
        "tools.2.web_search",
    }
    again = msgspec.json.decode(CODEC.encode_request(conversation)[0])
    assert [item["type"] for item in again["input"]] == [
        item["type"] for item in body["input"] if item.get("role") != "developer"
    ]
    assert again["tools"][3] == {
        "type": "namespace",
        "name": "mcp__db__",
        "description": "",
        "tools": [
            {"type": "function", "name": "query", "description": "", "parameters": {}, "strict": False}
        ],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "p"}},
        {"background": True},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "name": "f"}, {"type": "file_search", "vector_store_ids": ["v"]}]},
        {
            "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
            "tool_choice": {"type": "web_search"},
        },
        {"input": [{"type": "item_reference", "id": "x"}]},
        {"input": [{"type": "compaction", "encrypted_content": "x"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
    ],
)
def test_what_no_other_dialect_can_say_is_refused(fields):
    with pytest.raises(InexpressibleError) as refused:
        requested(**fields)
    assert refused.value.parameters["what"] and refused.value.hint


@pytest.mark.parametrize(
    "fields", [{"input": 3}, {"input": [{"role": "pirate"}]}, {"tool_choice": "sometimes"}, {"tools": [{}]}]
)
def test_what_is_no_request_is_malformed(fields):
    with pytest.raises(MalformedError):
        requested(**fields)


def test_tools_that_an_item_adds_are_offered():
    """As Codex writes it for the models that it knows."""
    added = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}],
    }
    body = msgspec.json.encode({"model": "m", "input": [added, {"role": "user", "content": "hi"}]})
    conversation, losses = CODEC.decode_request(body)
    assert [(tool.name, tool.native) for tool in conversation.tools] == [
        ("functions__exec", "custom@functions")
    ]
    assert losses == [] and CODEC.envelope(body).has_tools
    call = [
        ToolCallBegan(block=0, id="c", name="functions__exec"),
        ToolCallDelta(block=0, arguments='{"input":"1"}'),
    ]
    data = written([*call, BlockEnded(block=0), Ended(reason=StopReason.TOOL_USE)], conversation)
    (item,) = events(data)[-1]["response"]["output"]
    assert (item["type"], item["name"], item["namespace"], item["input"]) == (
        "custom_tool_call",
        "exec",
        "functions",
        "1",
    )


def test_what_a_tool_says_beside_its_form_is_named():
    _, losses = requested(tools=[{"type": "function", "name": "f", "parameters": {}, "defer_loading": True}])
    assert [loss.what for loss in losses] == ["tools.0.defer_loading"]


def test_a_choice_of_a_custom_tool_goes_back_as_one():
    tools = [{"type": "custom", "name": "apply_patch"}]
    conversation, _ = requested(tools=tools, tool_choice={"type": "custom", "name": "apply_patch"})
    assert conversation.tool_choice == ToolChoice(mode="tool", name="apply_patch")
    assert msgspec.json.decode(CODEC.encode_request(conversation)[0])["tool_choice"] == {
        "type": "custom",
        "name": "apply_patch",
    }


def test_a_late_developer_message_is_named_as_moved():
    conversation, losses = requested(
        input=[{"role": "user", "content": "hi"}, {"role": "developer", "content": "be brief"}]
    )
    assert conversation.system == (Text(text="be brief"),)
    assert losses == [Loss(what="input.1.role", dialect=Dialect.RESPONSES)]


# Streams --------------------------------------------------------------------------------------------------------------

CREATED = {"type": "response.created", "response": {"id": "resp_9", "model": "gpt-9"}}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "ls", "arguments": "{}"}


def test_the_smallest_bodies_that_real_tools_accept_are_read():
    data = stream(
        CREATED,
        {"type": "response.output_item.added", "item": CALL | {"arguments": ""}},
        {"type": "response.output_item.done", "item": CALL},
        {"type": "response.output_item.done", "item": CALL | {"id": "fc_2", "call_id": "c2"}},
        {
            "type": "response.completed",
            "response": {"id": "resp_9", "output": [CALL, CALL | {"call_id": "c2"}]},
        },
    )
    assert decoded(data) == [
        Began(id="resp_9", model="gpt-9"),
        ToolCallBegan(block=0, id="c1", name="ls"),
        ToolCallDelta(block=0, arguments="{}"),
        BlockEnded(block=0),
        ToolCallBegan(block=1, id="c2", name="ls"),
        ToolCallDelta(block=1, arguments="{}"),
        BlockEnded(block=1),
        Ended(reason=StopReason.TOOL_USE),
    ]


def test_a_call_that_only_the_last_event_names_is_not_lost():
    text = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"}
    message = {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}
    last = {"type": "response.completed", "response": {"output": [message, CALL], "status": "completed"}}
    happenings = decoded(stream(CREATED, text, last))
    assert [h.text for h in happenings if isinstance(h, TextDelta)] == ["hi"]
    assert [h.id for h in happenings if isinstance(h, ToolCallBegan)] == ["c1"]
    assert happenings[-1] == Ended(reason=StopReason.TOOL_USE)


def test_words_are_not_doubled_by_a_last_event_that_leaves_items_out():
    words = {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}
    thought = {
        "type": "response.reasoning_summary_text.delta",
        "output_index": 0,
        "summary_index": 0,
        "delta": "hm",
    }
    text = {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "hi"}
    call = {"type": "response.output_item.done", "output_index": 2, "item": CALL}
    last = {"type": "response.completed", "response": {"output": [words, CALL]}}
    happenings = decoded(stream(CREATED, thought, text, call, last))
    assert [h.text for h in happenings if isinstance(h, TextDelta)] == ["hi"]
    assert len([h for h in happenings if isinstance(h, ToolCallBegan)]) == 1


def test_reasoning_keeps_its_summaries_apart_and_its_proof():
    def about(kind, **fields):
        return {"type": f"response.{kind}", "output_index": 0} | fields

    data = stream(
        CREATED,
        about("output_item.added", item={"type": "reasoning", "id": "rs_1", "summary": []}),
        about("reasoning_summary_text.delta", summary_index=0, delta="one"),
        about("reasoning_summary_text.delta", summary_index=1, delta="two"),
        about(
            "output_item.done",
            item={"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"},
        ),
        {"type": "response.completed", "response": {}},
    )
    thoughts = [h for h in decoded(data) if isinstance(h, ThinkingDelta)]
    assert "".join(h.text for h in thoughts) == "one\n\ntwo"
    assert thoughts[-1] == ThinkingDelta(block=0, signature="E", of=Dialect.RESPONSES)


def test_a_foreign_proof_comes_back_as_what_it_was():
    happenings = [
        Began(),
        ThinkingDelta(block=0, text="hm", signature="claude's", of=Dialect.MESSAGES),
        BlockEnded(block=0),
        Ended(reason=StopReason.END),
    ]
    (item,) = events(written(happenings))[-1]["response"]["output"]
    conversation, _ = requested(input=[item])
    assert conversation.turns[0].parts == (Thinking(text="hm", signature="claude's", of=Dialect.MESSAGES),)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}},
            Ended(reason=StopReason.LENGTH),
        ),
        (
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}},
            Ended(reason=StopReason.CONTENT_FILTER),
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "try again in 1.5s"}}},
            Failed(kind=ErrorKind.RATE_LIMIT, text="try again in 1.5s", retry_after_s=1.5),
        ),
        (
            {"type": "error", "code": "server_error", "message": "oops"},
            Failed(kind=ErrorKind.UPSTREAM, text="oops"),
        ),
        (
            {"type": "error", "error": {"code": "context_length_exceeded", "message": "long"}},
            Failed(kind=ErrorKind.CONTEXT, text="long"),
        ),
    ],
)  # fmt: skip
def test_every_end_is_known(last, expected):
    assert decoded(stream(CREATED, last))[-1] == expected


@given(answers())
def test_a_stream_without_its_last_event_is_cut_off(happenings):
    whole = written(happenings)
    at = whole.rindex(b"event: ")
    for data in (whole[:at], whole[: at + 40]):
        decoder = CODEC.decoder()
        decoder.feed(data)
        with pytest.raises(TruncatedError):
            decoder.finish()


def test_a_refusal_stays_one():
    happenings = [
        Began(),
        TextDelta(block=0, text="no"),
        BlockEnded(block=0),
        Ended(reason=StopReason.REFUSAL),
    ]
    assert decoded(written(happenings))[1:] == happenings[1:]


@given(st.text(max_size=30))
def test_free_text_comes_back_to_a_custom_tool(text):
    arguments = msgspec.json.encode({"input": text}).decode()
    happenings = [
        Began(id="r", model="m"),
        ToolCallBegan(block=0, id="c1", name="apply_patch"),
        ToolCallDelta(block=0, arguments=arguments[:5]),
        ToolCallDelta(block=0, arguments=arguments[5:]),
        BlockEnded(block=0),
        Ended(reason=StopReason.TOOL_USE),
    ]
    data = written(happenings, Conversation(model="m", tools=(APPLY_PATCH,)))
    (item,) = events(data)[-1]["response"]["output"]
    assert (item["type"], item["input"], item["call_id"]) == ("custom_tool_call", text, "c1")
    assert said(decoded(data)) == said(happenings)


def test_a_shell_that_the_client_runs_gets_its_action():
    tool = Tool(name="local_shell", native="local_shell")
    happenings = [
        ToolCallBegan(block=0, id="c1", name="local_shell"),
        ToolCallDelta(block=0, arguments='{"command":["ls","-a"],"timeout_ms":5}'),
        BlockEnded(block=0),
        Used(input=3, output=2),
        Ended(reason=StopReason.TOOL_USE),
    ]
    data = written(happenings, Conversation(model="m", tools=(tool,)))
    (item,) = events(data)[-1]["response"]["output"]
    assert item["action"] == {"type": "exec", "env": {}, "command": ["ls", "-a"], "timeout_ms": 5}
    assert said(decoded(data)).blocks == said(happenings).blocks


def test_an_error_after_text_is_one_that_codex_tries_again():
    for kind in (ErrorKind.OVERLOADED, ErrorKind.UPSTREAM, ErrorKind.TIMEOUT, ErrorKind.RATE_LIMIT):
        data = written(
            [Began(), TextDelta(block=0, text="a"), Failed(kind=kind, text="gone", retry_after_s=2.0)]
        )
        error = events(data)[-1]["response"]["error"]
        fatal = {
            "server_is_overloaded",
            "slow_down",
            "insufficient_quota",
            "context_length_exceeded",
            "invalid_prompt",
        }
        assert error["code"] not in fatal
        assert ("try again in 2s" in error["message"]) == (kind is ErrorKind.RATE_LIMIT)
        assert said(decoded(data)).failed.kind is kind


def test_usage_is_counted_as_openai_does():
    used = Used(input=10, output=5, cache_read=4, reasoning=3)
    data = written([Began(), Ended(reason=StopReason.END), used])
    assert events(data)[-1]["response"]["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 15,
    }
    assert said(decoded(data)).used == used
    half = written([Began(), Ended(reason=StopReason.END), Used(input=10)])
    assert events(half)[-1]["response"]["usage"] is None


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["response.output_item.added", "response.output_item.done", "response.completed",
                                      "response.output_text.delta", "response.function_call_arguments.delta", "error", "x"])},
            optional=dict.fromkeys(("item", "delta", "output_index", "response", "error", "part"), json_values),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_a_stream_that_is_none_is_malformed_and_nothing_worse(said_events):
    decoder = CODEC.decoder()
    try:
        decoder.feed(stream(CREATED, *said_events))
        decoder.finish()
    except MalformedError:
        pass  # TruncatedError is one too
