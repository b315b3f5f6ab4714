"""Server-sent events: framing that loses no byte, however the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastro.gateway.dialects import sse
from lastro.gateway.dialects.codec import TooLargeError
from lastro.gateway.dialects.sse import (
    ServerEvent,
    SseSplitter,
    format_event,
    read_event,
    with_data,
)
from tests.gateway_strategies import cut, words

pieces = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b": c",
        b"event: e",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\xc3",
        b"\xa7",
        b"id: 1",
    ]
)
streams = st.one_of(st.lists(pieces, max_size=25).map(b"".join), st.binary(max_size=40))


def split(parts):
    splitter = SseSplitter()
    events = [event for part in parts for event in splitter.feed(part)]
    return events + splitter.finish()


@given(st.data(), streams)
@example(None, b"data: a\r\r\ndata: b\r\n\r\n")
def test_no_byte_is_lost_and_no_cut_changes_an_event(data, stream):
    parts = [stream[at : at + 1] for at in range(len(stream))] if data is None else data.draw(cut(stream))
    events = split(parts)
    assert b"".join(event.raw for event in events) == stream
    assert events == split([stream])


@given(st.lists(st.tuples(st.one_of(st.none(), st.just("e")), words), max_size=5))
def test_what_is_formatted_is_read_again(said):
    stream = b"".join(format_event(text.encode(), name) + b": kept alive\n\n" for name, text in said)
    events = [event for event in split([stream]) if event.data is not None]
    lines = [text.replace("\r\n", "\n").replace("\r", "\n") for _, text in said]
    assert [(event.event, event.data.decode()) for event in events] == [
        (name or "", text) for (name, _), text in zip(said, lines, strict=True)
    ]
    assert all(event.complete for event in events)


def test_lines_end_in_three_ways_and_data_has_many_lines():
    stream = b": hello\r\n\r\nevent: a\rdata: 1\r\rdata:2\ndata\ndata:  3\r\n\ndata: 4"
    assert [(event.event, event.data, event.complete) for event in split([stream])] == [
        ("", None, True),
        ("a", b"1", True),
        ("", b"2\n\n 3", True),
        ("", b"4", False),
    ]


def test_a_mark_of_byte_order_is_no_part_of_a_name():
    assert read_event(b"\xef\xbb\xbfdata: 1\n\n").data == b"1"


def test_a_last_carriage_return_ends_an_event_only_when_nothing_can_follow():
    splitter = SseSplitter()
    assert splitter.feed(b"data: 1\r\n\r") == []
    assert splitter.feed(b"\n") == [ServerEvent(raw=b"data: 1\r\n\r\n", data=b"1")]
    assert splitter.feed(b"data: 2\r\r") == []
    assert splitter.finish() == [ServerEvent(raw=b"data: 2\r\r", data=b"2")]


def test_an_event_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "LARGEST_FRAME", 100)
    for parts in (
        [b"data: " + b"x" * 200],
        [b"data: " + b"x" * 200 + b"\n\n"],
        [b"\n\n" + b"x" * 200 + b"\n\n"],
        [b"x" * 60, b"x" * 60],
    ):
        splitter = SseSplitter()
        with pytest.raises(TooLargeError):
            [splitter.feed(part) for part in parts]
    assert len(split([b"data: 1\n\n" * 50])) == 50


def test_other_data_leaves_name_comments_and_line_ends():
    raw = b"event: e\r\n: c\r\ndata: {\r\ndata: }\r\nid: 7\r\n\r\n"
    assert with_data(raw, b"[]") == b"event: e\r\n: c\r\ndata: []\r\nid: 7\r\n\r\n"
    assert with_data(b"data:1\ndatabase: 2\n\n", b"3") == b"data: 3\ndatabase: 2\n\n"
