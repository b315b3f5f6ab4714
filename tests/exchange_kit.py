"""What tests of recorded exchanges share: exchanges drawn and made, conversations that grow, and a recorder on real files."""

from __future__ import annotations

import json
import random
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import strategies as st

from lastro.domain.record import Actor
from lastro.gateway.dialects.neutral import Dialect, Used
from lastro.gateway.exchange import (
    Attempt,
    AttemptOutcome,
    Bodies,
    Exchange,
    ExchangeBegan,
    ExchangeEnded,
    ExchangeOutcome,
    Visible,
)
from lastro.gateway.ledger import Ledger
from lastro.gateway.recorder import Recorder, spool_key
from lastro.gateway.spool import Spool
from lastro.store.backends.local import LocalBackend
from tests.faults.injection import UnsyncedSystem
from tests.store_kit import Kit

ACTOR = Actor(kind="gateway")
T0 = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000

few = st.integers(0, 5)
tokens = st.none() | st.integers(0, 1000)
names = st.sampled_from(["", "a", "b", "ação"])
used = st.builds(Used, input=tokens, output=tokens, cache_read=tokens, cache_write=tokens, reasoning=tokens)
attempts = st.builds(
    Attempt,
    provider=st.sampled_from(["p", "q", "offline"]),
    model=st.sampled_from(["m", "n/o"]),
    dialect=st.sampled_from(Dialect),
    outcome=st.sampled_from(AttemptOutcome),
    status=few,
    visible=st.sampled_from(Visible),
    started_ns=few,
    first_byte_ns=st.none() | few,
    duration_ns=few,
    used=st.none() | used,
    cost=st.none() | few,
    detail=st.text(max_size=5),
)


def name_of(number):
    return f"x-{number:026}"


def begin(number, **fields):
    """The beginning of exchange ``number``."""
    plain = {
        "id": name_of(number),
        "time_ns": T0 + number,
        "dialect": Dialect.CHAT,
        "asked_model": "auto",
        "stream": False,
        "route": "default",
        "kind": "chat",
        "key": "k1",
        "reserved_cost": 70,
        "reserved_tokens": 700,
    }
    return ExchangeBegan(**{**plain, **fields})


def finish(number, **fields):
    """The end of exchange ``number``."""
    attempt = Attempt(provider="p", model="m", dialect=Dialect.CHAT, outcome=AttemptOutcome.ANSWERED)
    plain = {
        "id": name_of(number),
        "outcome": ExchangeOutcome.ANSWERED,
        "duration_ns": 5,
        "attempts": (attempt,),
        "provider": "p",
        "model": "m",
        "used": Used(input=10, output=3),
        "cost": 12,
    }
    return ExchangeEnded(**{**plain, **fields})


def ask(text, *, model="m"):
    """A request of the Chat Completions dialect."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()


def say(text):
    """Its answer."""
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [message]}
    return json.dumps({**whole, "usage": usage}).encode()


def bodies(asked="hello", answered="hi"):
    return Bodies(
        request=ask(asked),
        sent=ask(asked, model="other"),
        sent_path="/v1/chat/completions",
        answer=say(answered),
        content_type="application/json",
    )


def conversation(steps, *, system=20_000, step=1800, seed=1):
    """The bodies of a conversation, step by step: each repeats all that was said before."""
    chance = random.Random(seed)
    vocabulary = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(4000)]

    def words(size):
        return " ".join(chance.choices(vocabulary, k=size // 6))

    messages = [{"role": "system", "content": words(system)}]
    tools = [
        {"type": "function", "function": {"name": f"f{number}", "description": words(300)}}
        for number in range(8)
    ]
    for _ in range(steps):
        messages.append({"role": "user", "content": words(step // 2)})
        request = json.dumps(
            {"model": "auto", "messages": messages, "tools": tools, "stream": False}
        ).encode()
        answer = words(step // 2)
        yield Bodies(
            request=request,
            sent=request.replace(b'"auto"', b'"gpt-5-mini"', 1),
            sent_path="/v1/chat/completions",
            answer=say(answer),
            content_type="application/json",
        )
        messages.append({"role": "assistant", "content": answer})


any_bodies = st.builds(
    lambda request, sent, answer: Bodies(
        request=request, sent=sent, sent_path="/v1/x", answer=answer, content_type="text/plain"
    ),
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.binary(max_size=50),
)


def any_exchange(number):
    """Exchange ``number``, drawn."""
    began = st.builds(
        begin,
        st.just(number),
        time_ns=st.integers(T0, T0 + 3 * DAY),
        dialect=st.sampled_from(Dialect),
        key=names,
        key_name=names,
        role=names,
        run=names,
        kind=st.sampled_from(["chat", "edit"]),
        route=st.sampled_from(["default", "edit"]),
        reserved_cost=st.none() | few,
        reserved_tokens=few,
    )
    ended = st.builds(
        finish,
        st.just(number),
        outcome=st.sampled_from(ExchangeOutcome),
        duration_ns=st.integers(0, 50),
        attempts=st.lists(attempts, max_size=3).map(tuple),
        provider=st.sampled_from(["", "p", "q", "offline"]),
        model=st.sampled_from(["m", "n/o"]),
        degraded=st.booleans(),
        used=used,
        used_estimated=st.booleans(),
        cost=st.none() | few,
        losses=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        first_byte_ns=st.none() | few,
    )
    return st.builds(lambda first, second: Exchange(began=first, ended=second), began, ended)


@dataclass
class Desk:
    """A gateway's memory in one directory: repository, ledger, spool, recorder; and what the recorder reported."""

    place: object
    reports: list[object] = field(default_factory=list)
    kit: object = None
    disk: object = field(default_factory=UnsyncedSystem)
    """What the repository is written with; ``open`` says what the spool is."""

    def __post_init__(self):
        self.kit = Kit(backend=self.backend())
        self.spool_place = f"{self.place}/spool"

    def backend(self):
        return LocalBackend(f"{self.place}/repository", system=self.disk, reserve=0)

    @contextmanager
    def open(self, *, interval_s=0.01, system=None, ledger=None):
        """A running recorder; whatever happens, everything is closed."""
        if not hasattr(self.kit, "secret"):
            repository = self.kit.create()
        else:
            self.kit.backend = self.backend()
            repository = self.kit.open(writable=True)
        with repository:
            found = Ledger(repository, ledger)
            try:
                spool = Spool(self.spool_place, spool_key(repository), system=system or self.disk)
                try:
                    recorder = Recorder(
                        repository,
                        found,
                        spool,
                        actor=ACTOR,
                        report=self.reports.append,
                        interval_s=interval_s,
                    )
                except BaseException:
                    spool.close()
                    raise
                try:
                    yield repository, found, recorder
                finally:
                    recorder.close()
            finally:
                found.close()
