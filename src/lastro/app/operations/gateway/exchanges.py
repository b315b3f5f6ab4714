"""What was asked and answered: usage, search, one exchange whole, and asking it again. A running gateway is not disturbed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from lastro.app.desk import Desk
from lastro.app.gateway_parts import open_credentials, open_prices
from lastro.app.gateway_places import GatewayPlaces, gateway_places
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.gateway.live import told
from lastro.app.requests.gateway import (
    AttemptItem,
    ExchangeItem,
    ExchangeList,
    ExchangeReplay,
    ExchangeShow,
    ExchangeShown,
    ExchangesSearch,
    Replayed,
    Saving,
    UsageReply,
    UsageRequest,
    UsageRow,
)
from lastro.errors import LastroError, NotFoundError, UsageError
from lastro.gateway.configuration import read_settings
from lastro.gateway.dialects.neutral import Used
from lastro.gateway.exchange import Exchange, ExchangeOutcome
from lastro.gateway.exchanges import Only, Shown, search, show
from lastro.gateway.ledger import Ledger
from lastro.gateway.provider import Provider
from lastro.gateway.repository import open_repository
from lastro.gateway.savings import measure_savings
from lastro.gateway.settings import Settings
from lastro.gateway.usage import By, Usage, report_usage
from lastro.messages import N_
from lastro.store.repository import Repository

_USUAL_SPAN_NS: Final = 30 * 86_400 * 1_000_000_000


class Memory(Struct, frozen=True):
    """The gateway's repository and its ledger, open for reading."""

    repository: Repository
    ledger: Ledger


@contextmanager
def memory(desk: Desk) -> Iterator[Memory]:
    """What the gateway remembers, as of half a second ago if one runs.

    Raises:
        NoRepositoryError: it never ran here.
    """
    places = gateway_places(desk.places)
    repository = open_repository(
        places.repository,
        key_file=places.repository_key,
        cache=f"{places.cache}/gateway-chunks.sqlite",
        clock=desk.clock,
    )
    try:
        ledger = Ledger(repository, f"{places.cache}/gateway-ledger.sqlite")
        try:
            ledger.refresh(words=False)
            yield Memory(repository, ledger)
        finally:
            ledger.close()
    finally:
        repository.close()


# Usage --------------------------------------------------------------------------------------------------------------------------------


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
    with memory(desk) as remembered:
        report = report_usage(remembered.ledger, by=by, only=only)
        savings = _savings(desk, remembered.ledger, only)
    return UsageReply(
        by=by.value,
        since_ns=since,
        rows=tuple(map(_row, report.rows)),
        total=_row(report.total),
        outcomes=report.total.outcomes,
        attempts=report.total.attempts,
        savings=savings,
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


def _savings(desk: Desk, ledger: Ledger, only: Only) -> tuple[Saving, ...]:
    places = gateway_places(desk.places)
    settings = read_settings(places.configuration)
    problems: list[LastroError] = []
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


# Exchanges ----------------------------------------------------------------------------------------------------------------------------


def search_exchanges(desk: Desk, request: ExchangesSearch) -> ExchangeList:
    """The newest exchanges that fit."""
    if request.outcome and request.outcome not in set(ExchangeOutcome):
        raise UsageError(
            N_("There is no outcome {word}."),
            hint=N_("There are: {words}"),
            word=request.outcome,
            words=", ".join(one.value for one in ExchangeOutcome),
        )
    only = Only(
        provider=request.provider,
        model=request.model,
        key=request.key,
        run=request.run,
        route=request.route,
        outcome=request.outcome,
        since_ns=request.since,
    )
    with memory(desk) as remembered:
        page = search(remembered.ledger, " ".join(request.words), only=only, limit=max(1, request.limit))
    return ExchangeList(
        exchanges=tuple(_item(hit.exchange, hit.excerpt) for hit in page.hits), more=page.before is not None
    )


def show_exchange(desk: Desk, request: ExchangeShow) -> ExchangeShown:
    """One exchange with what was asked and answered, secrets replaced."""
    with memory(desk) as remembered:
        shown = show(remembered.repository, remembered.ledger, request.id)
    bodies, item = shown.bodies, _item(shown.recorded.exchange, "")
    if bodies is None:
        return ExchangeShown(exchange=item, recorded=False, lost=shown.recorded.bodies_lost)
    return ExchangeShown(
        exchange=item,
        recorded=True,
        request=_text(bodies.request),
        answer=_text(bodies.answer),
        sent=_text(bodies.sent) if bodies.sent != bodies.request else "",
        sent_path=bodies.sent_path,
    )


def replay_exchange(desk: Desk, request: ExchangeReplay) -> Replayed:
    """Send the recorded request again, byte for byte, and show the new answer beside the recorded one."""
    from lastro.app.gateway_process import require_gateway  # noqa: PLC0415  aiohttp, for this alone

    require_gateway()
    with memory(desk) as remembered:
        shown = show(remembered.repository, remembered.ledger, request.id)
    return asyncio.run(_replay(desk, gateway_places(desk.places), shown))


async def _replay(desk: Desk, places: GatewayPlaces, shown: Shown) -> Replayed:
    from lastro.gateway.http_upstream import HttpUpstream, environment_proxies  # noqa: PLC0415  aiohttp
    from lastro.gateway.offline.engine import OfflineEngine  # noqa: PLC0415  only here
    from lastro.gateway.offline.models import ModelDirectory  # noqa: PLC0415  only here
    from lastro.gateway.replay import provider_of, replay  # noqa: PLC0415  only here

    settings = read_settings(places.configuration)
    name = provider_of(shown.recorded)
    provider = next((one for one in settings.providers if one.name == name), None)
    if provider is None:
        raise NotFoundError(
            N_("There is no provider called {name}."),
            hint=N_("See 'lastro gateway providers list'."),
            name=name,
        )
    upstream = HttpUpstream(proxies=environment_proxies())
    engine = OfflineEngine(ModelDirectory(places.models), new_key=lambda: secrets.token_hex(32))
    try:
        done = await replay(
            shown.recorded,
            shown.bodies,
            provider=provider,
            upstream=upstream,
            credentials=open_credentials(places, lambda: settings.providers, desk.clock),
            engine=engine,
            bounds=settings.bounds,
        )
    finally:
        await engine.close()
        await upstream.close()
    return Replayed(
        exchange=done.exchange,
        provider=done.provider,
        model=done.model,
        same_request=done.same_request,
        sent_digest=done.sent_digest,
        status=done.status,
        answer=_text(done.answer),
        recorded_answer=_text(done.recorded_answer),
        same_answer=done.same_answer,
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _item(exchange: Exchange, snippet: str) -> ExchangeItem:
    began, ended = exchange.began, exchange.ended
    assert ended is not None  # what is recorded has ended
    return ExchangeItem(
        id=began.id,
        time_ns=began.time_ns,
        outcome=ended.outcome.value,
        dialect=began.dialect.value,
        asked_model=began.asked_model,
        provider=ended.provider,
        model=ended.model,
        route=began.route,
        kind=began.kind,
        key=began.key_name or began.key,
        role=began.role,
        run=began.run,
        step=began.step,
        step_seen=ended.step_seen,
        input=ended.used.input,
        output=ended.used.output,
        cost=ended.cost,
        duration_ns=ended.duration_ns,
        first_byte_ns=ended.first_byte_ns,
        redacted=began.redacted,
        degraded=ended.degraded,
        estimated=ended.used_estimated,
        error=ended.error,
        losses=ended.losses,
        attempts=tuple(
            AttemptItem(
                provider=one.provider,
                model=one.model,
                dialect=one.dialect.value,
                outcome=one.outcome.value,
                status=one.status,
                visible=one.visible.value,
                duration_ns=one.duration_ns,
                cost=one.cost,
                detail=one.detail,
            )
            for one in ended.attempts
        ),
        snippet=snippet,
    )


OPERATIONS = (
    Operation(
        name="gateway.usage",
        request=UsageRequest,
        reply=UsageReply,
        effect=Effect.READ,
        place=Place.CALLER,
        run=usage,
        summary=N_("Who answered what: tokens, cost, time, errors, and what was saved."),
        details=N_(
            "A cost that nobody knows is counted as unknown, never as 0. Savings are told with what they are compared with."
        ),
    ),
    Operation(
        name="gateway.exchanges.search",
        request=ExchangesSearch,
        reply=ExchangeList,
        effect=Effect.READ,
        place=Place.CALLER,
        run=search_exchanges,
        summary=N_("Recorded exchanges, by words and by who answered."),
    ),
    Operation(
        name="gateway.exchanges.show",
        request=ExchangeShow,
        reply=ExchangeShown,
        effect=Effect.READ,
        place=Place.CALLER,
        run=show_exchange,
        summary=N_("One exchange: its attempts, its cost, what was asked and answered."),
    ),
    Operation(
        name="gateway.exchanges.replay",
        request=ExchangeReplay,
        reply=Replayed,
        effect=Effect.READ,
        place=Place.CALLER,
        run=replay_exchange,
        summary=N_("Send a recorded request again, byte for byte, and compare the answers."),
        details=N_(
            "It goes to the provider that got it then, with placeholders in the place of secrets, and may cost as much as then. No tool"
            " runs."
        ),
    ),
)
