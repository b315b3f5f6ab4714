r"""Hunks: what differs in a text, in pieces that a human can choose one by one. Pure.

A text is any content without a NUL byte, also when it is no UTF-8: lines are bytes. Only ``\n`` ends a line, so ``\r\n`` is a line whose
last byte is ``\r``, and shows as changed when only that changes. What always holds: no hunk chosen gives ``before``, all of them give
``after``, and hunks as numbered by ``hunks_of`` are those that ``with_hunks`` takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct

from lastro.proposals.line_diff import Edit, edits_between, split_lines

TEXT_LIMIT: Final = 1024 * 1024
"""Bytes of one side; larger ones are compared, but not line by line."""

_WORK_LIMIT: Final = 100_000_000
"""Lines that only one side has, times all lines: beyond it nobody reads the difference, so it is not shown in lines."""

_CONTEXT: Final = 3
_NO_NEWLINE: Final = rb"\ No newline at end of file"


class Hunk(Struct, frozen=True, kw_only=True):
    r"""A piece of a unified diff. ``number`` counts from 1; lines count from 1, and a side without lines begins at the line before it.

    ``lines``: each with its mark (`` ``, ``-``, ``+``) and without its line end; ``\ No newline at end of file`` follows a line that has
    none.
    """

    number: int
    before_line: int
    before_count: int
    after_line: int
    after_count: int
    lines: tuple[bytes, ...]

    @property
    def header(self) -> str:
        """The line that begins the hunk in a unified diff."""
        before, after = (
            str(line) if count == 1 else f"{line},{count}"
            for line, count in (
                (self.before_line, self.before_count),
                (self.after_line, self.after_count),
            )
        )
        return f"@@ -{before} +{after} @@"


def is_text(content: bytes) -> bool:
    """Whether ``content`` can be shown, chosen and merged line by line: no NUL byte, and at most ``TEXT_LIMIT`` bytes."""
    return len(content) <= TEXT_LIMIT and b"\0" not in content


def hunks_of(before: bytes, after: bytes, *, context: int = _CONTEXT) -> tuple[Hunk, ...] | None:
    """The hunks between two contents, with up to ``context`` equal lines around each; none for equal ones.

    ``None``: at least one is no text, or so much differs that nobody would read it.
    """
    compared = _compared(before, after)
    if compared is None:
        return None
    old, new, edits = compared
    groups = enumerate(_grouped(edits, context), start=1)
    return tuple(_hunk(number, group, old, new, context) for number, group in groups)


def with_hunks(before: bytes, after: bytes, chosen: Collection[int], *, context: int = _CONTEXT) -> bytes:
    """``before`` with only the hunks ``chosen`` of ``hunks_of(before, after, context=context)``; other numbers are passed over.

    Raises:
        ValueError: the two have no hunks (``hunks_of`` says ``None``); asking was a mistake.
    """
    compared = _compared(before, after)
    if compared is None:
        raise ValueError("these contents have no hunks")
    old, new, edits = compared
    parts: list[bytes] = []
    place = 0
    for number, group in enumerate(_grouped(edits, context), start=1):
        if number in chosen:
            for edit in group:
                parts += old[place : edit.before_start]
                parts += new[edit.after_start : edit.after_end]
                place = edit.before_end
    return b"".join([*parts, *old[place:]])


def unified(hunks: Sequence[Hunk]) -> bytes:
    """The hunks as a unified diff without file headers, as ``patch`` and ``git apply`` read it."""
    lines = [line for hunk in hunks for line in (hunk.header.encode(), *hunk.lines)]
    return b"".join(line + b"\n" for line in lines)


def _compared(before: bytes, after: bytes) -> tuple[list[bytes], list[bytes], list[Edit]] | None:
    if not is_text(before) or not is_text(after):
        return None
    old, new = split_lines(before), split_lines(after)
    if _is_long_reading(old, new):
        return None
    return old, new, edits_between(old, new)


def _is_long_reading(old: list[bytes], new: list[bytes]) -> bool:
    known_old, known_new = set(old), set(new)
    alone = sum(line not in known_new for line in old) + sum(line not in known_old for line in new)
    return alone * (len(old) + len(new)) > _WORK_LIMIT


def _grouped(edits: Sequence[Edit], context: int) -> Iterator[list[Edit]]:
    """Edits so near that their context would touch or overlap are one hunk."""
    group: list[Edit] = []
    for edit in edits:
        if group and edit.before_start - group[-1].before_end > 2 * context:
            yield group
            group = []
        group.append(edit)
    if group:
        yield group


def _hunk(number: int, group: list[Edit], old: list[bytes], new: list[bytes], context: int) -> Hunk:
    first, last = group[0], group[-1]
    above = min(context, first.before_start)
    start, end = first.before_start - above, min(len(old), last.before_end + context)
    lines: list[bytes] = []
    place = start
    for edit in group:
        lines += _marked(b" ", old[place : edit.before_start])
        lines += _marked(b"-", old[edit.before_start : edit.before_end])
        lines += _marked(b"+", new[edit.after_start : edit.after_end])
        place = edit.before_end
    lines += _marked(b" ", old[place:end])
    after_start = first.after_start - above
    after_end = last.after_end + end - last.before_end
    return Hunk(
        number=number,
        before_line=start + (end > start),
        before_count=end - start,
        after_line=after_start + (after_end > after_start),
        after_count=after_end - after_start,
        lines=tuple(lines),
    )


def _marked(mark: bytes, lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.endswith(b"\n"):
            yield mark + line[:-1]
        else:
            yield mark + line
            yield _NO_NEWLINE
