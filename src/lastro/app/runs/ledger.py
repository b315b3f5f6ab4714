"""``CallerLedger``: a ``RunLedger`` that stands on the keeper's operations, through a ``Caller``.

What always holds: every call may be sent again, because the operations behind it are idempotent, and is, when the keeper went away before
it had answered; the user hears of the waiting once. A keeper that stays away for ``PATIENCE_S`` ends the waiting; the run's work is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from msgspec import Struct
from typing_extensions import override

from lastro.agents.ledger import Begun, Pair, RunLedger, RunOrder
from lastro.agents.parts import Tell
from lastro.app.caller import Caller
from lastro.app.requests import CaptureOffered, CapturePlace, CapturePlaceReply, CaptureReply
from lastro.app.requests.proposals import Propose, Proposed
from lastro.app.requests.runs import (
    BeginRun,
    CaptureLayer,
    LayerCaptured,
    RecordRunState,
    RunBegun,
    TellStep,
)
from lastro.capture.source import Source
from lastro.domain.paths import relative_to
from lastro.domain.proposal import ChangeNote, ProposalKind, Risk
from lastro.domain.run import CheckResult, RunFacts, RunState, RunStep
from lastro.domain.snapshot import Reason
from lastro.errors import UnreachableError

PATIENCE_S: Final = 600.0
_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0

_Reply = TypeVar("_Reply")


class CallerLedger(RunLedger):
    """See the module. ``local_source`` reads a directory of this machine with the caller's rights; ``order`` is the run's own."""

    def __init__(
        self,
        caller: Caller,
        order: RunOrder,
        *,
        local_source: Callable[[str], Source],
        tell: Tell,
        queued: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._caller = caller
        self._order = order
        self._local_source = local_source
        self._tell = tell
        self._queued = queued
        self._sleep = sleep

    @override
    def begin(self, order: RunOrder) -> Begun:
        request = BeginRun(
            id=order.id,
            project=order.project,
            role=order.role,
            agent=order.agent,
            command=order.command,
            purpose=order.purpose,
            policy_digest=order.policy_digest,
            leases=order.leases,
            resumes=order.resumes,
            rebases=order.rebases,
            queued=self._queued,
        )
        begun = self._call("runs.begin", request, RunBegun)
        return Begun(run=begun.run, memory=begun.memory, frozen=begun.frozen)

    @override
    def before(self, run: int, project: str) -> int:
        place = self._call("capture.place", CapturePlace(path=project), CapturePlaceReply).root
        root = place or project
        paths = None if root == project else (relative_to(project, root),)

        def take() -> CaptureReply:
            with self._caller.offer(self._local_source(root)) as offer:
                request = CaptureOffered(
                    offer=offer, root=root, paths=paths, recursive=True, reason=Reason.RUN.value
                )
                return _reply(self._caller.call("capture.offered", request), CaptureReply)

        return self._patiently(take).snapshots[0].seq

    @override
    def after(self, run: int, before: int, source: Source, changed: Sequence[str]) -> Pair:
        def take() -> LayerCaptured:
            with self._caller.offer(source) as offer:
                request = CaptureLayer(
                    offer=offer, project=self._order.project, before=before, changed=tuple(changed), run=run
                )
                return _reply(self._caller.call("capture.layer", request), LayerCaptured)

        captured = self._patiently(take)
        return Pair(
            before=captured.before,
            after=captured.after,
            changes=len(captured.paths),
            digest=captured.digest,
            changed=captured.changes,
        )

    @override
    def step(self, run: int, step: RunStep) -> None:
        with suppress(UnreachableError):  # only for who watches; the steps themselves are in the run's facts
            self._caller.call("runs.step", TellStep(run=run, step=step))

    @override
    def transition(
        self,
        run: int,
        state: RunState,
        *,
        before: int | None = None,
        after: int | None = None,
        facts: RunFacts | None = None,
    ) -> None:
        request = RecordRunState(run=run, state=state.value, before=before, after=after, facts=facts)
        self._patiently(lambda: self._caller.call("runs.state", request))

    @override
    def propose(
        self, run: int, pair: Pair, *, checks: Sequence[CheckResult], notes: Sequence[ChangeNote], risk: Risk
    ) -> int:
        request = Propose(
            id=self._order.id,
            kind=ProposalKind.RUN.value,
            target=self._order.project,
            before=pair.before,
            after=pair.after,
            change_digest=pair.digest,
            purpose=self._order.purpose,
            run=run,
            checks=tuple(checks),
            notes=tuple(notes),
            risk=risk.value,
        )
        return self._call("proposal.record", request, Proposed).proposal

    def _call(self, name: str, request: Struct, kind: type[_Reply]) -> _Reply:
        return self._patiently(lambda: _reply(self._caller.call(name, request), kind))

    def _patiently(self, call: Callable[[], _Reply]) -> _Reply:
        """What ``call`` gives, waiting for a keeper that is away."""
        began, pause, told = time.monotonic(), _PAUSE_S, False
        while True:
            try:
                reply = call()
            except UnreachableError:
                if time.monotonic() - began > PATIENCE_S:
                    raise
                if not told:
                    self._tell("keeper_away", {})
                    told = True
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            if told:
                self._tell("keeper_back", {})
            return reply


def _reply(reply: object, kind: type[_Reply]) -> _Reply:
    assert isinstance(reply, kind)
    return reply
