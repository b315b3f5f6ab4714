"""Gathers what a request says, item by item, into turns that alternate.

What always holds: parts keep their order; neighbours of one side are one turn, as in dialects that write every part by itself.
"""

from __future__ import annotations

from lastro.gateway.dialects.neutral import Part, Turn


class Turns:
    """The turns so far."""

    def __init__(self) -> None:
        self._turns: list[tuple[str, list[Part]]] = []

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self._turns)

    def add(self, role: str, *parts: Part) -> None:
        """More parts of one side, ``user`` or ``assistant``."""
        if not parts:
            return
        if not self._turns or self._turns[-1][0] != role:
            self._turns.append((role, []))
        self._turns[-1][1].extend(parts)

    def finish(self) -> tuple[Turn, ...]:
        """The turns."""
        return tuple(Turn(role=role, parts=tuple(parts)) for role, parts in self._turns)
