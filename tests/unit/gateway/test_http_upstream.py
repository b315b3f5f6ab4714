"""Calls to providers over real sockets: what arrives, what comes back, and how each way of failing is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import socket
import ssl

import pytest
from hypothesis import given, strategies

from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.http_upstream import HttpUpstream, environment_proxies
from lastro.gateway.upstream import UpstreamError, UpstreamRequest
from tests.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"


class Provider:
    """Reads one request after the other of each connection, and answers with the bytes that ``script`` writes."""

    def __init__(self, script):
        self.script = script
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
                self.bodies.append(await reader.readexactly(length))
                self.asked.set()
                if await self.script(writer) == "close":
                    return
        except (OSError, EOFError):
            self.left.set()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def provider(script, *, tls=None):
    made = Provider(script)
    tasks = []

    async def accept(reader, writer):
        tasks.append(asyncio.current_task())
        with contextlib.suppress(asyncio.CancelledError):
            await made.serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def request(url, body=b"{}", *, connect_s=5.0, first_byte_s=5.0, between_bytes_s=5.0, **headers):
    return UpstreamRequest(
        url=url,
        headers={"authorization": "Bearer provider-key", "content-type": "application/json", **headers},
        body=body,
        connect_s=connect_s,
        first_byte_s=first_byte_s,
        between_bytes_s=between_bytes_s,
    )


@contextlib.asynccontextmanager
async def upstream(**options):
    made = HttpUpstream(**options)
    try:
        yield made
    finally:
        await made.close()
        await asyncio.sleep(0)  # aiohttp closes TLS transports in the next turn


async def answer_of(caller, asked):
    async with caller.call(asked) as answer:
        return answer.status, dict(answer.headers), b"".join([piece async for piece in answer.pieces()])


def whole(body, head=OK):
    async def script(writer):
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    return script


def outcome_of(script, **timeouts):
    """How a call to a provider that behaves like ``script`` fails."""

    async def fail():
        async with provider(script) as made, upstream() as caller, asyncio.timeout(10):
            with pytest.raises(UpstreamError) as caught:
                await answer_of(caller, request(f"http://127.0.0.1:{made.port}/v1", **timeouts))
            return caught.value

    error = asyncio.run(fail())
    assert "provider-key" not in f"{error} {error.hint_text} {error.parameters}"
    return error.outcome


def cuts_after(*pieces):
    """Sends the pieces, a moment apart, and closes."""

    async def script(writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        return "close"

    return script


async def resets(writer):
    writer.write(OK + b"content-length: 100\r\n\r\nshort")
    await writer.drain()
    writer.transport.abort()
    return "close"


def test_what_is_sent_is_what_was_asked_and_nothing_else():
    body = bytes(range(256)) * 3

    async def ask():
        async with provider(whole(b"fine")) as made, upstream() as caller:
            url = f"http://127.0.0.1:{made.port}/v1beta/models/a%2Fb:generateContent?alt=sse&x=%20%7E"
            assert await answer_of(caller, request(url, body)) == (
                200,
                {"content-type": "text/plain", "content-length": "4"},
                b"fine",
            )
            return made

    made = asyncio.run(ask())
    assert made.bodies == [body]
    first, *headers = made.heads[0].decode().removesuffix("\r\n\r\n").split("\r\n")
    assert first == "POST /v1beta/models/a%2Fb:generateContent?alt=sse&x=%20%7E HTTP/1.1"
    assert {header.lower() for header in headers} == {
        f"host: 127.0.0.1:{made.port}",
        "authorization: bearer provider-key",
        "content-type: application/json",
        "accept-encoding: identity",
        f"content-length: {len(body)}",
    }


def test_a_list_is_asked_for_with_get():
    async def ask():
        async with provider(whole(b"[]")) as made, upstream() as caller:
            asked = UpstreamRequest(
                url=f"http://127.0.0.1:{made.port}/models",
                headers={},
                body=b"",
                connect_s=5,
                first_byte_s=5,
                between_bytes_s=5,
                method="GET",
            )
            assert (await answer_of(caller, asked))[2] == b"[]"
            return made.heads[0]

    assert asyncio.run(ask()).startswith(b"GET /models HTTP/1.1\r\n")


@given(strategies.lists(strategies.binary(min_size=1, max_size=200), max_size=20))
def test_a_chunked_body_comes_whole_in_any_pieces(pieces):
    async def script(writer):
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")

    async def ask():
        async with provider(script) as made, upstream() as caller:
            return await answer_of(caller, request(f"http://127.0.0.1:{made.port}/"))

    assert asyncio.run(ask())[2] == b"".join(pieces)


def test_connections_are_used_again_after_a_whole_answer_and_never_after_a_half_one():
    async def ask():
        async with provider(whole(b"x" * 300_000)) as made, upstream() as caller:
            asked = request(f"http://127.0.0.1:{made.port}/")
            for _ in range(3):
                await answer_of(caller, asked)
            assert made.connections == 1
            async with caller.call(asked) as answer:
                async for _piece in answer.pieces():
                    break
            await asyncio.wait_for(made.left.wait(), 5)  # left means closed
            await answer_of(caller, asked)
            assert made.connections == 2

    asyncio.run(ask())


def test_a_compressed_answer_is_decoded_although_nobody_asked_for_it():
    async def ask():
        head = OK + b"content-encoding: gzip\r\n"
        async with provider(whole(gzip.compress(b"fine" * 1000), head)) as made, upstream() as caller:
            return await answer_of(caller, request(f"http://127.0.0.1:{made.port}/"))

    assert asyncio.run(ask())[2] == b"fine" * 1000


def test_errors_and_redirects_are_answers_and_no_cookie_is_kept():
    async def ask():
        statuses = iter([b"429 Slow", b"302 Found", b"500 Bad"])

        async def script(writer):
            writer.write(
                b"HTTP/1.1 "
                + next(statuses)
                + b"\r\nlocation: http://127.0.0.1:1/steal\r\nretry-after: 7\r\n"
                b"set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\n{}"
            )

        async with provider(script) as made, upstream() as caller:
            asked = request(f"http://127.0.0.1:{made.port}/")
            answers = [await answer_of(caller, asked) for _ in range(3)]
            return answers, made.heads

    answers, heads = asyncio.run(ask())
    assert [status for status, _, _ in answers] == [429, 302, 500]
    assert answers[0][1]["retry-after"] == "7"
    assert all(b"cookie" not in head.lower() for head in heads)


def test_nobody_there_is_no_connection():
    async def ask(url, **options):
        async with upstream() as caller:
            with pytest.raises(UpstreamError) as caught:
                await answer_of(caller, request(url, **options))
            return caught.value

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    refused = asyncio.run(ask(f"http://127.0.0.1:{port}/"))
    assert refused.outcome is AttemptOutcome.CONNECT
    assert "refused" in str(refused)
    unknown = asyncio.run(ask("http://no-such-host.invalid/"))
    assert unknown.outcome is AttemptOutcome.CONNECT
    assert "no such host" in str(unknown)


def test_a_connection_that_is_not_made_in_time_is_none():
    async def ask():
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            waiting = []
            for _ in range(4):  # fill the backlog, so that the next handshake hangs
                one = socket.socket()
                one.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    one.connect(("127.0.0.1", port))
                waiting.append(one)
            try:
                async with upstream() as caller:
                    with pytest.raises(UpstreamError) as caught:
                        await answer_of(caller, request(f"http://127.0.0.1:{port}/", connect_s=0.2))
                    return caught.value.outcome
            finally:
                for one in waiting:
                    one.close()

    assert asyncio.run(ask()) is AttemptOutcome.CONNECT


async def _hang(writer):
    await writer.drain()
    await asyncio.sleep(30)


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("pieces", [(), (OK,), (b"SSH-2.0-OpenSSH\r\n\r\n",)])
def test_a_connection_that_ends_before_a_status_was_none(pieces):
    assert outcome_of(cuts_after(*pieces)) is AttemptOutcome.CONNECT


@pytest.mark.parametrize(
    "script",
    [
        cuts_after(OK + b"content-length: 100\r\n\r\nshort"),
        cuts_after(CHUNKED + b"5\r\nshort\r\n"),
        cuts_after(CHUNKED + b"50\r\nshort"),
        cuts_after(CHUNKED, b"5\r\nshort\r\nnonsense\r\n"),
        cuts_after(OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\n", b"plain"),
        resets,
    ],
)
def test_a_body_that_is_not_whole_is_truncated(script):
    assert outcome_of(script) is AttemptOutcome.TRUNCATED


def test_time_to_the_first_byte_and_between_bytes_are_told_apart():
    async def nothing(writer):
        await _hang(writer)

    async def head_alone(writer):
        writer.write(OK + b"content-length: 5\r\n\r\n")
        await _hang(writer)

    async def one_piece(writer):
        writer.write(OK + b"content-length: 5\r\n\r\nx")
        await _hang(writer)

    assert outcome_of(nothing, first_byte_s=0.1) is AttemptOutcome.FIRST_BYTE
    assert outcome_of(head_alone, first_byte_s=0.1, between_bytes_s=0.01) is AttemptOutcome.FIRST_BYTE
    assert outcome_of(one_piece, first_byte_s=60, between_bytes_s=0.1) is AttemptOutcome.BETWEEN_BYTES


def test_a_server_that_thinks_long_after_its_headers_has_the_time_of_a_first_byte():
    async def script(writer):
        writer.write(OK + b"content-length: 5\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.write(b"there")

    async def ask():
        async with provider(script) as made, upstream() as caller:
            asked = request(f"http://127.0.0.1:{made.port}/", first_byte_s=5, between_bytes_s=0.1)
            return await answer_of(caller, asked)

    assert asyncio.run(ask())[2] == b"there"


def test_a_slow_reader_slows_its_provider_and_is_no_timeout():
    sent = []

    async def script(writer):
        writer.write(OK + b"content-length: 40000000\r\n\r\n")
        for _ in range(400):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent.append(100_000)

    async def ask():
        async with provider(script) as made, upstream() as caller:
            asked = request(f"http://127.0.0.1:{made.port}/", between_bytes_s=0.1)
            async with caller.call(asked) as answer:
                size, held = 0, 0
                async for piece in answer.pieces():
                    if not size:
                        await asyncio.sleep(0.4)
                        held = sum(sent)
                    size += len(piece)
                    assert len(piece) < 2_000_000
                return size, held

    size, held = asyncio.run(ask())
    assert size == 40_000_000
    assert held < 30_000_000  # the sockets' buffers, and no more


def server_tls(authority, directory, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(directory, *names))
    return context


def test_a_certificate_is_verified(tmp_path):
    authority = Authority()

    async def ask(context, certificates):
        async with (
            provider(whole(b"fine"), tls=context) as made,
            upstream(certificates=certificates) as caller,
        ):
            return await answer_of(caller, request(f"https://127.0.0.1:{made.port}/"))

    good = server_tls(authority, tmp_path, "127.0.0.1")
    assert asyncio.run(ask(good, authority.client_context()))[2] == b"fine"
    for context, certificates in (
        (good, None),
        (good, Authority().client_context()),
        (server_tls(authority, tmp_path, "other.example"), authority.client_context()),
    ):
        with pytest.raises(UpstreamError) as caught:
            asyncio.run(ask(context, certificates))
        assert caught.value.outcome is AttemptOutcome.CONNECT
        assert "certificate" in caught.value.hint_text


def test_a_proxy_is_used_where_the_environment_says_so_and_never_for_this_machine(monkeypatch):
    async def ask(proxies, url):
        async with provider(whole(b"by proxy")) as made:
            settled = {scheme: text.replace("PORT", str(made.port)) for scheme, text in proxies.items()}
            async with upstream(proxies=settled) as caller:
                try:
                    answer = (await answer_of(caller, request(url, connect_s=2)))[2]
                except UpstreamError:
                    answer = b""
                return answer, made.heads

    proxies = {"http": "http://user:pass%40word@127.0.0.1:PORT", "no": "near.example"}
    answer, heads = asyncio.run(ask(proxies, "http://far.invalid/v1"))
    assert answer == b"by proxy"
    assert heads[0].startswith(b"POST http://far.invalid/v1 HTTP/1.1\r\n")
    secret = base64.b64encode(b"user:pass@word")
    assert b"Proxy-Authorization: Basic " + secret in heads[0]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for near in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", "http://near.example.invalid/"):
        _, heads = asyncio.run(ask({**proxies, "no": ".invalid"}, near))
        assert heads == []
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intern.example")
    assert environment_proxies()["https"] == "http://proxy.example:3128"
    assert environment_proxies()["no"] == "intern.example"


def test_a_call_that_is_cancelled_closes_its_connection():
    async def ask():
        async with provider(_hang) as made, upstream() as caller:
            task = asyncio.ensure_future(answer_of(caller, request(f"http://127.0.0.1:{made.port}/")))
            await asyncio.wait_for(made.asked.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return caller._session.connector  # noqa: SLF001  nothing else shows the pool

    connector = asyncio.run(ask())
    assert not connector._acquired  # noqa: SLF001
