"""A provider of Chat Completions that answers at once: ``python -m bench.gateway_provider`` prints its port and serves until killed.

A raw protocol, so that what is measured is what stands before it.
"""

from __future__ import annotations

import asyncio
import json

from typing_extensions import override

EVENTS = 53


def _plain() -> bytes:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "word " * 100},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600},
    }
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(data: str) -> bytes:
    raw = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(raw), raw)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": "bench",
        "choices": [choice],
    }
    return _chunk(json.dumps(event))


PLAIN = _plain()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM = [
    _event({"role": "assistant", "content": ""}),
    *(_event({"content": f"word{number} "}) for number in range(EVENTS - 3)),
    _event({}, "stop"),
    _chunk("[DONE]") + b"0\r\n\r\n",
]


class Provider(asyncio.Protocol):
    """One connection."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing has come yet."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    @override
    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            whole = end + 4 + length
            if len(self.received) < whole:
                return
            body, self.received = self.received[end + 4 : whole], self.received[whole:]
            if b'"stream":true' in body or b'"stream": true' in body:
                self.transport.write(HEAD)
                for event in STREAM:
                    self.transport.write(event)
            else:
                self.transport.write(PLAIN)


async def main() -> None:
    """Serve, and say where."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
