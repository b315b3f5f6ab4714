"""Every pair of dialects, against golden files that were read line by line and expectations written by hand (``dialect_cases``)."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Ended,
    Failed,
    Loss,
    Text,
    ToolResult,
)
from tests.conformance import dialect_cases as cases
from tests.conformance.dialect_golden import (
    FOLDER,
    answer_bytes,
    error_bytes,
    golden,
    heard_stream,
    request_bytes,
    stream_bytes,
    stream_path,
)
from tests.gateway_strategies import answers, cut, said

PAIRS = pytest.mark.parametrize(("source", "target"), list(itertools.product(Dialect, Dialect)), ids=str)
WIRE = "as_providers_send"


def read(case, name):
    return (FOLDER / case / name).read_bytes()


def heard_request(dialect, body, like):
    """The conversation, without the names that only Gemini writes beside results."""
    conversation, losses = codec_of(dialect).decode_request(body, model=like.model, stream=like.stream)
    turns = tuple(
        msgspec.structs.replace(
            turn,
            parts=tuple(
                msgspec.structs.replace(part, name="") if isinstance(part, ToolResult) else part
                for part in turn.parts
            ),
        )
        for turn in conversation.turns
    )
    return msgspec.structs.replace(conversation, turns=turns), losses


def heard_error(dialect, name):
    told = msgspec.json.decode(read(name, f"{dialect}.error.json"), type=dict[str, msgspec.Raw])
    headers = msgspec.json.decode(told["headers"], type=dict[str, str])
    return codec_of(dialect).decode_error(msgspec.json.decode(told["status"]), headers, bytes(told["body"]))


def heard_case(dialect, name):
    """Which case a dialect's readers hear when it says the case ``name``."""
    (end,) = [happening for happening in cases.ANSWERS[name] if isinstance(happening, Ended)]
    reason = cases.HEARD_REASONS[dialect].get(end.reason, end.reason)
    return name if reason is end.reason else f"stop_{reason}"


def test_the_golden_files_are_what_the_codecs_write():
    for path, content in golden():
        assert path.read_bytes() == content, path


def test_every_golden_file_is_one_of_a_case():
    written = {path for path, _ in golden()}
    kinds = ("request.json", "answer.json", "stream.sse")
    written |= {FOLDER / WIRE / f"{dialect}.{kind}" for dialect in Dialect for kind in kinds}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == written


@PAIRS
@pytest.mark.parametrize("name", cases.REQUESTS)
def test_a_request_is_translated(name, source, target):
    asked = cases.REQUESTS[name]
    conversation, losses = heard_request(source, read(name, f"{source}.request.json"), asked)
    assert (conversation, losses) == (asked, [])
    assert request_bytes(target, conversation) == read(name, f"{target}.request.json")


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("name", cases.UNSAID)
def test_what_a_dialect_cannot_say_is_named_and_nothing_else_is_missing(name, dialect):
    asked, unsaid = cases.UNSAID[name]
    _, losses = codec_of(dialect).encode_request(asked)
    assert sorted(losses, key=str) == sorted(
        (Loss(what=what, dialect=dialect) for what in unsaid[dialect]), key=str
    )
    empty = Conversation(model="")
    expected = msgspec.structs.replace(asked, **{what: getattr(empty, what) for what in unsaid[dialect]})
    assert heard_request(dialect, read(name, f"{dialect}.request.json"), asked)[0] == expected


@PAIRS
def test_a_demanded_form_of_the_answer_is_translated_or_named(source, target):
    asked = cases.JSON_ANSWER
    body, losses = codec_of(source).encode_request(asked)
    conversation, _ = heard_request(source, body, asked)
    if conversation.output_format is None:
        assert losses
        return
    assert conversation.output_format.schema == asked.output_format.schema
    again, losses = codec_of(target).encode_request(conversation)
    assert losses or b'"required":["city"]' in again


@PAIRS
@pytest.mark.parametrize("name", cases.ANSWERS)
def test_a_whole_answer_is_translated(name, source, target):
    happenings = codec_of(source).decode_answer(read(name, f"{source}.answer.json"))
    heard = heard_case(source, name)
    assert said(happenings) == said(cases.ANSWERS[heard])
    assert answer_bytes(target, happenings) == read(heard, f"{target}.answer.json")


@PAIRS
@pytest.mark.parametrize("name", cases.ANSWERS)
def test_a_stream_is_translated(name, source, target):
    happenings = heard_stream(source, read(name, f"{source}.stream.sse"))
    heard = heard_case(source, name)
    assert said(happenings) == said(cases.ANSWERS[heard])
    assert stream_bytes(target, happenings) == stream_path(heard, source, target).read_bytes()


@PAIRS
@pytest.mark.parametrize("name", cases.ERRORS)
def test_an_error_is_translated(name, source, target):
    failed = heard_error(source, name)
    kind = cases.HEARD_KINDS[source].get(cases.ERRORS[name].kind, cases.ERRORS[name].kind)
    expected = msgspec.structs.replace(cases.ERRORS[name], kind=kind)
    assert failed == expected
    assert error_bytes(target, failed) == error_bytes(target, expected)
    if failed == cases.ERRORS[name]:
        assert error_bytes(target, failed) == read(name, f"{target}.error.json")


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("name", cases.ERRORS)
def test_an_error_inside_a_stream_is_heard(name, dialect):
    failed = heard_stream(dialect, read(name, f"{dialect}.stream.sse"))[-1]
    assert isinstance(failed, Failed)
    kind = cases.ERRORS[name].kind
    assert failed.kind is cases.HEARD_KINDS[dialect].get(kind, kind)
    assert failed.text.startswith(cases.ERRORS[name].text)


@PAIRS
def test_what_providers_really_send_is_translated(source, target):
    wire = cases.AS_PROVIDERS_SEND
    conversation, losses = heard_request(source, read(WIRE, f"{source}.request.json"), wire.asked)
    assert (conversation, losses) == (wire.asked, [])
    assert request_bytes(target, conversation) == read(WIRE, f"to_{target}.request.json")
    whole = codec_of(source).decode_answer(read(WIRE, f"{source}.answer.json"))
    assert said(whole) == said(wire.answered)
    assert answer_bytes(target, whole) == read(WIRE, f"to_{target}.answer.json")
    streamed = heard_stream(source, read(WIRE, f"{source}.stream.sse"))
    assert said(streamed) == said(wire.answered)
    assert stream_bytes(target, streamed) == stream_path(WIRE, source, target).read_bytes()


@given(st.sampled_from(Dialect), st.sampled_from(Dialect), answers(with_thinking=False, overlapping=True))
def test_any_answer_says_the_same_in_another_dialect(source, target, happenings):
    through = heard_stream(source, stream_bytes(source, happenings))
    assert said(heard_stream(target, stream_bytes(target, through))) == said(happenings)
    whole = codec_of(source).decode_answer(answer_bytes(source, happenings))
    assert said(codec_of(target).decode_answer(answer_bytes(target, whole))) == said(happenings)


@given(st.sampled_from(Dialect), st.data())
def test_how_a_real_stream_is_cut_changes_nothing(dialect, data):
    whole = read(WIRE, f"{dialect}.stream.sse")
    decoder = codec_of(dialect).decoder()
    frames = [frame for piece in data.draw(cut(whole)) for frame in decoder.feed(piece)] + decoder.finish()
    assert [h for frame in frames for h in frame.happenings] == heard_stream(dialect, whole)


@pytest.mark.parametrize("dialect", Dialect)
def test_what_was_asked_before_is_counted_too(dialect):
    """The bodies of requests that count tokens are read like the others."""
    asked = cases.REQUESTS["tool_call"]
    body = msgspec.json.decode(request_bytes(dialect, asked))
    body = {
        name: value
        for name, value in body.items()
        if name not in {"max_tokens", "generationConfig", "stream"}
    }
    conversation, _ = codec_of(dialect).decode_request(msgspec.json.encode(body), model=cases.MODEL)
    assert conversation.turns[0].parts == (Text(text=asked.turns[0].parts[0].text),)
