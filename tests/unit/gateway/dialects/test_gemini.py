"""Laws and hand-written expectations of Gemini."""

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
from lastro.gateway.dialects.sse import SseSplitter, format_event
from tests.gateway_strategies import answers, conversations, cut, failures, json_values, said

CODEC = codec_of(Dialect.GEMINI)
TOO_LONG = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
IMAGE = Image(media_type="image/png", data="AA==")


def written(happenings):
    encoder = CODEC.encoder(id="r1", model="m", created_s=7)
    return b"".join(encoder.encode(happening) for happening in happenings) + encoder.finish()


def decoded(data, pieces=None):
    decoder = CODEC.decoder()
    frames = [frame for piece in pieces or [data] for frame in decoder.feed(piece)] + decoder.finish()
    assert b"".join(frame.raw for frame in frames) == data
    return [happening for frame in frames for happening in frame.happenings]


def pieces_of(data):
    splitter = SseSplitter()
    return [msgspec.json.decode(event.data) for event in splitter.feed(data) + splitter.finish()]


def stream(*pieces):
    return b"".join(format_event(msgspec.json.encode(piece)) for piece in pieces)


def piece(*parts, **candidate):
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0} | candidate]}


def requested(**fields):
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]} | fields
    return CODEC.decode_request(msgspec.json.encode(body), model="m")


# Laws -----------------------------------------------------------------------------------------------------------------


@given(answers(overlapping=True))
def test_a_stream_that_was_written_says_the_same_when_read(happenings):
    back, before = said(decoded(written(happenings))), said(happenings)
    assert (back.blocks, back.used, back.ended) == (before.blocks, before.used, before.ended)
    assert (back.id, back.model) == (before.id, before.model)


@given(st.data())
def test_how_a_stream_is_cut_changes_nothing(data):
    whole = written(data.draw(answers()))
    assert decoded(whole, data.draw(cut(whole))) == decoded(whole)


@given(answers())
def test_a_whole_answer_says_the_same_as_its_stream(happenings):
    body = CODEC.encode_answer(happenings, id="r1", model="m", created_s=7)
    assert said(CODEC.decode_answer(body)) == said(happenings)


@given(answers())
def test_each_piece_of_a_stream_is_an_answer_and_the_last_has_the_end(happenings):
    seen = pieces_of(written(happenings))
    for one in seen:
        assert (one["responseId"], one["modelVersion"]) == (happenings[0].id, happenings[0].model)
        assert one["candidates"][0]["content"]["role"] == "model"
    assert ["finishReason" in one["candidates"][0] for one in seen] == [False] * (len(seen) - 1) + [True]
    assert ["usageMetadata" in one for one in seen] == [False] * (len(seen) - 1) + [True]


def expressible(conversation):
    """Without what these words do not say (said by losses, or no more than a label)."""
    wanted = conversation.output_format
    return msgspec.structs.replace(
        conversation,
        parallel_tool_calls=None,
        output_format=wanted and OutputFormat(schema=wanted.schema),
        turns=tuple(
            msgspec.structs.replace(
                turn,
                parts=tuple(
                    msgspec.structs.replace(part, name="f") if isinstance(part, ToolResult) else part
                    for part in turn.parts
                ),
            )
            for turn in conversation.turns
        ),
    )


@given(conversations(with_failed=True).map(expressible))
def test_a_conversation_comes_back_as_it_was(conversation):
    body, losses = CODEC.encode_request(conversation)
    assert losses == []
    back = CODEC.decode_request(body, model=conversation.model, stream=conversation.stream)
    assert back == (conversation, [])


UNDERSTOOD = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model"}


@given(st.text(max_size=12), json_values, st.booleans())
def test_no_field_is_dropped_unseen(name, value, inside):
    if name in UNDERSTOOD | {"topP", "topK", "seed"}:
        return
    fields = {"generationConfig": {name: value}} if inside else {name: value}
    _, losses = requested(**fields)
    path = f"generationConfig.{name}" if inside else name
    assert [loss.what for loss in losses] == ([] if value is None else [path])


@given(failures)
def test_errors_keep_their_kind(failed):
    status, headers, body = CODEC.encode_error(failed)
    back = CODEC.decode_error(status, headers, body)
    kind = failed.kind
    if kind is ErrorKind.INTERNAL:
        kind = ErrorKind.UPSTREAM  # another's fault may be cured elsewhere
    assert (back.kind, back.retry_after_s) == (kind, failed.retry_after_s)
    assert back.text.endswith(failed.text) and (kind is ErrorKind.CONTEXT or back.text == failed.text)
    in_stream = said(decoded(written([failed]))).failed
    assert (in_stream.kind, in_stream.retry_after_s) == (kind, failed.retry_after_s)


@given(st.integers(400, 599), st.one_of(st.binary(max_size=40), json_values.map(msgspec.json.encode)))
def test_no_error_is_too_strange_to_be_read(status, body):
    assert CODEC.decode_error(status, {}, body).text


@given(st.binary(max_size=60))
def test_bytes_that_are_no_request_are_refused(body):
    for read in (CODEC.decode_request, CODEC.envelope, CODEC.decode_answer):
        with pytest.raises(MalformedError):
            read(b"[" + body)


@given(answers(overlapping=True), st.data())
def test_restored_arguments_stand_in_their_calls_and_nothing_else_changes(happenings, data):
    whole = written(happenings)
    decoder = CODEC.decoder()
    frames = decoder.feed(whole) + decoder.finish()
    blocks = [h.block for frame in frames for h in frame.happenings if isinstance(h, ToolCallBegan)]
    chosen = data.draw(st.lists(st.sampled_from(blocks), unique=True)) if blocks else []
    restored = {block: f'{{"input":"tĥe secret of {block}"}}' for block in chosen}
    after = CODEC.restore_calls(frames, restored)
    for old, new in zip(frames, after, strict=True):
        touched = any(isinstance(h, ToolCallBegan) and h.block in restored for h in old.happenings)
        assert touched or old == new
    expected = [
        restored[block[0]] if block[0] in restored else block[1][3]
        for block in enumerate(said(decoded(whole)).blocks)
    ]
    assert [block[3] for block in said(decoded(b"".join(f.raw for f in after))).blocks] == expected
    assert [block[3] for block in said(h for f in after for h in f.happenings).blocks] == expected
    body = CODEC.encode_answer(happenings, id="r1", model="m", created_s=7)
    assert [
        block[3] for block in said(CODEC.decode_answer(CODEC.restore_answer(body, restored))).blocks
    ] == expected


# Requests -------------------------------------------------------------------------------------------------------------


def test_what_the_gemini_cli_sends_is_understood():
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "list"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "c2ln+/8="},
                    {"functionCall": {"name": "ls", "args": {"path": "."}}, "thoughtSignature": "QUJD"},
                    {"functionCall": {"name": "ls", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "ls", "response": {"output": "a.txt"}}},
                    {"functionResponse": {"name": "ls", "response": {"error": "no such folder"}}},
                ],
            },
        ],
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "ls", "description": "d", "parametersJsonSchema": {"type": "object"}},
                    {"name": "old", "parameters": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "nullable": True}}}},
                ]
            },
            {"googleSearch": {}},
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["ls"]}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxOutputTokens": 100,
            "stopSequences": ["END"],
            "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": True},
            "presencePenalty": 0.5,
        },
    }  # fmt: skip
    conversation, losses = CODEC.decode_request(
        msgspec.json.encode(body), model="gemini-2.5-flash", stream=True
    )
    assert conversation == Conversation(
        model="gemini-2.5-flash",
        system=(Text(text="Be brief."),),
        turns=(
            Turn(role="user", parts=(Text(text="list"), IMAGE)),
            Turn(
                role="assistant",
                parts=(
                    Thinking(text="hm", signature="c2ln+/8=", of=Dialect.GEMINI),
                    ToolCall(id="call_0_ls", name="ls", arguments='{"path":"."}', signature="QUJD"),
                    ToolCall(id="call_1_ls", name="ls", arguments="{}"),
                ),
            ),
            Turn(
                role="user",
                parts=(
                    ToolResult(id="call_0_ls", name="ls", content=(Text(text="a.txt"),)),
                    ToolResult(
                        id="call_1_ls", name="ls", content=(Text(text="no such folder"),), failed=True
                    ),
                ),
            ),
        ),
        tools=(
            Tool(name="ls", description="d", parameters='{"type":"object"}'),
            Tool(name="old", parameters='{"type":"object","properties":{"n":{"type":["integer","null"]}}}'),
        ),
        tool_choice=ToolChoice(mode="tool", name="ls"),
        max_tokens=100,
        temperature=1.0,
        top_p=0.95,
        top_k=64,
        stop=("END",),
        reasoning_effort="medium",
        stream=True,
    )
    assert {loss.what for loss in losses} == {
        "safetySettings",
        "tools.1.googleSearch",
        "generationConfig.presencePenalty",
        "generationConfig.thinkingConfig.includeThoughts",
    }


def test_what_a_declaration_says_beside_its_form_is_named():
    declaration = {"name": "f", "response": {"type": "STRING"}}
    _, losses = requested(tools=[{"functionDeclarations": [declaration]}])
    assert [loss.what for loss in losses] == ["tools.0.functionDeclarations.0.response"]


def test_the_other_spelling_is_the_same_request():
    body = {
        "system_instruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}]}],
        "tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"a_b": {"type": "STRING"}}}}]}],
        "generation_config": {"max_output_tokens": 5},
    }  # fmt: skip
    raw = msgspec.json.encode(body)
    conversation, losses = CODEC.decode_request(raw, model="m")
    assert losses == [] and conversation.system == (Text(text="s"),) and conversation.max_tokens == 5
    assert conversation.turns[0].parts == (IMAGE,)
    assert "a_b" in conversation.tools[0].parameters
    envelope = CODEC.envelope(raw, model="m", stream=True)
    assert (envelope.max_tokens, envelope.has_images, envelope.has_tools) == (5, True, True)
    assert envelope.stream and envelope.model == "m"


def test_a_request_to_count_tokens_is_a_request():
    inner = {"model": "models/g", "contents": [{"parts": [{"text": "hi"}]}]}
    wrapped = msgspec.json.encode({"generateContentRequest": inner})
    conversation, losses = CODEC.decode_request(wrapped, model="g")
    assert conversation.turns == (Turn(role="user", parts=(Text(text="hi"),)),) and losses == []


@pytest.mark.parametrize(
    "fields",
    [
        {"cachedContent": "cachedContents/1"},
        {"tools": [{"googleSearch": {}}]},
        {
            "tools": [
                {"functionDeclarations": [{"name": "f"}]},
                {"fileSearch": {"fileSearchStoreNames": ["s"]}},
            ]
        },
        {"generationConfig": {"candidateCount": 2}},
        {"generationConfig": {"responseModalities": ["IMAGE"]}},
        {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}]}]},
        {"contents": [{"parts": [{"fileData": {"mimeType": "application/pdf", "fileUri": "x"}}]}]},
        {"contents": [{"role": "model", "parts": [{"executableCode": {"code": "1"}}]}]},
    ],
)
def test_what_no_other_dialect_can_say_is_refused(fields):
    with pytest.raises(InexpressibleError):
        requested(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"contents": 3},
        {"contents": [{"role": "pirate", "parts": [{"text": "a"}]}]},
        {"toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}},
        {"tools": [{"functionDeclarations": [{}]}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"items": {"items": {"properties": {"a": 3}}}}}]}]},
    ],
)  # fmt: skip
def test_what_is_no_request_is_malformed(fields):
    with pytest.raises(MalformedError):
        requested(**fields)


def test_calls_of_other_models_are_let_past_the_check_of_newer_ones_and_come_back_unsigned():
    turns = (
        Turn(role="user", parts=(Text(text="go"),)),
        Turn(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}"))),
        Turn(role="user", parts=(ToolResult(id="a", name="f"), ToolResult(id="b", name="f"))),
    )  # fmt: skip
    for model, signed in (("gemini-3-pro-preview", [True, False]), ("gemini-2.5-pro", [False, False])):
        conversation = Conversation(model=model, turns=turns, reasoning_effort="low")
        body, _ = CODEC.encode_request(conversation)
        said_ = msgspec.json.decode(body)
        assert ["thoughtSignature" in part for part in said_["contents"][1]["parts"]] == signed
        assert ("thinkingLevel" in said_["generationConfig"]["thinkingConfig"]) == signed[0]
        assert CODEC.decode_request(body, model=model)[0] == conversation


def test_arguments_that_are_no_object_are_carried():
    turns = (Turn(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{broken"),)),)
    body, _ = CODEC.encode_request(Conversation(model="m", turns=turns))
    call = msgspec.json.decode(body)["contents"][0]["parts"][0]["functionCall"]
    assert call["args"] == {"input": "{broken"}


def test_a_result_finds_the_name_of_its_call():
    turns = (
        Turn(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"),)),
        Turn(role="user", parts=(ToolResult(id="a", content=(Text(text="x"), IMAGE)),)),
    )
    body, _ = CODEC.encode_request(Conversation(model="m", turns=turns))
    assert msgspec.json.decode(body)["contents"][1]["parts"] == [
        {
            "functionResponse": {
                "id": "a",
                "name": "f",
                "response": {"output": "x"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}],
            }
        }
    ]


# Streams --------------------------------------------------------------------------------------------------------------


def test_a_real_stream_is_read():
    ids = {"modelVersion": "gemini-2.5-flash", "responseId": "a/b"}
    data = stream(
        piece({"text": "hm", "thought": True})
        | ids
        | {"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}},
        piece({"text": "I "}) | ids,
        piece({"text": "look"}) | ids,
        piece({"functionCall": {"name": "ls", "args": {"p": 1.0}}, "thoughtSignature": "QUJD"}) | ids,
        piece({"functionCall": {"name": "ls"}}) | ids,
        piece({"text": ""}, finishReason="STOP")
        | ids
        | {
            "usageMetadata": {
                "promptTokenCount": 9,
                "candidatesTokenCount": 4,
                "thoughtsTokenCount": 2,
                "cachedContentTokenCount": 5,
                "totalTokenCount": 15,
            }
        },
    ).replace(b"\n", b"\r\n")
    assert decoded(data) == [
        Began(id="a/b", model="gemini-2.5-flash"),
        ThinkingDelta(block=0, text="hm"),
        Used(input=9),
        BlockEnded(block=0),
        TextDelta(block=1, text="I "),
        TextDelta(block=1, text="look"),
        BlockEnded(block=1),
        ToolCallBegan(block=2, id="call_a_b_2", name="ls", signature="QUJD"),
        ToolCallDelta(block=2, arguments='{"p":1.0}'),
        BlockEnded(block=2),
        ToolCallBegan(block=3, id="call_a_b_3", name="ls"),
        ToolCallDelta(block=3, arguments="{}"),
        BlockEnded(block=3),
        Used(input=9, output=6, cache_read=5, reasoning=2),
        Ended(reason=StopReason.TOOL_USE),
    ]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", Ended(reason=StopReason.END)),
        ("MAX_TOKENS", Ended(reason=StopReason.LENGTH)),
        ("SAFETY", Ended(reason=StopReason.CONTENT_FILTER)),
        ("RECITATION", Ended(reason=StopReason.CONTENT_FILTER)),
        ("A_NEW_ONE", Ended(reason=StopReason.CONTENT_FILTER)),
        (
            "MALFORMED_FUNCTION_CALL",
            Failed(kind=ErrorKind.UPSTREAM, text="finishReason MALFORMED_FUNCTION_CALL"),
        ),
    ],
)
def test_every_end_is_known(reason, expected):
    body = piece({"text": "a"}, finishReason=reason)
    assert decoded(stream(body))[-1] == expected
    assert CODEC.decode_answer(msgspec.json.encode(body))[-1] == expected


def test_a_blocked_prompt_is_an_end():
    assert decoded(stream({"promptFeedback": {"blockReason": "SAFETY"}})) == [
        Began(),
        Ended(reason=StopReason.CONTENT_FILTER),
    ]


def test_thoughts_are_counted_beside_the_words_as_google_does():
    used = Used(input=10, output=5, cache_read=4, reasoning=3)
    data = written([Began(), Ended(reason=StopReason.END), used])
    assert pieces_of(data)[-1]["usageMetadata"] == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4,
        "totalTokenCount": 15,
    }
    assert said(decoded(data)).used == used


@given(answers())
def test_a_stream_without_its_reason_is_cut_off(happenings):
    whole = written(happenings)
    at = whole.rindex(b"data: ")
    for data in (whole[:at], whole[: at + 40]):
        decoder = CODEC.decoder()
        decoder.feed(data)
        with pytest.raises(TruncatedError):
            decoder.finish()
    with pytest.raises(MalformedError):
        CODEC.decode_answer(b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}')


@pytest.mark.parametrize("form", ["data", "bare", "bare at the end", "whole"])
def test_an_error_in_the_middle_is_read_in_every_form(form):
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    begun = stream(piece({"text": "a"}))
    bare = msgspec.json.format(msgspec.json.encode(error), indent=2)
    expected = Failed(kind=ErrorKind.OVERLOADED, text="overloaded")
    match form:
        case "data":
            assert decoded(begun + stream(error))[-1] == expected
        case "bare":
            assert decoded(begun + bare + b"\r\n\r\n")[-1] == expected
        case "bare at the end":
            assert decoded(begun + bare)[-1] == expected
        case _:
            assert CODEC.decode_answer(bare)[-1] == expected


def test_words_after_the_end_are_no_stream():
    with pytest.raises(MalformedError):
        decoded(stream(piece({"text": "a"}, finishReason="STOP"), piece({"text": "b"})))


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (
            429,
            {
                "status": "RESOURCE_EXHAUSTED",
                "message": "quota",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}],
            },
            Failed(kind=ErrorKind.RATE_LIMIT, text="quota", retry_after_s=34.5),
        ),
        (
            400,
            {"status": "INVALID_ARGUMENT", "message": TOO_LONG},
            Failed(kind=ErrorKind.CONTEXT, text=TOO_LONG),
        ),
        (
            400,
            {"status": "INVALID_ARGUMENT", "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]},
            Failed(kind=ErrorKind.AUTHENTICATION, text="API key not valid."),
        ),
        (500, {"status": "INTERNAL", "message": "oops"}, Failed(kind=ErrorKind.UPSTREAM, text="oops")),
    ],
)  # fmt: skip
def test_real_errors_are_known(status, error, expected):
    body = msgspec.json.encode({"error": {"code": status} | error})
    assert CODEC.decode_error(status, {}, body) == expected


def test_a_budget_is_told_as_a_quota_that_waiting_does_not_cure():
    status, headers, body = CODEC.encode_error(Failed(kind=ErrorKind.BUDGET, text="spent"))
    (detail,) = msgspec.json.decode(body)["error"]["details"]
    assert status == 429 and "PerDay" in detail["violations"][0]["quotaId"]
    assert headers["x-should-retry"] == "false"


def test_a_foreign_proof_comes_back_as_what_it_was():
    happenings = [
        Began(),
        ThinkingDelta(block=0, text="hm", signature="claude's", of=Dialect.MESSAGES),
        BlockEnded(block=0),
        Ended(reason=StopReason.END),
    ]
    parts = [
        part for one in pieces_of(written(happenings)) for part in one["candidates"][0]["content"]["parts"]
    ]
    conversation, _ = requested(contents=[{"role": "model", "parts": parts}])
    assert conversation.turns[0].parts == (Thinking(text="hm", signature="claude's", of=Dialect.MESSAGES),)


def test_gemini_schemas_become_json_schema():
    schema = {
        "type": "ARRAY",
        "minItems": "1",
        "items": {
            "type": "OBJECT",
            "properties": {
                "kind": {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
                "type": {"type": "STRING"},
            },
            "propertyOrdering": ["kind"],
            "required": ["kind"],
        },
    }
    conversation, _ = requested(
        generationConfig={"responseMimeType": "application/json", "responseSchema": schema}
    )
    assert msgspec.json.decode(conversation.output_format.schema) == {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "kind": {"type": ["string", "null"], "enum": ["a", None]},
                "type": {"type": "string"},
            },
            "required": ["kind"],
        },
    }


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(("candidates", "promptFeedback", "usageMetadata", "error", "responseId"), json_values),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_a_stream_that_is_none_is_malformed_and_nothing_worse(pieces):
    decoder = CODEC.decoder()
    try:
        decoder.feed(stream(*pieces))
        decoder.finish()
    except MalformedError:
        pass  # TruncatedError is one too
