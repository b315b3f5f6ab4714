"""``TokenCounter``: how many tokens a conversation has: the provider's own count where one of the same dialect counts, the
offline engine's where it would answer, else an estimate.

What always holds: an estimate says that it is one; secrets are taken out before a body leaves; counting costs nothing, so no budget and
no record are asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lastro.errors import LastroError
from lastro.gateway.asking import Answer, AskedRequest
from lastro.gateway.attempt import refused_kind, retry_after, sentence
from lastro.gateway.calling import Asked, asker_of, call_headers, count_url
from lastro.gateway.dialects.codec import Codec, Envelope, codec_of
from lastro.gateway.dialects.foreign import own_words
from lastro.gateway.dialects.neutral import Dialect, Failed
from lastro.gateway.origin import AnswerOrigin, dollars, kept_headers, origin_headers
from lastro.gateway.patience import PieceReader
from lastro.gateway.plan import Parts
from lastro.gateway.provider import ProviderKind
from lastro.gateway.route import Candidate, Routed
from lastro.gateway.upstream import UpstreamRequest

ESTIMATED_HEADER: Final = "x-lastro-estimated"
LARGEST_COUNT: Final = 64 * 1024
"""Bytes of an answer that holds a number."""
_COUNTED_IN: Final = frozenset({Dialect.MESSAGES, Dialect.GEMINI})
_NAMES: Final = {Dialect.GEMINI: "totalTokens"}


class _Count(Struct):
    input_tokens: int


class TokenCounter:
    """Counts for one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def count(self, request: AskedRequest) -> Answer:
        """The count in the client's dialect; a refusal in its own error form."""
        codec, exchange = codec_of(request.dialect), self._parts.new_id()
        try:
            envelope = codec.envelope(request.body, model=request.model, stream=False)
            tokens = self._parts.estimate_tokens(request.body)
            routed = self._route(request, envelope, tokens)
        except LastroError as error:
            return self._refused(codec, error, exchange)
        for place, candidate in enumerate(routed.candidates):
            if candidate.provider.kind is ProviderKind.OFFLINE:
                counted = await self._ask_engine(request, envelope, candidate) if place == 0 else None
                if counted is not None:
                    return self._counted(
                        request.dialect, counted, candidate, routed=routed, exchange=exchange
                    )
            elif candidate.dialect is request.dialect and candidate.dialect in _COUNTED_IN:
                answer = await self._ask(request, envelope, candidate, routed=routed, exchange=exchange)
                if answer is not None:
                    return answer
        name = _NAMES.get(request.dialect, "input_tokens")
        origin = AnswerOrigin(exchange=exchange, route=routed.route.name, cost=dollars(0))
        headers = {
            "content-type": "application/json",
            ESTIMATED_HEADER: "true",
            **origin_headers(origin),
            "x-lastro-provider": "lastro",
        }
        return Answer(status=200, headers=headers, body=msgspec.json.encode({name: tokens}))

    def _route(self, request: AskedRequest, envelope: Envelope, tokens: int) -> Routed:
        return self._parts.router.route(
            envelope=envelope,
            dialect=request.dialect,
            headers=request.headers,
            key=request.key,
            input_tokens=tokens,
        )

    async def _ask(
        self,
        request: AskedRequest,
        envelope: Envelope,
        candidate: Candidate,
        *,
        routed: Routed,
        exchange: str,
    ) -> Answer | None:
        """The provider's own count; ``None`` where it has none to give: then an estimate does."""
        provider, parts, bounds = candidate.provider, self._parts, self._parts.bounds()
        permit = parts.circuits.enter(provider.name, candidate.model, local=provider.local)
        if permit is None:
            return None
        try:
            body, _ = own_words(request.body, asker_of(candidate))
            if candidate.model != envelope.model:
                body = codec_of(candidate.dialect).with_model(body, candidate.model)
            if routed.route.redaction and not provider.local:
                body = parts.redactor.redact(body).body
            keys = await parts.credentials.headers(provider, candidate.dialect)
            call = UpstreamRequest(
                url=count_url(provider.base_url, candidate),
                headers=call_headers(request, candidate, keys),
                body=body,
                connect_s=bounds.connect_s,
                first_byte_s=bounds.first_byte_s,
                between_bytes_s=bounds.between_bytes_s,
            )
            async with parts.upstream.call(call) as answer:
                counted = await _read(answer.pieces()) if answer.status == 200 else None
                headers = kept_headers(answer.headers, request.dialect)
        except LastroError:  # no key, no network, a secret in doubt: nothing is lost by an estimate
            return None
        finally:
            permit.abandoned()
        if counted is None:
            return None
        origin = AnswerOrigin(
            exchange=exchange,
            provider=provider.name,
            model=candidate.model,
            attempts=1,
            route=routed.route.name,
            cost=dollars(0),
        )
        return Answer(status=200, headers={**headers, **origin_headers(origin)}, body=counted)

    async def _ask_engine(
        self, request: AskedRequest, envelope: Envelope, candidate: Candidate
    ) -> int | None:
        """The offline engine's count, template and tools included; ``None`` where it cannot say."""
        parts, bounds = self._parts, self._parts.bounds()
        asked = Asked(
            request=request, codec=codec_of(request.dialect), envelope=envelope, max_output_tokens=0
        )
        try:
            conversation = replace(asked.decoded(request.body), model=candidate.model, stream=False)
            body, _ = codec_of(Dialect.MESSAGES).encode_request(conversation)
            base_url, keys = await parts.engine.ready(candidate.model)
            call = UpstreamRequest(
                url=f"{base_url}/messages/count_tokens",
                headers={**keys, "content-type": "application/json"},
                body=body,
                connect_s=bounds.connect_s,
                first_byte_s=bounds.first_byte_s,
                between_bytes_s=bounds.between_bytes_s,
            )
            async with parts.upstream.call(call) as answer:
                counted = await _read(answer.pieces()) if answer.status == 200 else None
            return None if counted is None else msgspec.json.decode(counted, type=_Count).input_tokens
        except (LastroError, msgspec.DecodeError):  # an estimate does, and a conversation says what is wrong
            return None

    @staticmethod
    def _counted(
        dialect: Dialect, tokens: int, candidate: Candidate, *, routed: Routed, exchange: str
    ) -> Answer:
        origin = AnswerOrigin(
            exchange=exchange,
            provider=candidate.provider.name,
            model=candidate.model,
            attempts=1,
            route=routed.route.name,
            cost=dollars(0),
            degraded=candidate.degraded,
        )
        body = msgspec.json.encode({_NAMES.get(dialect, "input_tokens"): tokens})
        headers = {"content-type": "application/json", **origin_headers(origin)}
        return Answer(status=200, headers=headers, body=body)

    @staticmethod
    def _refused(codec: Codec, error: LastroError, exchange: str) -> Answer:
        failed = Failed(kind=refused_kind(error), text=sentence(error), retry_after_s=retry_after(error))
        status, headers, body = codec.encode_error(failed)
        origin = AnswerOrigin(exchange=exchange, cost=dollars(0))
        return Answer(status=status, headers={**headers, **origin_headers(origin)}, body=body)


async def _read(pieces: AsyncIterator[bytes]) -> bytes | None:
    """The whole of a small body; ``None`` for a large one."""
    body = b""
    async with aclosing(PieceReader(pieces)) as reader:
        while (piece := await reader.next()) is not None:
            body += piece
            if len(body) > LARGEST_COUNT:
                return None
    return body
