"""What was asked and answered: search, one exchange whole, and asking it again. A running gateway is not disturbed."""

from __future__ import annotations

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.gateway.errands import replay_recorded
from lastro.app.operations.gateway.memory import memory
from lastro.app.requests.gateway import (
    AttemptItem,
    ExchangeItem,
    ExchangeList,
    ExchangeReplay,
    ExchangeShow,
    ExchangeShown,
    ExchangesSearch,
    Replayed,
)
from lastro.errors import UsageError
from lastro.gateway.exchange import Exchange, ExchangeOutcome
from lastro.gateway.exchanges import Only, search, show
from lastro.messages import N_


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
    with memory(desk) as remembered:
        shown = show(remembered.repository, remembered.ledger, request.id)
    done = replay_recorded(desk, shown)
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
        name="gateway.exchanges.search",
        request=ExchangesSearch,
        reply=ExchangeList,
        effect=Effect.READ,
        place=Place.HOME,
        run=search_exchanges,
        summary=N_("Recorded exchanges, by words and by who answered."),
    ),
    Operation(
        name="gateway.exchanges.show",
        request=ExchangeShow,
        reply=ExchangeShown,
        effect=Effect.READ,
        place=Place.HOME,
        run=show_exchange,
        summary=N_("One exchange: its attempts, its cost, what was asked and answered."),
    ),
    Operation(
        name="gateway.exchanges.replay",
        request=ExchangeReplay,
        reply=Replayed,
        effect=Effect.READ,
        place=Place.HOME,
        run=replay_exchange,
        summary=N_("Send a recorded request again, byte for byte, and compare the answers."),
        details=N_(
            "It goes to the provider that got it then, with placeholders in the place of secrets, and may cost as much as then. No tool"
            " runs."
        ),
    ),
)
