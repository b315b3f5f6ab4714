"""Pinned mutual TLS over real sockets: who is not expected is refused, on either side, and is told why."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager, suppress

import pytest

from lastro.errors import ConfigError, DeniedError, LimitError, ProtocolError, UnreachableError
from lastro.transport.address import bind_tcp, join_address, split_address
from lastro.transport.dial import dial_tls
from lastro.transport.listen import listen_tls
from lastro.transport.tls import (
    changing_server_context,
    client_context,
    pairing_client_context,
    server_context,
)
from tests.wire import identity

LARGEST = 1 << 20


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    keys = str(tmp_path_factory.mktemp("keys"))
    return {name: identity(keys, name) for name in ("node", "keeper", "stranger")}


@asynccontextmanager
async def listening(context, admit, handler=None, largest=LARGEST):
    async def echo(connection):
        while True:
            await connection.send(await connection.receive())

    bound = bind_tcp("127.0.0.1", 0, option="port")
    listener = await listen_tls(bound, context, admit=admit, handler=handler or echo, max_message=largest)
    try:
        yield f"127.0.0.1:{listener.address[1]}"
    finally:
        await listener.close()


def dial(address, machine, node, largest=LARGEST):
    context = client_context(machine, node.certificate)
    return dial_tls(address, context, certificate=node.certificate, max_message=largest)


def test_peers_that_know_each_other_talk(machines):
    node, keeper = machines["node"], machines["keeper"]

    async def talk():
        peers = []

        async def echo(connection):
            peers.append(connection.peer)
            while True:
                await connection.send(await connection.receive())

        trusted = [machines["stranger"].certificate, keeper.certificate]
        async with listening(server_context(node, trusted), lambda _: "mine", echo) as address:
            connection = await dial(address, keeper, node)
            for message in ("text ç", b"\xff" * LARGEST, ""):
                await connection.send(message)
                assert await connection.receive() == message
            assert connection.peer.device == node.device
            await connection.close()
        (peer,) = peers
        assert (peer.device, peer.name, peer.certificate) == (keeper.device, "mine", keeper.certificate)

    asyncio.run(talk())


@pytest.mark.parametrize("trusted", ["keeper", None])
def test_a_certificate_that_is_not_listed_is_refused_and_told_so(machines, trusted):
    node = machines["node"]
    served = []

    async def handler(connection):
        served.append(connection)

    async def talk():
        anchors = [machines[trusted].certificate] if trusted else []
        async with listening(server_context(node, anchors), lambda _: "anybody", handler) as address:
            with pytest.raises(DeniedError) as raised:
                await dial(address, machines["stranger"], node)
            assert "not on its list" in str(raised.value) and raised.value.hint

    asyncio.run(talk())
    assert not served


def test_the_list_is_asked_again_after_the_handshake(machines):
    """A context that still trusts a certificate is not enough."""
    node, keeper = machines["node"], machines["keeper"]
    asked = []

    def admit(certificate):
        asked.append(certificate)

    async def talk():
        async with listening(server_context(node, [keeper.certificate]), admit) as address:
            with pytest.raises(DeniedError):
                await dial(address, keeper, node)

    asyncio.run(talk())
    assert asked == [keeper.certificate]


def test_a_changed_list_counts_for_the_next_handshake(machines):
    node, keeper = machines["node"], machines["keeper"]
    contexts = [server_context(node, [keeper.certificate])]

    async def talk():
        context = changing_server_context(node, lambda: contexts[-1])
        async with listening(context, lambda _: "anybody") as address:
            connection = await dial(address, keeper, node)
            await connection.close()
            contexts.append(server_context(node, []))
            with pytest.raises(DeniedError):
                await dial(address, keeper, node)
            contexts.append(server_context(node, [keeper.certificate]))
            await (await dial(address, keeper, node)).close()

    asyncio.run(talk())


def answer_to(address, context):
    """What a TLS client of its own is answered over TLS 1.3; nothing when it is refused."""
    host, port = split_address(address)
    try:
        with (
            socket.create_connection((host, port), timeout=5) as plain,
            context.wrap_socket(plain) as wrapped,
        ):
            assert wrapped.version() == "TLSv1.3"
            wrapped.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return wrapped.recv(4)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_only_tls_1_3_with_a_certificate(machines):
    node, keeper = machines["node"], machines["keeper"]

    async def talk():
        async with listening(server_context(node, [keeper.certificate]), lambda _: "anybody") as address:
            listed = client_context(keeper, node.certificate)
            assert await asyncio.to_thread(answer_to, address, listed) == b"HTTP"
            older = client_context(keeper, node.certificate)
            older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_2
            for context in (older, pairing_client_context()):
                assert await asyncio.to_thread(answer_to, address, context) == b""

    asyncio.run(talk())


def test_another_machine_at_the_address_is_refused_before_anything_is_sent(machines):
    """The keeper pins the node: a stranger with a certificate of its own never sees a byte above TLS."""
    keeper, stranger = machines["keeper"], machines["stranger"]
    received = []

    async def handler(connection):
        received.append(connection)

    async def talk():
        async with listening(
            server_context(stranger, [keeper.certificate]), lambda _: "x", handler
        ) as address:
            with pytest.raises(DeniedError) as raised:
                await dial(address, keeper, machines["node"])
            assert "another certificate" in str(raised.value)
            # Also when the TLS context let it pass.
            context = client_context(keeper, stranger.certificate)
            with pytest.raises(DeniedError):
                await dial_tls(
                    address, context, certificate=machines["node"].certificate, max_message=LARGEST
                )

    asyncio.run(talk())
    assert not received


def test_nobody_there_and_something_else_there(machines):
    node, keeper = machines["node"], machines["keeper"]

    async def close_at_once(_reader, writer):
        writer.transport.abort()

    async def answer_in_clear(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async def dial_at(serve):
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await dial(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", keeper, node)

    async def talk():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnreachableError) as raised:
            await dial(address, keeper, node)
        assert raised.value.exit_code == 75
        with pytest.raises((UnreachableError, DeniedError)):
            await dial_at(close_at_once)
        with pytest.raises(ProtocolError):
            await dial_at(answer_in_clear)

    asyncio.run(talk())


def test_a_message_that_is_too_large_ends_the_connection_and_not_the_process(machines):
    node, keeper = machines["node"], machines["keeper"]
    failures = []

    async def handler(connection):
        try:
            await connection.receive()
        except LimitError as error:
            failures.append(error)

    async def talk():
        async with listening(
            server_context(node, [keeper.certificate]), lambda _: "x", handler, 1000
        ) as address:
            connection = await dial(address, keeper, node)
            with suppress(UnreachableError):
                await connection.send(b"x" * 100_000)
            with pytest.raises(UnreachableError):
                await connection.receive()

    asyncio.run(talk())
    assert failures


def test_a_port_that_is_taken_is_said_with_the_option_that_changes_it():
    with bind_tcp("127.0.0.1", 0, option="x") as taken, pytest.raises(ConfigError) as raised:
        bind_tcp("127.0.0.1", taken.getsockname()[1], option="--port")
    assert "--port" in raised.value.hint_text


@pytest.mark.parametrize("text", ["host:1", "127.0.0.1:8422", "[::1]:65535"])
def test_addresses_there_and_back(text):
    assert join_address(*split_address(text)) == text


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError):
        split_address(text)
