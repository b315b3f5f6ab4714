"""What operations on recorded exchanges are asked and answer. Money is in millionths of a US dollar; ``None`` is unknown, never 0."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.messages import N_


class ExchangesSearch(Struct, frozen=True, kw_only=True):
    """Recorded exchanges."""

    words: Annotated[
        tuple[str, ...],
        parameter(N_("Words that must occur in question or answer."), cli="argument", metavar="WORD"),
    ] = ()
    provider: Annotated[str, parameter(N_("Only what this provider answered."), metavar="NAME")] = ""
    model: Annotated[str, parameter(N_("Only what this model answered."), metavar="MODEL")] = ""
    key: Annotated[str, parameter(N_("Only what this key asked, by name or id."), metavar="KEY")] = ""
    run: Annotated[str, parameter(N_("Only what this run asked."), metavar="RUN")] = ""
    route: Annotated[str, parameter(N_("Only what went by this route."), metavar="ROUTE")] = ""
    outcome: Annotated[
        str,
        parameter(
            N_("answered, failed, broken, abandoned, refused or interrupted."),
            metavar="OUTCOME",
        ),
    ] = ""
    since: Annotated[int | None, parameter(N_("From when: 7d, 24h, 2026-11-20."), cli="instant")] = None
    limit: Annotated[int, parameter(N_("The most to show."), metavar="N")] = 20


class AttemptItem(Struct, frozen=True, kw_only=True):
    """One call to a provider."""

    provider: str
    model: str
    dialect: str
    outcome: str
    status: int
    visible: str
    duration_ns: int
    cost: int | None
    detail: str = ""


class ExchangeItem(Struct, frozen=True, kw_only=True):
    """One exchange."""

    id: str
    time_ns: int
    outcome: str
    dialect: str
    asked_model: str
    provider: str
    model: str
    route: str
    kind: str
    key: str
    role: str
    run: str
    step: int
    step_seen: bool | None
    """Whether the run's supervisor answered before the call was made; missing where there is none."""
    input: int | None
    output: int | None
    cost: int | None
    duration_ns: int
    first_byte_ns: int | None
    redacted: int
    degraded: bool
    estimated: bool
    error: str
    losses: tuple[str, ...]
    attempts: tuple[AttemptItem, ...]
    snippet: str = ""


class ExchangeList(Struct, frozen=True, kw_only=True):
    """Exchanges, the newest first. ``more``: there are older ones that fit too."""

    exchanges: tuple[ExchangeItem, ...]
    more: bool = False


class ExchangeShow(Struct, frozen=True, kw_only=True):
    """One exchange, with what was asked and answered."""

    id: Annotated[str, parameter(N_("The exchange."), cli="argument", metavar="EXCHANGE")]


class ExchangeShown(Struct, frozen=True, kw_only=True):
    """An exchange with its bodies as text, secrets replaced; ``recorded`` is false where its route records none."""

    exchange: ExchangeItem
    recorded: bool
    lost: bool = False
    """They were recorded and lost in a crash."""
    request: str = ""
    answer: str = ""
    sent: str = ""
    """What the provider got where that is another text than the request: it was translated, or its model named."""
    sent_path: str = ""


class ExchangeReplay(Struct, frozen=True, kw_only=True):
    """Send a recorded request again."""

    id: Annotated[str, parameter(N_("The exchange."), cli="argument", metavar="EXCHANGE")]


class Replayed(Struct, frozen=True, kw_only=True):
    """The recorded request was sent again, byte for byte (``same_request``); the new answer beside the recorded one."""

    exchange: str
    provider: str
    model: str
    same_request: bool
    sent_digest: str
    """BLAKE3 of what was sent."""
    status: int
    answer: str
    recorded_answer: str
    same_answer: bool
