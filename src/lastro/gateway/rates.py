"""What a model charges, and the sums. Pure.

What always holds: an unknown price is ``None``, never 0; money is computed exactly and rounded up, to a millionth of a US dollar, once, at
the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from typing import Final

from msgspec import Struct

from lastro.gateway.dialects.neutral import Used

_EXACT: Final = Context(prec=60)
_ZERO: Final = Decimal(0)
_PER_THOUSAND: Final = 1000


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


def _dearest(prices: Sequence[Price | None], input_tokens: int) -> Decimal:
    return max((price.at(input_tokens) for price in prices if price is not None), default=_ZERO)


def _up(micro: Decimal) -> int:
    return int(micro.to_integral_value(rounding="ROUND_CEILING"))
