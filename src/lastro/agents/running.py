"""Runs an agent: does what the core (``supervisor``) says, with the parts it is given.

Threads: the caller's (everything but what follows), one that listens to the agent, and, in a warm start, one in which the keeper takes the
snapshot *before* while the agent begins. Stop requests may come from a signal handler.

What always holds: whatever happens here, no process of the agent outlives ``supervise``; what ``run.json`` says is enough to go on with
the run after a crash at any instant.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from lastro.agents.adapters.adapter import Said
from lastro.agents.before import Before
from lastro.agents.collecting import collect, make_ready, texts_of
from lastro.agents.hearing import Hearing
from lastro.agents.jail.spec import JailedProcess, JailEnd
from lastro.agents.known import Known, Outcome
from lastro.agents.output import OutputFile
from lastro.agents.parts import RunParts
from lastro.agents.supervisor import (
    Check,
    Checked,
    Collect,
    Collected,
    CutChecks,
    Deed,
    Ended,
    Failed,
    Happening,
    Leave,
    Phase,
    Prepared,
    Propose,
    Proposed,
    Record,
    Resumed,
    Stop,
    StopAgent,
    Supervision,
)
from lastro.domain.run import EndCause, RunStep
from lastro.errors import DeniedError, LastroError
from lastro.messages import N_
from lastro.proposals.flags import risk_of

_LOOK_S: Final = 0.5
"""Between two looks at how far it is."""
_LISTEN_S: Final = 0.25

_Said = Happening | JailEnd | RunStep


class Supervisor:
    """One run, from its jail's start (or, ``resumed``, from what an interrupted one left) to its proposal."""

    def __init__(self, parts: RunParts, *, resumed: bool = False) -> None:
        self._parts = parts
        self._core = Supervision(left=resumed)
        self._known = Known(parts.places, parts.standing)
        self._queue: queue.SimpleQueue[_Said] = queue.SimpleQueue()
        self._cut = threading.Event()
        self._stopped = False
        self._process: JailedProcess | None = None
        self._before: Before | None = None
        self._hearing: Hearing | None = None
        self._error: BaseException | None = None

    def stop(self, cause: EndCause) -> None:
        """End the agent; what it changed is kept. A second time with ``CANCELLED``: leave. May be called in a signal handler."""
        self._stopped = True
        if self._core.phase in {Phase.COLLECTING, Phase.CHECKING, Phase.PROPOSING}:
            self._cut.set()
        self._queue.put(Stop(cause))

    def stepped(self, step: RunStep) -> None:
        """A step has ended. From any thread."""
        self._queue.put(step)

    def supervise(self) -> Outcome:
        """Run the agent, collect, check and propose.

        Raises:
            LastroError: it could not be started, or its work could not be recorded; the run's state says which.
            KeyboardInterrupt: it was stopped twice.
        """
        listening: threading.Thread | None = None
        try:
            if self._core.phase is Phase.LEFT:
                self._resume()
            else:
                listening = self._prepare()
            self._loop()
        finally:
            if self._process is not None:
                self._process.stop(EndCause.CANCELLED)
                if listening is None:
                    self._process.wait()
            if listening is not None:
                listening.join()
        if self._before is not None:
            self._before.join()
        if self._error is not None:
            raise self._error
        return self._outcome()

    def _resume(self) -> None:
        """Go on with what an interrupted run left. Why its agent ended may never have been known."""
        cause = self._known.standing.cause or EndCause.CANCELLED
        self._known.note(cause=cause)
        self._known.steps = tuple(self._parts.steps.finish())
        self._queue.put(Resumed(cause))

    # The loop ---------------------------------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._core.is_over:
            with self._failing():
                event = self._next()
                if isinstance(event, RunStep):
                    self._tell_step(event)
                else:
                    self._follow(self._ended(event) if isinstance(event, JailEnd) else event)

    def _follow(self, event: Happening) -> None:
        with self._failing():
            for deed in self._core.take(event):
                self._do(deed)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What goes wrong inside is recorded as this run's failure, and raised when all is over."""
        try:
            yield
        except LastroError as error:
            self._fail(error)
        except OSError as error:
            self._fail(
                LastroError(
                    N_("The work of run-{run} could not be collected: {reason}"),
                    hint=N_("It is kept. When that is mended: lastro runs propose run-{run}"),
                    run=self._known.standing.run,
                    reason=error.strerror or str(error),
                )
            )

    def _fail(self, error: LastroError) -> None:
        self._error = error
        for deed in self._core.take(Failed()):
            self._do_last(deed)

    def _do_last(self, deed: Deed) -> None:
        """Say that it failed, if that can be said: whoever looks later finds the run interrupted anyway."""
        try:
            self._do(deed)
        except LastroError as error:
            assert self._error is not None
            self._error.add_note(str(error))

    def _next(self) -> _Said:
        """What happens next; meanwhile tell how far it is."""
        while True:
            try:
                return self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()

    def _look(self) -> None:
        if self._core.phase not in {Phase.RUNNING, Phase.STOPPING}:
            return
        make_ready()
        spent = self._known.spent = self._parts.spent(False)  # noqa: FBT003  a callable has no keywords
        size = self._parts.layer.size()
        usage = spent.usage
        self._tell(
            "run_progress",
            files=size.files,
            bytes=size.bytes,
            requests=usage.requests,
            tokens=usage.tokens_in + usage.tokens_out,
            money=usage.money,
            wall_ns=max(0, time.time_ns() - self._known.standing.mounted_ns),
        )
        if spent.exhausted and self._core.phase is Phase.RUNNING:
            self._queue.put(Stop(EndCause.BUDGET))

    # Starting ---------------------------------------------------------------------------------------------------------------------------

    def _prepare(self) -> threading.Thread | None:
        """Start the agent, and whoever listens to it."""
        # In run.json with the next thing noted, which is before the agent starts.
        standing = self._known.standing = replace(self._known.standing, began_ns=time.time_ns())
        try:
            if not self._parts.warm:
                self._have_before()
            if self._stopped:
                return None
            self._known.note(mounted_ns=time.time_ns())
            self._process = self._parts.start()
        except LastroError as error:
            self._known.note(cause=EndCause.NOT_STARTED)
            self._fail(error)
            return None
        if not self._is_confined(self._process):
            return None
        self._follow(Prepared())
        listening = threading.Thread(
            target=self._listen, args=(self._process,), name="listening", daemon=True
        )
        listening.start()
        # Not before the agent runs: reading a large project takes the processor that the jail needs in order to stand.
        self._before = self._before or Before(self._parts.ledger, standing.run, standing.project)
        return listening

    def _is_confined(self, process: JailedProcess) -> bool:
        """Say how the agent is confined; end it at once where that is less than the policy asks for."""
        enforcement = process.enforcement
        degraded = tuple(dict.fromkeys((*enforcement.degraded, *self._parts.lacking)))
        self._known.note(enforcement=replace(enforcement, degraded=degraded))
        if degraded:
            self._tell("run_degraded", degraded=list(degraded))
        if not self._parts.forbidden.intersection(degraded):
            return True
        process.stop(EndCause.CANCELLED)
        process.wait()
        self._known.note(cause=EndCause.NOT_STARTED)
        self._fail(not_confined(self._parts.forbidden.intersection(degraded)))
        return False

    def _listen(self, process: JailedProcess) -> None:
        """Until the agent and everything it started is gone."""
        try:
            hearing = self._hearing = Hearing(
                OutputFile(self._parts.places.output), self._parts.parse, self._said
            )
            while (piece := process.read(_LISTEN_S)) is None or piece[0] != "end":
                if piece is not None:
                    hearing.hear(*piece)
            hearing.end()
        except BaseException as error:  # noqa: BLE001  raised in the other thread
            self._error = error
            process.stop(EndCause.CANCELLED)
        try:
            self._queue.put(process.wait())
        except BaseException as error:  # noqa: BLE001  the other thread waits for a word, whatever it is
            self._error = error
            self._queue.put(Failed())

    def _said(self, said: Said) -> None:
        self._tell("run_said", said=said.kind, text=said.text, name=said.name)

    def _ended(self, end: JailEnd) -> Ended:
        self._known.steps = tuple(self._parts.steps.finish())
        self._known.spent = self._parts.spent(True)  # noqa: FBT003  a callable has no keywords
        cause = end.cause
        if self._known.spent.exhausted and cause in {EndCause.EXITED, EndCause.SIGNALLED}:
            cause = EndCause.BUDGET
        if cause not in {EndCause.EXITED, EndCause.SIGNALLED, EndCause.CANCELLED}:
            self._tell("run_limit", cause=cause.value)
        usage = replace(self._known.spent.usage, wall_ns=end.wall_ns, peak_memory=end.peak_memory)
        hearing = self._hearing
        self._known.note(
            cause=self._core.cause or cause,
            exit_status=end.status,
            usage=usage,
            session=hearing.session if hearing else "",
            last_words=hearing.last_words if hearing else "",
            refused=end.refused,
        )
        return Ended(cause)

    # Deeds ------------------------------------------------------------------------------------------------------------------------------

    def _do(self, deed: Deed) -> None:
        match deed:
            case Record(state):
                collection = self._known.collection
                self._parts.ledger.transition(
                    self._known.standing.run,
                    state,
                    before=self._known.standing.before,
                    after=collection.pair.after if collection else None,
                    facts=self._known.facts_for(state, self._core.cause),
                )
                self._tell("run_state", state=state.value)
            case StopAgent(cause):
                assert self._process is not None
                self._process.stop(cause)
            case Collect():
                self._collect()
            case Check():
                self._check()
            case CutChecks():
                self._cut.set()
            case Propose():
                self._propose()
            case Leave():
                raise KeyboardInterrupt

    def _collect(self) -> None:
        standing = self._known.standing
        before = self._have_before()
        collection = self._known.collection = collect(
            self._parts.ledger,
            self._parts.layer,
            run=standing.run,
            before=before,
            project=standing.project,
            role=standing.role,
            steps=self._known.steps,
            began_ns=standing.began_ns,
        )
        self._known.commits = self._parts.commits()
        self._queue.put(Collected(collection.pair.changes, outside=bool(collection.outside)))

    def _check(self) -> None:
        collection = self._known.found
        changes = collection.pair.changed
        texts = texts_of(self._parts.layer.source(), self._known.standing.project)
        self._known.checks = tuple(self._parts.checks(changes, collection.notes, texts, self._cut))
        self._queue.put(Checked())

    def _propose(self) -> None:
        collection = self._known.found
        self._known.risk = risk_of(
            collection.pair.changed,
            collection.notes,
            checks=self._known.checks,
            outside=collection.outside,
            degraded=self._known.degraded,
        )
        number = self._parts.ledger.propose(
            self._known.standing.run,
            collection.pair,
            checks=self._known.checks,
            notes=collection.notes,
            risk=self._known.risk,
        )
        self._queue.put(Proposed(number))

    def _have_before(self) -> int:
        """The ``seq`` of the snapshot before, waiting for it."""
        if self._known.standing.before is None:
            # None where a supervisor was killed before it was taken: then what changed since the run began is flagged as uncertain.
            self._before = self._before or Before(
                self._parts.ledger, self._known.standing.run, self._known.standing.project
            )
            self._known.note(before=self._before.wait())
        before = self._known.standing.before
        assert before is not None
        return before

    def _tell_step(self, step: RunStep) -> None:
        self._tell(
            "run_step", number=step.number, exchange=step.exchange, paths=len(step.paths), exact=step.exact
        )
        self._parts.ledger.step(self._known.standing.run, step)

    def _tell(self, kind: str, **parameters: object) -> None:
        self._parts.tell(kind, {"run": self._known.standing.run, **parameters})

    def _outcome(self) -> Outcome:
        collection = self._known.collection
        facts = self._known.facts(self._core.cause)
        self._tell(
            "run_ended", state=self._core.state.value, cause=facts.cause.value, proposal=self._core.proposal
        )
        return Outcome(
            state=self._core.state.value,
            facts=facts,
            proposal=self._core.proposal,
            files=collection.pair.changes if collection else 0,
            risk=self._known.risk.value if self._core.proposal else "",
            checks=self._known.checks,
        )


def not_confined(lacking: Iterable[str]) -> DeniedError:
    """What to raise where this host cannot enforce what the policy wants enforced."""
    return DeniedError(
        N_("The policy lets no agent run here without: {lacking}"),
        hint=N_(
            "See 'lastro doctor' for what this host lacks. An owner may change forbid_degraded in the policy."
        ),
        lacking=", ".join(sorted(lacking)),
    )
