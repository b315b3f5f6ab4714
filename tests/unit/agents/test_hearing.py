"""What is kept of what an agent said: its last words, bounded, whatever came in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters.adapter import Said
from lastro.agents.adapters.registry import adapter_called
from lastro.agents.hearing import LONGEST_SESSION, LONGEST_WORDS, MOST_LINES, Hearing, LastWords
from lastro.agents.output import OutputFile

KINDS = ["text", "raw", "error", "tool", "tool_result", "usage", "session"]
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=30).filter(
    lambda text: text.strip()
)


@pytest.fixture
def heard(tmp_path):
    """What is heard of an agent of this name that prints these lines."""

    def hear(name, *lines, stream="stdout"):
        told = []
        hearing = Hearing(OutputFile(str(tmp_path / "output.jsonl")), adapter_called(name).parse, told.append)
        for line in lines:
            hearing.hear(stream, line + b"\n")
        hearing.end()
        return hearing, told

    return hear


@given(
    earlier=st.lists(WORDS, max_size=3),
    pieces=st.lists(WORDS, min_size=1, max_size=10),
    between=st.lists(st.sampled_from(["raw", "usage", "session"]), max_size=5),
)
def test_pieces_of_a_text_are_one_text_whatever_else_comes_between(earlier, pieces, between):
    words = LastWords()
    for piece in earlier:
        words.take("text", piece, "delta")
    words.take("tool", "ls", "shell")
    words.take("tool_result", "", "shell")
    for piece in pieces:
        words.take("text", piece, "delta")
        for kind in between:
            words.take(kind, "something else", "")
    assert words.text == "".join(pieces)


@given(st.lists(WORDS, min_size=1, max_size=5), WORDS)
def test_a_whole_text_takes_the_place_of_all_before(earlier, last):
    words = LastWords()
    for text in earlier:
        words.take("text", text, "")
    words.take("error", "no", "")
    words.take("text", last, "")
    assert words.text == last


@given(st.lists(WORDS, max_size=60))
def test_of_lines_the_last_ones_stay(lines):
    words = LastWords()
    for line in lines:
        words.take("text", line, "line")
    assert words.text == "\n".join(lines[-MOST_LINES:])


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.text(max_size=50), st.sampled_from(["", "delta", "line"])))
)
def test_what_is_not_understood_counts_only_while_nothing_is(things):
    words = LastWords()
    for kind, text, name in things:
        words.take(kind, text, name)
    spoken = [text for kind, text, _ in things if kind in {"text", "error"} and text.strip()]
    raw = [text for kind, text, _ in things if kind == "raw" and text.strip()]
    if not spoken:
        assert words.text == "\n".join(raw[-MOST_LINES:])
    for text in spoken[-1:]:
        assert text in words.text


def test_last_words_are_bounded():
    words = LastWords()
    for _ in range(100):
        words.take("text", "x" * 1000, "delta")
    words.take("error", "y" * LONGEST_WORDS, "")
    assert len(words.text) == LONGEST_WORDS


def test_a_command_that_is_no_coding_tool_is_remembered_by_its_last_lines(heard):
    hearing, _ = heard("generic", *(b"line %d" % number for number in range(50)))
    assert hearing.last_words.splitlines() == [f"line {number}" for number in range(50 - MOST_LINES, 50)]


def test_noise_on_standard_error_is_not_what_a_coding_tool_said(heard):
    hearing, told = heard(
        "codex",
        b'{"type":"thread.started","thread_id":"%s"}' % (b"t" * 999),
        b'{"type":"item.completed","item":{"type":"agent_message","text":"I did it."}}',
        b"warning: something",
    )
    assert hearing.last_words == "I did it."
    assert len(hearing.session) == LONGEST_SESSION
    assert [said.kind for said in told] == ["session", "text", "raw"]


def test_a_tool_that_only_failed_is_remembered_by_why(heard):
    hearing, _ = heard("codex", b'{"type":"error","message":"401: the key is not known"}', b"at once")
    assert hearing.last_words == "401: the key is not known"
    hearing, _ = heard("codex", b"thread 'main' panicked")
    assert hearing.last_words == "thread 'main' panicked"


def test_nothing_that_steers_a_terminal_is_kept(heard):
    hearing, told = heard("generic", b"\x1b]0;title\x07red\x1b[31m \xe2\x80\xae")
    assert not set(hearing.last_words) & {"\x1b", "\x07", "\u202e"}
    assert isinstance(told[0], Said)
