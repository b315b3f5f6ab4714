"""The nouns between whoever listens and whoever answers: ``AskedRequest`` in, ``Answer`` out. Pure.

What always holds: an ``Answer`` can be sent as it is. Its headers tell where it comes from, errors are in the words of the client's own
dialect, and nothing in it names a provider's key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from msgspec import Struct

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.keys import ANONYMOUS, GatewayKey


class AskedRequest(Struct, frozen=True, kw_only=True):
    """One request of a client whose key is known to be good."""

    dialect: Dialect
    body: bytes
    """As it came, after any content encoding was undone."""
    headers: Mapping[str, str] = {}
    """The client's, names in lower case, all of them; only those of the dialect are sent on."""
    key: GatewayKey = ANONYMOUS
    model: str = ""
    """Gemini: the model that the URL names."""
    stream: bool = False
    """Gemini: the URL says ``:streamGenerateContent``."""
    query: str = ""
    """The URL's query; ``key`` in it is never sent on."""
    array: bool = False
    """Gemini: a stream without ``alt=sse``, answered as one JSON array that grows."""


class Answer(Struct, frozen=True, kw_only=True):
    """What the client gets.

    ``body`` is everything at once, or a generator of pieces, each to be sent as soon as it comes. Whoever gets a generator closes it in
    every case (``await answer.aclose()``): that closes the call to the provider, settles the budget and records the exchange. A task that
    is cancelled inside it does the same.
    """

    status: int
    headers: Mapping[str, str]
    """Names in lower case, ``content-type`` among them; no ``content-length``, no hop-by-hop header."""
    body: bytes | AsyncGenerator[bytes, None]
    record: AsyncGenerator[object, None] | None = None
    """With everything at once: what is left to be done once it was sent. ``recorded`` does it; ``aclose`` says that it was not sent."""

    async def recorded(self) -> None:
        """The client has got everything."""
        if self.record is not None:
            async for _ in self.record:
                pass
        await self.aclose()

    async def aclose(self) -> None:
        """The client has got everything, or has gone. May be called more than once."""
        if self.record is not None:
            await self.record.aclose()
        if not isinstance(self.body, bytes):
            await self.body.aclose()
