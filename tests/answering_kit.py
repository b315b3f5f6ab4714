"""Small plain collaborators for tests of answering: what they are told is kept, and nothing else happens."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lastro.errors import ConfigError, DeniedError, UnreachableError
from lastro.gateway.answering import Answer, Answerer, AskedRequest
from lastro.gateway.circuit import Circuits
from lastro.gateway.dialects.codec import Envelope, codec_of
from lastro.gateway.dialects.neutral import Dialect, Happening, Used
from lastro.gateway.exchange import Bodies, ExchangeBegan, ExchangeEnded
from lastro.gateway.http_upstream import HttpUpstream
from lastro.gateway.keys import GatewayKey
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind
from lastro.gateway.route import Candidate, Match, Route, Routed, TaskKind
from lastro.gateway.settings import Bounds, Circuit

BASE = {Dialect.CHAT: "/v1", Dialect.RESPONSES: "/v1", Dialect.MESSAGES: "/v1", Dialect.GEMINI: "/v1beta"}


def provider(name: str, base_url: str, dialect: Dialect, *, local: bool = False) -> Provider:
    return Provider(
        name=name, kind=ProviderKind.COMPATIBLE, base_url=base_url, dialects=(dialect,), local=local
    )


def candidate(
    name: str,
    base_url: str,
    dialect: Dialect,
    *,
    local: bool = False,
    context: int = 0,
    degraded: bool = False,
) -> Candidate:
    return Candidate(
        provider=provider(name, base_url, dialect, local=local),
        model=f"model-of-{name}",
        facts=ModelFacts(context=context),
        dialect=dialect,
        degraded=degraded,
    )


@dataclass
class ListRouter:
    """Routes everything to ``candidates``; with the network down those in ``stand_ins`` come too."""

    candidates: Sequence[Candidate]
    circuits: Circuits
    route_of: Route
    stand_ins: Sequence[Candidate] = ()

    def route(
        self,
        *,
        envelope: Envelope,  # noqa: ARG002
        dialect: Dialect,  # noqa: ARG002
        headers: Mapping[str, str],  # noqa: ARG002
        key: GatewayKey,  # noqa: ARG002
        input_tokens: int,  # noqa: ARG002
    ) -> Routed:
        stand_ins = self.stand_ins if self.circuits.network_down else ()
        open_ones = [
            choice for choice in self.candidates if self.circuits.allows(choice.provider.name, choice.model)
        ]
        if not open_ones and not stand_ins:
            raise UnreachableError("All models are unavailable.", retry_after_s=3)
        return Routed(
            route=self.route_of, kind=TaskKind.CHAT, candidates=(*open_ones, *stand_ins), considered=()
        )

    def models(self, key: GatewayKey) -> Sequence[tuple[str, ModelFacts]]:  # noqa: ARG002
        return [("auto", ModelFacts())]


@dataclass
class CountedHold:
    cost: int | None
    tokens: int
    settled: list[tuple[int | None, int]] = field(default_factory=list)

    def settle(self, *, cost: int | None, tokens: int) -> None:
        self.settled.append((cost, tokens))


@dataclass
class OpenPurse:
    """Lets everything pass: one micro-dollar for each token; ``error`` is raised instead, or after ``most`` calls."""

    error: Exception | None = None
    most: int = 1000
    holds: list[CountedHold] = field(default_factory=list)

    def reserve(
        self,
        key: GatewayKey,  # noqa: ARG002
        candidates: Sequence[Candidate],  # noqa: ARG002
        *,
        input_tokens: int,
        output_tokens: int | None,
        answers: int = 1,
    ) -> CountedHold:
        if self.error is not None:
            raise self.error
        if len(self.holds) >= self.most:
            raise DeniedError("The budget {name} is spent.", name="day")
        tokens = input_tokens + (output_tokens or 0) * answers
        self.holds.append(CountedHold(cost=tokens, tokens=tokens))
        return self.holds[-1]

    def cost(self, provider: Provider, model: str, used: Used) -> int | None:  # noqa: ARG002
        return 0 if provider.local else (used.input or 0) + (used.output or 0)


SECRET, PLACEHOLDER = "hunter2hunter2", "LASTRO_SECRET_k7q2m9x4v8"


@dataclass(frozen=True)
class SwappedRequest:
    body: bytes
    count: int

    def restore(self, text: str) -> str:
        return text.replace(PLACEHOLDER, SECRET)


@dataclass
class OneSecretRedactor:
    """Knows one secret; ``error`` is raised instead."""

    error: Exception | None = None

    def redact(self, body: bytes) -> SwappedRequest:
        if self.error is not None:
            raise self.error
        count = int(SECRET.encode() in body)
        return SwappedRequest(body.replace(SECRET.encode(), PLACEHOLDER.encode()), count)


@dataclass
class ListRecorder:
    """Keeps what it is told; each exchange may begin once and end once."""

    begun: dict[str, ExchangeBegan] = field(default_factory=dict)
    ended: dict[str, ExchangeEnded] = field(default_factory=dict)
    bodies: dict[str, Bodies | None] = field(default_factory=dict)
    error: Exception | None = None

    def begin(self, began: ExchangeBegan) -> None:
        if self.error is not None:
            raise self.error
        assert began.id not in self.begun
        self.begun[began.id] = began

    def end(self, ended: ExchangeEnded, bodies: Bodies | None) -> None:
        assert ended.id in self.begun
        assert ended.id not in self.ended
        self.ended[ended.id] = ended
        self.bodies[ended.id] = bodies

    @property
    def last(self) -> ExchangeEnded:
        return list(self.ended.values())[-1]


@dataclass
class FixedCredentials:
    missing: frozenset[str] = frozenset()

    async def headers(self, provider: Provider, dialect: Dialect) -> Mapping[str, str]:
        if provider.name in self.missing:
            raise ConfigError("No key for {provider}.", provider=provider.name)
        if dialect is Dialect.MESSAGES:
            return {"x-api-key": f"key-of-{provider.name}", "anthropic-version": "2023-06-01"}
        return {"authorization": f"Bearer key-of-{provider.name}"}


@dataclass
class LocalEngine:
    base_url: str = ""
    error: Exception | None = None

    async def ready(self, model: str) -> tuple[str, Mapping[str, str]]:  # noqa: ARG002
        if self.error is not None:
            raise self.error
        return self.base_url, {"authorization": "Bearer key-of-engine"}


@dataclass
class ListSteps:
    noticed: list[tuple[str, int]] = field(default_factory=list)

    async def notice(self, key: GatewayKey, exchange: str, step: int) -> bool | None:  # noqa: ARG002
        if not key.steps:
            return None
        self.noticed.append((key.run, step))
        return True


@dataclass
class Bench:
    """An ``Answerer`` with its parts at hand."""

    answerer: Answerer
    router: ListRouter
    purse: OpenPurse
    redactor: OneSecretRedactor
    recorder: ListRecorder
    credentials: FixedCredentials
    engine: LocalEngine
    steps: ListSteps
    circuits: Circuits


QUICK = Bounds(connect_s=1.0, first_byte_s=0.25, between_bytes_s=0.25, total_s=20.0, keep_alive_s=5.0)


@asynccontextmanager
async def bench(
    candidates: Sequence[Candidate],
    *,
    bounds: Bounds = QUICK,
    circuit: Circuit | None = None,
    stand_ins: Sequence[Candidate] = (),
    **route: object,
) -> AsyncIterator[Bench]:
    """Everything that an exchange needs, over the real client."""
    circuits = Circuit() if circuit is None else circuit
    breakers = Circuits(circuits, clock=time.monotonic)
    options = {"name": "tests", "match": Match(), "models": (), "redaction": False, **route}
    router = ListRouter(candidates, breakers, Route(**options), stand_ins)  # type: ignore[arg-type]
    purse, redactor, recorder = OpenPurse(), OneSecretRedactor(), ListRecorder()
    credentials, engine, steps = FixedCredentials(), LocalEngine(), ListSteps()
    upstream = HttpUpstream()
    numbers = itertools.count(1)
    answerer = Answerer(
        upstream=upstream,
        router=router,
        purse=purse,
        redactor=redactor,
        recorder=recorder,
        credentials=credentials,
        engine=engine,
        steps=steps,
        circuits=breakers,
        bounds=lambda: bounds,
        estimate_tokens=lambda body: len(body) // 3 + 1,
        new_id=lambda: f"x-{next(numbers):026d}",
        time_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
    )
    try:
        yield Bench(answerer, router, purse, redactor, recorder, credentials, engine, steps, breakers)
    finally:
        await upstream.close()


def asking(
    dialect: Dialect, *, text: str = "hi", stream: bool = True, tools: bool = True, model: str = "auto"
) -> AskedRequest:
    """A small request as a client of the dialect writes it."""
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    body: dict[str, object]
    if dialect is Dialect.CHAT:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        tool: object = {"type": "function", "function": {"name": "write", "parameters": schema}}
    elif dialect is Dialect.RESPONSES:
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        body = {"model": model, "input": [said], "stream": stream}
        tool = {"type": "function", "name": "write", "parameters": schema, "strict": False}
    elif dialect is Dialect.MESSAGES:
        body = {
            "model": model,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
        }
        tool = {"name": "write", "input_schema": schema}
    else:
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        tool = {"functionDeclarations": [{"name": "write", "parametersJsonSchema": schema}]}
    if tools:
        body["tools"] = [tool]
    gemini = dialect is Dialect.GEMINI
    return AskedRequest(
        dialect=dialect,
        body=json.dumps(body).encode(),
        headers={"user-agent": "tests/1", "authorization": "Bearer lastro-client", "cookie": "a=b"},
        model=model if gemini else "",
        stream=stream if gemini else False,
    )


async def taken(answer: Answer) -> bytes:
    """The whole body, as a client that takes everything gets it."""
    if isinstance(answer.body, bytes):
        return answer.body
    pieces = [piece async for piece in answer.body]
    await answer.aclose()
    return b"".join(pieces)


def heard(dialect: Dialect, answer: Answer, body: bytes) -> list[Happening]:
    """What a client of the dialect understands; raises what it would stumble over."""
    codec = codec_of(dialect)
    if answer.status != 200:
        return [codec.decode_error(answer.status, answer.headers, body)]
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return list(codec.decode_answer(body))
    decoder = codec.decoder()
    frames = decoder.feed(body)
    happenings = [happening for frame in frames for happening in frame.happenings]
    if not any(type(happening).__name__ == "Failed" for happening in happenings):
        happenings += [happening for frame in decoder.finish() for happening in frame.happenings]
    return happenings
