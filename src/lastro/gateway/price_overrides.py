"""``prices.toml``: what the owner knows better than the price data (``docs/reference/prices.toml.md``).

What always holds: a missing file means no overrides; a wrong one is refused as a whole, by name of file and key, so that a typing mistake
never makes a price unknown, or free, in silence.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError
from lastro.messages import N_


class PriceOverride(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of some models, in US dollars for a million tokens. ``None``: not said; ``input`` alone decides whether prices are.

    ``provider`` is a provider's name in ``gateway.toml`` or the id of the price data; ``model`` a glob over the provider's own names.
    """

    provider: Annotated[str, Meta(min_length=1)]
    model: Annotated[str, Meta(min_length=1)]
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    context: Annotated[int, Meta(ge=0)] = 0
    """Tokens; 0: not said."""
    most_output: Annotated[int, Meta(ge=0)] = 0
    """The most tokens of one answer; 0: not said."""


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[PriceOverride, ...] = ()


def read_overrides(path: str) -> tuple[PriceOverride, ...]:
    """The overrides in the file ``path``, in their order: the first that fits counts. None where there is no such file.

    Raises:
        ConfigError: it cannot be read, is no TOML, has a key that is not known, or a price that is none; the error names it.
    """
    try:
        with open(to_bytes(path), "rb") as file:
            raw = file.read().decode("utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise _impossible(path, str(error)) from error
    try:
        document = tomllib.loads(raw, parse_float=Decimal)
        overrides = msgspec.convert(document, _File).models
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _impossible(path, str(error)) from error
    for number, override in enumerate(overrides):
        _check(path, number, override)
    return overrides


def _check(path: str, number: int, override: PriceOverride) -> None:
    prices = {name: getattr(override, name) for name in ("input", "output", "cache_read", "cache_write")}
    for name, price in prices.items():
        if price is not None and (not price.is_finite() or price < 0):
            raise _impossible(path, f"models[{number}].{name}: {price}")
    said = [name for name, price in prices.items() if price is not None]
    if said and (override.input is None or override.output is None):
        raise _impossible(path, f"models[{number}]: input, output")
    if not said and not override.context and not override.most_output:
        raise _impossible(path, f"models[{number}]: input, output")


def _impossible(path: str, problem: str) -> ConfigError:
    return ConfigError(
        N_("{path} cannot be used: {problem}"),
        hint=N_(
            "Each [[models]] needs provider, model, and input and output in US dollars for a million tokens, "
            "or context or most_output; nothing else but cache_read and cache_write is known."
        ),
        path=path,
        problem=problem,
    )
