"""A join token pairs one keeper, once, with the node that it names; a secret goes to nobody else."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress

import msgspec
import pytest

from lastro.errors import ConfigError, DeniedError, UnreachableError
from lastro.transport.address import bind_tcp, join_address
from lastro.transport.dial import dial_pairing
from lastro.transport.join_token import JoinToken
from lastro.transport.pairing import TRIES, join, offer_pairing
from lastro.transport.tls import pairing_client_context, pairing_server_context
from tests.wire import identity


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    keys = str(tmp_path_factory.mktemp("keys"))
    return {name: identity(keys, name) for name in ("node", "keeper", "other")}


class Offer:
    """A node that waits for a keeper."""

    def __init__(self, node, store=None, **options):
        self.stored = []
        bound = bind_tcp("127.0.0.1", 0, option="port")
        self.secret = secrets.token_bytes(16)
        self.address = join_address(*bound.getsockname())
        self.token = JoinToken(addresses=(self.address,), device=node.device, secret=self.secret)
        offering = offer_pairing(
            bound,
            node,
            secret=self.secret,
            name="web-01",
            port=8422,
            store=store or self.stored.append,
            **options,
        )
        self.outcome = asyncio.create_task(offering)


def test_both_learn_each_other(machines):
    node, keeper = machines["node"], machines["keeper"]

    async def pair():
        offer = Offer(node)
        paired = await join(offer.token, keeper, name="desk\x1b[31m")
        assert (paired.name, paired.certificate, paired.address) == (
            "web-01",
            node.certificate,
            "127.0.0.1:8422",
        )
        (stored,) = offer.stored
        assert await offer.outcome == stored
        assert (stored.name, stored.certificate, stored.device) == (
            "desk[31m",
            keeper.certificate,
            keeper.device,
        )

    asyncio.run(pair())


def test_a_token_is_good_once(machines):
    async def pair():
        offer = Offer(machines["node"])
        results = await asyncio.gather(
            *(join(offer.token, machines[name], name=name) for name in ("keeper", "other")),
            return_exceptions=True,
        )
        assert len(offer.stored) == 1
        assert sum(isinstance(result, Exception) for result in results) == 1
        await offer.outcome
        with pytest.raises(UnreachableError) as raised:
            await join(offer.token, machines["keeper"], name="again")
        assert "lastro node pair" in raised.value.hint

    asyncio.run(pair())


def test_a_reused_token_is_refused_while_another_waits(machines):
    async def pair():
        offer = Offer(machines["node"])
        old = JoinToken(addresses=(offer.address,), device=machines["node"].device, secret=bytes(16))
        with pytest.raises(DeniedError) as raised:
            await join(old, machines["other"], name="other")
        assert "used already" in str(raised.value)
        assert not offer.stored
        await join(offer.token, machines["keeper"], name="keeper")
        await offer.outcome

    asyncio.run(pair())


def test_a_token_expires(machines):
    async def pair():
        offer = Offer(machines["node"], lifetime_s=0.05)
        with pytest.raises(DeniedError):
            await offer.outcome
        with pytest.raises(UnreachableError):
            await join(offer.token, machines["keeper"], name="late")
        assert not offer.stored

    asyncio.run(pair())


def test_tries_are_limited(machines):
    async def pair():
        offer = Offer(machines["node"])
        for _ in range(TRIES):
            wrong = JoinToken(
                addresses=(offer.address,), device=machines["node"].device, secret=secrets.token_bytes(16)
            )
            with pytest.raises(DeniedError):
                await join(wrong, machines["other"], name="guess")
        with pytest.raises(DeniedError):
            await offer.outcome
        assert not offer.stored

    asyncio.run(pair())


def test_nothing_is_sent_to_another_machine(machines):
    """What listens at the token's address has another certificate: it sees a TLS handshake, and not one byte inside it."""
    received = []

    async def listen(reader, writer):
        received.append(await reader.read(100))
        writer.close()

    async def pair():
        server = await asyncio.start_server(
            listen, "127.0.0.1", 0, ssl=pairing_server_context(machines["other"])
        )
        async with server:
            address = join_address(*server.sockets[0].getsockname())
            token = JoinToken(addresses=(address,), device=machines["node"].device, secret=bytes(16))
            with pytest.raises(DeniedError) as raised:
                await join(token, machines["keeper"], name="keeper")
            assert "another certificate" in str(raised.value)
            await asyncio.sleep(0.05)

    asyncio.run(pair())
    assert received in ([], [b""])


def test_an_address_that_does_not_answer_is_followed_by_the_next(machines):
    async def pair():
        offer = Offer(machines["node"])
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = join_address(*taken.getsockname())
        token = JoinToken(
            addresses=(nobody, offer.address), device=machines["node"].device, secret=offer.secret
        )
        assert (await join(token, machines["keeper"], name="keeper")).name == "web-01"
        await offer.outcome

    asyncio.run(pair())


def test_a_node_that_cannot_store_tells_the_keeper(machines):
    def fail(_):
        raise ConfigError("no room")

    async def pair():
        offer = Offer(machines["node"], store=fail)
        with pytest.raises(DeniedError) as raised:
            await join(offer.token, machines["keeper"], name="keeper")
        assert "no room" in str(raised.value)
        with pytest.raises(ConfigError):
            await offer.outcome

    asyncio.run(pair())


@pytest.mark.parametrize(
    "message", ["", "{}", "[]", b"\xff", '{"cmd": "pair"}', '{"cmd": "ping", "id": "1"}', "x" * 100_000]
)
def test_nonsense_ends_only_its_own_connection(machines, message):
    node = machines["node"]

    async def pair():
        offer = Offer(node)
        connection = await dial_pairing(
            offer.address, pairing_client_context(), device=node.device, max_message=1 << 20
        )
        with suppress(UnreachableError):
            await connection.send(message)
        with pytest.raises(UnreachableError):
            await connection.receive()
        await join(offer.token, machines["keeper"], name="keeper")
        await offer.outcome
        assert len(offer.stored) == 1

    asyncio.run(pair())


def test_something_else_than_a_certificate_is_refused(machines):
    node = machines["node"]

    async def pair():
        offer = Offer(node)
        connection = await dial_pairing(
            offer.address, pairing_client_context(), device=node.device, max_message=1 << 20
        )
        request = {"cmd": "pair", "id": "1", "secret": offer.secret, "name": "x", "certificate": b"nonsense"}
        await connection.send(msgspec.json.encode(request).decode())
        assert msgspec.json.decode(await connection.receive())["event"] == "error"
        assert not offer.stored
        await connection.close()
        await asyncio.gather(offer.outcome, return_exceptions=True)

    asyncio.run(pair())
