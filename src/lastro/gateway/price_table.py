"""Makes the compact price table that ``prices`` reads, out of the package genai-prices, in a process of its own.

    python -m lastro.gateway.price_table OUT

The package imports thirty megabytes of other things, so the gateway's process never does. What always holds: every model of the data
that charges by tokens is in the table with exactly the data's own prices (a law of the tests); what it charges by the minute, the
page or the search is left out, for those calls do not go through the gateway. A model without any price is unknown, unless its name
says ``:free``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, DamagedError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.priced_models import (
    TABLE_VERSION,
    Clause,
    Period,
    PricedModel,
    PricedProvider,
    PriceTable,
)
from lastro.gateway.rates import FREE, Price, Rates
from lastro.messages import N_

if TYPE_CHECKING:
    from genai_prices import types

PACKAGE: Final = "genai-prices"
_LONGEST_S: Final = 60
_FREE_SUFFIX: Final = ":free"
_OPERATIONS: Final = {
    "ClauseEquals": ("equals", "equals"),
    "ClauseStartsWith": ("starts", "starts_with"),
    "ClauseEndsWith": ("ends", "ends_with"),
    "ClauseContains": ("contains", "contains"),
}
_TOKENS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}


def load_price_table(cache: str, *, python: str = sys.executable) -> PriceTable:
    """The table for the installed price data, from the directory ``cache`` (absolute, made if needed); made there once per version.

    Takes a second when it has to be made, else milliseconds; never on an event loop.

    Raises:
        ConfigError: the price data is not installed, or no table can be made of it.
        OSError: the cache cannot be written.
    """
    try:
        source = version(PACKAGE)
    except PackageNotFoundError as error:
        raise _unusable("not installed") from error
    path = f"{cache}/prices-{TABLE_VERSION}-{source}.json"
    if (table := _read(path)) is not None:
        return table
    os.makedirs(to_bytes(cache), mode=0o700, exist_ok=True)
    made = subprocess.run(
        [python, "-m", "lastro.gateway.price_table", path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_LONGEST_S,
    )
    table = _read(path)
    if made.returncode != 0 or table is None:
        raise _unusable(made.stderr.decode("utf-8", "replace").strip()[-300:])
    _remove_others(cache, os.path.basename(path))
    return table


def build_table() -> PriceTable:
    """The table of the installed package. Imports it."""
    from genai_prices.data import providers  # noqa: PLC0415  weighs what this module exists to avoid

    return PriceTable(
        version=TABLE_VERSION,
        source=version(PACKAGE),
        providers=tuple(_provider(provider) for provider in providers),
    )


def _provider(provider: types.Provider) -> PricedProvider:
    models = tuple(_model(model) for model in provider.models)
    return PricedProvider(
        id=provider.id,
        address=provider.api_pattern,
        match=_clause(provider.provider_match) if provider.provider_match is not None else None,
        fallbacks=tuple(provider.fallback_model_providers or ()),
        models=msgspec.Raw(msgspec.json.encode(models)),
    )


def _model(model: types.ModelInfo) -> PricedModel:
    return PricedModel(
        id=model.id,
        match=_clause(model.match),
        context=model.context_window or 0,
        periods=tuple(_periods(model)),
    )


def _periods(model: types.ModelInfo) -> Iterator[Period]:
    conditional: list[Any] = model.prices if isinstance(model.prices, list) else [model]
    for each in conditional:
        constraint = getattr(each, "constraint", None)
        yield Period(
            rates=_rates(each.prices, free=model.id.endswith(_FREE_SUFFIX)),
            since=getattr(constraint, "start_date", None),
            start=utc_clock(getattr(constraint, "start_time", None)),
            end=utc_clock(getattr(constraint, "end_time", None)),
        )


def utc_clock(clock: time | None) -> time | None:
    """The time of day in UTC, without saying so: as ``Period`` compares it."""
    if clock is None or clock.tzinfo is None:
        return clock
    return datetime.combine(date(1970, 1, 1), clock).astimezone(UTC).time()


def _rates(prices: types.ModelPrice, *, free: bool) -> Rates:
    said = {key: value for key, value in vars(prices).items() if value is not None}
    if not said and free:
        return FREE
    rates: dict[str, Any] = {name: _price(said[key]) for name, key in _TOKENS.items() if key in said}
    if "requests_kcount" in said:
        rates["per_thousand_calls"] = said["requests_kcount"]
    return Rates(**rates)


def _price(price: Any) -> Price:
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return Price(base=price)
    return Price(base=price.base, tiers=tuple((tier.start, tier.price) for tier in tiers))


def _clause(clause: Any) -> Clause:
    kind = type(clause).__name__
    if kind == "ClauseOr":
        return Clause("or", "", tuple(_clause(part) for part in clause.or_))
    if kind == "ClauseAnd":
        return Clause("and", "", tuple(_clause(part) for part in clause.and_))
    if kind == "ClauseRegex":
        return Clause("regex", clause.regex)
    operation, attribute = _OPERATIONS[
        kind
    ]  # a KeyError here is a new kind of rule: the table is not made, and that is said
    return Clause(operation, getattr(clause, attribute).lower())


def _read(path: str) -> PriceTable | None:
    try:
        with open(to_bytes(path), "rb") as file:
            return PriceTable.decode(file.read())
    except (FileNotFoundError, DamagedError):
        return None


def _remove_others(cache: str, kept: str) -> None:
    for name in os.listdir(cache):
        if name.startswith("prices-") and name.endswith(".json") and name != kept:
            os.unlink(os.path.join(cache, name))


def _unusable(problem: str) -> ConfigError:
    return ConfigError(
        N_("The price data ({package}) cannot be used: {problem}"),
        hint=N_(
            "Install it with: pip install 'lastro[gateway]'. Until then only prices in prices.toml are known."
        ),
        package=PACKAGE,
        problem=problem,
    )


def main(arguments: list[str]) -> int:
    """Write the table to the one path in ``arguments``."""
    (path,) = arguments
    write_atomically(path, msgspec.json.encode(build_table()), system=System())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
