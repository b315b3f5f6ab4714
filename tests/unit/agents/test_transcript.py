"""What an agent said is read again whole, or its end; and whatever lies there instead."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents import transcript
from lastro.agents.adapters.adapter import Said
from lastro.agents.adapters.registry import adapter_called
from lastro.agents.output import OutputFile
from lastro.agents.transcript import read_transcript
from lastro.domain.paths import to_bytes

PLAIN = adapter_called("generic").parse


def written(path, *pieces):
    output = OutputFile(path)
    for place, (stream, data) in enumerate(pieces):
        output.write(place, stream, data)
    output.close()
    return path


def texts(found):
    return [one.said.text for one in found]


@given(lines=st.lists(st.binary(min_size=1, max_size=20).filter(lambda one: b"\n" not in one), max_size=20))
def test_every_line_is_there_in_its_order_and_steers_nothing(tmp_path_factory, lines):
    path = written(
        str(tmp_path_factory.mktemp("run") / "output.jsonl"), *[("stdout", one + b"\n") for one in lines]
    )
    found, cut = read_transcript(path, PLAIN)
    assert not cut
    expected = [text for text in (one.decode("utf-8", "replace") for one in lines) if text.strip()]
    assert len(found) <= len(expected)
    assert not any("\x1b" in one or "\0" in one for one in texts(found))
    assert [one.time_ns for one in found] == sorted(one.time_ns for one in found)


def test_lines_of_two_streams_are_not_mixed(tmp_path):
    pieces = [("stdout", b"one "), ("stderr", b"bad\n"), ("stdout", b"two\nthree")]
    found, _ = read_transcript(written(str(tmp_path / "output.jsonl"), *pieces), PLAIN)
    assert texts(found) == ["bad", "one two", "three"]


def test_a_text_that_came_in_pieces_is_one(tmp_path):
    def parse(line):
        yield Said(kind="session", text="abc")
        yield Said(kind="text", text=line.decode(), name="delta")

    path = written(str(tmp_path / "output.jsonl"), ("stdout", b"a\nb\n"), ("stdout", b"c\n"))
    found, _ = read_transcript(path, parse)
    # what is no text comes between the pieces and is no line of its own
    assert [(one.time_ns, one.said.text) for one in found] == [(0, "abc")]


def test_of_very_much_the_end_is_read(tmp_path, monkeypatch):
    path = written(str(tmp_path / "output.jsonl"), *[("stdout", b"%d\n" % number) for number in range(100)])
    monkeypatch.setattr(transcript, "MOST_BYTES", 500)
    found, cut = read_transcript(path, PLAIN)
    assert cut
    assert texts(found)[-1] == "99" and 1 < len(found) < 20
    assert texts(found) == [str(number) for number in range(100 - len(found), 100)]


def test_the_files_come_in_the_order_they_were_written(tmp_path):
    for name, text in (("", "first"), (".0", "second"), (".1", "third")):
        written(f"{tmp_path}/output.jsonl{name}", ("stdout", text.encode() + b"\n"))
    assert texts(read_transcript(f"{tmp_path}/output.jsonl", PLAIN)[0]) == ["first", "second", "third"]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"null", b"[]", b'{"time_ns": "x", "stream": 1, "text": 2}', b"\xff", b'{"time_ns": 1}'],
)
def test_what_is_no_piece_of_it_is_left_out(tmp_path, line):
    good = json.dumps({"time_ns": 7, "stream": "stdout", "text": "good\n"}).encode()
    (tmp_path / "output.jsonl").write_bytes(line + b"\n" + good + b"\n" + good[:20])
    found, _ = read_transcript(str(tmp_path / "output.jsonl"), PLAIN)
    assert [(one.time_ns, one.said.text) for one in found] == [(7, "good")]


def test_no_link_is_followed_and_nothing_is_nothing(tmp_path):
    assert read_transcript(str(tmp_path / "output.jsonl"), PLAIN) == ([], False)
    os.symlink("/etc/passwd", to_bytes(str(tmp_path / "output.jsonl")))
    with pytest.raises(OSError, match="symbolic"):
        read_transcript(str(tmp_path / "output.jsonl"), PLAIN)
