"""Single values of JSON changed, and nothing else."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.codec import MalformedError
from lastro.gateway.dialects.json_splice import find, splice, splice_text
from tests.gateway_strategies import json_values, words

spaces = st.sampled_from(["", " ", "\n  ", "\t"])
keys = st.sampled_from(["model", "a", 'm"odel', "mod\\el", "messages", "é"])


@st.composite
def written(draw, value):
    """JSON text of a value, with any white space, escapes, and repeated keys."""
    space = draw(spaces)
    if isinstance(value, dict):
        members = list(value.items())
        if members and draw(st.booleans()):
            name = draw(st.sampled_from(members))[0]
            members.insert(0, (name, draw(json_values)))
        inner = [
            f"{draw(spaces)}{json.dumps(key, ensure_ascii=draw(st.booleans()))}{space}:{draw(written(item))}"
            for key, item in members
        ]
        return space + "{" + ",".join(inner) + space + "}" + draw(spaces)
    if isinstance(value, list):
        return space + "[" + ",".join(draw(written(item)) for item in value) + space + "]" + draw(spaces)
    return space + json.dumps(value, ensure_ascii=draw(st.booleans())) + draw(spaces)


def paths_of(value, path=()):
    """All paths of a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths_of(item, (*path, key))


def put(value, path, new):
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


objects = st.dictionaries(keys, json_values, min_size=1, max_size=4)


@given(st.data(), objects)
def test_exactly_the_value_changes(data, value):
    body = data.draw(written(value)).encode()
    path = data.draw(st.sampled_from(list(paths_of(value))[1:]))
    new = data.draw(words)
    begin, end = find(body, path)
    changed = splice_text(body, {path: new})
    assert json.loads(changed) == put(value, path, new)
    assert changed.startswith(body[:begin]) and changed.endswith(body[end:])
    assert json.loads(changed[begin : len(changed) - (len(body) - end)]) == new


@given(st.data(), objects)
def test_what_is_found_is_the_value_itself(data, value):
    body = data.draw(written(value)).encode()
    for path in paths_of(value):
        begin, end = find(body, path)
        found = value
        for step in path:
            found = found[step]
        assert json.loads(body[begin:end]) == found
        assert body[begin:end].strip() == body[begin:end]


def test_a_name_inside_a_string_or_deeper_is_not_taken_for_the_key():
    body = b'{"a":"\\"model\\":\\"x\\"","b":{"model":"y"},"mod\\u0065l" : "old" }'
    assert splice_text(body, {("model",): "new"}) == body.replace(b'"old"', b'"new"')


def test_of_a_repeated_key_the_last_one_counts():
    body = b'{"model":"first","model" : {"model":1} ,"x":[1,2],"model":"last"}'
    assert splice_text(body, {("model",): "new"}) == body.replace(b'"last"', b'"new"')


def test_several_values_at_once():
    body = b'{"a":[1, {"b":2}], "c":3}'
    assert splice(body, {("c",): b"33", ("a", 1, "b"): b"22"}) == b'{"a":[1, {"b":22}], "c":33}'


@pytest.mark.parametrize("body", [b"", b"{", b'{"model":}', b'{"model":"x"', b"nope", b'{"model":"\xff"}x'])
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(MalformedError):
        splice_text(body, {("model",): "new"})


@pytest.mark.parametrize("path", [("b",), ("a", 0), ("a", "b"), ("l", 2), ("l", -1), ("l", "0")])
def test_a_value_that_is_not_there_is_malformed(path):
    body = b'{"a":1,"l":[1,2]}'
    assert find(body, path) is None
    with pytest.raises(MalformedError, match=r"no value at"):
        splice(body, {path: b"1"})


@given(st.binary(max_size=30))
def test_any_bytes_are_json_or_malformed(body):
    with contextlib.suppress(MalformedError):
        find(body, ("model",))


def test_a_large_body_keeps_every_other_byte():
    many = [{"role": "user", "content": 'a \\ "model": b\n' * 4} for _ in range(20_000)]
    body = json.dumps({"messages": many, "model": "x"}).encode()
    assert splice_text(body, {("model",): "y"}) == body[: -len(b'"x"}')] + b'"y"}'
