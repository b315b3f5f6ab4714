"""How much room text takes, and text cut to a room."""

from __future__ import annotations

import unicodedata


def width_of(text: str) -> int:
    """Columns that printable ``text`` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def shortened(text: str, width: int) -> str:
    """``text`` cut to ``width`` columns, with an ellipsis."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) >= width:
        text = text[:-1]
    return f"{text}…"
