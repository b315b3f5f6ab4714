"""Asks a gateway over and over: ``python -m bench.gateway_load PORT PATH KEY MODEL CONNECTIONS REQUESTS STREAM`` prints one line of JSON.

A raw protocol in a process of its own, so that asking costs as little as can be. Times are seconds; ``first`` is the first byte of the
body, ``whole`` its last.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from typing_extensions import override

TEXT = "Please look at this function and say what it does. " * 36  # 2 KB of request


class Asker(asyncio.Protocol):
    """One connection that asks ``count`` times, one request after the other."""

    def __init__(self, request: bytes, count: int) -> None:
        self.request = request
        self.left = count
        self.first: list[float] = []
        self.whole: list[float] = []
        self.failed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.received = bytearray()
        self.body_at = -1
        self.length: int | None = None
        self.asked = time.perf_counter()
        self.transport.write(self.request)

    @override
    def data_received(self, data: bytes) -> None:
        """Take the time, and ask again after a whole answer."""
        self.received += data
        if self.body_at < 0:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.received[:end]).lower()
            self.body_at = end + 4
            if b"content-length:" in head:
                self.length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.failed += b" 200 " not in head.partition(b"\r\n")[0]
        if len(self.received) > self.body_at and len(self.first) == len(self.whole):
            self.first.append(time.perf_counter() - self.asked)
        if self._complete():
            self.whole.append(time.perf_counter() - self.asked)
            self.left -= 1
            if self.left:
                self._ask()
            else:
                self.transport.close()

    def _complete(self) -> bool:
        if self.length is not None:
            return len(self.received) >= self.body_at + self.length
        return self.received.endswith(b"0\r\n\r\n")

    @override
    def connection_lost(self, _error: Exception | None) -> None:
        """It is over."""
        if not self.done.done():
            self.done.set_result(None)


async def ask(
    port: int, path: str, key: str, model: str, *, connections: int, requests: int, stream: bool
) -> dict[str, object]:
    """What ``requests`` requests over ``connections`` connections took."""
    asked = {"model": model, "stream": stream, "messages": [{"role": "user", "content": TEXT}]}
    body = json.dumps(asked).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    askers = []
    for _ in range(connections):
        _, asker = await loop.create_connection(
            lambda: Asker(request, requests // connections), "127.0.0.1", port
        )
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    took = time.perf_counter() - started
    return {
        "first": sorted(time for asker in askers for time in asker.first),
        "whole": sorted(time for asker in askers for time in asker.whole),
        "failed": sum(asker.failed for asker in askers),
        "took": took,
    }


if __name__ == "__main__":
    port, path, key, model, connections, requests, stream = sys.argv[1:]
    measured = ask(
        int(port),
        path,
        key,
        model,
        connections=int(connections),
        requests=int(requests),
        stream=stream == "stream",
    )
    print(json.dumps(asyncio.run(measured)))
