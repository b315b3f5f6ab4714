"""The law of failover: whatever two or three providers do wrong, in whatever dialects, a client gets a sound answer or its dialect's error.

No tool call is lost, doubled or half, no text repeated, and each exchange stands in the record once with all its attempts.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from lastro.gateway.dialects.neutral import (
    Dialect,
    Ended,
    Failed,
    Happening,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
)
from lastro.gateway.exchange import AttemptOutcome, ExchangeOutcome
from lastro.gateway.route import Candidate
from lastro.gateway.settings import Bounds
from tests.answering_kit import asking, bench, candidate, heard, taken
from tests.upstreams import (
    Call,
    Fault,
    FaultKind,
    Says,
    ScriptedUpstream,
    Turn,
    refusing_upstream,
    scripted_upstream,
)

HASTY = Bounds(connect_s=1.0, first_byte_s=0.08, between_bytes_s=0.08, total_s=30.0, keep_alive_s=0.03)
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Case:
    """One exchange: the client, and what each provider does."""

    seed: int
    dialect: Dialect
    stream: bool
    redaction: bool
    providers: tuple[tuple[Dialect, Turn | None], ...]
    """``None``: nobody listens there."""


def case_of(seed: int) -> Case:
    chance = random.Random(seed)
    words = ("ação", "alpha", "beta", 'g"am\\ma', "δέλτα", "💡", "x" * 40)
    with_calls, with_text = chance.random() < 0.7, chance.random() < 0.7
    providers = []
    for number in range(chance.choice((2, 3))):
        name = f"P{number}"
        calls = tuple(
            Call(
                id=f"call_{name}_{place}",
                name=chance.choice(("write", "read")),
                arguments=json.dumps({"path": f"{name}/{place} {chance.choice(words)}", "n": place}),
            )
            for place in range(chance.randint(1, 3) if with_calls else 0)
        )
        text = f"{name}: " + " ".join(chance.choices(words, k=6)) if with_text or not calls else ""
        thinking = f"{name} thinks " + chance.choice(words) if chance.random() < 0.2 else ""
        says = Says(text=text, thinking=thinking, calls=calls, piece=chance.randint(1, 9))
        fault = fault_of(chance) if chance.random() < 0.8 else None
        turn = None if chance.random() < 0.06 else Turn(says=says, fault=fault)
        providers.append((chance.choice(list(Dialect)), turn))
    return Case(
        seed=seed,
        dialect=chance.choice(list(Dialect)),
        stream=chance.random() < 0.8,
        redaction=chance.random() < 0.3,
        providers=tuple(providers),
    )


def fault_of(chance: random.Random) -> Fault:
    kind = chance.choice([*FaultKind, FaultKind.CUT_AT_EVENT, FaultKind.CUT_AT_EVENT, FaultKind.CUT_AT_BYTE])
    status = chance.choice((429, 429, 500, 502, 503, 529, 408, 401, 404))
    retry_after = chance.choice((None, 0.0, 1.0, 30.0)) if status in (429, 503) else None
    return Fault(kind=kind, at=chance.randrange(10_000), status=status, retry_after_s=retry_after)


@dataclass
class Heard:
    """What a client makes of an answer."""

    text: str
    thinking: str
    calls: list[tuple[str, str, object]]
    half: int
    ended: bool
    failed: Failed | None


def understood(happenings: list[Happening]) -> Heard:
    """The calls count when the answer is complete; before, no tool may run them."""
    names: dict[int, tuple[str, str]] = {}
    arguments: dict[int, str] = {}
    for happening in happenings:
        if isinstance(happening, ToolCallBegan):
            assert happening.block not in names
            names[happening.block] = (happening.id, happening.name)
        elif isinstance(happening, ToolCallDelta):
            arguments[happening.block] = arguments.get(happening.block, "") + happening.arguments
    failed = next((happening for happening in happenings if isinstance(happening, Failed)), None)
    ended = any(isinstance(happening, Ended) for happening in happenings)
    whole = [(*names[block], json.loads(arguments[block])) for block in names] if ended else []
    return Heard(
        text="".join(happening.text for happening in happenings if isinstance(happening, TextDelta)),
        thinking="".join(happening.text for happening in happenings if isinstance(happening, ThinkingDelta)),
        calls=whole,
        half=0 if ended else len(names),
        ended=ended,
        failed=failed,
    )


def said(turn: Turn | None) -> tuple[str, list[tuple[str, str, object]]]:
    if turn is None:
        return "", []
    return turn.says.text, [(call.id, call.name, json.loads(call.arguments)) for call in turn.says.calls]


def check(case: Case, heard_by_client: Heard) -> None:
    """The law."""
    turns = [said(turn) for _, turn in case.providers]
    got = heard_by_client
    assert got.ended != (got.failed is not None)
    if got.failed is not None:
        assert not got.half, "a call was begun that cannot be finished"
        assert got.text == "" or any(text.startswith(got.text) for text, _ in turns)
        return
    answering = [turn for turn in turns if turn[1] == got.calls]
    assert answering, "calls that no provider made so"
    if any(turn[0] == got.text for turn in answering):
        return
    assert got.calls, "an answer without calls is one provider's, whole"
    assert any(text.startswith(got.text) for text, _ in turns), "text that no provider wrote so"


async def run_case(case: Case) -> str:
    async with AsyncExitStack() as stack:
        upstreams: list[ScriptedUpstream | None] = []
        candidates: list[Candidate] = []
        for number, (dialect, turn) in enumerate(case.providers):
            if turn is None:
                upstreams.append(None)
                url = await stack.enter_async_context(refusing_upstream())
            else:
                upstream = await stack.enter_async_context(scripted_upstream([turn]))
                upstreams.append(upstream)
                url = upstream.base_url
            candidates.append(candidate(f"p{number}", url, dialect))
        parts = await stack.enter_async_context(bench(candidates, bounds=HASTY, redaction=case.redaction))
        answer = await parts.answerer.answer(asking(case.dialect, stream=case.stream))
        body = await taken(answer)
        assert answer.headers["x-lastro-exchange"] in parts.recorder.begun
        assert len(parts.recorder.begun) == len(parts.recorder.ended) == 1
        happenings = heard(case.dialect, answer, body)
        got = understood(happenings)
        check(case, got)
        ended = parts.recorder.last
        assert (ended.outcome is ExchangeOutcome.ANSWERED) == got.ended
        assert not any(attempt.outcome is AttemptOutcome.ANSWERED for attempt in ended.attempts[:-1])
        received = sum(len(upstream.requests) for upstream in upstreams if upstream is not None)
        assert received == sum(attempt.provider not in refused(case) for attempt in ended.attempts)
        assert parts.purse.holds[0].settled
        assert not any(status.in_flight for status in parts.circuits.status())
        return ended.outcome.value


def refused(case: Case) -> set[str]:
    return {f"p{number}" for number, (_, turn) in enumerate(case.providers) if turn is None}


async def run_all(seeds: range) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        async with room:
            case = case_of(seed)
            try:
                outcome = await run_case(case)
            except BaseException as error:
                error.add_note(repr(case))
                raise
            outcomes[outcome] = outcomes.get(outcome, 0) + 1

    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            group.create_task(one(seed))
    return outcomes


def test_sixty_random_faults_lose_and_double_nothing():
    outcomes = asyncio.run(run_all(range(60)))
    assert sum(outcomes.values()) == 60


@pytest.mark.slow
def test_a_thousand_random_faults_lose_and_double_nothing():
    outcomes = asyncio.run(run_all(range(1_000, 2_000)))
    assert sum(outcomes.values()) == 1_000
    # The cases are worth something only while all of these happen among them.
    assert set(outcomes) == {"answered", "failed", "broken"}
