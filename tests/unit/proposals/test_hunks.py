"""Hunks: what a human chooses from."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.proposals.hunks import TEXT_LIMIT, Hunk, hunks_of, unified, with_hunks
from lastro.proposals.merge import merge
from tests.unit.proposals.texts import FEW, edited_pairs, texts

PAIRS = st.one_of(edited_pairs(), edited_pairs(FEW), st.tuples(texts(), texts()))


@given(PAIRS, st.integers(0, 4))
def test_none_chosen_is_before_and_all_chosen_is_after(pair, context):
    before, after = pair
    hunks = hunks_of(before, after, context=context)
    assert with_hunks(before, after, (), context=context) == before
    assert with_hunks(before, after, [hunk.number for hunk in hunks], context=context) == after
    assert [hunk.number for hunk in hunks] == list(range(1, len(hunks) + 1))
    assert (hunks == ()) == (before == after)


@given(PAIRS, st.sets(st.integers(1, 5)))
def test_a_part_and_then_the_rest_is_all(pair, chosen):
    before, after = pair
    rest = {hunk.number for hunk in hunks_of(before, after)} - chosen
    part, other = with_hunks(before, after, chosen), with_hunks(before, after, rest)
    # Chosen hunks stay chosen: what is left to do from the part on is what the rest does to the whole.
    assert merge(before, part, other).content in {after, None}
    assert with_hunks(part, after, {hunk.number for hunk in hunks_of(part, after)}) == after
    if not hunks_of(before, after)[1:]:
        return
    assert len(hunks_of(part, after)) <= len(hunks_of(before, after))


@given(PAIRS, st.integers(0, 4))
def test_a_hunk_says_which_lines_it_is_about(pair, context):
    before, after = pair
    old, new = (side.split(b"\n") for side in pair)
    for hunk in hunks_of(before, after, context=context):
        lines = [line for line in hunk.lines if line[:1] != b"\\"]
        mine = [line[1:] for line in lines if line[:1] in b" -"]
        other = [line[1:] for line in lines if line[:1] in b" +"]
        assert (len(mine), len(other)) == (hunk.before_count, hunk.after_count)
        if mine:
            assert old[hunk.before_line - 1 : hunk.before_line - 1 + len(mine)] == mine
        if other:
            assert new[hunk.after_line - 1 : hunk.after_line - 1 + len(other)] == other


@given(PAIRS, st.data())
@settings(max_examples=25)
def test_git_apply_and_patch_make_the_same_of_the_chosen_hunks(pair, data):
    before, after = pair
    hunks = hunks_of(before, after)
    chosen = data.draw(st.sets(st.sampled_from([hunk.number for hunk in hunks]))) if hunks else set()
    if not chosen:
        return
    expected = with_hunks(before, after, chosen)
    body = unified([hunk for hunk in hunks if hunk.number in chosen])
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"PATH": os.environ["PATH"], "HOME": scratch, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        for command in (
            ["git", "apply", "-p1", "--whitespace=nowarn", "--unidiff-zero", "--recount", "difference"],
            ["patch", "--binary", "-s", "-p1", "-i", "difference"],
        ):
            for name, content in (("text", before), ("difference", b"--- a/text\n+++ b/text\n" + body)):
                with open(f"{scratch}/{name}", "wb") as file:
                    file.write(content)
            done = subprocess.run(
                command, cwd=scratch, env=environment, capture_output=True, check=False, timeout=20
            )
            assert done.returncode == 0, (done, body)
            with open(f"{scratch}/text", "rb") as file:
                assert file.read() == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b"\0"), (b"\0", b"\0"), (b"x" * (TEXT_LIMIT + 1), b""), (b"", b"x\n" * (TEXT_LIMIT // 2 + 1))],
)
def test_what_is_no_text_has_no_hunks(before, after):
    assert hunks_of(before, after) is None
    with pytest.raises(ValueError, match="no hunks"):
        with_hunks(before, after, {1})


def test_what_nobody_would_read_has_no_hunks():
    old = b"".join(b"%d\n" % number for number in range(20_000))
    new = b"".join(b"%d\n" % -number for number in range(20_000))
    assert hunks_of(old, new) is None
    assert hunks_of(old, old + b"last\n") is not None


def test_a_hunk_as_people_know_it():
    (hunk,) = hunks_of(b"one\ntwo\nthree", b"one\n2\r\nthree\n")
    assert hunk == Hunk(
        number=1,
        before_line=1,
        before_count=3,
        after_line=1,
        after_count=3,
        lines=(b" one", b"-two", b"-three", b"\\ No newline at end of file", b"+2\r", b"+three"),
    )
    assert hunks_of(b"", b"new\n")[0].header == "@@ -0,0 +1 @@"
    assert hunks_of(b"gone\n", b"")[0].header == "@@ -1 +0,0 @@"


def test_far_changes_are_hunks_of_their_own_and_near_ones_are_not():
    lines = [b"%d\n" % number for number in range(40)]
    far, near = list(lines), list(lines)
    far[2], far[30] = b"x\n", b"y\n"
    near[2], near[9] = b"x\n", b"y\n"
    assert len(hunks_of(b"".join(lines), b"".join(far))) == 2
    assert len(hunks_of(b"".join(lines), b"".join(near))) == 1
    assert with_hunks(b"".join(lines), b"".join(far), {2}) == b"".join([*lines[:30], b"y\n", *lines[31:]])


def test_very_long_lines():
    before, after = b"a" * 500_000 + b"\n" + b"b" * 400_000, b"a" * 500_000 + b"\n" + b"c" * 400_000
    assert with_hunks(before, after, {1}) == after
