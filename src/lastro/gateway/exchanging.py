"""``Exchanging``: lets one exchange in, has it answered, and remembers how it went.

In this order: the facts of the request, the route, the budget, the step notice, the secrets taken out, the record begun; then the calls
(``ladder``); at the end, however it came, the budget settled and the record ended.

What always holds: nothing is asked of a provider before it is paid for and recorded; an exchange that began in the record ends in it once,
also when the client leaves; every answer carries its origin, refusals included; where secrets could not be taken out for sure, only local
providers are asked.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from lastro.errors import LastroError, StorageFullError, UsageError
from lastro.gateway.asking import AskedRequest
from lastro.gateway.attempt import refused_kind, retry_after, sentence
from lastro.gateway.calling import Asked, path_of
from lastro.gateway.collaborators import Hold, Redacted
from lastro.gateway.dialects.codec import Envelope, codec_of
from lastro.gateway.dialects.neutral import ErrorKind, Failed, Used
from lastro.gateway.exchange import Bodies, ExchangeBegan, ExchangeEnded, ExchangeOutcome
from lastro.gateway.keys import GatewayKey
from lastro.gateway.ladder import Ladder
from lastro.gateway.origin import AnswerOrigin, dollars, origin_headers
from lastro.gateway.plan import SECOND_NS, Head, Parts, Plan
from lastro.gateway.route import Candidate, Routed
from lastro.messages import N_

LONGEST_MODEL: Final = 512
"""Characters of the name that a client asks for; it stands in the ledger."""

_LOG: Final = logging.getLogger("lastro.gateway")


def _log_fault(exchange: str, fault: Exception) -> None:
    """Where it happened, but not the error's own text, in which a part of a request may stand."""
    place = "".join(traceback.format_tb(fault.__traceback__))
    _LOG.error("exchange %s: a fault of the gateway's own, %s\n%s", exchange, type(fault).__name__, place)


class RefusedError(LastroError):
    """The gateway itself says no, before anybody is asked."""

    code = "refused"

    def __init__(self, failed: Failed) -> None:
        super().__init__("{text}", text=failed.text)
        self.failed = failed


def refused(error: LastroError, kind: ErrorKind) -> RefusedError:
    """``error`` as the client is told it."""
    return RefusedError(Failed(kind=kind, text=sentence(error), retry_after_s=retry_after(error)))


class Exchanging:
    """One exchange from the first byte to the record's end."""

    def __init__(
        self, parts: Parts, request: AskedRequest, *, next_step: Callable[[GatewayKey], int]
    ) -> None:
        self._parts = parts
        self._request = request
        self._next_step = next_step
        self._codec = codec_of(request.dialect)
        self._id = parts.new_id()
        self._time_ns = parts.time_ns()
        self._began_ns = parts.monotonic_ns()
        self._envelope = Envelope(model=request.model, stream=request.stream)
        self._routed: Routed | None = None
        self._redacted: Redacted | None = None
        self._holds: list[Hold] = []
        self._ladder: Ladder | None = None
        self._step = 0
        self._step_seen: bool | None = None
        self._begun = False
        self._refusal = ""

    async def run(self) -> AsyncGenerator[Head | bytes, None]:
        """The head, then the pieces; at the end the record."""
        try:
            try:
                plan = await self._admit()
            except RefusedError as refusal:
                head = self._refuse(refusal.failed)
                self._begin()
                yield head
                return
            self._begin()
            self._ladder = Ladder(self._parts, plan)
            async with aclosing(self._ladder.climb()) as items:
                async for item in items:
                    yield item
        except StorageFullError as error:
            yield self._refuse(Failed(kind=ErrorKind.INTERNAL, text=sentence(error)))
        except Exception as fault:  # noqa: BLE001  whatever it is, the client gets an error in its own words
            _log_fault(self._id, fault)
            failed = Failed(
                kind=ErrorKind.INTERNAL, text=f"The gateway failed ({type(fault).__name__}); see its log"
            )
            if self._ladder is not None:
                yield self._ladder.fault(failed)
            else:
                yield self._refuse(failed)
        finally:
            self._finish()

    async def _admit(self) -> Plan:
        """Everything that may say no, in order."""
        parts, request = self._parts, self._request
        try:
            envelope = self._codec.envelope(request.body, model=request.model, stream=request.stream)
            if len(envelope.model) > LONGEST_MODEL:
                raise UsageError(
                    N_("The name of a model has at most {limit} characters."), limit=LONGEST_MODEL
                )
            self._envelope = envelope
        except LastroError as error:
            raise refused(error, ErrorKind.INVALID) from error
        input_tokens = parts.estimate_tokens(request.body)
        try:
            routed = self._routed = self._route(input_tokens)
        except LastroError as error:
            raise refused(error, refused_kind(error)) from error
        asked = Asked(
            request=request,
            codec=self._codec,
            envelope=self._envelope,
            max_output_tokens=routed.route.max_output_tokens,
            input_tokens=input_tokens,
        )
        self._reserve(asked, routed, input_tokens)
        self._step = self._next_step(request.key)
        self._step_seen = await parts.steps.notice(request.key, self._id, self._step)
        if routed.route.redaction:
            routed = self._without_secrets(routed)
        return Plan(
            id=self._id,
            asked=asked,
            routed=routed,
            redacted=self._redacted,
            input_tokens=input_tokens,
            began_ns=self._began_ns,
            created_s=self._time_ns // SECOND_NS,
            reserve=lambda candidate: self._set_aside(asked, (candidate,), input_tokens),
            reroute=lambda: self._route(input_tokens),
        )

    def _route(self, input_tokens: int) -> Routed:
        return self._parts.router.route(
            envelope=self._envelope,
            dialect=self._request.dialect,
            headers=self._request.headers,
            key=self._request.key,
            input_tokens=input_tokens,
        )

    def _reserve(self, asked: Asked, routed: Routed, input_tokens: int) -> None:
        """The worst case is set aside."""
        try:
            self._set_aside(asked, routed.candidates, input_tokens)
        except LastroError as error:
            raise refused(error, ErrorKind.BUDGET) from error

    def _set_aside(self, asked: Asked, candidates: Sequence[Candidate], input_tokens: int) -> None:
        """For as many answers as are asked for."""
        output = asked.max_tokens()
        hold = self._parts.purse.reserve(
            self._request.key,
            candidates,
            input_tokens=input_tokens,
            output_tokens=output,
            answers=max(self._envelope.answers, 1),
        )
        self._holds.append(hold)

    def _without_secrets(self, routed: Routed) -> Routed:
        """What may be asked once secrets were taken out; where that failed, nobody beyond this network."""
        try:
            self._redacted = self._parts.redactor.redact(self._request.body)
        except LastroError as error:
            local = tuple(candidate for candidate in routed.candidates if candidate.provider.local)
            if not local:
                raise refused(error, ErrorKind.INVALID) from error
            return replace(routed, candidates=local)
        return routed

    def _begin(self) -> None:
        """From here on the record knows of it."""
        request, hold = self._request, self._holds[0] if self._holds else None
        routed = self._routed
        self._parts.recorder.begin(
            ExchangeBegan(
                id=self._id,
                time_ns=self._time_ns,
                dialect=request.dialect,
                asked_model=self._envelope.model,
                stream=self._envelope.stream,
                route=routed.route.name if routed else "",
                kind=routed.kind.value if routed else "",
                key=request.key.id,
                key_name=request.key.name,
                role=request.key.role,
                run=request.key.run,
                step=self._step,
                reserved_cost=hold.cost if hold else 0,
                reserved_tokens=hold.tokens if hold else 0,
                request_bytes=len(request.body),
                redacted=self._redacted.count if self._redacted else 0,
            )
        )
        self._begun = True

    def _refuse(self, failed: Failed) -> Head:
        """The gateway's own no, in the dialect's form."""
        self._refusal = failed.text
        status, headers, body = self._codec.encode_error(failed)
        origin = AnswerOrigin(
            exchange=self._id, route=self._routed.route.name if self._routed else "", cost=dollars(0)
        )
        return Head(status=status, headers={**headers, **origin_headers(origin)}, body=body)

    def _finish(self) -> None:
        """The budget gets back what was not spent, the record its end."""
        ladder = self._ladder
        used = ladder.used if ladder else Used()
        cost = ladder.cost if ladder else 0
        for hold in reversed(self._holds):
            is_first = hold is self._holds[0]
            spent_tokens = (used.input or 0) + (used.output or 0)
            hold.settle(cost=cost if is_first else 0, tokens=spent_tokens if is_first else 0)
        if not self._begun:
            return
        duration_ns = self._parts.monotonic_ns() - self._began_ns
        if ladder is None or self._refusal:
            outcome = ExchangeOutcome.REFUSED
            ended = ExchangeEnded(
                id=self._id,
                outcome=outcome,
                duration_ns=duration_ns,
                cost=0,
                error=self._refusal,
                step_seen=self._step_seen,
            )
            self._parts.recorder.end(ended, None)
            return
        by = ladder.answered_by
        ended = ExchangeEnded(
            id=self._id,
            outcome=ladder.outcome,
            duration_ns=duration_ns,
            attempts=tuple(ladder.attempts),
            provider=by.provider.name if by else "",
            model=by.model if by else "",
            degraded=by.degraded if by else False,
            used=used,
            used_estimated=ladder.used_estimated,
            cost=cost,
            losses=ladder.losses,
            error=ladder.error,
            first_byte_ns=ladder.first_byte_ns,
            answer_bytes=ladder.answer_bytes,
            step_seen=self._step_seen,
        )
        self._parts.recorder.end(ended, self._bodies(ladder))

    def _bodies(self, ladder: Ladder) -> Bodies | None:
        """What is kept of what was said: without the secrets, also where the provider on this machine was sent them."""
        routed, redacted, last = self._routed, self._redacted, ladder.last
        if routed is None or not routed.route.recording or last is None or not last.sent_url:
            return None
        if not routed.route.redaction:
            request, sent = self._request.body, last.sent
        elif redacted is None:
            return None
        else:
            request, sent = redacted.body, last.sent
            if redacted.count and not last.is_redacted:
                try:
                    sent = self._parts.redactor.redact(sent).body
                except LastroError:
                    return None
        return Bodies(
            request=request,
            sent=sent,
            sent_path=path_of(last.sent_url),
            answer=b"".join(last.received),
            content_type=last.headers.get("content-type", ""),
        )
