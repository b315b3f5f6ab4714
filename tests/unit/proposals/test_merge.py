"""Three-way merges: never a guess."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.proposals.merge import conflict_text, merge
from tests.unit.proposals.texts import FEW, forks, texts

FORKS = st.one_of(forks(), forks([b"a\n", b"b\n", b"c\n", b"d\n"]), st.tuples(texts(), texts(), texts()))
NAMED = st.integers(4, 30).flatmap(lambda size: forks([b"line %d\n" % number for number in range(size)]))


@given(texts(), texts())
def test_a_side_that_did_nothing_changes_nothing(base, other):
    assert merge(base, base, other).content == other
    assert merge(base, other, base).content == other
    assert merge(base, other, other).content == other


@given(FORKS)
def test_sides_may_be_swapped(fork):
    base, ours, theirs = fork
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    assert one.content == other.content
    assert [(each.line, each.ours, each.theirs) for each in one.conflicts] == [
        (each.line, each.theirs, each.ours) for each in other.conflicts
    ]
    assert (one.content is None) == bool(one.conflicts)


@given(FORKS)
def test_merging_what_is_merged_changes_nothing(fork):
    base, ours, theirs = fork
    merged = merge(base, ours, theirs).content
    if merged is not None:
        assert merge(base, merged, merged).content == merged
        assert merge(ours, merged, ours).content == merged


def new_lines(base, side):
    return [line for line in side.splitlines(keepends=True) if line not in base.splitlines(keepends=True)]


@given(st.one_of(NAMED, forks()))
def test_no_line_that_somebody_added_is_lost(fork):
    base, ours, theirs = fork
    merged = merge(base, ours, theirs)
    for side in (ours, theirs):
        for line in new_lines(base, side):
            if merged.content is not None:
                assert line in merged.content.splitlines(keepends=True)
    text = conflict_text(base, ours, theirs)
    for side in (ours, theirs):
        assert all(line.rstrip(b"\n") in text for line in new_lines(base, side))


@given(NAMED)
def test_far_changes_merge(fork):
    base, ours, _ = fork
    tail = b"".join(b"tail %d\n" % number for number in range(5))
    if not base.endswith(b"\n") or not ours.endswith(b"\n"):
        return
    assert merge(base + tail, ours + tail, base + tail + b"last\n").content == ours + tail + b"last\n"


def git_merge(base, ours, theirs):
    """What ``git merge-file`` says: the content, ``None`` for a conflict."""
    with tempfile.TemporaryDirectory() as scratch:
        names = []
        for name, content in (("ours", ours), ("base", base), ("theirs", theirs)):
            names.append(f"{scratch}/{name}")
            with open(names[-1], "wb") as file:
                file.write(content)
        done = subprocess.run(
            ["git", "merge-file", "-p", "-q", *names],
            env={"PATH": os.environ["PATH"], "HOME": scratch, "GIT_CONFIG_NOSYSTEM": "1"},
            cwd=scratch,
            capture_output=True,
            check=False,
            timeout=20,
        )
    assert done.returncode < 128, done
    return done.stdout if done.returncode == 0 else None


@given(st.one_of(forks(), forks([b"a\n", b"b\n", b"c\n", b"d\n"]), NAMED))
@settings(max_examples=150)
def test_what_is_merged_here_git_merges_to_the_same(fork):
    merged = merge(*fork).content
    if merged is not None:
        assert git_merge(*fork) == merged


@given(NAMED)
def test_where_no_line_repeats_git_and_we_agree_on_what_is_a_conflict(fork):
    base, ours, theirs = fork
    if any(len(set(side.splitlines())) != len(side.splitlines()) for side in fork):
        return
    moved = any(
        [line for line in side.splitlines() if line in base.splitlines()]
        != [line for line in base.splitlines() if line in side.splitlines()]
        for side in (ours, theirs)
    )
    if not moved:
        assert merge(base, ours, theirs).content == git_merge(base, ours, theirs)


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        (b"a\nb\nc\n", b"X\nb\nc\n", b"a\nY\nc\n"),
        (b"a\nb\n", b"a\nX\nb\n", b"a\nY\nb\n"),
        (b"a\nb\n", b"a\n", b"a\nb\nc\n"),
        (b"a\nb", b"a\nb\n", b"a\nb\nc"),
        (b"", b"x\n", b"y\n"),
        (b"a\n", b"", b"a\nb\n"),
        (b"a\r\nb\r\n", b"a\nb\n", b"a\r\nB\r\n"),
    ],
    ids=[
        "next to each other",
        "same place",
        "removed and added after",
        "newline",
        "both new",
        "emptied",
        "line ends",
    ],
)
def test_what_touches_is_a_conflict(base, ours, theirs):
    assert merge(base, ours, theirs).content is None
    assert git_merge(base, ours, theirs) is None


def test_which_of_equal_lines_was_meant_is_not_guessed():
    base = b"{\n}\n{\n}\n"
    assert merge(base, b"{\n}\n{\n}\n{\n}\n", b"X\n}\n{\n}\n").content is None


@pytest.mark.parametrize("content", [b"\0", b"x\n" * 600_000], ids=["binary", "large"])
def test_what_is_no_text_is_not_merged(content):
    merged = merge(b"a\n", content, b"b\n")
    assert merged.content is None
    assert merged.conflicts == ()
    assert conflict_text(b"a\n", content, b"b\n") is None
    assert merge(content, content, b"b\n").content == b"b\n"


def test_markers_stand_around_what_is_in_conflict():
    text = conflict_text(
        b"a\nb\nc\nd", b"a\nX\nc\nd", b"a\nY\nc\nd", ours_name="now", base_name="was", theirs_name="new"
    )
    assert text == b"a\n<<<<<<< now\nX\n||||||| was\nb\n=======\nY\n>>>>>>> new\nc\nd"


@given(st.tuples(texts(FEW), texts(FEW), texts(FEW)))
def test_markers_are_there_exactly_when_it_is_a_conflict(fork):
    text, merged = conflict_text(*fork), merge(*fork).content
    assert (b"<<<<<<<" in text) == (merged is None)
    if merged is not None:
        assert text == merged
