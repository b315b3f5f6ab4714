"""The price table: which models of which providers charge what, and when. ``price_table`` makes it, ``prices`` looks into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Final, Self

import msgspec
from msgspec import Struct

from lastro.errors import DamagedError
from lastro.gateway.rates import Rates
from lastro.messages import N_

TABLE_VERSION: Final = 1
"""Of the layout below; a table of another version is made anew."""


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


def _damaged() -> DamagedError:
    return DamagedError(
        N_("The price table is not one that this version understands."),
        hint=N_("It is made anew at the next start of the gateway; remove it if that does not help."),
    )
