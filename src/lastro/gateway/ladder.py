"""``Ladder``: asks one candidate after the other until one answers, or no more may be asked; and keeps what the record wants to know.

What always holds: each attempt stands in ``attempts`` once, whatever ended it, and its permit is given back; the head of an answer goes
before its first byte, an error's status is the provider's or the dialect's own until then, and an error inside the stream after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from lastro.errors import LastroError
from lastro.gateway.attempt import (
    LONGEST_DETAIL,
    AttemptFailedError,
    Failure,
    final_failure,
    no_calls,
    not_paid,
)
from lastro.gateway.attempting import Attempting
from lastro.gateway.candidates import Candidates
from lastro.gateway.dialects.codec import StreamEncoder
from lastro.gateway.dialects.neutral import Failed, Used
from lastro.gateway.exchange import Attempt, AttemptOutcome, ExchangeOutcome, Visible
from lastro.gateway.failover import ClientForm, Relay
from lastro.gateway.origin import (
    PENDING,
    AnswerOrigin,
    JsonArray,
    dollars,
    kept_headers,
    origin_comment,
    origin_headers,
    with_origin,
)
from lastro.gateway.plan import Head, Parts, Plan
from lastro.gateway.provider import ProviderKind
from lastro.gateway.reckoning import total_used, used_by
from lastro.gateway.route import Candidate, Origin


class Ladder:
    """The attempts of one exchange. After ``climb`` ended, or was closed, the public attributes say how it went."""

    def __init__(self, parts: Parts, plan: Plan) -> None:
        self._parts = parts
        self._plan = plan
        self._bounds = parts.bounds()
        self._codec = plan.asked.codec
        self._stream = plan.asked.envelope.stream
        self._relay = Relay(
            ClientForm(codec=self._codec, encoder=self._encoder, held_bytes=self._bounds.held_bytes)
        )
        self._array = JsonArray() if plan.asked.request.array and self._stream else None
        self._head_sent = False
        self._shut_s: list[float] = []
        self._running = False
        self.last: Attempting | None = None
        """The attempt that runs, or the last one."""
        self.attempts: list[Attempt] = []
        self.outcome = ExchangeOutcome.ABANDONED
        self.error = ""
        self.answered_by: Candidate | None = None
        self.used_estimated = False
        self.first_byte_ns: int | None = None
        self.answer_bytes = 0

    @property
    def used(self) -> Used:
        """Of all attempts together."""
        return total_used(attempt.used for attempt in self.attempts)

    @property
    def cost(self) -> int | None:
        """Of all attempts together; ``None`` as soon as one is unknown."""
        costs = [attempt.cost for attempt in self.attempts]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def losses(self) -> tuple[str, ...]:
        """Settings that the answering dialect could not express."""
        return self.last.losses if self.last is not None else ()

    async def climb(self) -> AsyncGenerator[Head | bytes, None]:
        """The head, and then, where it holds no whole answer, the pieces."""
        circuits = self._parts.circuits
        failure: Failure | None = None
        worst: tuple[Failure, Candidate] | None = None
        candidates = Candidates(
            self._plan.routed, network_down=lambda: circuits.network_down, reroute=self._plan.reroute
        )
        while (candidate := candidates.next(failure)) is not None:
            failure, attempt = None, self._begin(candidate, candidates)
            if attempt is None:
                continue
            try:
                async with aclosing(attempt.pieces()) as pieces:
                    async for piece in pieces:
                        for item in self._out(piece):
                            yield item
            except AttemptFailedError as error:
                failure = error.failure
                worst = _to_tell(worst, (failure, candidate))
                if self._fail(attempt, failure):
                    continue
                break
            else:
                closing = self._answered(attempt)
            finally:
                self._give_up(attempt)
            for item in closing:
                yield item
            self._is_sent()
            return
        yield self.end(worst)

    def end(self, worst: tuple[Failure, Candidate] | None) -> Head | bytes:
        """The error that ends the exchange; ``worst`` is what the client is told of, and who failed so."""
        failed = final_failure(worst[0] if worst else None, shut_s=self._shut_s, attempts=self.attempts)
        self.error = failed.text
        if self._head_sent:
            is_broken = self._relay.visible is not Visible.NOTHING
            self.outcome = ExchangeOutcome.BROKEN if is_broken else ExchangeOutcome.FAILED
            return self._in_form(self._relay.end(failed), last=True)
        self.outcome = ExchangeOutcome.FAILED
        origin = origin_headers(self._origin(final=True, by=worst[1] if worst else None))
        if worst is not None and worst[0].untouched is not None and self._is_own_form(worst[1]):
            status, headers, body = worst[0].untouched
            kept = {"content-type": "application/json", **kept_headers(headers, self._codec.dialect)}
            return Head(status=status, headers={**kept, **origin}, body=body)
        status, own, body = self._codec.encode_error(failed)
        return Head(status=status, headers={**own, **origin}, body=body)

    def _is_own_form(self, candidate: Candidate) -> bool:
        """Whether the client knows this provider's errors. The offline engine's codes are its own, and nobody's who is asked through us."""
        is_engine = candidate.provider.kind is ProviderKind.OFFLINE
        return candidate.dialect is self._codec.dialect and not is_engine

    def fault(self, failed: Failed) -> Head | bytes:
        """A fault of the gateway's own ends the exchange."""
        failure = Failure(outcome=AttemptOutcome.ABANDONED, failed=failed)
        return self.end((failure, self._plan.routed.candidates[0]))

    def _begin(self, candidate: Candidate, candidates: Candidates) -> Attempting | None:
        """The next attempt; ``None`` where the circuit, or the number of calls at once, is against it."""
        circuits, provider = self._parts.circuits, candidate.provider
        permit = circuits.enter(
            provider.name, candidate.model, local=provider.local, max_concurrent=candidate.max_concurrent
        )
        if permit is None:
            self._shut_s.append(circuits.retry_after_s(provider.name, candidate.model) or 0.0)
            return None
        self._running = True
        self.last = Attempting(
            self._parts,
            self._plan,
            self._bounds,
            candidate=candidate,
            permit=permit,
            relay=self._relay,
            on_call=lambda: self._pay(candidate, candidates),
        )
        return self.last

    def _pay(self, candidate: Candidate, candidates: Candidates) -> None:
        """The budget set aside is for one answer: where an attempt before this one has cost something, this one needs its own."""
        if any(attempt.used is not None for attempt in self.attempts):
            try:
                self._plan.reserve(candidate)
            except LastroError as error:
                raise AttemptFailedError(not_paid(error)) from error
        candidates.called()

    def _fail(self, attempt: Attempting, failure: Failure) -> bool:
        """Note a failure. Whether somebody else may be asked without the client noticing."""
        visible = self._relay.visible
        again = self._relay.cut()
        if failure.blames and attempt.candidate.provider.kind is not ProviderKind.OFFLINE:
            # The engine is started anew when it is asked again, and rests by itself where it goes on dying.
            attempt.permit.failed(
                connecting=failure.outcome is AttemptOutcome.CONNECT,
                no_route=failure.no_route,
                at_once=failure.at_once or (not again and visible is not Visible.NOTHING),
                retry_after_s=failure.failed.retry_after_s,
            )
        self._note(attempt, failure.outcome, visible=visible, detail=failure.failed.text)
        return again

    def _give_up(self, attempt: Attempting) -> None:
        """Where it is not noted yet, the client went away, or a fault of the gateway's own ended it."""
        if self._running:
            self._note(attempt, AttemptOutcome.ABANDONED, visible=self._relay.visible)

    def _is_sent(self) -> None:
        """The client took everything."""
        if not self.error:
            self.outcome = ExchangeOutcome.ANSWERED

    def _answered(self, attempt: Attempting) -> list[Head | bytes]:
        """Note a complete answer. What of it is still to be sent."""
        attempt.permit.succeeded()
        visible = self._relay.visible if self._stream else Visible.ALL
        self._note(attempt, AttemptOutcome.ANSWERED, visible=visible)
        self.answered_by = attempt.candidate
        is_explicit = self._plan.routed.route.origin is Origin.EXPLICIT
        if not self._stream:
            body = attempt.body
            if is_explicit:
                body = with_origin(body, self._origin(final=True))
            self.answer_bytes = len(body)
            return [Head(status=200, headers=self._headers("application/json"), body=body)]
        if not attempt.fits:
            return [self.end((no_calls(attempt.candidate.name), attempt.candidate))]
        if is_explicit and self._array is None:
            return list(self._out(origin_comment(self._origin(final=True)), last=True))
        return list(self._out(b"", last=True))

    def _note(
        self, attempt: Attempting, outcome: AttemptOutcome, *, visible: Visible, detail: str = ""
    ) -> None:
        """The attempt is over: into the list with it."""
        self._running = False
        attempt.permit.abandoned()  # nothing, where it was given back with a verdict
        candidate, now = attempt.candidate, self._parts.monotonic_ns()
        used, estimated = used_by(
            attempt.used,
            status=attempt.status,
            outcome=outcome,
            output=attempt.output,
            input_tokens=self._plan.input_tokens,
            estimate_tokens=self._parts.estimate_tokens,
        )
        self.used_estimated = self.used_estimated or estimated
        started_ns = attempt.started_ns - self._plan.began_ns
        if self.first_byte_ns is None and attempt.first_byte_ns is not None:
            self.first_byte_ns = started_ns + attempt.first_byte_ns
        self.attempts.append(
            Attempt(
                provider=candidate.provider.name,
                model=candidate.model,
                dialect=candidate.dialect,
                outcome=outcome,
                status=attempt.status,
                visible=visible,
                started_ns=started_ns,
                first_byte_ns=attempt.first_byte_ns,
                duration_ns=now - attempt.started_ns,
                used=used,
                cost=0 if used is None else self._parts.purse.cost(candidate.provider, candidate.model, used),
                detail=detail[:LONGEST_DETAIL],
            )
        )

    def _out(self, data: bytes, *, last: bool = False) -> Iterator[Head | bytes]:
        """``data`` as the client gets it, after the head."""
        data = self._in_form(data, last=last)
        if not data:
            return
        if not self._head_sent:
            self._head_sent = True
            if self._relay.visible is not Visible.NOTHING and self.last is not None:
                self.answered_by = self.last.candidate
            kind = "application/json" if self._array is not None else "text/event-stream"
            yield Head(status=200, headers=self._headers(kind))
        self.answer_bytes += len(data)
        yield data

    def _in_form(self, data: bytes, *, last: bool) -> bytes:
        if self._array is None:
            return data
        return self._array.feed(data) + (self._array.finish() if last else b"")

    def _headers(self, content_type: str) -> dict[str, str]:
        """Of a good answer."""
        headers: dict[str, str] = {}
        by = self.answered_by
        if by is not None and self.last is not None and by.dialect is self._codec.dialect:
            headers = kept_headers(self.last.headers, self._codec.dialect)
        headers["content-type"] = content_type
        if self._stream:
            headers["cache-control"] = "no-cache"
        return {**headers, **origin_headers(self._origin(final=not self._stream))}

    def _origin(self, *, final: bool, by: Candidate | None = None) -> AnswerOrigin:
        """What is known by now of who answered; ``by`` stands in where nobody did. ``final``: nothing more will be spent."""
        by = self.answered_by or by
        return AnswerOrigin(
            exchange=self._plan.id,
            provider=by.provider.name if by else "",
            model=by.model if by else "",
            attempts=len(self.attempts) + self._running,
            route=self._plan.routed.route.name,
            cost=dollars(self.cost) if final else PENDING,
            degraded=by.degraded if by else False,
            lost=self.losses,
        )

    def _encoder(self) -> StreamEncoder:
        asked = self._plan.asked
        return self._codec.encoder(
            id=self._plan.id,
            model=self.last.candidate.model if self.last is not None else asked.envelope.model,
            created_s=self._plan.created_s,
            usage_asked=asked.envelope.usage_asked,
            request=asked.conversation or asked.known(asked.request.body),
        )


def _to_tell(
    told: tuple[Failure, Candidate] | None, new: tuple[Failure, Candidate]
) -> tuple[Failure, Candidate]:
    """The failure that a client learns most from: the latest, but for models that were not even asked."""
    return told if told is not None and new[0].outcome is AttemptOutcome.UNEXPRESSED else new
