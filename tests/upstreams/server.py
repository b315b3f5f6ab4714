"""The sockets of scripted providers: plain asyncio streams, so that an answer can break at any byte."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.upstreams import rendering
from tests.upstreams.faults import Fault, FaultKind
from tests.upstreams.script import Turn

_REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 500: "Internal Server Error"}
_MODELS = b'{"object":"list","data":[{"id":"scripted","object":"model","created":1,"owned_by":"tests"}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request, byte for byte."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    raw: bytes

    @property
    def dialect(self) -> str:
        path = self.target.split("?", 1)[0]
        if path.endswith("/chat/completions"):
            return rendering.CHAT
        if path.endswith("/responses"):
            return rendering.RESPONSES
        if path.endswith(("/messages", "/messages/count_tokens")):
            return rendering.MESSAGES
        return rendering.GEMINI if ":" in path.rsplit("/", 1)[-1] else ""

    @property
    def stream(self) -> bool:
        if self.dialect == rendering.GEMINI:
            return ":streamGenerateContent" in self.target
        return bool(json.loads(self.body).get("stream"))

    @property
    def model(self) -> str:
        if self.dialect == rendering.GEMINI:
            return self.target.split("?", 1)[0].rsplit("/", 1)[-1].split(":", 1)[0]
        return str(json.loads(self.body)["model"])


_HELLO = (Turn(),)


class _CutError(Exception):
    """The connection breaks here."""


class ScriptedUpstream:
    """One provider. ``script`` answers the first, the second, … request; the last turn answers all that follow."""

    def __init__(self, script: Sequence[Turn] | Callable[[Received], Turn], base_url: str) -> None:
        self.base_url = base_url
        """Answers under ``/v1/…`` as well as without; ends without a slash."""
        self.requests: list[Received] = []
        self.connections = 0
        self.asked = asyncio.Event()
        """A request came."""
        self.left = asyncio.Event()
        """Whoever asked went away before the end of an answer."""
        self._script = script
        self._stalled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (received := await _read(reader)) is not None:
                self.requests.append(received)
                self.asked.set()
                await self._answer(received, self._turn(received), writer)
        except _CutError:
            writer.transport.abort()
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()

    def _turn(self, received: Received) -> Turn:
        if callable(self._script):
            return self._script(received)
        return self._script[min(len(self.requests), len(self._script)) - 1]

    async def _answer(self, received: Received, turn: Turn, writer: asyncio.StreamWriter) -> None:
        if received.method == "GET" or not received.dialect:
            return await _whole(writer, 200, _MODELS)
        if "count" in received.target.rsplit("/", 1)[-1].rsplit(":", 1)[-1].lower():
            name = "totalTokens" if received.dialect == rendering.GEMINI else "input_tokens"
            return await _whole(writer, 200, b'{"%s":%d}' % (name.encode(), turn.says.input_tokens))
        fault = turn.fault
        kind = fault.kind if fault is not None else None
        if fault is not None and await self._before(received, fault, writer):
            return None
        mime = "text/plain" if kind is FaultKind.WRONG_TYPE else ""
        if not received.stream:
            body = rendering.whole(received.dialect, received.model, turn.says)
            return await self._send_whole(writer, body, fault, mime or "application/json")
        usage = received.dialect != rendering.CHAT or bool(
            (json.loads(received.body).get("stream_options") or {}).get("include_usage")
        )
        events = rendering.events(received.dialect, received.model, turn.says, usage=usage)
        return await self._send_events(writer, received.dialect, events, turn, mime or "text/event-stream")

    async def _before(self, received: Received, fault: Fault, writer: asyncio.StreamWriter) -> bool:
        """Faults that leave no answer."""
        if fault.kind is FaultKind.CUT_BEFORE_HEADERS:
            raise _CutError
        if fault.kind is FaultKind.STALL_FIRST:
            await self._stalled.wait()
        if fault.kind is FaultKind.STATUS:
            extra = {} if fault.retry_after_s is None else {"retry-after": f"{fault.retry_after_s:g}"}
            body = fault.body or rendering.error(received.dialect, fault.status, f"scripted {fault.status}")
            await _whole(writer, fault.status, body, extra=extra)
            return True
        if fault.kind is FaultKind.ERROR_BODY:
            await _whole(writer, 200, rendering.error(received.dialect, 500, "scripted error under 200"))
            return True
        if fault.kind is FaultKind.WEB_PAGE:
            await _whole(writer, 200, b"<!doctype html><title>Sign in</title>", kind="text/html")
            return True
        return False

    async def _send_whole(
        self, writer: asyncio.StreamWriter, body: bytes, fault: Fault | None, mime: str
    ) -> None:
        kind = fault.kind if fault is not None else None
        head = _head(200, {"content-type": mime, "content-length": str(len(body))})
        if kind in (FaultKind.MALFORMED, FaultKind.ERROR_IN_STREAM, FaultKind.END_AT_EVENT):
            broken = body[: len(body) // 2]
            return await _whole(writer, 200, broken, kind=mime)
        writer.write(head)
        if kind is FaultKind.CUT_AFTER_HEADERS:
            await writer.drain()
            raise _CutError
        if fault is not None and kind in (
            FaultKind.CUT_AT_BYTE,
            FaultKind.CUT_AT_EVENT,
            FaultKind.STALL_AT_EVENT,
        ):
            writer.write(body[: fault.at % len(body)])
            await writer.drain()
            await asyncio.sleep(0)
            if kind is FaultKind.STALL_AT_EVENT:
                await self._stalled.wait()
            raise _CutError
        writer.write(body)
        return await writer.drain()

    async def _send_events(
        self, writer: asyncio.StreamWriter, dialect: str, events: list[bytes], turn: Turn, mime: str
    ) -> None:
        fault = turn.fault
        kind = fault.kind if fault is not None else None
        at = fault.at % len(events) if fault is not None else 0
        writer.write(
            _head(200, {"content-type": mime, "transfer-encoding": "chunked", "x-request-id": "req-1"})
        )
        await writer.drain()
        if kind is FaultKind.CUT_AFTER_HEADERS:
            raise _CutError
        if fault is not None and kind is FaultKind.CUT_AT_BYTE:
            body = b"".join(events)
            await _chunk(writer, body[: fault.at % len(body)])
            raise _CutError
        for place, event in enumerate(events):
            await asyncio.sleep(turn.pause_s)
            sent = await self._faulty(event, dialect, kind if place == at or kind is FaultKind.DRIP else None)
            for piece in sent if sent is not None else [event]:
                await _chunk(writer, piece)
            if place == at and kind in (FaultKind.END_AT_EVENT, FaultKind.ERROR_IN_STREAM):
                break
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _faulty(self, event: bytes, dialect: str, kind: FaultKind | None) -> list[bytes] | None:
        """What is sent in place of an event; ``None``: the event itself."""
        match kind:
            case FaultKind.CUT_AT_EVENT:
                raise _CutError
            case FaultKind.STALL_AT_EVENT:
                await self._stalled.wait()
            case FaultKind.END_AT_EVENT:
                return []
            case FaultKind.ERROR_IN_STREAM:
                return [rendering.error_event(dialect, "scripted overload")]
            case FaultKind.MALFORMED:
                return [b"data: {broken\n\n"]
            case FaultKind.DRIP:
                return [event[start : start + 7] for start in range(0, len(event), 7)]
            case _:
                pass
        return None


async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()
        await asyncio.sleep(0)


async def _whole(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    *,
    kind: str = "application/json",
    extra: dict[str, str] | None = None,
) -> None:
    headers = {"content-type": kind, "content-length": str(len(body)), **(extra or {})}
    writer.write(_head(status, headers) + body)
    await writer.drain()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Scripted')}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines if line)
    }
    raw = body = b""
    if "chunked" in headers.get("transfer-encoding", ""):
        while (size := int((line := await reader.readline()).split(b";")[0], 16)) >= 0:
            data = await reader.readexactly(size + 2)
            raw, body = raw + line + data, body + data[:-2]
            if size == 0:
                break
    else:
        raw = body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, target=target, headers=headers, body=body, raw=head + raw)


@asynccontextmanager
async def scripted_upstream(
    script: Sequence[Turn] | Callable[[Received], Turn] = _HELLO, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[ScriptedUpstream]:
    """A provider on loopback for as long as the context lasts."""
    upstream = ScriptedUpstream(script, "")
    server = await asyncio.start_server(upstream.accept, host, port, limit=64 * 1024 * 1024)
    upstream.base_url = f"http://{host}:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()
        await server.wait_closed()


@asynccontextmanager
async def refusing_upstream() -> AsyncIterator[str]:
    """The base URL of a port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"
