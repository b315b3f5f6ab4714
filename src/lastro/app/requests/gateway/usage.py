"""What was used, and what it cost: asked and answered. Money is in millionths of a US dollar; ``None`` is unknown, never 0."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.messages import N_


class UsageRequest(Struct, frozen=True, kw_only=True):
    """What was used."""

    by: Annotated[
        str, parameter(N_("Group by provider, model, key, role, run, kind, route or day."), metavar="WORD")
    ] = "model"
    since: Annotated[
        int | None, parameter(N_("From when: 7d, 24h, 2026-11-20 (default: 30d)."), cli="instant")
    ] = None


class UsageRow(Struct, frozen=True, kw_only=True):
    """One group. ``cost`` is the sum of what is known; ``cost_unknown`` counts the exchanges whose cost nobody knows."""

    name: str
    exchanges: int
    errors: int
    input: int
    output: int
    cache_read: int
    cost: int
    cost_unknown: int
    median_ns: int | None
    slow_ns: int | None
    """95 of 100 were faster."""
    first_byte_ns: int | None = None
    tokens_unknown: int = 0
    failovers: int = 0
    degraded: int = 0
    estimated: int = 0


class Saving(Struct, frozen=True, kw_only=True):
    """Money that was not spent, in ``exchanges``; ``unknown`` further ones have no known price. ``code``: ``prompt_cache``, ``offline``,
    ``cheaper_model``. Kinds may count the same tokens, so nothing adds them up.
    """

    code: str
    saved: int
    exchanges: int
    unknown: int
    assumption: Sentence


class UsageReply(Struct, frozen=True, kw_only=True):
    """Usage by groups, the sum of all, what went wrong, and what was saved."""

    by: str
    since_ns: int
    rows: tuple[UsageRow, ...]
    total: UsageRow
    outcomes: dict[str, int]
    attempts: dict[str, int]
    savings: tuple[Saving, ...]
    problems: tuple[Sentence, ...] = ()
    """Why prices, and with them savings, may be unknown."""
