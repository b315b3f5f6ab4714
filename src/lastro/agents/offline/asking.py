"""Asking the gateway with Chat Completions, over plain HTTP on the loopback of the jail.

What always holds: an answer is bounded in size and in time; the key is in one header and nowhere else.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

ANSWER_LIMIT: Final = 8 * 1024 * 1024
WAIT_S: Final = 600.0
_AGAIN: Final = frozenset({502, 503, 504, 529})
_PAUSES_S: Final = (1.0, 3.0)


class RefusedByModelError(Exception):
    """The gateway did not answer with a model's words. ``status`` 0: it did not answer at all."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Where to ask, and as whom."""

    url: str
    key: str
    model: str
    pause: Callable[[float], None] = time.sleep

    def ask(self, body: Mapping[str, Any]) -> object:
        """The reply to one request.

        Raises:
            RefusedByModelError: there is none; also after a second and a third try where trying again may help.
        """
        for pause_s in _PAUSES_S:
            try:
                return self._once(body)
            except RefusedByModelError as error:
                if error.status and error.status not in _AGAIN:
                    raise
                self.pause(pause_s)
        return self._once(body)

    def _once(self, body: Mapping[str, Any]) -> object:
        parts = urlsplit(self.url.rstrip("/").removesuffix("/v1"))
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT_S)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        raw = json.dumps({"model": self.model, **body}).encode()
        try:
            connection.request("POST", f"{parts.path}/v1/chat/completions", raw, headers)
            reply = connection.getresponse()
            content = reply.read(ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            raise RefusedByModelError(0, f"the gateway does not answer: {error}") from error
        finally:
            connection.close()
        try:
            value: object = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        if reply.status != 200:
            raise RefusedByModelError(reply.status, _complaint(value) or f"status {reply.status}")
        return value


def _complaint(value: object) -> str:
    error = value.get("error") if isinstance(value, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return text[:2000] if isinstance(text, str) else ""
