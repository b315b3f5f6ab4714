"""What a call costs: the kept price data and the owner's overrides.

The data is the package genai-prices, which imports far more than a gateway may weigh; ``price_table`` makes a compact table of it in a
process of its own (``priced_models``), and this module reads that. What always holds: an unknown price is ``None``, never 0; an override of
the owner's wins over the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from lastro.gateway.dialects.neutral import Used
from lastro.gateway.price_overrides import PriceOverride
from lastro.gateway.priced_models import PricedModel, PricedProvider, PriceTable
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind
from lastro.gateway.rates import FREE, Price, Rates

PRICE_PROVIDERS: Final[Mapping[ProviderKind, str]] = {
    ProviderKind.OPENAI: "openai",
    ProviderKind.ANTHROPIC: "anthropic",
    ProviderKind.GOOGLE: "google",
    ProviderKind.OPENROUTER: "openrouter",
    ProviderKind.MISTRAL: "mistral",
    ProviderKind.DEEPSEEK: "deepseek",
}
"""Under which id each kind's prices stand; a compatible one is known by its base URL, where the data knows that."""

_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_REMEMBERED: Final = 4096


class Prices:
    """Looks prices up. ``now_ns`` is the clock (nanoseconds since 1970, UTC)."""

    def __init__(
        self, table: PriceTable, overrides: Sequence[PriceOverride], *, now_ns: Callable[[], int]
    ) -> None:
        self._table = table
        self._overrides = tuple(overrides)
        self._now_ns = now_ns
        self._models: dict[str, tuple[PricedModel, ...]] = {}
        self._found: dict[tuple[str, str], PricedModel | None] = {}

    def rates(self, provider: Provider, model: str) -> Rates | None:
        """What ``provider`` charges for its ``model`` now; ``None`` where nobody knows. Local models are ``FREE``."""
        override = self._override(provider, model)
        if override is not None and override.input is not None:
            return _rates_of(override)
        if provider.local or provider.kind is ProviderKind.OFFLINE:
            return FREE
        found = self._find(provider, model)
        return found.rates(self._now()) if found is not None else None

    def cost(self, provider: Provider, model: str, used: Used) -> int | None:
        """What this use costs, in millionths of a dollar, rounded up; 0 only for local models and free ones; ``None`` is unknown."""
        rates = self.rates(provider, model)
        if rates is FREE:
            return 0
        return rates.cost(used) if rates is not None else None

    def facts(self, provider: Provider, model: str) -> ModelFacts | None:
        """What the data says of a model's size; ``None`` where it does not know the model."""
        override = self._override(provider, model)
        found = self._find(provider, model)
        if override is None and found is None:
            return None
        context = found.context if found is not None else 0
        if override is None:
            return ModelFacts(context=context)
        return ModelFacts(context=override.context or context, output=override.most_output)

    @property
    def source(self) -> str:
        """The version of the price data; empty where there is none."""
        return self._table.source

    def _override(self, provider: Provider, model: str) -> PriceOverride | None:
        names = {provider.name, provider.price_provider or PRICE_PROVIDERS.get(provider.kind, "")}
        for override in self._overrides:
            if override.provider in names and fnmatchcase(model, override.model):
                return override
        return None

    def _find(self, provider: Provider, model: str) -> PricedModel | None:
        priced = self._price_provider(provider)
        if priced is None:
            return None
        place = (priced.id, model)
        if place not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[place] = self._search(priced, model.lower())
        return self._found[place]

    def _search(self, priced: PricedProvider, name: str) -> PricedModel | None:
        for spelling in dict.fromkeys((name, _dashed_date(name))):
            for holder in (priced.id, *priced.fallbacks):
                for model in self._models_of(holder):
                    if model.match.holds(spelling):
                        return model
        return None

    def _models_of(self, identifier: str) -> tuple[PricedModel, ...]:
        models = self._models.get(identifier)
        if models is None:
            raw = next((each.models for each in self._table.providers if each.id == identifier), None)
            models = msgspec.json.decode(raw, type=tuple[PricedModel, ...]) if raw is not None else ()
            self._models[identifier] = models
        return models

    def _price_provider(self, provider: Provider) -> PricedProvider | None:
        wanted = provider.price_provider or PRICE_PROVIDERS.get(provider.kind, "")
        if not wanted:
            return next((p for p in self._table.providers if re.match(p.address, provider.base_url)), None)
        wanted = wanted.lower().strip()
        for priced in self._table.providers:
            if priced.id == wanted:
                return priced
        return next((p for p in self._table.providers if p.match is not None and p.match.holds(wanted)), None)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ns() // 1_000_000_000, tz=UTC).replace(tzinfo=None)


def _rates_of(override: PriceOverride) -> Rates:
    def price(value: Decimal | None) -> Price | None:
        return Price(base=value) if value is not None else None

    return Rates(
        input=price(override.input),
        output=price(override.output),
        cache_read=price(override.cache_read),
        cache_write=price(override.cache_write),
    )


def _dashed_date(name: str) -> str:
    """``gpt-5-20251211`` as ``gpt-5-2025-12-11``: brokers write dates in both ways."""

    def dashed(match: re.Match[str]) -> str:
        year, month, day = (int(group) for group in match.groups())
        try:
            return date(year, month, day).strftime("-%Y-%m-%d")
        except ValueError:
            return match.group(0)

    return _COMPACT_DATE.sub(dashed, name)
