"""The server over real sockets: what reaches whoever answers, what is refused and in which words, and who is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import os
import socket
import sys
import time
import zlib

import aiohttp
import pytest
from msgspec.structs import replace

from lastro.errors import DamagedError
from lastro.filesystem.system import System
from lastro.gateway.asking import Answer
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.exchange import Exchange, ExchangeBegan
from lastro.gateway.keyring import Keyring
from lastro.gateway.keys import ANONYMOUS
from lastro.gateway.listening import tls_context
from lastro.gateway.provider import ModelFacts
from lastro.gateway.serving import GatewayServer
from lastro.gateway.settings import Anonymous, Bounds, Listen, Settings
from lastro.transport.unix import bind_owner_only
from tests.certificates import Authority

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PATHS = {
    Dialect.CHAT: "/v1/chat/completions",
    Dialect.RESPONSES: "/v1/responses",
    Dialect.MESSAGES: "/v1/messages",
    Dialect.GEMINI: "/v1beta/models/m:generateContent",
}
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}


class Echo:
    """Answers with what it was asked, or as a test says: a stream of pieces, or something of its own."""

    def __init__(self):
        self.asked = []
        self.counted = []
        self.closed = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.pieces = None
        self.recording = ()
        self.go_on = asyncio.Event()
        self.wait = False
        self.error = None

    async def answer_first(self, request):
        self.asked.append(request)
        self.started.set()
        if self.error is not None:
            raise self.error
        if self.wait:
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self.pieces is None:
            headers = {**JSON, "x-lastro-exchange": "x-1"}
            record = self.stream() if self.recording else None
            return Answer(status=200, headers=headers, body=request.body, record=record)
        return Answer(status=200, headers=SSE, body=self.stream())

    async def count_tokens(self, request):
        self.counted.append(request)
        return Answer(status=200, headers=JSON, body=b'{"input_tokens":1}')

    async def stream(self):
        try:
            for piece in self.pieces or self.recording:
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    await self.go_on.wait()
                    continue
                yield piece
        finally:
            self.closed.set()


class Gateway:
    """A server on loopback with everything that a test turns."""

    def __init__(self, directory, settings):
        self.settings = settings
        self.echo = Echo()
        self.keyring = Keyring(
            str(directory / "keys.json"), clock_ns=time.time_ns, random_bytes=os.urandom, system=System()
        )
        self.key, self.text = self.keyring.mint(name="laptop")
        self.exchanges = {}
        self.server = GatewayServer(
            answering=self.echo,
            keys=self.keyring,
            models=lambda key: [
                ("auto", ModelFacts()),
                ("offline/smollm2", ModelFacts(context=2048, output=512)),
                *([("paid/large", ModelFacts())] if key.id else []),
            ],
            exchange=self.exchanges.get,
            settings=lambda: self.settings,
        )
        self.port = 0
        self.client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def ask(self, method, path, *, body=None, key=True, **headers):
        """Status, headers and body of an answer; ``headers`` with ``_`` for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            named["authorization"] = f"Bearer {self.text}"
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.client.request(method, url, data=body, headers=named) as answer:
            return answer.status, answer.headers, await answer.read()

    async def raw(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    def head(self, path="/v1/messages", *lines):
        said = [f"POST {path} HTTP/1.1", "host: localhost", f"x-api-key: {self.text}", *lines]
        return "\r\n".join([*said, "", ""]).encode()


@contextlib.asynccontextmanager
async def gateway(directory, *, listen=Listen(), **bounds):  # noqa: B008  frozen
    made = Gateway(directory, Settings(listen=listen, bounds=Bounds(**bounds)))
    bound = socket.create_server(("127.0.0.1", 0))
    made.port = bound.getsockname()[1]
    try:
        await made.server.listen(bound, tls=tls_context(listen))
        yield made
    finally:
        await made.client.close()
        await made.server.close()
        await asyncio.sleep(0)


def run(scenario, directory, **options):
    """Run ``scenario(gateway)`` with a gateway."""

    async def whole():
        async with gateway(directory, **options) as made, asyncio.timeout(30):
            return await scenario(made)

    return asyncio.run(whole())


def said(dialect, body):
    """The sentence in an error of the dialect; fails if it has not the dialect's form."""
    error = json.loads(body)["error"]
    if dialect is Dialect.MESSAGES:
        assert json.loads(body)["type"] == "error" and error["type"]
    if dialect is Dialect.GEMINI:
        assert isinstance(error["code"], int) and error["status"]
    return error["message"]


def test_each_path_reaches_whoever_answers_with_every_byte(tmp_path):
    async def scenario(made):
        body = json.dumps({"model": "m", "text": "é \\u00e9 \x7f"}, ensure_ascii=False).encode()
        asked = [
            *((path, dialect, {}) for dialect, path in PATHS.items()),
            ("/messages?beta=true", Dialect.MESSAGES, {"query": "beta=true"}),
            ("/chat/completions", Dialect.CHAT, {}),
            ("/v1/v1/responses", Dialect.RESPONSES, {}),
            (
                "/v1beta/models/a%2Fb:streamGenerateContent?alt=sse",
                Dialect.GEMINI,
                {"model": "a/b", "stream": True},
            ),
            ("/v1beta/models/g:streamGenerateContent", Dialect.GEMINI, {"stream": True, "array": True}),
        ]
        for path, dialect, facts in asked:
            status, headers, answer = await made.ask("POST", path, body=body, anthropic_beta="tools")
            assert (status, answer) == (200, body)
            assert headers["x-lastro-exchange"] == "x-1" and headers["server"] == "lastro"
            request = made.echo.asked[-1]
            assert (request.dialect, request.body, request.key) == (dialect, body, made.key)
            assert request.headers["anthropic-beta"] == "tools"
            for name, value in facts.items():
                assert getattr(request, name) == value
        for path in ("/v1/messages/count_tokens", "/v1beta/models/m:countTokens"):
            assert (await made.ask("POST", path, body=body))[0] == 200
        assert [request.dialect for request in made.echo.counted] == [Dialect.MESSAGES, Dialect.GEMINI]

    run(scenario, tmp_path)


@pytest.mark.parametrize("dialect", PATHS)
def test_a_bad_key_is_refused_in_every_dialect_and_revoking_holds_at_once(tmp_path, dialect):
    async def scenario(made):
        path = PATHS[dialect]
        places = [
            {"authorization": f"Bearer {made.text}"},
            {"x_api_key": made.text},
            {"x_goog_api_key": made.text},
        ]
        for place in places:
            assert (await made.ask("POST", path, body=b"{}", key=False, **place))[0] == 200
        assert (await made.ask("POST", f"{path}?key={made.text}", body=b"{}", key=False))[0] == 200
        made.keyring.revoke(made.key.id)
        for place in places:
            status, _, body = await made.ask("POST", path, body=b"{}", key=False, **place)
            assert status == 401
            assert "key" in said(dialect, body) and made.text not in body.decode()
        status, _, body = await made.ask("POST", f"{path}?key={made.text}", body=b"{}", key=False)
        assert status == 401
        assert len(made.echo.asked) == 4

    run(scenario, tmp_path)


@pytest.mark.parametrize("names", [("authorization", "Authorization"), ("x-api-key", "X-Api-Key")])
def test_a_second_key_does_not_hide_the_first(tmp_path, names):
    async def scenario(gateway):
        first, second = ("Bearer lastro-wrong", "Bearer ") if "auth" in names[0] else ("lastro-wrong", "")
        reader, writer = await gateway.raw()
        lines = ["GET /v1/models HTTP/1.1", "host: localhost", "connection: close"]
        lines += [f"{names[0]}: {first}", f"{names[1]}: {second}", "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 401"), answer

    run(scenario, tmp_path, listen=Listen(anonymous=Anonymous.ALL))


def test_a_whole_answer_is_sent_before_it_is_recorded(tmp_path):
    async def scenario(gateway):
        gateway.echo.recording = (None, b"")
        reader, writer = await gateway.raw()
        writer.write(gateway.head("/v1/messages", "content-length: 2") + b"{}")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200") and await reader.readexactly(2) == b"{}"
        assert not gateway.echo.closed.is_set()
        gateway.echo.go_on.set()
        await asyncio.wait_for(gateway.echo.closed.wait(), 5)
        writer.write(gateway.head("/v1/messages", "content-length: 2") + b"{}")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
        writer.close()

    run(scenario, tmp_path)


def test_an_answer_that_cannot_be_recorded_is_followed_by_nothing(tmp_path):
    async def scenario(gateway):
        gateway.echo.recording = (ValueError("no room"),)
        reader, writer = await gateway.raw()
        writer.write(gateway.head("/v1/messages", "content-length: 2") + b"{}")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer.count(b"HTTP/1.1") == 1 and answer.endswith(b"\r\n\r\n{}")
        assert gateway.echo.closed.is_set()

    run(scenario, tmp_path)


def test_a_header_that_is_no_text_is_refused_and_not_repeated(tmp_path):
    async def scenario(gateway):
        reader, writer = await gateway.raw()
        head = gateway.head(
            "/v1/messages", "connection: close", "content-length: 2", "x-lastro-task: SOMETHING"
        )
        writer.write(head.replace(b"SOMETHING", b"\xe9vil") + b"{}")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert "x-lastro-task" in said(Dialect.MESSAGES, answer.partition(b"\r\n\r\n")[2])
        assert b"vil" not in answer
        assert not gateway.echo.asked

    run(scenario, tmp_path)


def test_nobody_is_anonymous_unless_configuration_says_otherwise(tmp_path):
    async def scenario(made):
        assert (await made.ask("POST", "/v1/messages", body=b"{}", key=False))[0] == 200
        assert made.echo.asked[0].key is ANONYMOUS
        made.settings = replace(made.settings, listen=Listen(anonymous=Anonymous.NONE))
        for path in PATHS.values():
            assert (await made.ask("POST", path, body=b"{}", key=False))[0] == 401
        for path in ("/v1/models", "/lastro/exchanges/x-1"):
            assert (await made.ask("GET", path, key=False))[0] == 401
        assert (await made.ask("GET", "/healthz", key=False))[0] == 200

    run(scenario, tmp_path)


@pytest.mark.parametrize("dialect", PATHS)
def test_web_pages_and_rebound_names_are_refused(tmp_path, dialect):
    async def scenario(made):
        path = PATHS[dialect]
        for wrong in (
            {"origin": "http://localhost"},
            {"host": "evil.example"},
            {"host": "evil.example:8421"},
        ):
            status, _, body = await made.ask("POST", path, body=b"{}", **wrong)
            assert status == 403
            said(dialect, body)
            assert (await made.ask("GET", "/healthz", key=False, **wrong))[0] == 403
        assert made.echo.asked == []
        made.settings = replace(made.settings, listen=Listen(hosts=("Gateway.Example",)))
        assert (await made.ask("POST", path, body=b"{}", host="gateway.example:99"))[0] == 200

    run(scenario, tmp_path)


def test_other_paths_and_methods_are_refused(tmp_path):
    async def scenario(made):
        assert (await made.ask("POST", "/v1/embeddings", body=b"{}"))[0] == 404
        assert (await made.ask("GET", "/v1/messages"))[0] == 405
        assert (await made.ask("POST", "/v1/models", body=b"{}"))[0] == 405
        status, _, body = await made.ask("GET", "/v1/messages/batches")
        assert status == 404
        said(Dialect.MESSAGES, body)
        assert (await made.ask("HEAD", "/"))[0] == 200

    run(scenario, tmp_path)


@pytest.mark.parametrize("dialect", PATHS)
def test_a_request_beyond_the_bound_is_refused_however_it_comes(tmp_path, dialect):
    async def pieces():
        for _ in range(40):
            yield b"x" * 10_000

    async def scenario(made):
        path = PATHS[dialect]
        for body, headers in (
            (b"x" * 100_001, {}),
            (pieces(), {}),
            (gzip.compress(b" " * 10_000_000), {"content_encoding": "gzip"}),
            (zlib.compress(b" " * 10_000_000), {"content_encoding": "deflate"}),
            (zstd.compress(b" " * 10_000_000), {"content_encoding": "zstd"}),
        ):
            status, _, answer = await made.ask("POST", path, body=body, **headers)
            assert status == 413
            assert "100000" in said(dialect, answer)
        assert made.echo.asked == []
        assert (await made.ask("POST", path, body=b"x" * 100_000))[0] == 200

    run(scenario, tmp_path, request_bytes=100_000)


def test_a_refused_size_is_not_even_read(tmp_path):
    async def scenario(made):
        reader, writer = await made.raw()
        writer.write(made.head("/v1/messages", "content-length: 999999999"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()

    run(scenario, tmp_path)


def test_compressed_requests_are_unfolded(tmp_path):
    body = json.dumps({"text": "hello " * 50_000}).encode()

    async def scenario(made):
        for encoding, packed in (
            ("gzip", gzip.compress(body)),
            ("deflate", zlib.compress(body)),
            ("zstd", zstd.compress(body)),
            ("ZSTD", zstd.compress(body)),
            ("identity", body),
        ):
            assert (await made.ask("POST", "/v1/responses", body=packed, content_encoding=encoding))[0] == 200
            assert made.echo.asked[-1].body == body
        large = os.urandom(200_000)
        assert (await made.ask("POST", "/v1/responses", body=zstd.compress(large), content_encoding="zstd"))[
            0
        ] == 200
        assert made.echo.asked[-1].body == large
        for encoding, wrong, status in (
            ("zstd", zstd.compress(body)[:-3], 400),
            ("gzip", body, 400),
            ("br", body, 415),
            ("gzip, gzip", body, 415),
        ):
            answer = await made.ask("POST", "/v1/responses", body=wrong, content_encoding=encoding)
            assert answer[0] == status
        assert len(made.echo.asked) == 6

    run(scenario, tmp_path)


def test_an_answer_comes_piece_by_piece_and_its_generator_is_closed(tmp_path):
    async def scenario(made):
        made.echo.pieces = [b"data: 1\n\n", None, b"data: 2\n\n"]
        reader, writer = await made.raw()
        writer.write(made.head("/v1/messages", "content-length: 2") + b"{}")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head and b"chunked" in head
        assert await reader.readuntil(b"1\n\n\r\n")
        assert not made.echo.closed.is_set()
        made.echo.go_on.set()
        assert (await reader.readuntil(b"0\r\n\r\n")).count(b"data: 2") == 1
        assert made.echo.closed.is_set() and made.server.in_flight == 0
        writer.write(made.head("/v1/messages", "content-length: 2") + b"{}")  # the connection goes on
        assert await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    run(scenario, tmp_path)


def test_an_answer_that_breaks_off_has_no_proper_end(tmp_path):
    async def scenario(made):
        made.echo.pieces = [b"data: 1\n\n", ValueError("defect")]
        with pytest.raises(aiohttp.ClientPayloadError):
            await made.ask("POST", "/v1/messages", body=b"{}")
        assert made.echo.closed.is_set()
        made.echo.pieces = [ValueError("defect")]
        status, _, body = await made.ask("POST", "/v1/messages", body=b"{}")
        assert status == 500
        assert "defect" in said(Dialect.MESSAGES, body)

    run(scenario, tmp_path)


def test_a_defect_is_told_in_the_dialects_form_and_not_in_detail(tmp_path):
    async def scenario(made):
        made.echo.error = ValueError("what it was about")
        for dialect, path in PATHS.items():
            status, _, body = await made.ask("POST", path, body=b"{}")
            assert status == 500
            assert "what it was about" not in said(dialect, body)
        made.echo.error = None
        (tmp_path / "keys.json").write_bytes(b"{")
        status, _, body = await made.ask("POST", "/v1/messages", body=b"{}")
        assert status == 500
        assert DamagedError.code and "damaged" in said(Dialect.MESSAGES, body)

    run(scenario, tmp_path)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_leaves_ends_its_exchange(tmp_path, streaming):
    async def scenario(made):
        made.echo.pieces = [b"data: 1\n\n", None] if streaming else None
        made.echo.wait = not streaming
        reader, writer = await made.raw()
        writer.write(made.head("/v1/messages", "content-length: 2") + b"{}")
        await made.echo.started.wait()
        if streaming:
            await reader.readuntil(b"1\n\n")
        writer.transport.abort()
        await (made.echo.closed if streaming else made.echo.cancelled).wait()

    run(scenario, tmp_path)


def test_a_client_that_takes_nothing_is_cut_off(tmp_path):
    async def scenario(made):
        made.echo.pieces = [b"x" * 100_000] * 1000
        _, writer = await made.raw()
        writer.transport.pause_reading()
        writer.write(made.head("/v1/messages", "content-length: 2") + b"{}")
        await asyncio.wait_for(made.echo.closed.wait(), 10)
        made.echo.pieces = None
        _, second = await made.raw()
        second.transport.pause_reading()
        body = b"x" * 50_000_000
        second.write(made.head("/v1/messages", f"content-length: {len(body)}") + body)
        while made.server.in_flight or len(made.server._server.connections) > 0:  # noqa: ASYNC110, SLF001
            await asyncio.sleep(0.02)
        writer.transport.abort()
        second.transport.abort()

    run(scenario, tmp_path, client_s=0.3)


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/mess", b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-a: "]
)
def test_a_client_that_sends_no_whole_head_is_cut_off(tmp_path, sent):
    async def scenario(made):
        reader, writer = await made.raw()
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    run(scenario, tmp_path, client_s=0.2)


def test_a_client_that_sends_its_body_too_slowly_is_refused(tmp_path):
    async def scenario(made):
        reader, writer = await made.raw()
        writer.write(made.head("/v1/messages", "content-length: 100000") + b"{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
        assert made.echo.asked == []

    run(scenario, tmp_path, client_s=0.2)


def test_a_client_that_asks_first_is_told_to_go_on(tmp_path):
    async def scenario(made):
        reader, writer = await made.raw()
        writer.write(made.head("/v1/messages", "content-length: 2", "expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()

    run(scenario, tmp_path)


def test_more_requests_at_once_than_allowed_are_refused_and_may_come_again(tmp_path):
    async def scenario(made):
        made.echo.wait = True
        waiting = [asyncio.ensure_future(made.ask("POST", "/v1/messages", body=b"{}")) for _ in range(2)]
        while made.server.in_flight < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        status, headers, body = await made.ask("POST", "/v1/messages", body=b"{}")
        assert status in {503, 529} and headers["retry-after"]
        said(Dialect.MESSAGES, body)
        assert (await made.ask("GET", "/v1/models"))[0] == 200
        made.echo.go_on.set()
        assert [answer[0] for answer in await asyncio.gather(*waiting)] == [200, 200]
        assert (await made.ask("POST", "/v1/messages", body=b"{}"))[0] == 200

    run(scenario, tmp_path, concurrent=2)


def test_connections_are_bounded(tmp_path):
    async def scenario(made):
        opened = [await made.raw() for _ in range(4)]
        await asyncio.sleep(0.05)
        reader, writer = await made.raw()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        for _, one in [*opened, (reader, writer)]:
            one.close()

    run(scenario, tmp_path, concurrent=1)


def test_models_are_listed_in_the_form_of_whoever_asks(tmp_path):
    async def scenario(made):
        _, _, body = await made.ask("GET", "/v1/models")
        assert [model["id"] for model in json.loads(body)["data"]] == [
            "auto",
            "offline/smollm2",
            "paid/large",
        ]
        assert "context_length" not in json.loads(body)["data"][0]
        assert json.loads(body)["data"][1]["context_length"] == 2048
        _, _, body = await made.ask("GET", "/models", key=False)
        assert [model["id"] for model in json.loads(body)["data"]] == ["auto", "offline/smollm2"]
        _, _, body = await made.ask("GET", "/v1/models?limit=1000", anthropic_version="2023-06-01")
        listed = json.loads(body)
        assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("auto", "paid/large", False)
        assert listed["data"][1]["type"] == "model"
        _, _, body = await made.ask("GET", "/v1beta/models")
        listed = json.loads(body)["models"][1]
        assert (listed["name"], listed["inputTokenLimit"], listed["outputTokenLimit"]) == (
            "models/offline/smollm2",
            2048,
            512,
        )
        status, _, body = await made.ask("GET", "/v1/models/offline%2Fsmollm2")
        assert (status, json.loads(body)["id"]) == (200, "offline/smollm2")
        assert (await made.ask("GET", "/v1/models/none"))[0] == 404

    run(scenario, tmp_path)


def test_an_exchange_is_shown_to_its_own_key_alone(tmp_path):
    def exchange(key):
        return Exchange(
            began=ExchangeBegan(
                id="x-1",
                time_ns=1,
                dialect=Dialect.CHAT,
                asked_model="auto",
                stream=False,
                route="default",
                kind="chat",
                key=key,
            )
        )

    async def scenario(made):
        made.exchanges.update(
            {"x-1": exchange(made.key.id), "x-2": exchange("key-other"), "x-3": exchange("")}
        )
        status, _, body = await made.ask("GET", "/lastro/exchanges/x-1")
        assert (status, json.loads(body)["began"]["id"]) == (200, "x-1")
        others = [await made.ask("GET", f"/lastro/exchanges/{name}") for name in ("x-2", "x-3", "x-4")]
        assert [answer[0] for answer in others] == [404] * 3
        assert (await made.ask("GET", "/lastro/exchanges/x-1", key=False))[0] == 404
        assert (await made.ask("GET", "/lastro/exchanges/x-3", key=False))[0] == 200

    run(scenario, tmp_path)


def test_it_answers_on_its_unix_socket_whatever_it_is_called_there(tmp_path):
    async def scenario(made):
        path = str(tmp_path / "gateway.sock")
        await made.server.listen(bind_owner_only(path))
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
            headers = {"x-api-key": made.text}
            async with client.post("http://anything/v1/messages", data=b"{}", headers=headers) as answer:
                assert (answer.status, await answer.read()) == (200, b"{}")
            headers["origin"] = "null"
            async with client.post("http://anything/v1/messages", data=b"{}", headers=headers) as answer:
                assert answer.status == 403

    run(scenario, tmp_path)


def test_nobody_is_answered_on_the_unix_socket_without_a_key(tmp_path):
    async def scenario(made):
        path = str(tmp_path / "gateway.sock")
        await made.server.listen(bind_owner_only(path))
        assert (await made.ask("POST", "/v1/messages", body=b"{}", key=False))[0] == 200
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
            for address in ("v1/messages", "v1/chat/completions"):
                async with client.post(f"http://anything/{address}", data=b"{}") as answer:
                    assert answer.status == 401
            async with client.get("http://anything/v1/models") as answer:
                assert answer.status == 401

    run(scenario, tmp_path)


def test_it_answers_over_tls_and_not_in_the_clear_there(tmp_path):
    authority = Authority()
    certificate, private_key = authority.issue(tmp_path, "127.0.0.1")

    async def scenario(made):
        url = f"https://127.0.0.1:{made.port}/v1/messages"
        headers = {"x-api-key": made.text}
        async with made.client.post(
            url, data=b"{}", headers=headers, ssl=authority.client_context()
        ) as answer:
            assert (answer.status, await answer.read()) == (200, b"{}")
        made.echo.pieces = [b"data: 1\n\n"] * 100
        async with made.client.post(
            url, data=b"{}", headers=headers, ssl=authority.client_context()
        ) as answer:
            assert await answer.read() == b"data: 1\n\n" * 100
        with pytest.raises(aiohttp.ClientError):
            await made.ask("POST", "/v1/messages", body=b"{}")
        silent, writer = await made.raw()  # a handshake that never comes
        assert await asyncio.wait_for(silent.read(), 10) == b""
        writer.close()

    listen = Listen(certificate=certificate, private_key=private_key, anonymous=Anonymous.NONE)
    run(scenario, tmp_path, listen=listen, client_s=0.5)


def test_the_log_holds_no_secret_also_of_a_malformed_request(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)

    async def scenario(made):
        secret = "lastro-secret"
        await made.ask("POST", f"/v1beta/models/m:generateContent?key={made.text}", body=b'{"a":"prompt"}')
        await made.ask("POST", "/v1/messages", body=b"{}", key=False, authorization=f"Bearer {secret}")
        made.echo.error = ValueError("defect")
        await made.ask("POST", "/v1/messages", body=b'{"a":"prompt"}')
        reader, writer = await made.raw()
        writer.write(b"POST / HTTP/1.1\r\nauthorization\x01 Bearer " + made.text.encode() + b"\r\n\r\n")
        await reader.read()
        writer.close()
        return made.text, secret

    text, secret = run(scenario, tmp_path)
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "POST /v1beta/models/m:generateContent 200 x-1" in logged
    assert "POST /v1/messages 401 -" in logged
    for hidden in (text, secret, "Bearer", "prompt", "?key="):
        assert hidden not in logged


def test_requests_that_run_end_before_the_server_does(tmp_path):
    async def scenario(made):
        made.echo.wait = True
        running = asyncio.ensure_future(made.ask("POST", "/v1/messages", body=b"{}"))
        await made.echo.started.wait()
        closing = asyncio.ensure_future(made.server.close())
        await asyncio.sleep(0.05)
        made.echo.go_on.set()
        assert (await running)[0] == 200
        await closing

    run(scenario, tmp_path)
