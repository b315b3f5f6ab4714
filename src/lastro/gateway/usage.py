"""Usage: who asked, who answered, how much, how fast, at what cost, and what went wrong; summed from the ledger.

What always holds: money that nobody knows is counted, never added as 0; a percentile is a value that was measured (nearest rank); every
exchange of the period is in exactly one row of a report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from math import ceil
from typing import Any, Final

from msgspec import Struct

from lastro.gateway.exchange import ExchangeOutcome
from lastro.gateway.exchanges import Only, where
from lastro.gateway.ledger import Ledger


class By(StrEnum):
    """What the rows of a report stand for."""

    ALL = "all"
    PROVIDER = "provider"
    MODEL = "model"
    """``PROVIDER/MODEL``."""
    KEY = "key"
    ROLE = "role"
    RUN = "run"
    KIND = "kind"
    ROUTE = "route"
    DAY = "day"
    """UTC, ``2026-11-20``."""


class Tokens(Struct, frozen=True, kw_only=True):
    """Sums. ``cache_read`` and ``cache_write`` are parts of ``input``. ``unknown``: exchanges of which neither was told nor estimated."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    unknown: int = 0
    estimated: int = 0
    """Exchanges whose tokens were estimated."""


class Money(Struct, frozen=True, kw_only=True):
    """``known``: the sum, in millionths of a dollar, of what is known; ``unknown``: how many exchanges have a cost that nobody knows."""

    known: int = 0
    unknown: int = 0


class Latency(Struct, frozen=True, kw_only=True):
    """Nanoseconds, of ``count`` exchanges; ``None`` where there is none."""

    count: int = 0
    p50: int | None = None
    p95: int | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """One row. ``name`` is what it stands for; empty: nobody answered, or no key, role or run was named."""

    name: str
    exchanges: int
    tokens: Tokens
    cost: Money
    duration: Latency
    """Of exchanges that were answered."""
    first_byte: Latency
    outcomes: dict[str, int]
    """``ExchangeOutcome`` → how many; those that are 0 left out."""
    failovers: int
    """Exchanges that took more than one attempt."""
    attempts: dict[str, int]
    """``AttemptOutcome`` → how many calls to providers ended so; those that are 0 left out."""
    degraded: int


class UsageReport(Struct, frozen=True, kw_only=True):
    """``total`` and its ``rows``, sorted by name. ``seq``: the newest record that is counted."""

    by: By
    total: Usage
    rows: tuple[Usage, ...]
    seq: int


_NAMES: Final = {
    By.ALL: "''",
    By.PROVIDER: "exchange.provider",
    By.MODEL: "CASE WHEN exchange.provider = '' THEN '' ELSE exchange.provider || '/' || exchange.model END",
    By.KEY: "CASE WHEN exchange.key_name = '' THEN exchange.key ELSE exchange.key_name END",
    By.ROLE: "exchange.role",
    By.RUN: "exchange.run",
    By.KIND: "exchange.kind",
    By.ROUTE: "exchange.route",
    By.DAY: "strftime('%Y-%m-%d', exchange.time_ns / 1000000000, 'unixepoch')",
}
_FIELDS: Final = "seq, input, output, cache_read, cache_write, estimated, cost, duration_ns, first_byte_ns, outcome, attempts, degraded"
_ANSWERED: Final = frozenset({ExchangeOutcome.ANSWERED.value})
_CALLED_NOBODY: Final = frozenset({ExchangeOutcome.REFUSED.value})


def report_usage(ledger: Ledger, *, by: By = By.PROVIDER, only: Only | None = None) -> UsageReport:
    """The usage of the exchanges that ``only`` says, as of the last ``Ledger.refresh``."""
    condition, values = where(only or Only())
    name = _NAMES[by]
    with ledger.reading() as database:
        rows = database.execute(
            f"SELECT {name}, {_FIELDS} FROM exchange WHERE {condition}",  # noqa: S608  constants of this package
            values,
        ).fetchall()
        attempts = database.execute(
            f"SELECT {name}, attempt.outcome, count(*) FROM attempt JOIN exchange ON exchange.seq = attempt.seq"  # noqa: S608  as above
            f" WHERE {condition} GROUP BY 1, 2",
            values,
        ).fetchall()
        seq = int(database.execute("SELECT seq FROM cursor").fetchone()[0])
    groups: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row[1:])
    tried: dict[str, Counter[str]] = {}
    for group, outcome, count in attempts:
        tried.setdefault(group, Counter())[outcome] += count
    return UsageReport(
        by=by,
        total=_usage("", [row[1:] for row in rows], sum(tried.values(), Counter[str]())),
        rows=tuple(_usage(group, groups[group], tried.get(group, Counter())) for group in sorted(groups)),
        seq=seq,
    )


def _usage(name: str, rows: Sequence[Sequence[Any]], attempts: Counter[str]) -> Usage:
    """``rows`` of ``_FIELDS``."""
    return Usage(
        name=name,
        exchanges=len(rows),
        tokens=Tokens(
            input=_sum(rows, 1),
            output=_sum(rows, 2),
            cache_read=_sum(rows, 3),
            cache_write=_sum(rows, 4),
            unknown=sum(row[1] is None and row[2] is None and row[9] not in _CALLED_NOBODY for row in rows),
            estimated=sum(bool(row[5]) for row in rows),
        ),
        cost=Money(
            known=_sum(rows, 6), unknown=sum(row[6] is None and row[9] not in _CALLED_NOBODY for row in rows)
        ),
        duration=_latency(row[7] for row in rows if row[9] in _ANSWERED),
        first_byte=_latency(row[8] for row in rows if row[8] is not None),
        outcomes=dict(sorted(Counter(row[9] for row in rows).items())),
        failovers=sum(row[10] > 1 for row in rows),
        attempts=dict(sorted(attempts.items())),
        degraded=sum(bool(row[11]) for row in rows),
    )


def _sum(rows: Iterable[Sequence[Any]], place: int) -> int:
    return sum(row[place] or 0 for row in rows)


def _latency(values: Iterable[int]) -> Latency:
    ordered = sorted(values)
    if not ordered:
        return Latency()
    return Latency(count=len(ordered), p50=nearest_rank(ordered, 0.50), p95=nearest_rank(ordered, 0.95))


def nearest_rank(ordered: Sequence[int], share: float) -> int:
    """The smallest of ``ordered`` values (at least one, sorted) that ``share`` of them do not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
