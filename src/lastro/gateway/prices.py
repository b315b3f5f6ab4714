"""What a call costs: the kept price data, the owner's overrides, and the sums.

The data is the package genai-prices, which imports far more than a gateway may weigh; ``price_table`` makes a compact table of it in a
process of its own, and this module reads that. What always holds: an unknown price is ``None``, never 0; money is computed exactly and
rounded up, to a millionth of a US dollar, once, at the end; an override of the owner's wins over the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal, localcontext
from fnmatch import fnmatchcase
from typing import Final, Self

import msgspec
from msgspec import Struct

from lastro.errors import DamagedError
from lastro.gateway.dialects.neutral import Used
from lastro.gateway.price_overrides import PriceOverride
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind
from lastro.messages import N_

TABLE_VERSION: Final = 1
"""Of the layout below; a table of another version is made anew."""

PRICE_PROVIDERS: Final[Mapping[ProviderKind, str]] = {
    ProviderKind.OPENAI: "openai",
    ProviderKind.ANTHROPIC: "anthropic",
    ProviderKind.GOOGLE: "google",
    ProviderKind.OPENROUTER: "openrouter",
    ProviderKind.MISTRAL: "mistral",
    ProviderKind.DEEPSEEK: "deepseek",
}
"""Under which id each kind's prices stand; a compatible one is known by its base URL, where the data knows that."""

_EXACT: Final = Context(prec=60)
_ZERO: Final = Decimal(0)
_PER_THOUSAND: Final = 1000
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_REMEMBERED: Final = 4096


class Price(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """US dollars for a million tokens, which is millionths of a dollar for one. Each of ``tiers`` (tokens of input, price) holds for the
    *whole* call once its input is longer; ascending.
    """

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """The price in a call whose whole input is ``input_tokens`` long."""
        price = self.base
        for above, dearer in self.tiers:
            if input_tokens > above:
                price = dearer
        return price


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model charges. ``None``: not charged apart, but as ``input`` or ``output``; those themselves: unknown."""

    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    """For the shortest life that the provider offers; a longer one is dearer, and ``worst`` counts that."""
    cache_write_long: Price | None = None
    reasoning: Price | None = None
    per_thousand_calls: Decimal = _ZERO
    """US dollars."""

    def cost(self, used: Used) -> int | None:
        """Millionths of a dollar, rounded up; ``None`` where tokens or a price they need are unknown. Cached tokens that the provider did
        not tell count as plain input.
        """
        if used.input is None or used.output is None:
            return None
        with localcontext(_EXACT):
            total = self.per_thousand_calls * _PER_THOUSAND
            plain_input, plain_output = used.input, used.output
            for count, price in ((used.cache_read, self.cache_read), (used.cache_write, self.cache_write)):
                if count and price is not None:
                    total += price.at(used.input) * count
                    plain_input -= count
            if used.reasoning and self.reasoning is not None:
                total += self.reasoning.at(used.input) * used.reasoning
                plain_output -= used.reasoning
            for count, price in ((plain_input, self.input), (plain_output, self.output)):
                if count > 0:
                    if price is None:
                        return None
                    total += price.at(used.input) * count
            return _up(total)

    def worst(self, input_tokens: int, output_tokens: int) -> int | None:
        """The most that a call of this size can cost, in millionths of a dollar: everything newly cached, at the dearest of its tiers.
        ``None`` where a price is unknown.
        """
        if self.input is None or (output_tokens and self.output is None):
            return None
        inputs = (self.input, self.cache_read, self.cache_write, self.cache_write_long)
        outputs = (self.output, self.reasoning)
        with localcontext(_EXACT):
            total = self.per_thousand_calls * _PER_THOUSAND
            total += _dearest(inputs, input_tokens) * input_tokens
            total += _dearest(outputs, input_tokens) * output_tokens
            return _up(total)


FREE: Final = Rates(input=Price(base=_ZERO), output=Price(base=_ZERO))
"""What a local model charges."""


class Clause(Struct, frozen=True, array_like=True):
    """A condition on a name in lower case. ``operation``: ``equals``, ``starts``, ``ends``, ``contains``, ``regex``, ``or``, ``and``."""

    operation: str
    text: str = ""
    parts: tuple[Clause, ...] = ()

    def holds(self, name: str) -> bool:
        """Whether ``name`` meets it."""
        if self.operation in {"or", "and"}:
            return (any if self.operation == "or" else all)(part.holds(name) for part in self.parts)
        return _MATCHES[self.operation](self.text, name)


_MATCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "equals": lambda text, name: name == text,
    "starts": lambda text, name: name.startswith(text),
    "ends": lambda text, name: name.endswith(text),
    "contains": lambda text, name: text in name,
    "regex": lambda text, name: re.search(text, name) is not None,
}


class Period(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rates and when they hold: from ``since`` on, or daily from ``start`` to before ``end`` (UTC), or always."""

    rates: Rates
    since: date | None = None
    start: time | None = None
    end: time | None = None

    def holds(self, now: datetime) -> bool:
        """Whether the rates hold at ``now``, which is in UTC."""
        if self.since is not None:
            return now.date() >= self.since
        if self.start is None or self.end is None:
            return True
        clock = now.time()
        if self.end < self.start:
            return clock >= self.start or clock < self.end
        return self.start <= clock < self.end


class PricedModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model of the data. Of ``periods``, the last that holds now counts, else the first."""

    id: str
    match: Clause
    context: int = 0
    periods: tuple[Period, ...] = ()

    def rates(self, now: datetime) -> Rates | None:
        """What it charges at ``now`` (UTC); ``None`` where the data has no price."""
        for period in reversed(self.periods):
            if period.holds(now):
                return period.rates
        return self.periods[0].rates if self.periods else None


class PricedProvider(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One provider of the data. ``models`` is the JSON of ``PricedModel``s, read when they are first asked for."""

    id: str
    address: str
    """A regular expression that its base URLs match."""
    match: Clause | None = None
    """On what people call it."""
    fallbacks: tuple[str, ...] = ()
    models: msgspec.Raw = msgspec.Raw(b"[]")


class PriceTable(Struct, frozen=True, kw_only=True):
    """The whole file: ``source`` is the version of the package that it was made of."""

    version: int
    source: str
    providers: tuple[PricedProvider, ...]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The table in ``data``.

        Raises:
            DamagedError: it is none, or of another version.
        """
        try:
            table = msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise _damaged() from error
        if table.version != TABLE_VERSION:
            raise _damaged()
        return table


EMPTY_TABLE: Final = PriceTable(version=TABLE_VERSION, source="", providers=())
"""For an installation without price data: only overrides and local models have a price."""


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


def _dearest(prices: Sequence[Price | None], input_tokens: int) -> Decimal:
    return max((price.at(input_tokens) for price in prices if price is not None), default=_ZERO)


def _up(micro: Decimal) -> int:
    return int(micro.to_integral_value(rounding="ROUND_CEILING"))


def _dashed_date(name: str) -> str:
    """``gpt-5-20251211`` as ``gpt-5-2025-12-11``: brokers write dates in both ways."""

    def dashed(match: re.Match[str]) -> str:
        year, month, day = (int(group) for group in match.groups())
        try:
            return date(year, month, day).strftime("-%Y-%m-%d")
        except ValueError:
            return match.group(0)

    return _COMPACT_DATE.sub(dashed, name)


def _damaged() -> DamagedError:
    return DamagedError(
        N_("The price table is not one that this version understands."),
        hint=N_("It is made anew at the next start of the gateway; remove it if that does not help."),
    )
