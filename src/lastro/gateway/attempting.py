"""``Attempting``: one call to one candidate, from its address to its last byte. The I/O of an attempt.

What always holds: whatever happens, also when the client leaves or the task is cancelled, the connection is closed when ``pieces`` is;
nothing beyond the bounds is kept; how it failed comes out as ``AttemptFailedError`` and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from lastro.errors import LastroError
from lastro.gateway.attempt import (
    AttemptFailedError,
    broken_answer,
    connection_failure,
    in_stream_failure,
    not_asked,
    out_of_time,
    own_failure,
    refusal,
    too_much,
    with_secrets,
)
from lastro.gateway.calling import call_body, call_headers, call_url
from lastro.gateway.circuit import Permit
from lastro.gateway.dialects.codec import (
    Frame,
    InexpressibleError,
    MalformedError,
    StreamDecoder,
    codec_of,
)
from lastro.gateway.dialects.neutral import ErrorKind, Used
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.failover import Relay
from lastro.gateway.patience import PieceReader
from lastro.gateway.plan import SECOND_NS, Parts, Plan
from lastro.gateway.provider import ProviderKind
from lastro.gateway.route import Candidate
from lastro.gateway.secret_text import without_keys
from lastro.gateway.settings import Bounds
from lastro.gateway.upstream import UpstreamAnswer, UpstreamError, UpstreamRequest
from lastro.gateway.whole import read_whole, written_for

GRACE_S: Final = 1.0
"""An answer that said that it is complete waits this long for what closes its stream; then what came is all."""
_DYING_S: Final = 0.25
"""An engine whose connections broke is gone for good after this long: closing them is not the last that a dying process does."""
LARGEST_ERROR: Final = 256 * 1024
"""Bytes of an error's body that are read."""


class Attempting:
    """One attempt. The attributes say how far it came, at any time."""

    def __init__(
        self,
        parts: Parts,
        plan: Plan,
        bounds: Bounds,
        *,
        candidate: Candidate,
        permit: Permit,
        relay: Relay,
        on_call: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._plan = plan
        self._bounds = bounds
        self._relay = relay
        self._on_call = on_call
        self.candidate = candidate
        self.permit = permit
        self.started_ns = parts.monotonic_ns()
        self.first_byte_ns: int | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.sent = b""
        self.sent_url = ""
        self._keys: Mapping[str, str] = {}
        self.losses: tuple[str, ...] = ()
        self.received: list[bytes] = []
        self._received_size = 0
        self.used: Used | None = None
        self.output: list[str] = []
        self.body = b""
        """The client's, of an answer that comes at once."""
        self.fits = True
        """Whether the answer, now complete, could be shown after what the client had seen before."""

    @property
    def is_redacted(self) -> bool:
        """Whether this provider gets the request without its secrets."""
        return self._plan.redacted is not None and not self.candidate.provider.local

    @property
    def _is_engine(self) -> bool:
        return self.candidate.provider.kind is ProviderKind.OFFLINE

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What the client gets of a stream, as it comes; nothing of an answer that comes at once (``body``).

        Raises:
            AttemptFailedError: no answer, or not all of it.
        """
        name = self.candidate.name
        try:
            call = await self._prepare()
            self._on_call()
            async with self._parts.upstream.call(call) as answer:
                await self._accept(answer)
                if self._plan.asked.envelope.stream:
                    async with aclosing(self._relayed(answer)) as pieces:
                        async for piece in pieces:
                            yield piece
                else:
                    await self._read_whole(answer)
        except AttemptFailedError:
            raise
        except UpstreamError as error:
            failure = connection_failure(error, name)
            if self._is_engine and failure.outcome is AttemptOutcome.CONNECT:
                await asyncio.sleep(_DYING_S)
                failure = replace(failure, same_again=True)  # it died just now, and is started anew
            raise AttemptFailedError(failure) from error
        except LastroError as error:  # not of its dialect, too large, or secrets that cannot be put back
            raise AttemptFailedError(broken_answer(error, name)) from error

    async def _prepare(self) -> UpstreamRequest:
        """The call, with the provider's key: the only place that sees one."""
        plan, candidate, bounds = self._plan, self.candidate, self._bounds
        name, provider, request = candidate.name, candidate.provider, plan.asked.request
        redacted = plan.redacted
        if plan.routed.route.redaction and redacted is None and not provider.local:
            raise with_secrets(name)
        body = redacted.body if redacted is not None and self.is_redacted else request.body
        try:
            sent, self.losses = call_body(plan.asked, body, candidate)
        except (InexpressibleError, MalformedError) as error:
            outcome, kind = AttemptOutcome.UNEXPRESSED, ErrorKind.INVALID
            raise AttemptFailedError(own_failure(outcome, error, name, kind=kind, blames=False)) from error
        try:
            if self._is_engine:
                base_url, keys = await self._parts.engine.ready(candidate.model)
            else:
                base_url = provider.base_url
                keys = await self._parts.credentials.headers(provider, candidate.dialect)
        except LastroError as error:
            raise AttemptFailedError(not_asked(error, name)) from error
        self.sent, self.sent_url, self._keys = sent, call_url(base_url, plan.asked, candidate), keys
        left_s = self._left_s()
        return UpstreamRequest(
            url=self.sent_url,
            headers=call_headers(request, candidate, keys),
            body=sent,
            connect_s=min(bounds.connect_s, left_s),
            first_byte_s=min(bounds.first_byte_s, left_s),
            between_bytes_s=min(bounds.between_bytes_s, left_s),
        )

    async def _accept(self, answer: UpstreamAnswer) -> None:
        """Go on with an answer, not with an error."""
        self.status, self.headers = answer.status, answer.headers
        self.permit.connected()
        stream = self._plan.asked.envelope.stream
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        if 200 <= answer.status < 300 and not (stream and is_json):
            return
        body, is_whole = b"", True
        async with aclosing(PieceReader(answer.pieces())) as reader:
            while is_whole and (piece := await reader.next()) is not None:
                self._receive(piece)
                body += piece
                is_whole = len(body) <= LARGEST_ERROR
        body = without_keys(body, self._keys)  # neither the client nor the record gets it
        self.received = [body]
        codec, name = codec_of(self.candidate.dialect), self.candidate.name
        raise AttemptFailedError(refusal(codec, answer.status, answer.headers, body, name, is_whole=is_whole))

    async def _read_whole(self, answer: UpstreamAnswer) -> None:
        """An answer that comes at once."""
        async with aclosing(PieceReader(answer.pieces())) as reader:
            while (piece := await reader.next()) is not None:
                self._receive(piece)
        whole = read_whole(codec_of(self.candidate.dialect), b"".join(self.received))
        self.used, self.output = whole.used, whole.output
        if whole.failed is not None:
            raise AttemptFailedError(in_stream_failure(whole.failed, self.candidate.name, self.status))
        plan = self._plan
        self.body = written_for(
            plan.asked.codec,
            whole,
            restore=self._restore(),
            answer_id=plan.id,
            model=self.candidate.model,
            created_s=plan.created_s,
            request=plan.asked.conversation,
        )

    async def _relayed(self, answer: UpstreamAnswer) -> AsyncGenerator[bytes, None]:
        """An answer that comes in pieces."""
        relay, codec = self._relay, codec_of(self.candidate.dialect)
        relay.begin(codec, restore=self._restore())
        self.output = relay.output
        decoder = codec.decoder()
        async with aclosing(PieceReader(answer.pieces())) as reader:
            while (passes := await self._next(reader, decoder)) is not None:
                if passes:
                    yield passes
        rest = self._taken(decoder.finish())
        closing = relay.complete()
        self.fits = closing is not None
        if passes := rest + (closing or b""):
            yield passes

    async def _next(self, reader: PieceReader, decoder: StreamDecoder) -> bytes | None:
        """What passes of the next piece, or a sign of life while everything is held back; ``None`` at the end."""
        relay = self._relay
        try:
            if relay.ended:
                piece = await reader.next_within(GRACE_S)
            elif relay.holds:
                piece = await reader.next_within(self._bounds.keep_alive_s)
            else:
                piece = await reader.next()
        except TimeoutError:
            return None if relay.ended else relay.keep_alive()
        except UpstreamError:
            if relay.ended:
                return None  # all was said; the decoder knows whether what closes a stream is missing
            raise
        if piece is None:
            return None
        self._receive(piece)
        passes = self._taken(decoder.feed(piece))
        self.permit.answering()
        return passes

    def _taken(self, frames: Sequence[Frame]) -> bytes:
        """What the relay lets pass."""
        relay = self._relay
        passes = relay.take(frames)
        self.used = relay.used
        if relay.failed is not None:
            raise AttemptFailedError(in_stream_failure(relay.failed, self.candidate.name, self.status))
        return passes

    def _receive(self, piece: bytes) -> None:
        """Keep what came, within the bounds."""
        now = self._parts.monotonic_ns()
        if self.first_byte_ns is None:
            self.first_byte_ns = now - self.started_ns
        self.received.append(piece)
        self._received_size += len(piece)
        if self._received_size > self._bounds.answer_bytes:
            raise too_much(self.candidate.name, self._bounds.answer_bytes)
        if now - self._plan.began_ns > self._bounds.total_s * SECOND_NS:
            raise out_of_time(self.candidate.name, self._bounds.total_s)

    def _left_s(self) -> float:
        """Of the time that all attempts together have."""
        left = self._bounds.total_s - (self._parts.monotonic_ns() - self._plan.began_ns) / SECOND_NS
        if left <= 0:
            raise out_of_time(self.candidate.name, self._bounds.total_s)
        return left

    def _restore(self) -> Callable[[str], str] | None:
        redacted = self._plan.redacted
        return redacted.restore if redacted is not None and redacted.count and self.is_redacted else None
