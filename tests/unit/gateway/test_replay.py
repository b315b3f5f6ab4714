"""Replay sends the recorded bytes, with the key of today, to where they went, and sets the new answer beside the recorded one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from lastro.errors import LimitError, NotFoundError
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.exchange import Attempt, AttemptOutcome, Exchange, ExchangeOutcome
from lastro.gateway.exchange_records import draft_exchange, read_bodies, read_exchange
from lastro.gateway.http_upstream import HttpUpstream
from lastro.gateway.provider import Provider, ProviderKind
from lastro.gateway.replay import provider_of, replay
from lastro.gateway.settings import Bounds
from lastro.gateway.upstream import UpstreamError
from tests.exchange_kit import ACTOR, begin, bodies, finish
from tests.store_kit import Kit


class TodaysKey:
    async def headers(self, provider, dialect):
        return {"authorization": f"Bearer new-{provider.name}-{dialect.value}"}


class RunningEngine:
    def __init__(self, address):
        self.address = address

    async def ready(self, model):
        return self.address, {"authorization": f"Bearer engine-{model}"}


@asynccontextmanager
async def provider_that_says(answer, status="200 OK"):
    """A real server that keeps what it got, as it came, and says ``answer``."""
    got = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        got.append((head, await reader.readexactly(length)))
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n"
            "connection: close\r\n\r\n".encode()
        )
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", got


def recorded_with(found, **fields):
    with Kit().create() as repository, repository.begin() as made:
        exchange = Exchange(began=begin(1), ended=finish(1, **fields))
        stored = made.commit(draft_exchange(made, exchange, found, bodies_lost=False, actor=ACTOR))[0]
        recorded = read_exchange(stored)
        return recorded, read_bodies(repository, recorded)


async def run(recorded, found, base_url, *, kind=ProviderKind.OPENAI, engine=None, bounds=None):
    upstream = HttpUpstream()
    try:
        return await replay(
            recorded,
            found,
            provider=Provider(name="p", kind=kind, base_url=base_url, headers={"x-project": "7"}),
            upstream=upstream,
            credentials=TodaysKey(),
            engine=engine,
            bounds=bounds or Bounds(),
        )
    finally:
        await upstream.close()


def test_the_recorded_bytes_go_where_they_went_with_the_key_of_today():
    async def main():
        recorded, found = recorded_with(
            replace(bodies(), sent=b'{"odd":  "bytes \\u00e9"}', sent_path="/v1/chat/completions?a=b")
        )
        async with provider_that_says(found.answer) as (address, got):
            same = await run(recorded, found, address + "/v1")
        head, body = got[0]
        assert body == found.sent
        assert head.startswith(b"POST /v1/chat/completions?a=b HTTP/1.1\r\n")
        assert b"Bearer new-p-chat" in head and b"x-project: 7" in head
        assert (same.same_request, same.same_answer, same.status) == (True, True, 200)
        assert same.sent_digest == recorded.files["sent"].digest.hex()
        async with provider_that_says(b"other", "500 Oops") as (address, _):
            other = await run(recorded, found, address)
        assert (other.answer, other.recorded_answer) == (b"other", found.answer)
        assert (other.same_request, other.same_answer, other.status) == (True, False, 500)

    asyncio.run(main())


def test_bytes_that_are_not_the_recorded_ones_are_told():
    async def main():
        recorded, found = recorded_with(bodies())
        async with provider_that_says(b"x") as (address, _):
            assert not (await run(recorded, replace(found, sent=found.sent + b" "), address)).same_request

    asyncio.run(main())


def test_an_offline_answer_is_replayed_on_the_engine_that_runs_now():
    async def main():
        recorded, found = recorded_with(bodies())
        async with provider_that_says(b"x") as (address, got):
            await run(recorded, found, "", kind=ProviderKind.OFFLINE, engine=RunningEngine(address + "/v1"))
        assert b"Bearer engine-m" in got[0][0]

    asyncio.run(main())


def test_what_cannot_be_replayed_says_why():
    async def main():
        recorded, _ = recorded_with(None)
        with pytest.raises(NotFoundError) as raised:
            await run(recorded, None, "http://127.0.0.1:1")
        assert raised.value.hint
        recorded, found = recorded_with(bodies())
        with pytest.raises(UpstreamError):
            await run(recorded, found, "http://127.0.0.1:1")
        async with provider_that_says(b"x" * 11) as (address, _):
            with pytest.raises(LimitError):
                await run(recorded, found, address, bounds=Bounds(answer_bytes=10))

    asyncio.run(main())


def test_the_provider_is_who_answered_or_was_asked_last():
    last = Attempt(provider="q", model="m", dialect=Dialect.CHAT, outcome=AttemptOutcome.CONNECT)
    assert provider_of(recorded_with(None)[0]) == "p"
    assert provider_of(recorded_with(None, provider="", attempts=(last,))[0]) == "q"
    with pytest.raises(NotFoundError):
        provider_of(recorded_with(None, provider="", attempts=(), outcome=ExchangeOutcome.REFUSED)[0])
