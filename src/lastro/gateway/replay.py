"""Replay: a recorded request asked once more, byte for byte, and the new answer beside the recorded one.

What always holds: the bytes that are sent are the recorded ones, placeholders in the place of secrets, proved by their digest; the key is
the provider's of today; nothing is recorded, no tool is run, and nobody but the caller gets the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from lastro.chunking.digest import digest_of
from lastro.errors import LimitError, NotFoundError
from lastro.gateway.collaborators import Credentials, Engine
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.exchange import Bodies
from lastro.gateway.exchange_records import RecordedExchange
from lastro.gateway.provider import Provider, ProviderKind
from lastro.gateway.settings import Bounds
from lastro.gateway.upstream import Upstream, UpstreamRequest
from lastro.messages import N_


class Replayed(Struct, frozen=True, kw_only=True):
    """What came of it. ``sent_digest`` is the BLAKE3 of the bytes that went out, hexadecimal; ``same_request``: whether it is that of
    the recorded ones.
    """

    exchange: str
    provider: str
    model: str
    status: int
    content_type: str
    answer: bytes
    recorded_answer: bytes
    sent_digest: str
    same_request: bool
    same_answer: bool


def provider_of(recorded: RecordedExchange) -> str:
    """The name of the provider that got the recorded request: who answered, else who was asked last.

    Raises:
        NotFoundError: nobody was asked.
    """
    ended = recorded.ended
    name = ended.provider or (ended.attempts[-1].provider if ended.attempts else "")
    if not name:
        raise _nothing_to_replay(recorded.began.id)
    return name


async def replay(
    recorded: RecordedExchange,
    bodies: Bodies | None,
    *,
    provider: Provider,
    upstream: Upstream,
    credentials: Credentials,
    engine: Engine | None,
    bounds: Bounds,
) -> Replayed:
    """Send the recorded request to the same path of ``provider`` (of ``provider_of``) again. ``engine``: for the offline provider.

    Raises:
        NotFoundError: no bodies were recorded, or nobody was asked.
        UpstreamError: no answer came, or not all of it.
        LimitError: the answer is larger than ``bounds`` allow.
        ConfigError: the provider's key is not there.
    """
    if bodies is None or not bodies.sent_path:
        raise _nothing_to_replay(recorded.began.id)
    ended = recorded.ended
    model = ended.model or ended.attempts[-1].model
    dialect = ended.attempts[-1].dialect if ended.attempts else recorded.began.dialect
    base_url, keys = await _place(provider, model, dialect, credentials, engine)
    request = UpstreamRequest(
        url=_origin(base_url) + bodies.sent_path,
        headers={"content-type": "application/json", **provider.headers, **keys},
        body=bodies.sent,
        connect_s=bounds.connect_s,
        first_byte_s=bounds.first_byte_s,
        between_bytes_s=bounds.between_bytes_s,
    )
    status, content_type, answer = await _ask(upstream, request, bounds.answer_bytes)
    digest = digest_of(request.body)
    return Replayed(
        exchange=recorded.began.id,
        provider=provider.name,
        model=model,
        status=status,
        content_type=content_type,
        answer=answer,
        recorded_answer=bodies.answer,
        sent_digest=digest.hex(),
        same_request=digest == recorded.files["sent"].digest,
        same_answer=answer == bodies.answer,
    )


async def _place(
    provider: Provider, model: str, dialect: Dialect, credentials: Credentials, engine: Engine | None
) -> tuple[str, Mapping[str, str]]:
    """Base URL, and the headers with the key."""
    if provider.kind is ProviderKind.OFFLINE and engine is not None:
        return await engine.ready(model)
    return provider.base_url, await credentials.headers(provider, dialect)


async def _ask(upstream: Upstream, request: UpstreamRequest, limit: int) -> tuple[int, str, bytes]:
    async with upstream.call(request) as answer:
        pieces, size = list[bytes](), 0
        async for piece in answer.pieces():
            size += len(piece)
            if size > limit:
                raise LimitError(
                    N_("The answer is larger than {limit} bytes."),
                    hint=N_("'answer_bytes' in gateway.toml says how large one may be."),
                    limit=limit,
                )
            pieces.append(piece)
        return answer.status, answer.headers.get("content-type", ""), b"".join(pieces)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _nothing_to_replay(exchange: str) -> NotFoundError:
    return NotFoundError(
        N_("There is no recorded request to replay in {exchange}."),
        hint=N_(
            "It was refused before anybody was asked, or its route records no bodies ('recording' in gateway.toml)."
        ),
        exchange=exchange,
    )
