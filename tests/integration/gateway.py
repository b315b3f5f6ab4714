"""A real gateway in a home of its own, asked over real sockets."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.integration.commands import Home, Server


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of its server-sent events."""
        lines = self.body.decode().splitlines()
        data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
        return [json.loads(one) for one in data if one != "[DONE]"]


@dataclass
class Gateway:
    """A running one."""

    home: Home
    process: Server
    address: str

    @property
    def local_key(self) -> str:
        with open(os.path.join(self.home.path, "config/secrets/gateway/local.key"), encoding="ascii") as file:
            return file.read().strip()

    def post(self, path: str, body: Any, *, key: str | None = None, **headers: str) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        return self._send("POST", path, raw, sent)

    def get(self, path: str, **headers: str) -> Reply:
        return self._send(
            "GET", path, None, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(),
            )
        finally:
            connection.close()

    def wait_recorded(self, exchange: str) -> Any:
        """An exchange as its record says, once it is there."""
        from tests.integration.commands import wait_until  # noqa: PLC0415

        found: list[Any] = []

        def there() -> bool:
            answer = self.home.run("gateway", "exchanges", "show", exchange, "--json")
            if answer.code == 0:
                found.append(answer.reply)
            return answer.code == 0

        wait_until(there)
        return found[-1]


@contextmanager
def running_gateway(home: Home, *arguments: str) -> Iterator[Gateway]:
    with home.serving("gateway", "serve", "--port", "0", *arguments) as process:
        listening = process.wait_event("listening")
        yield Gateway(home, process, listening["address"])


def configure(home: Home, text: str) -> None:
    """Write ``gateway.toml``."""
    path = os.path.join(home.path, "config")
    os.makedirs(path, mode=0o700, exist_ok=True)
    with open(os.path.join(path, "gateway.toml"), "w", encoding="utf-8") as file:
        file.write(text)


CHAT = {
    "model": "auto",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 12,
    "temperature": 0,
}
"""The smallest conversation."""
