"""Who gave an answer, said in it: ``x-lastro-`` headers on every one, and on explicit routes inside it too. Pure.

What always holds: what is not known yet is ``pending`` (a stream's cost; a provider, while nothing of the answer was shown), and what
nobody knows is ``unknown``, never a guess and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.dialects.sse import SseSplitter
from lastro.gateway.exchange import MICRO

PENDING: Final = "pending"
UNKNOWN: Final = "unknown"
_MOST_LOSSES: Final = 1024
_KEPT: Final[Mapping[Dialect, frozenset[str]]] = {
    Dialect.CHAT: frozenset({"x-request-id", "openai-processing-ms", "openai-version", "x-should-retry"}),
    Dialect.RESPONSES: frozenset(
        {"x-request-id", "openai-processing-ms", "openai-version", "x-should-retry"}
    ),
    Dialect.MESSAGES: frozenset({"request-id", "x-should-retry"}),
    Dialect.GEMINI: frozenset(),
}
_ALWAYS: Final = frozenset({"content-type", "retry-after", "retry-after-ms"})
_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-", "x-codex-")


class AnswerOrigin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an answer comes from; empty texts are not known (yet). In an explicit answer this is its ``lastro`` object."""

    exchange: str
    provider: str = ""
    model: str = ""
    attempts: int = 0
    route: str = ""
    cost: str = PENDING
    """US dollars as a decimal, ``unknown`` or ``pending``."""
    degraded: bool = False
    lost: tuple[str, ...] = ()


def dollars(cost: int | None) -> str:
    """Millionths of a dollar as a decimal: ``0.001234``; ``unknown`` for ``None``."""
    if cost is None:
        return UNKNOWN
    whole, rest = divmod(cost, MICRO)
    return f"{whole}.{rest:06d}"


def origin_headers(origin: AnswerOrigin) -> dict[str, str]:
    """The headers that say it."""
    headers = {
        "x-lastro-exchange": origin.exchange,
        "x-lastro-provider": origin.provider or PENDING,
        "x-lastro-model": origin.model or PENDING,
        "x-lastro-attempts": str(origin.attempts),
        "x-lastro-cost": origin.cost,
    }
    if origin.route:
        headers["x-lastro-route"] = origin.route
    if origin.degraded:
        headers["x-lastro-degraded"] = "true"
    if origin.lost:
        headers["x-lastro-lost"] = ", ".join(_header_text(what) for what in origin.lost)[:_MOST_LOSSES]
    return {name: _header_text(text) for name, text in headers.items()}


def _header_text(text: str) -> str:
    """Model names and paths come from requests, other values from providers: nothing in them may end a header."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def kept_headers(headers: Mapping[str, str], dialect: Dialect) -> dict[str, str]:
    """Those of a provider's answer headers that its client may want: ids, rate limits, ``retry-after``, ``content-type``.

    A provider may put bytes there that no header can hold; they must not cost its client a good answer.
    """
    names = _ALWAYS | _KEPT[dialect]
    return {
        name: _header_text(text)
        for name, text in headers.items()
        if name in names or name.startswith(_PREFIXES)
    }


def origin_comment(origin: AnswerOrigin) -> bytes:
    """A last comment of a stream, which readers of server-sent events pass over."""
    return b": lastro %s\n\n" % msgspec.json.encode(origin)


def with_origin(body: bytes, origin: AnswerOrigin) -> bytes:
    """A whole JSON answer with a ``lastro`` object at its end; every other byte as it was."""
    end = body.rindex(b"}")
    separator = b"" if body[:end].rstrip().endswith(b"{") else b","
    return b'%s%s"lastro":%s%s' % (body[:end], separator, msgspec.json.encode(origin), body[end:])


class JsonArray:
    """A Gemini stream for clients that did not ask for server-sent events: one JSON array, an element for each event."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """The same as a piece of the array; an empty line, which keeps a connection alive, stays one."""
        pieces = []
        for event in self._splitter.feed(data):
            if event.data is None:
                pieces.append(b"\n")
                continue
            pieces.append((b",\n" if self._begun else b"[") + event.data)
            self._begun = True
        return b"".join(pieces)

    def finish(self) -> bytes:
        """The end of the array."""
        return b"]\n" if self._begun else b"[]\n"
