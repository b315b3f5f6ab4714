"""``Upstream``: one HTTP call to a provider. Implementations: ``http_upstream`` (aiohttp); tests bring faithful servers, not fakes of this.

What always holds: a call that is left closes its connection; errors are told apart as the failover needs them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from lastro.errors import UnreachableError
from lastro.gateway.exchange import AttemptOutcome


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """What is sent. ``headers`` hold the key; they are never logged, recorded or shown."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_s: float
    first_byte_s: float
    between_bytes_s: float
    method: str = "POST"
    """``GET`` for the lists that a probe reads; the body is empty then."""


class UpstreamError(UnreachableError):
    """A call that failed without an answer. ``outcome``: ``connect``, ``first_byte_timeout``, ``between_bytes_timeout`` or ``truncated``
    (the connection broke inside the body).
    """

    code = "upstream"

    def __init__(
        self, msgid: str, /, *, outcome: AttemptOutcome, hint: str = "", **parameters: object
    ) -> None:
        super().__init__(msgid, hint=hint, **parameters)
        self.outcome = outcome


class UpstreamAnswer(Protocol):
    """An answer whose status and headers have come."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, decoded of any transfer or content encoding.

        Raises:
            UpstreamError: it stopped, or broke.
        """
        ...


class Upstream(Protocol):
    """Calls providers."""

    def call(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send ``request``; the connection lasts as long as the context.

        Raises:
            UpstreamError: no answer.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
