"""What a budget says when it stands against a call: which one, its limit, what is spent, and what can be done now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeVar

from msgspec import Struct

from lastro.errors import DeniedError
from lastro.gateway.exchange import MICRO
from lastro.gateway.settings import Scope
from lastro.messages import N_

Error = TypeVar("Error", bound=DeniedError)

_SENTENCES: Final = {
    "cost": N_(
        "The budget {budget} allows {limit_text} US dollars; {spent_text} are spent, {held_text} are set aside for calls that are "
        "running, and this call may need {needed_text}."
    ),
    "tokens": N_(
        "The budget {budget} allows {limit_text} tokens; {spent_text} are spent, {held_text} are set aside for calls that are running, "
        "and this call may need {needed_text}."
    ),
    "requests": N_(
        "The budget {budget} allows {limit_text} calls; {spent_text} were made, {held_text} are running."
    ),
}
_RENEWS: Final = N_(
    "It starts anew at {renews}. Ask for less output (max_tokens), or raise it in gateway.toml."
)
_STAYS: Final = N_("Ask for less output (max_tokens), or raise it in gateway.toml, or use another key.")


class Standing(Struct, frozen=True, kw_only=True):
    """How a budget stands against a call. Money in millionths of a dollar."""

    budget: str
    scope: Scope
    subject: str
    unit: str
    limit: int
    spent: int
    held: int
    needed: int
    renews_ns: int | None


def too_much(kind: type[Error], standing: Standing) -> Error:
    """The call would exceed the budget."""
    parameters: dict[str, object] = {name: getattr(standing, name) for name in Standing.__struct_fields__}
    for name in ("limit", "spent", "held", "needed"):
        parameters[f"{name}_text"] = _amount(standing.unit, getattr(standing, name))
    if standing.renews_ns is not None:
        seconds = standing.renews_ns // 1_000_000_000
        parameters["renews"] = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    hint = _RENEWS if standing.renews_ns is not None else _STAYS
    return kind(_SENTENCES[standing.unit], hint=hint, **parameters)


def no_price(kind: type[Error], *, budget: str, model: str) -> Error:
    """A limit of money stands, and nobody knows what the model costs."""
    return kind(
        N_("The budget {budget} limits money, and the price of {model} is unknown."),
        hint=N_("Write its price into prices.toml, or set allow_unknown_prices in gateway.toml."),
        budget=budget,
        model=model,
        unit="cost",
    )


def _amount(unit: str, value: int) -> str:
    """Money without needless zeros: at least cents, and as many places as there are."""
    if unit != "cost":
        return str(value)
    whole, parts = divmod(value, MICRO)
    places = f"{parts:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"
