"""Texts for the laws of hunks and merges: few different lines, so that they repeat, with all kinds of line ends."""

from __future__ import annotations

from hypothesis import strategies as st

LINES = [
    b"a\n",
    b"b\n",
    b"\n",
    b"c\r\n",
    b"-x\n",
    b"+x\n",
    b" x\n",
    b"\\ No newline at end of file\n",
    b"\xff\xfe\n",
]
FEW = [b"a\n", b"b\n"]


def texts(lines=LINES, most=14):
    """A text; its last line may lack its end."""
    return st.tuples(st.lists(st.sampled_from(lines), max_size=most), st.booleans()).map(
        lambda drawn: b"".join(drawn[0])[: -1 if drawn[1] and drawn[0] else None]
    )


unique_lines = st.integers(0, 40).map(lambda size: [b"line %d\n" % number for number in range(size)])


def edited(lines, draw, *, new, most=3):
    """``lines`` after a few edits, with lines that ``new`` makes of a number."""
    lines = list(lines)
    for _ in range(draw(st.integers(0, most))):
        place = draw(st.integers(0, len(lines)))
        count = draw(st.integers(0, 3))
        lines[place : place + count] = [new(draw(st.integers(0, 9))) for _ in range(draw(st.integers(0, 2)))]
    return lines


@st.composite
def edited_pairs(draw, lines=LINES):
    """A text and one that was made of it; either last line may lack its end."""
    before = draw(st.lists(st.sampled_from(lines), max_size=40))
    after = edited(before, draw, new=lambda number: lines[number % len(lines)])
    return tuple(b"".join(side)[: -1 if draw(st.booleans()) and side else None] for side in (before, after))


@st.composite
def forks(draw, lines=FEW, new=(b"x\n", b"y\n")):
    """A text and two that were made of it."""
    base = draw(st.lists(st.sampled_from(lines), max_size=14))
    sides = [
        edited(base, draw, new=lambda number: [*lines, *new][number % (len(lines) + len(new))])
        for _ in range(2)
    ]
    return tuple(
        b"".join(side)[: -1 if draw(st.integers(0, 5)) == 0 and side else None] for side in (base, *sides)
    )
