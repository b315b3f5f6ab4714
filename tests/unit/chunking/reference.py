"""FastCDC (2020) in plain Python, written from ``docs/format.md`` (Chunking) alone: slow, and easy to compare with the text."""

from __future__ import annotations

from hashlib import md5

GEAR = [int.from_bytes(md5(bytes([value]) * 64).digest()[:8], "big") for value in range(256)]
MASKS = {  # by the average size: before it, behind it
    1 << 10: (0x0000D90003530000, 0x0000019000353000),
    1 << 18: (0x0000D91707537000, 0x0000D90703537000),
}


def lengths(data, parameters):
    """The lengths of the chunks of a file that is not below ``whole_below``."""
    start, found = 0, []
    while start < len(data):
        found.append(cut(data[start : start + parameters.maximum], parameters))
        start += found[-1]
    return found


def cut(data, parameters):
    """The length of the first chunk of ``data``, which is at most one maximum long."""
    if len(data) <= parameters.minimum:
        return len(data)
    before, behind = MASKS[parameters.average]
    state = 0
    for position in range(parameters.minimum, len(data) - len(data) % 2):
        state = (state << 1) + (GEAR[data[position]] ^ parameters.seed) & (1 << 64) - 1
        if state & (before if position < parameters.average else behind) == 0:
            return position
    return len(data)
