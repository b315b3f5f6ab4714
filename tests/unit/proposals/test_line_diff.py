"""The comparison that hunks and merges share."""

from __future__ import annotations

import difflib
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.proposals import line_diff
from lastro.proposals.line_diff import careful_edits, edits_between, split_lines
from tests.unit.proposals.texts import FEW, edited_pairs, texts


def carried_out(edits, before, after):
    place, result = 0, []
    for edit in edits:
        result += before[place : edit.before_start] + after[edit.after_start : edit.after_end]
        place = edit.before_end
    return result + before[place:]


def in_order_and_apart(edits):
    return all(
        one.before_end < other.before_start and one.after_end < other.after_start
        for one, other in pairwise(edits)
    ) and all(edit.before_start < edit.before_end or edit.after_start < edit.after_end for edit in edits)


@given(texts())
def test_lines_are_the_text(content):
    lines = split_lines(content)
    assert b"".join(lines) == content
    assert all(line.index(b"\n") == len(line) - 1 for line in lines[:-1])


@given(
    st.one_of(
        edited_pairs(), edited_pairs(FEW), st.tuples(texts(), texts()), st.tuples(texts(FEW), texts(FEW))
    )
)
def test_edits_turn_one_into_the_other_and_never_touch(pair):
    before, after = map(split_lines, pair)
    for edits in (edits_between(before, after), careful_edits(before, after)):
        assert carried_out(edits, before, after) == after
        assert in_order_and_apart(edits)
    assert (edits_between(before, after) == []) == (before == after)


def shortest(before, after):
    """Lines that the shortest script adds and removes, by the textbook."""
    row = list(range(len(after) + 1))
    for number, line in enumerate(before, start=1):
        above, row = row, [number]
        for place, other in enumerate(after, start=1):
            row.append(above[place - 1] if line == other else 1 + min(above[place], row[-1]))
    return row[-1]


def kept_by_all(before, after):
    """Pairs that every shortest script keeps: those without which the shortest gets longer."""
    best = shortest(before, after)
    pairs = [
        (place, other)
        for place, line in enumerate(before)
        for other, same in enumerate(after)
        if line == same
        and shortest(before[:place], after[:other]) + shortest(before[place + 1 :], after[other + 1 :])
        == best
    ]
    # A line that some shortest script keeps as another line, or does not keep, is not sure.
    sure = []
    for place, other in pairs:
        alternatives = [pair for pair in pairs if (pair[0] == place) != (pair[1] == other)]
        marked = list(before)
        marked[place] = b"nowhere else"
        if not alternatives and shortest(marked, after) > best:
            sure.append((place, other))
    return sure


@given(st.tuples(texts(FEW, 8), texts(FEW, 8)))
def test_careful_edits_leave_out_exactly_what_every_shortest_script_keeps(pair):
    before, after = map(split_lines, pair)
    place = other = 0
    kept = []
    for start, end, after_start, after_end in [
        *careful_edits(before, after),
        (len(before), 0, len(after), 0),
    ]:
        kept += list(zip(range(place, start), range(other, after_start), strict=True))
        place, other = end, after_end
    assert kept == kept_by_all(before, after)


def test_what_moved_is_shown_in_as_few_lines_as_the_library_would():
    generator = random.Random(7)
    before = [b"line %d\n" % number for number in range(2000)]
    after = list(before)
    for _ in range(60):
        place = generator.randrange(len(after))
        after[place : place + generator.randrange(3)] = [b"new %d\n" % place] * generator.randrange(3)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    library = sum(
        end - start + last - first for tag, start, end, first, last in matcher.get_opcodes() if tag != "equal"
    )
    edits = edits_between(before, after)
    ours = sum(end - start + last - first for start, end, first, last in edits)
    assert ours <= library


def test_the_work_is_bounded_whatever_is_in_the_texts():
    generator = random.Random(3)
    few = [generator.choice([b"\n", b"}\n", b"{\n"]) for _ in range(30_000)]
    other = [generator.choice([b"\n", b"}\n", b"{\n"]) for _ in range(30_000)]
    many = [b"%d\n" % number for number in range(60_000)]
    shuffled = generator.sample(many, len(many))
    for before, after in ((few, other), (many, shuffled), ([*many, *few], [*few, *shuffled])):
        for edits in (edits_between(before, after), careful_edits(before, after)):
            assert carried_out(edits, before, after) == after


@given(st.one_of(edited_pairs(FEW), edited_pairs()))
def test_nothing_could_stand_further_down(pair):
    before, after = map(split_lines, pair)
    edits = edits_between(before, after)
    for edit, limit in zip(edits, [*(each.before_start for each in edits[1:]), len(before)], strict=False):
        start, end, after_start, after_end = edit
        if end < limit and start == end:
            assert before[end] != after[after_start]
        if end < limit and after_start == after_end:
            assert before[start] != before[end]


@given(st.tuples(texts(), texts()))
def test_without_time_what_differs_is_one_stretch(pair):
    before, after = map(split_lines, pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_diff, "WORK", -1)
        edits = edits_between(before, after)
        careful = careful_edits(before, after)
    assert carried_out(edits, before, after) == after
    assert len(edits) <= 1
    nothing = [] if before == after else [(0, len(before), 0, len(after))]
    assert [tuple(edit) for edit in careful] == nothing or not before or not after


def test_time_that_ends_in_the_middle_leaves_the_rest_in_one():
    before = [b"a\n", b"b\n"] * 300
    after = [b"b\n", b"b\n", b"a\n"] * 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_diff, "WORK", 2_000)
        assert len(edits_between(before, after)) == 1
        assert len(careful_edits(before, after)) == 1
    assert len(edits_between(before, after)) > 1


def test_what_could_stand_in_two_places_stands_in_the_later_one():
    before = split_lines(b"a\nb\n\nc\n")
    after = split_lines(b"a\nb\n\nb\n\nc\n")
    (edit,) = edits_between(before, after)
    assert edit.before_start == 3
