"""What may stand in ``gateway.toml``: its tables as nouns, the JSON Schema of it, and where in the text a key stands.

The nouns say what the file says, in the file's own words (dollars, names as keys of tables); ``configuration`` checks them against each
other and makes ``settings.Settings`` of them. What always holds: every table refuses a key that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import KeySource, ModelFacts, ProviderKind
from lastro.gateway.route import Match, Origin, RouteModel, TaskKind
from lastro.gateway.settings import Bounds, Circuit, Listen, Scope

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Names of providers and routes; they stand in headers and in addresses."""

Money = Annotated[
    str | int | float,
    Meta(
        description='US dollars, as "5.00" or 5.00, at most six decimals.',
        extra_json_schema={"anyOf": [{"type": "string"}, {"type": "number"}]},
    ),
]
Globs = Annotated[tuple[str, ...], Meta(description="Patterns with * ? [abc]; empty: any.")]


class ProviderTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[providers.NAME]``: who may be asked."""

    kind: Annotated[ProviderKind, Meta(description="Who is behind it.")]
    base_url: Annotated[
        str, Meta(description="Address with its version; the kind's own if missing; needed for compatible.")
    ] = ""
    key: Annotated[
        KeySource,
        Meta(description="Where its key comes from: one of environment, file, command, stored."),
    ] = KeySource()
    dialects: Annotated[
        tuple[Dialect, ...],
        Meta(description="Dialects that it speaks, best first; found by a probe if missing."),
    ] = ()
    headers: Annotated[dict[str, str], Meta(description="Sent with every request to it; never a key.")] = (
        field(default_factory=dict)
    )
    price_provider: Annotated[
        str, Meta(description="Under which id its prices stand in the price data; the kind's own if missing.")
    ] = ""
    local: Annotated[
        bool | None,
        Meta(description="On this machine or network, so nothing leaves; true for loopback if missing."),
    ] = None
    enabled: Annotated[bool, Meta(description="false: kept, but never asked.")] = True
    models: Annotated[
        dict[str, ModelFacts],
        Meta(description="Facts of its models, by name; a probe fills in what is missing."),
    ] = field(default_factory=dict)


class RouteTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[routes.NAME]``: which models answer what. The first whose ``match`` holds is taken, ``default`` at last."""

    match: Annotated[Match, Meta(description="Everything that is set must hold; of a list, one member.")] = (
        Match()
    )
    models: Annotated[
        tuple[str | RouteModel, ...],
        Meta(
            description="PROVIDER/MODEL in order, or tables with weight, rank and limits; all there are if missing."
        ),
    ] = ()
    redaction: Annotated[bool, Meta(description="Secrets are replaced before a request leaves.")] = True
    recording: Annotated[bool, Meta(description="Requests and answers are recorded.")] = True
    origin: Annotated[
        Origin, Meta(description="transparent: headers say who answered; explicit: the answer too.")
    ] = Origin.HEADERS
    offline: Annotated[
        bool, Meta(description="With the network down, an offline model may answer, marked degraded.")
    ] = True
    max_output_tokens: Annotated[
        int, Meta(ge=0, description="The most that is asked of a model; 0: no limit.")
    ] = 0
    attempts: Annotated[
        int, Meta(ge=1, le=32, description="The most calls to providers for one exchange.")
    ] = 4


class BudgetTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``[[budgets]]``: a limit that stops a call before it is made."""

    name: Annotated[
        str, Meta(min_length=1, max_length=100, description="Shown when it stands against a call.")
    ]
    scope: Annotated[
        Scope, Meta(description="What is counted together: all calls, or those of a key, a role, a run.")
    ] = Scope.ALL
    names: Annotated[
        Globs, Meta(description="Patterns over the keys, roles or runs it is for; each of them if missing.")
    ] = ()
    per_day: Annotated[bool, Meta(description="Anew with each day, UTC; otherwise for ever.")] = False
    cost: Money | None = None
    tokens: Annotated[int, Meta(ge=0, description="Tokens, read and written together.")] | None = None
    requests: Annotated[int, Meta(ge=0, description="Exchanges.")] | None = None


class RedactionTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[redaction]``: what is a secret beside what looks like one."""

    known_secrets: Annotated[
        tuple[str, ...],
        Meta(description="Absolute paths of files whose values (NAME=value lines) are always replaced."),
    ] = ()


class GatewayFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``gateway.toml``: how the gateway listens, whom it asks, what it lets pass."""

    allow_unknown_prices: Annotated[
        bool, Meta(description="Whether a budget of money lets a call pass whose price nobody knows.")
    ] = False
    offline_kinds: Annotated[
        tuple[TaskKind, ...],
        Meta(
            description="Task kinds that an offline model may answer with the network down; all if missing."
        ),
    ] = ()
    listen: Annotated[
        Listen, Meta(description="Where the gateway answers; beyond loopback with TLS and keys only.")
    ] = Listen()
    bounds: Annotated[Bounds, Meta(description="Bytes, seconds and counts; times in seconds.")] = Bounds()
    circuit: Annotated[Circuit, Meta(description="When a failing model is left alone, and for how long.")] = (
        Circuit()
    )
    providers: Annotated[dict[str, ProviderTable], Meta(description="Providers by name, in order.")] = field(
        default_factory=dict
    )
    routes: Annotated[dict[str, RouteTable], Meta(description="Routes by name, in order.")] = field(
        default_factory=dict
    )
    budgets: Annotated[tuple[BudgetTable, ...], Meta(description="Limits on spending.")] = ()
    redaction: Annotated[RedactionTable, Meta(description="What is a secret.")] = RedactionTable()


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``gateway.toml``, for editors and ``docs/gateway.schema.json``."""
    (root,), components = msgspec.json.schema_components((GatewayFile,), ref_template="#/$defs/{name}")
    definitions = {name: dict(table) for name, table in components.items()}
    whole = definitions.pop(root["$ref"].rpartition("/")[2])
    for table in ("providers", "routes"):
        whole["properties"][table]["propertyNames"] = {"pattern": NAME_PATTERN}
    made: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                **whole,
                "title": "gateway.toml",
                "$defs": definitions,
            }
        )
    )
    return made


def to_micro(money: Money) -> int:
    """Millionths of a dollar.

    Raises:
        ValueError: it is negative, no number, or finer than a millionth.
    """
    try:
        # A float's shortest form is what was written, for any amount with fewer than 16 digits.
        micro = Decimal(str(money).strip()) * 1_000_000
        if not micro.is_finite() or micro < 0 or micro != int(micro):
            raise ValueError(money)
    except ArithmeticError as error:
        raise ValueError(money) from error
    return int(micro)


Place = tuple[str | int, ...]
"""Where something stands in the file: keys and positions, ``("budgets", 1, "cost")``."""

_KEY: Final = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_DOTTED: Final = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER: Final = re.compile(rf"^\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ASSIGNMENT: Final = re.compile(rf"^\s*({_DOTTED})\s*=")


def line_of(text: str, place: Place) -> int:
    """The line (from 1) of the deepest key of ``place`` that the text has; 0 if it has none of it."""
    best, line = 0, 0
    for number, keys in _keys(text):
        depth = 0
        while depth < min(len(keys), len(place)) and keys[depth] == place[depth]:
            depth += 1
        if depth > best and depth == len(keys):
            best, line = depth, number
    return line


def _keys(text: str) -> Iterator[tuple[int, Place]]:
    """Each header and assignment: its line and its whole place."""
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _dotted(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield number, table
        elif assignment := _ASSIGNMENT.match(line):
            yield number, (*table, *_dotted(assignment[1]))


def _dotted(text: str) -> Place:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, text))
