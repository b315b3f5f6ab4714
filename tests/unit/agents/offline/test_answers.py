"""A model's answer is read, however badly it is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.offline.answers import CALLS, read_answer, without_calls, written_calls
from lastro.agents.offline.tools import NAMES


def reply(content=None, calls=None):
    return {"choices": [{"message": {"role": "assistant", "content": content, "tool_calls": calls}}]}


def test_a_call_as_it_should_be():
    function = {"name": "read", "arguments": '{"path": "a"}'}
    answer = read_answer(reply("I read.", [{"id": "c1", "type": "function", "function": function}]))
    assert answer is not None
    assert [(call.id, call.name, call.arguments) for call in answer.calls] == [("c1", "read", {"path": "a"})]
    assert not answer.written
    assert answer.message["tool_calls"][0]["id"] == "c1"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "read", "arguments": {"path": "a"}}',
        'Sure!\n```json\n{"name": "read", "parameters": {"path": "a"}}\n```\nDone.',
        '<tool_call>\n{"name": "read", "arguments": "{\\"path\\": \\"a\\"}"}\n</tool_call>',
        '{"tool": "read", "path": "a"}',
        '{"type": "function", "function": {"name": "read", "arguments": {"path": "a"}}}',
        'x { not json {"name": "read", "args": {"path": "a"}} }',
        '[{"name": "read", "input": {"path": "a"}}]',
    ],
)
def test_a_call_in_a_text(text):
    answer = read_answer(reply(text))
    assert answer is not None
    assert [(call.name, dict(call.arguments)) for call in answer.calls] == [("read", {"path": "a"})]
    assert answer.written
    assert "tool_calls" not in answer.message


def test_json_that_is_no_call_is_text():
    for text in ('{"name": "ana", "age": 7}', '{"result": {"read": true}}', "{}", "no json", "{" * 500):
        assert list(written_calls(text)) == []


def test_many_calls_are_bounded():
    text = '{"name": "list", "arguments": {}}\n' * 100
    answer = read_answer(reply(text))
    assert answer is not None
    assert len(answer.calls) == CALLS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(sorted(NAMES)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "id",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_no_reply_is_too_strange(value):
    answer = read_answer(value)
    if answer is not None:
        json.dumps(answer.message)


@given(st.text() | JSON.map(json.dumps))
def test_no_text_is_too_strange(text):
    answer = read_answer(reply(text))
    assert answer is not None
    assert all(call.name in NAMES for call in answer.calls)
    without_calls(text)


def test_deep_nesting_ends():
    read_answer(reply('{"a":' * 100_000))
    read_answer(reply("[" * 100_000 + "{" * 100_000))
