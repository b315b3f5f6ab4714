"""Small curves as SVG made here: no script, no style, a text beside them says the same (``templates/server*.html``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 120
HEIGHT: Final = 28
_MARGIN: Final = 2


class Curve(NamedTuple):
    """A curve in a box of ``WIDTH`` times ``HEIGHT``; ``least``, ``most`` and ``last`` of its values."""

    path: str
    least: int
    most: int
    last: int


def curve(points: Sequence[tuple[int, int]], *, top: int = 0, gap_ns: int = 0) -> Curve | None:
    """A curve through ``(time, value)``, its foot at 0 and its top at ``top`` (at least the largest value); ``None`` for fewer than two.

    Between two points that are more than ``gap_ns`` apart (0: never) there is no line: nobody knows what was there.
    """
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    first, last = points[0][0], points[-1][0]
    high = max(top, *values, 1)
    steps, before = [], None
    for time, value in points:
        x = _MARGIN + (WIDTH - 2 * _MARGIN) * (time - first) / max(1, last - first)
        y = HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * value / high
        moves = before is None or (gap_ns and time - before > gap_ns)
        steps.append(f"{'M' if moves else 'L'}{x:.1f} {y:.1f}")
        before = time
    return Curve(path=" ".join(steps), least=min(values), most=max(values), last=values[-1])
