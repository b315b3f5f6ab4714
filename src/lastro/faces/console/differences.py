"""A difference of two texts as rows that a page shows as a table: each with the line it has on both sides, and what happened to it.

What always holds: a row's text is inert (control characters, bidirectional marks and bytes that are no text are seen as what they are);
rows come in the order of the hunks; and no more than what was asked for is made, however long the texts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from lastro.app.requests.proposals import ShownHunk
from lastro.domain.paths import printable, to_bytes

MOST_LINES: Final = 5_000
"""Lines of one file that a page shows at once."""
MOST_BYTES: Final = 512 * 1024
"""Bytes of one file that a page shows at once."""

ADDED: Final = "+"
REMOVED: Final = "-"
SAME: Final = " "
REMARK: Final = "\\"


class Row(NamedTuple):
    """A line of a hunk. ``before``, ``after``: its number on each side (0: it is not there). ``sign``: ``+``, ``-``, a space, or a
    backslash for a remark about the line before it.
    """

    before: int
    after: int
    sign: str
    text: str


class Part(NamedTuple):
    """Some of a file's hunks. ``left``: hunks that are not among them."""

    hunks: tuple[ShownHunk, ...]
    left: int


def visible(line: str) -> str:
    """A line of a file with everything that is no plain text made visible; tabs stay."""
    return "\t".join(printable(part) for part in line.split("\t"))


def rows_of(hunk: ShownHunk) -> list[Row]:
    """The lines of a hunk, numbered."""
    before, after = hunk.before_line, hunk.after_line
    rows = []
    for line in hunk.lines:
        sign, text = line[:1], visible(line[1:])
        if sign == REMARK:
            rows.append(Row(0, 0, REMARK, text.strip()))
            continue
        rows.append(Row(before if sign != ADDED else 0, after if sign != REMOVED else 0, sign, text))
        before += sign != ADDED
        after += sign != REMOVED
    return rows


def first_part(hunks: Sequence[ShownHunk], *, lines: int = MOST_LINES, size: int = MOST_BYTES) -> Part:
    """As many hunks, from the first one on, as ``lines`` lines and ``size`` bytes hold. A first hunk that is larger is cut."""
    taken: list[ShownHunk] = []
    for hunk in hunks:
        lines -= len(hunk.lines)
        size -= sum(len(to_bytes(line)) for line in hunk.lines)
        if (lines < 0 or size < 0) and taken:
            break
        taken.append(hunk)
        if lines < 0 or size < 0:
            break
    return Part(tuple(taken), len(hunks) - len(taken))


def cut(rows: Sequence[Row], *, lines: int = MOST_LINES, size: int = MOST_BYTES) -> list[Row]:
    """The first rows, at most ``lines`` of them and ``size`` bytes; a single line that is longer is shortened."""
    shown: list[Row] = []
    for row in rows[:lines]:
        text = row.text[:size]
        size -= len(to_bytes(text))
        shown.append(row._replace(text=text))
        if size <= 0:
            break
    return shown


def said(hunk: ShownHunk) -> str:
    """``@@ -3,7 +3,9 @@``."""
    return f"@@ -{hunk.before_line},{hunk.before_count} +{hunk.after_line},{hunk.after_count} @@"
