"""What a scripted provider answers: nouns, without a dialect."""

from __future__ import annotations

from dataclasses import dataclass

from tests.upstreams.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool call; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """One answer: thoughts, then text, then calls."""

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    input_tokens: int = 11
    output_tokens: int = 7
    piece: int = 5
    """Characters of each delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How one request is answered."""

    says: Says = Says(text="hello")
    fault: Fault | None = None
    pause_s: float = 0.0
    """Before each event of a stream."""


def pieces(text: str, size: int) -> list[str]:
    """``text`` cut into deltas; at least one."""
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]
