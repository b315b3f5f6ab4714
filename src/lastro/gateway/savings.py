"""Savings: what was not paid, each kind by itself, with the assumption it rests on.

What always holds: nothing is added up over kinds, which may count the same tokens; an exchange whose price nobody knows is counted as
unknown, never as 0; a saving may be negative (writing a provider's cache costs more than plain input), and is then told so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from lastro.gateway.dialects.neutral import Used
from lastro.gateway.exchange import ExchangeOutcome
from lastro.gateway.exchanges import Only, where
from lastro.gateway.ledger import Ledger
from lastro.messages import N_, Message

Price = Callable[[str, str, Used], int | None]
"""Provider's name, model's own name, tokens → millionths of a dollar; ``None`` is unknown."""


class SavingKind(StrEnum):
    """Why something was not paid."""

    PROMPT_CACHE = "prompt_cache"
    OFFLINE = "offline"
    CHEAPER_MODEL = "cheaper_model"


class Saving(Struct, frozen=True, kw_only=True):
    """One line: ``saved`` millionths of a dollar over ``exchanges``; ``unknown`` further ones have no known price."""

    kind: SavingKind
    saved: int
    exchanges: int
    unknown: int
    assumption: Message


def measure_savings(
    ledger: Ledger,
    *,
    price: Price,
    local: Collection[str],
    paid: tuple[str, str] | None,
    candidates: Callable[[str], Sequence[tuple[str, str]]],
    only: Only | None = None,
) -> tuple[Saving, ...]:
    """What was saved in the exchanges that ``only`` says, at the prices of today; a line for each kind that can be told.

    ``local``: names of providers that cost nothing; ``paid``: provider and model that would have been asked in place of a local one
    (``None``: no such line); ``candidates``: the models of a route, by its name, as ``(provider, model)``.
    """
    rows = _answered(ledger, only or Only())
    remote = [row for row in rows if row.provider not in local]
    lines = [_prompt_cache(remote, price), _cheaper_model(remote, price, candidates)]
    if paid is not None:
        lines.insert(1, _offline([row for row in rows if row.provider in local], price, paid))
    return tuple(lines)


class _Row(Struct, frozen=True, kw_only=True):
    route: str
    provider: str
    model: str
    used: Used


def _answered(ledger: Ledger, only: Only) -> list[_Row]:
    condition, values = where(only)
    with ledger.reading() as database:
        rows: list[tuple[Any, ...]] = database.execute(
            "SELECT route, provider, model, input, output, cache_read, cache_write, reasoning FROM exchange"  # noqa: S608  constants
            f" WHERE outcome = ? AND provider != '' AND {condition}",
            [ExchangeOutcome.ANSWERED.value, *values],
        ).fetchall()
    return [
        _Row(
            route=row[0],
            provider=row[1],
            model=row[2],
            used=Used(input=row[3], output=row[4], cache_read=row[5], cache_write=row[6], reasoning=row[7]),
        )
        for row in rows
    ]


def _prompt_cache(rows: Iterable[_Row], price: Price) -> Saving:
    differences = []
    for row in rows:
        if row.used.cache_read or row.used.cache_write:
            plain = Used(input=row.used.input, output=row.used.output, reasoning=row.used.reasoning)
            differences.append(
                _difference(price(row.provider, row.model, plain), price(row.provider, row.model, row.used))
            )
    return _saving(SavingKind.PROMPT_CACHE, differences, Message(msgid=_CACHE_ASSUMPTION))


def _offline(rows: Iterable[_Row], price: Price, paid: tuple[str, str]) -> Saving:
    differences = [price(*paid, row.used) for row in rows]
    assumption = Message(msgid=_OFFLINE_ASSUMPTION, parameters={"model": "/".join(paid)})
    return _saving(SavingKind.OFFLINE, differences, assumption)


def _cheaper_model(
    rows: Iterable[_Row], price: Price, candidates: Callable[[str], Sequence[tuple[str, str]]]
) -> Saving:
    differences = []
    for row in rows:
        choices = candidates(row.route)
        if (row.provider, row.model) not in choices or len(choices) < 2:
            continue  # asked by name, or of a route that no longer holds it: there was nothing to choose
        prices = [price(provider, model, row.used) for provider, model in choices]
        known = [each for each in prices if each is not None]
        dearest = max(known) if len(known) == len(prices) else None
        differences.append(_difference(dearest, price(row.provider, row.model, row.used)))
    return _saving(SavingKind.CHEAPER_MODEL, differences, Message(msgid=_DEAREST_ASSUMPTION))


def _difference(full: int | None, actual: int | None) -> int | None:
    return None if full is None or actual is None else full - actual


def _saving(kind: SavingKind, differences: Sequence[int | None], assumption: Message) -> Saving:
    known = [each for each in differences if each is not None]
    return Saving(
        kind=kind,
        saved=sum(known),
        exchanges=len(known),
        unknown=len(differences) - len(known),
        assumption=assumption,
    )


_CACHE_ASSUMPTION = N_(
    "Against the same tokens at the price of plain input. What filling the cache cost more is taken off."
)
_OFFLINE_ASSUMPTION = N_("Against {model}, assuming that it would have used as many tokens.")
_DEAREST_ASSUMPTION = N_(
    "Against the dearest model of the same route, assuming as many tokens, and as many of them cached."
)
