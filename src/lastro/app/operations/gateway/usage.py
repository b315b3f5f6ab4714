"""Who answered what: tokens, cost, time, errors, and what was saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from lastro.app.desk import Desk
from lastro.app.gateway.parts import open_prices
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.gateway.memory import memory
from lastro.app.requests.gateway import (
    Saving,
    UsageReply,
    UsageRequest,
    UsageRow,
)
from lastro.app.requests.sentence import told
from lastro.errors import LastroError, UsageError
from lastro.gateway.configuration import read_settings
from lastro.gateway.dialects.neutral import Used
from lastro.gateway.exchange import ExchangeOutcome
from lastro.gateway.exchanges import Only
from lastro.gateway.ledger import Ledger
from lastro.gateway.provider import Provider
from lastro.gateway.savings import measure_savings
from lastro.gateway.settings import Settings
from lastro.gateway.usage import By, Usage, report_usage
from lastro.messages import N_

_USUAL_SPAN_NS: Final = 30 * 86_400 * 1_000_000_000


def usage(desk: Desk, request: UsageRequest) -> UsageReply:
    """Who answered what, at what cost, how fast, and what was saved."""
    try:
        by = By(request.by)
    except ValueError as error:
        raise UsageError(
            N_("Usage cannot be grouped by {word}."),
            hint=N_("There are: {words}"),
            word=request.by,
            words=", ".join(one.value for one in By),
        ) from error
    since = request.since if request.since is not None else desk.clock.wall_ns() - _USUAL_SPAN_NS
    only = Only(since_ns=since)
    problems: list[LastroError] = []
    with memory(desk) as remembered:
        report = report_usage(remembered.ledger, by=by, only=only)
        savings = _savings(desk, remembered.ledger, only, problems)
    return UsageReply(
        by=by.value,
        since_ns=since,
        rows=tuple(map(_row, report.rows)),
        total=_row(report.total),
        outcomes=report.total.outcomes,
        attempts=report.total.attempts,
        savings=savings,
        problems=tuple(map(told, problems)),
    )


def _row(usage_of: Usage) -> UsageRow:
    answered = usage_of.outcomes.get(ExchangeOutcome.ANSWERED.value, 0)
    return UsageRow(
        name=usage_of.name,
        exchanges=usage_of.exchanges,
        errors=usage_of.exchanges - answered,
        input=usage_of.tokens.input,
        output=usage_of.tokens.output,
        cache_read=usage_of.tokens.cache_read,
        cost=usage_of.cost.known,
        cost_unknown=usage_of.cost.unknown,
        median_ns=usage_of.duration.p50,
        slow_ns=usage_of.duration.p95,
        first_byte_ns=usage_of.first_byte.p50,
        tokens_unknown=usage_of.tokens.unknown,
        failovers=usage_of.failovers,
        degraded=usage_of.degraded,
        estimated=usage_of.tokens.estimated,
    )


def _savings(desk: Desk, ledger: Ledger, only: Only, problems: list[LastroError]) -> tuple[Saving, ...]:
    places = gateway_places(desk.places)
    settings = read_settings(places.configuration)
    prices = open_prices(places, desk.clock, on_problem=problems.append)
    known = {provider.name: provider for provider in settings.providers}

    def price(provider: str, model: str, used: Used) -> int | None:
        return prices.cost(known[provider], model, used) if provider in known else None

    measured = measure_savings(
        ledger,
        price=price,
        local={name for name, one in known.items() if one.local},
        paid=_usual_paid(settings, known),
        candidates=_candidates(settings),
        only=only,
    )
    return tuple(
        Saving(
            code=one.kind.value,
            saved=one.saved,
            exchanges=one.exchanges,
            unknown=one.unknown,
            assumption=told(one.assumption),
        )
        for one in measured
    )


def _usual_paid(settings: Settings, known: dict[str, Provider]) -> tuple[str, str] | None:
    """The first model of the default route, else of any, that is not local: what a local answer is compared with."""
    for route in reversed(settings.routes):
        for choice in route.models:
            provider, _, model = choice.model.partition("/")
            if provider in known and not known[provider].local:
                return provider, model
    return None


def _candidates(settings: Settings) -> Callable[[str], Sequence[tuple[str, str]]]:
    by_route = {
        route.name: [(name, model) for name, _, model in (one.model.partition("/") for one in route.models)]
        for route in settings.routes
    }
    return lambda route: by_route.get(route, ())


OPERATIONS = (
    Operation(
        name="gateway.usage",
        request=UsageRequest,
        reply=UsageReply,
        effect=Effect.READ,
        place=Place.HOME,
        run=usage,
        summary=N_("Who answered what: tokens, cost, time, errors, and what was saved."),
        details=N_(
            "A cost that nobody knows is counted as unknown, never as 0. Savings are told with what they are compared with."
        ),
    ),
)
