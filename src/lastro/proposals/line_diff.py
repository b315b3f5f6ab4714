"""What differs between two texts, line by line: the one comparison that hunks, merges and ``diff`` share.

Patience (lines that are unique on both sides are matched first, as Bram Cohen described it), then the shortest edit script (Myers, *An
O(ND) Difference Algorithm*, 1986) in what is left between. What always holds: the edits turn ``before`` into ``after`` exactly; they are
in order and never touch each other; and the work is bounded, whatever is in the texts: where it would be too much, a stretch is told as
replaced whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

WORK: Final = 6_000_000
"""Steps that one comparison may take, about two seconds."""

_DEEPEST: Final = 1_000
"""Lines of one stretch that the shortest script may add and remove. It keeps about half its square of numbers in memory."""


class Edit(NamedTuple):
    """Lines ``before_start`` to ``before_end`` became lines ``after_start`` to ``after_end``: from 0, ends not included."""

    before_start: int
    before_end: int
    after_start: int
    after_end: int


class _Region(NamedTuple):
    """A stretch of both sides that is still to be compared."""

    before_start: int
    before_end: int
    after_start: int
    after_end: int


def split_lines(content: bytes) -> list[bytes]:
    r"""The lines, each with its ``\n``; only that ends a line, and the last one may lack it."""
    # By hand: bytes.splitlines also splits at a lone carriage return.
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def edits_between(before: Sequence[bytes], after: Sequence[bytes]) -> list[Edit]:
    """What has to be done to ``before`` to get ``after``. Lines added or removed that could as well stand further down do."""
    old, new = _numbered(before, after)
    return _moved_down(_gaps(sorted(_Matching(old, new).pairs()), len(old), len(new)), old, new)


def careful_edits(before: Sequence[bytes], after: Sequence[bytes]) -> list[Edit]:
    """As ``edits_between``, but each edit covers every line of which one cannot be sure: where lines repeat, several scripts say the same.

    A line is outside of all edits only if *every* shortest script keeps it, as the same line of ``after``. (All shortest scripts lie
    between the one that removes as early and the one that removes as late as it can; what these two share, all share.) Texts that differ
    in too many lines are one edit.
    """
    old, new = _numbered(before, after)
    if old == new:
        return []
    distances = _Distances(old, new, WORK)
    if not distances.known:
        return [Edit(0, len(old), 0, len(new))]
    sure = set(distances.path(removing_early=True)) & set(distances.path(removing_early=False))
    return list(_gaps(sorted(sure), len(old), len(new)))


def _numbered(before: Sequence[bytes], after: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """Both sides with a number for each different line."""
    numbers: dict[bytes, int] = {}
    old = [numbers.setdefault(line, len(numbers)) for line in before]
    return old, [numbers.setdefault(line, len(numbers)) for line in after]


class _Matching:
    """Finds which lines of one side are which of the other. Lines are numbers here; equal lines, equal numbers."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        self._before, self._after = before, after
        self._left = WORK

    def pairs(self) -> Iterator[tuple[int, int]]:
        """``(place before, place after)`` of what stays, in no order."""
        waiting = [_Region(0, len(self._before), 0, len(self._after))]
        while waiting:
            start, end, after_start, after_end = waiting.pop()
            while start < end and after_start < after_end and self._same(start, after_start):
                yield start, after_start
                start, after_start = start + 1, after_start + 1
            while start < end and after_start < after_end and self._same(end - 1, after_end - 1):
                end, after_end = end - 1, after_end - 1
                yield end, after_end
            if start == end or after_start == after_end:
                continue
            region = _Region(start, end, after_start, after_end)
            self._left -= (end - start) + (after_end - after_start)
            if self._left < 0:
                continue
            anchors = self._anchors(region)
            if not anchors:
                yield from self._shortest(region)
                continue
            for place, after_place in anchors:
                yield place, after_place
                waiting.append(_Region(start, place, after_start, after_place))
                start, after_start = place + 1, after_place + 1
            waiting.append(_Region(start, end, after_start, after_end))

    def _same(self, place: int, after_place: int) -> bool:
        return self._before[place] == self._after[after_place]

    def _anchors(self, region: _Region) -> list[tuple[int, int]]:
        """Lines that are there once on both sides, as many as stand in the same order on both."""
        once = _once(self._before, region.before_start, region.before_end)
        after_once = _once(self._after, region.after_start, region.after_end)
        return _longest_rising(
            [(place, after_once[line]) for line, place in once.items() if line in after_once]
        )

    def _shortest(self, region: _Region) -> list[tuple[int, int]]:
        """The most lines that two stretches without a line of their own have in common; none if that is too much work."""
        old = range(region.before_start, region.before_end)
        new = range(region.after_start, region.after_end)
        in_old, in_new = {self._before[place] for place in old}, {self._after[place] for place in new}
        # Only what both sides have can stay.
        old_places = [place for place in old if self._before[place] in in_new]
        new_places = [place for place in new if self._after[place] in in_old]
        distances = _Distances(
            [self._before[place] for place in old_places],
            [self._after[place] for place in new_places],
            self._left,
        )
        self._left -= distances.steps
        if not distances.known:
            return []
        return [(old_places[one], new_places[other]) for one, other in distances.path(removing_early=True)]


class _Distances:
    """How many lines have to be added and removed from every place to the ends of both sides: Myers' furthest-reaching paths, kept.

    ``known`` is false when there is more to do than ``most`` steps or ``_DEEPEST`` lines; ``steps`` is what it took.
    """

    def __init__(self, old: Sequence[int], new: Sequence[int], most: int) -> None:
        self._old, self._new = old, new
        self._rows: list[list[int]] = []
        self.steps = 0
        self.known = not old or not new or self._reach(old[::-1], new[::-1], most)

    def path(self, *, removing_early: bool) -> Iterator[tuple[int, int]]:
        """The kept pairs of the shortest script that removes lines as early as any does, or as late."""
        x, y, left = 0, 0, len(self._rows) - 1
        first, last = ((1, 0), (0, 1)) if removing_early else ((0, 1), (1, 0))
        while x < len(self._old) and y < len(self._new):
            if self._within(x + first[0], y + first[1], left - 1):
                x, y, left = x + first[0], y + first[1], left - 1
            elif self._old[x] == self._new[y]:  # some shortest script always keeps what is equal here
                yield x, y
                x, y = x + 1, y + 1
            else:
                x, y, left = x + last[0], y + last[1], left - 1

    def _within(self, x: int, y: int, most: int) -> bool:
        """Whether from ``x`` and ``y`` on at most ``most`` lines differ. Asked only where the parity fits."""
        back = len(self._old) - x
        slot = (back - (len(self._new) - y) + most) // 2
        return 0 <= slot <= most and self._rows[most][slot] >= back

    def _reach(self, old: Sequence[int], new: Sequence[int], most: int) -> bool:
        """From the end (both sides are turned round): row by row how far each diagonal gets with so many edits."""
        old_size, new_size = len(old), len(new)
        row = [0]
        for depth in range(min(old_size + new_size, _DEEPEST) + 1):
            above, row = row, [_NOWHERE] * (depth + 1)
            self._rows.append(row)
            lowest, highest = max(0, (depth - new_size + 1) // 2), min(depth, (old_size + depth) // 2)
            for slot in range(lowest, highest + 1):
                diagonal = 2 * slot - depth
                begun = x = _furthest(above, slot, depth, old_size, new_size + diagonal)
                while x < old_size and 0 <= x - diagonal < new_size and old[x] == new[x - diagonal]:
                    x += 1
                row[slot] = x
                self.steps += 1 + x - begun
                if x == old_size and x - diagonal == new_size:
                    return True
            if self.steps > most:
                break
        return False


_NOWHERE: Final = -(1 << 40)


def _furthest(above: Sequence[int], slot: int, depth: int, most: int, most_by_diagonal: int) -> int:
    """How far one more edit gets on a diagonal: from the one above it, or the one below."""
    if depth == 0:
        return 0
    down = above[slot] if slot < depth else _NOWHERE
    right = above[slot - 1] + 1 if slot else _NOWHERE
    down, right = (each if each <= min(most, most_by_diagonal) else _NOWHERE for each in (down, right))
    return max(down, right)


def _once(lines: Sequence[int], start: int, end: int) -> dict[int, int]:
    """Line → place, for lines that are there once between ``start`` and ``end``; in order."""
    places: dict[int, int] = {}
    for place in range(start, end):
        line = lines[place]
        places[line] = -1 if line in places else place
    return {line: place for line, place in places.items() if place >= 0}


def _longest_rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of pairs that rise in their first number, the most that rise in the second one too."""
    ends: list[int] = []
    tips: list[int] = []
    previous: list[int] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        previous.append(tips[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            tips.append(number)
        else:
            ends[length], tips[length] = place, number
    found = []
    number = tips[-1] if tips else -1
    while number >= 0:
        found.append(pairs[number])
        number = previous[number]
    return found[::-1]


def _gaps(pairs: Sequence[tuple[int, int]], size: int, after_size: int) -> Iterator[Edit]:
    """What lies between the pairs, which are in order."""
    place, after_place = 0, 0
    for one, other in (*pairs, (size, after_size)):
        if one > place or other > after_place:
            yield Edit(place, one, after_place, other)
        place, after_place = one + 1, other + 1


def _moved_down(edits: Iterator[Edit], old: Sequence[int], new: Sequence[int]) -> list[Edit]:
    """Pure additions and removals as far down as they mean the same; what meets the next edit becomes one with it."""
    found: list[Edit] = []
    for edit in reversed(list(edits)):
        moved = _slid(edit, old, new, found[-1].before_start if found else len(old))
        while found and moved.before_end == found[-1].before_start:
            joined = _moved_together(moved, found.pop())
            moved = _slid(joined, old, new, found[-1].before_start if found else len(old))
        found.append(moved)
    return found[::-1]


def _moved_together(edit: Edit, following: Edit) -> Edit:
    return Edit(edit.before_start, following.before_end, edit.after_start, following.after_end)


def _slid(edit: Edit, old: Sequence[int], new: Sequence[int], limit: int) -> Edit:
    start, end, after_start, after_end = edit
    if start == end:
        while end < limit and old[end] == new[after_start]:
            start, end, after_start, after_end = start + 1, end + 1, after_start + 1, after_end + 1
    elif after_start == after_end:
        while end < limit and old[start] == old[end]:
            start, end, after_start, after_end = start + 1, end + 1, after_start + 1, after_end + 1
    return Edit(start, end, after_start, after_end)
