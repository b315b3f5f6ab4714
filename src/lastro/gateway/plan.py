"""What the parts of answering share: the collaborators, the plan of one exchange, and the head of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from lastro.gateway.calling import Asked
from lastro.gateway.circuit import Circuits
from lastro.gateway.collaborators import (
    Credentials,
    Engine,
    Purse,
    Recorder,
    Redacted,
    Redactor,
    Router,
    Steps,
)
from lastro.gateway.route import Candidate, Routed
from lastro.gateway.settings import Bounds
from lastro.gateway.upstream import Upstream

SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What answering works with. ``estimate_tokens`` over-estimates; times are nanoseconds, ``time_ns`` since 1970."""

    upstream: Upstream
    router: Router
    purse: Purse
    redactor: Redactor
    recorder: Recorder
    credentials: Credentials
    engine: Engine
    steps: Steps
    circuits: Circuits
    bounds: Callable[[], Bounds]
    estimate_tokens: Callable[[bytes], int]
    new_id: Callable[[], str]
    time_ns: Callable[[], int]
    monotonic_ns: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One exchange that was let in."""

    id: str
    asked: Asked
    routed: Routed
    redacted: Redacted | None
    """What providers that are not local get; ``None`` where the route redacts nothing."""
    input_tokens: int
    began_ns: int
    """Monotonic."""
    created_s: int
    """Since 1970."""
    reserve: Callable[[Candidate], None]
    """Sets one more worst case aside, for an attempt after one that has cost something.

    Raises:
        LastroError: it would exceed a budget.
    """
    reroute: Callable[[], Routed]
    """Routing once more, after the network was found to be down."""


class Head(Struct, frozen=True, kw_only=True):
    """Status and headers of an answer; ``body`` is the whole of it, or ``None`` where pieces follow."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = None
