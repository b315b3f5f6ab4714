"""What another dialect's answer left in a request goes; nothing else of it changes."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.foreign import Asker, CallIds, own_words, with_fitting_ids
from lastro.gateway.dialects.json_splice import edited, find, item_spans, member_spans, without
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Dialect,
    Ended,
    StopReason,
    ThinkingDelta,
    ToolCall,
    ToolCallBegan,
    ToolCallDelta,
    ToolResult,
    Turn,
)

CLAUDE = Asker(
    dialect=Dialect.MESSAGES,
    model="claude-x",
    ids=CallIds(pattern="[A-Za-z0-9_-]"),
    checks_proofs=True,
)
OPENAI = Asker(dialect=Dialect.RESPONSES, model="gpt-5", ids=CallIds(longest=64))
GOOGLE = Asker(dialect=Dialect.GEMINI, model="gemini-3-pro")
CHAT = Asker(dialect=Dialect.CHAT, model="gpt-5", ids=CallIds(longest=40))


def cleaned(asker, value, **style):
    body = json.dumps(value, **style).encode()
    result, lost = own_words(body, asker)
    return json.loads(result), lost


@given(
    st.lists(st.integers(0, 3), max_size=8),
    st.sets(st.integers(0, 7)),
    st.sampled_from(["", " ", "\n\t "]),
    st.booleans(),
)
def test_items_and_members_go_with_one_comma_each(values, gone, space, is_object):
    texts = [f'"k{at}"{space}:{value}' if is_object else str(value) for at, value in enumerate(values)]
    inner = f"{space},{space}".join(texts)
    body = (f"{{{space}{inner}{space}}}" if is_object else f"[{space}{inner}{space}]").encode()
    span = (0, len(body))
    spans = [whole for _, whole, _ in member_spans(body, span)] if is_object else list(item_spans(body, span))
    assert [body[a:b].decode() for a, b in spans] == texts
    kept = [span for at, span in enumerate(spans) if at not in gone]
    left = edited(body, without(kept, [span for at, span in enumerate(spans) if at in gone]))
    expected = [text for at, text in enumerate(texts) if at not in gone]
    assert json.loads(left) == json.loads(
        "{" + ",".join(expected) + "}" if is_object else "[" + ",".join(expected) + "]"
    )
    if kept == spans:
        assert left == body


NATIVE = {
    Dialect.MESSAGES: {
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "lastro: is a word", "signature": "EqoB"},
                    {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {"id": "x.y"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "lastro:chat:x"}],
            },
        ],
    },
    Dialect.RESPONSES: {
        "input": [
            {"type": "reasoning", "id": "rs_68af", "summary": [], "encrypted_content": "gAAA"},
            {"type": "message", "id": "msg_68af", "role": "assistant", "content": []},
            {"type": "function_call", "id": "fc_68af", "call_id": "call_1", "name": "a", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": '"lastro:x"'},
        ]
    },
    Dialect.GEMINI: {
        "contents": [
            {"role": "model", "parts": [{"functionCall": {"name": "a"}, "thoughtSignature": "CsEB"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "a", "response": {}}}]},
        ]
    },
    Dialect.CHAT: {
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"name": "a"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ]
    },
}


@pytest.mark.parametrize("asker", [CLAUDE, OPENAI, GOOGLE, CHAT], ids=lambda asker: asker.dialect)
def test_what_is_native_stays_the_same_bytes(asker):
    body = json.dumps(NATIVE[asker.dialect], indent=1).encode()
    sent, lost = own_words(body, asker)
    assert sent is body
    assert lost == ()


def history(target, of, identity):
    """A request whose history holds an answer with a thought and a call, as a client of ``target`` was given it."""
    happenings = [
        Began(id="resp_abc", model="m"),
        ThinkingDelta(block=0, text="a thought"),
        ThinkingDelta(block=0, signature="c2ln" if of else "", of=of),
        BlockEnded(block=0),
        ToolCallBegan(block=1, id=identity, name="edit"),
        ToolCallDelta(block=1, arguments='{"path":"a"}'),
        BlockEnded(block=1),
        Ended(reason=StopReason.TOOL_USE),
    ]
    answer = json.loads(codec_of(target).encode_answer(happenings, id="x", model="m", created_s=1))
    if target is Dialect.MESSAGES:
        result = {"type": "tool_result", "tool_use_id": identity, "content": "done"}
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [result]},
        ]
        return {"model": "claude-x", "max_tokens": 9, "messages": messages}
    if target is Dialect.RESPONSES:
        result = {"type": "function_call_output", "call_id": identity, "output": "done"}
        return {"model": "gpt-5", "input": [{"role": "user", "content": "go"}, *answer["output"], result]}
    if target is Dialect.GEMINI:
        result = {"functionResponse": {"id": identity, "name": "edit", "response": {"output": "done"}}}
        model = answer["candidates"][0]["content"]
        return {
            "contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                model,
                {"role": "user", "parts": [result]},
            ]
        }
    message = answer["choices"][0]["message"]
    return {
        "model": "gpt-5",
        "messages": [
            {"role": "user", "content": "go"},
            message,
            {"role": "tool", "tool_call_id": identity, "content": "done"},
        ],
    }


@pytest.mark.parametrize("identity", ["call_1", "functions.edit:0", "x" * 90])
@pytest.mark.parametrize("of", [None, *Dialect])
@pytest.mark.parametrize("asker", [CLAUDE, OPENAI, GOOGLE, CHAT], ids=lambda asker: asker.dialect)
def test_no_other_providers_proof_or_id_reaches_a_provider(asker, of, identity):
    target = asker.dialect
    body = json.dumps(history(target, of, identity)).encode()
    sent, lost = own_words(body, asker)
    assert b"lastro:" not in sent
    assert base64.b64encode(b"lastro:")[:9] not in sent
    if of is target and target is not Dialect.CHAT:
        assert b"c2ln" in sent
        assert lost == ()
    elif of is not None:
        assert b"c2ln" not in sent
    conversation, _ = codec_of(target).decode_request(sent, model="m")
    calls = [part for turn in conversation.turns for part in turn.parts if isinstance(part, ToolCall)]
    results = [part for turn in conversation.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert [call.id for call in calls] == [result.id for result in results] == [asker.ids.fit(identity)]
    assert own_words(sent, asker)[0] == sent


def test_everything_but_what_is_foreign_stays_byte_for_byte():
    body = (
        b'{ "model":"m",\t"x": 1.50,"messages": [ {"role":"assistant", "content":[{"type":"thinking","thinking":"t",'
        b'"signature":"lastro:chat:s"} , {"type":"text","text":"\\u00e9 a"}]} ],"y":[1 ,2]}'
    )
    sent, lost = own_words(body, CLAUDE)
    assert sent == (
        b'{ "model":"m",\t"x": 1.50,"messages": [ {"role":"assistant", "content":[{"type":"text","text":"\\u00e9 a"}]} ],'
        b'"y":[1 ,2]}'
    )
    assert lost == ("thinking",)


def test_a_turn_of_nothing_but_foreign_thoughts_goes_as_a_whole():
    block = {"type": "thinking", "thinking": "t", "signature": "lastro:gemini:s"}
    value, lost = cleaned(
        CLAUDE,
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]}]},
    )
    assert value == {"messages": [{"role": "user", "content": "a"}]}
    assert lost == ("thinking",)


def test_claude_is_not_asked_to_go_on_thinking_after_a_call_of_another_model():
    native = NATIVE[Dialect.MESSAGES]
    foreign = copy.deepcopy(native)
    foreign["messages"][0]["content"] = [{"type": "tool_use", "id": "call_1", "name": "a", "input": {}}]
    foreign["messages"][1]["content"][0]["tool_use_id"] = "call_1"
    value, lost = cleaned(CLAUDE, foreign)
    assert value == {**foreign, "thinking": {"type": "disabled"}}
    assert lost == ("thinking.type",)
    older = {**foreign, "messages": [*foreign["messages"], *native["messages"]]}
    assert cleaned(CLAUDE, older) == (older, ())
    adaptive = {**foreign, "thinking": {"type": "adaptive"}}
    assert cleaned(CLAUDE, adaptive) == (adaptive, ())


def test_a_provider_that_takes_any_id_and_unsigned_thoughts_gets_them():
    asker = Asker(dialect=Dialect.MESSAGES, model="kimi")
    body = json.dumps(history(Dialect.MESSAGES, None, "functions.edit:0")).encode()
    assert own_words(body, asker) == (body, ())


def test_ids_of_items_that_no_store_knows_are_left_out_and_native_ones_stay():
    made = {"type": "message", "id": "msg_chatcmpl-1_0", "role": "assistant", "content": []}
    native = {**made, "id": "msg_68af"}
    value, lost = cleaned(OPENAI, {"input": [made, native, {"id": "fc_x_1", "type": "function_call"}]})
    assert [item.get("id") for item in value["input"]] == [None, "msg_68af", None]
    assert lost == ()


def test_reasoning_of_nobody_goes_and_open_reasoning_stays():
    nobody = {"type": "reasoning", "summary": [], "encrypted_content": None}
    open_one = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]}
    value, lost = cleaned(OPENAI, {"input": [nobody, open_one]})
    assert value == {"input": [open_one]}
    assert lost == ("thinking",)


def test_the_first_call_that_another_model_made_is_signed_for_models_that_demand_it():
    call = {"functionCall": {"id": "toolu_1", "name": "a", "args": {}}}
    contents = {"contents": [{"role": "model", "parts": [{"text": "x"}, call, call]}]}
    value, _ = cleaned(GOOGLE, contents)
    signed = {**call, "thoughtSignature": "skip_thought_signature_validator"}
    assert value["contents"][0]["parts"] == [{"text": "x"}, signed, call]
    older = Asker(dialect=Dialect.GEMINI, model="gemini-2.5-pro")
    assert cleaned(older, contents)[0] == contents


@given(st.text(max_size=120))
def test_ids_are_made_to_fit_and_stay_if_they_do(said):
    for ids, good in (
        (
            CallIds(pattern="[A-Za-z0-9_-]"),
            lambda text: all(c.isascii() and (c.isalnum() or c in "_-") for c in text),
        ),
        (CallIds(longest=40), lambda text: len(text) <= 40),
        (CallIds(exactly=9), lambda text: len(text) == 9 and text.isascii() and text.isalnum()),
    ):
        fitting = ids.fit(said)
        assert good(fitting)
        assert fitting == (said if good(said) else fitting)
        assert ids.fit(fitting) == fitting


def test_a_translated_conversation_gets_fitting_ids_too():
    call = ToolCall(id="toolu_01", name="a", arguments="{}")
    turns = (
        Turn(role="assistant", parts=(call,)),
        Turn(role="user", parts=(ToolResult(id="toolu_01"),)),
    )
    fitting = with_fitting_ids(Conversation(model="m", turns=turns), CallIds(exactly=9))
    ids = {part.id for turn in fitting.turns for part in turn.parts}
    assert len(ids) == 1
    assert len(ids.pop()) == 9


def test_find_and_spans_agree():
    body = b'{"a":[1,{"b":2}],"a":[3, 4]}'
    span = find(body, ("a",))
    assert [body[a:b] for a, b in item_spans(body, span)] == [b"3", b"4"]
