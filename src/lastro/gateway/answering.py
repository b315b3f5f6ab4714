"""``Answerer``: the one door to everything behind it. Each request becomes an exchange (``exchanging``), or a count (``counting``).

What always holds: an ``Answer`` comes back whatever happens, an error in the words of the client's own dialect with its origin; only a
cancelled task raises.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from typing import Final, cast

from lastro.gateway.asking import Answer, AskedRequest
from lastro.gateway.circuit import Circuits
from lastro.gateway.collaborators import Credentials, Engine, Purse, Recorder, Redactor, Router, Steps
from lastro.gateway.counting import TokenCounter
from lastro.gateway.exchanging import Exchanging
from lastro.gateway.keys import GatewayKey
from lastro.gateway.plan import Head, Parts
from lastro.gateway.settings import Bounds
from lastro.gateway.upstream import Upstream

__all__ = ["Answer", "Answerer", "AskedRequest"]

_RUNS_COUNTED: Final = 4096
"""Runs whose steps are counted at once; the one that was silent for longest starts anew."""


class Answerer:
    """Answers exchanges with the parts it is given; holds no secret itself. One for a gateway."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        router: Router,
        purse: Purse,
        redactor: Redactor,
        recorder: Recorder,
        credentials: Credentials,
        engine: Engine,
        steps: Steps,
        circuits: Circuits,
        bounds: Callable[[], Bounds],
        estimate_tokens: Callable[[bytes], int],
        new_id: Callable[[], str],
        time_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._parts = Parts(
            upstream=upstream,
            router=router,
            purse=purse,
            redactor=redactor,
            recorder=recorder,
            credentials=credentials,
            engine=engine,
            steps=steps,
            circuits=circuits,
            bounds=bounds,
            estimate_tokens=estimate_tokens,
            new_id=new_id,
            time_ns=time_ns,
            monotonic_ns=monotonic_ns,
        )
        self._steps: OrderedDict[str, int] = OrderedDict()

    async def answer(self, request: AskedRequest) -> Answer:
        """Answer a conversation, streamed or not as it asks. Never raises but when cancelled: errors are answers too."""
        answer = await self.answer_first(request)
        if isinstance(answer.body, bytes):
            await answer.recorded()
        return answer

    async def answer_first(self, request: AskedRequest) -> Answer:
        """As ``answer``, but for whoever sends a whole answer before it is recorded, so that its client need not wait for that. Its end is
        then its caller's to bring about, in every case: ``Answer.recorded``, or ``aclose`` if it could not be sent.
        """
        stream = Exchanging(self._parts, request, next_step=self._next_step).run()
        head = await anext(stream)
        assert isinstance(head, Head)
        if head.body is None:
            return Answer(
                status=head.status, headers=head.headers, body=cast("AsyncGenerator[bytes, None]", stream)
            )
        return Answer(status=head.status, headers=head.headers, body=head.body, record=stream)

    async def count_tokens(self, request: AskedRequest) -> Answer:
        """Answer ``/v1/messages/count_tokens`` or ``:countTokens``: the provider's own count, else an estimate, marked
        ``x-lastro-estimated: true``. Costs nothing, is not recorded; secrets are taken out as always. Never raises but when cancelled.
        """
        return await TokenCounter(self._parts).count(request)

    def _next_step(self, key: GatewayKey) -> int:
        """The number of this call within its run, from 1; without a run 0. Counts anew after a restart."""
        if not key.run:
            return 0
        step = self._steps.pop(key.run, 0) + 1
        self._steps[key.run] = step
        if len(self._steps) > _RUNS_COUNTED:
            self._steps.popitem(last=False)
        return step
