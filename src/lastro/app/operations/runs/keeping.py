"""Runs in the log: the steps of ``lastro run`` that happen in the keeper.

What always holds: a run's id makes one run, however often it is asked for; a transition that the table of ``domain.run`` does not have is
refused, and one to the state that stands is nothing, so a supervisor may send everything twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from lastro.app.decision_events import publish_since
from lastro.app.events import Event
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.operations.runs.looking import detail_of, list_runs, show_run
from lastro.app.requests.runs import (
    BeginRun,
    QueuedRuns,
    QueuedRunsReply,
    RecordRunState,
    RunBegun,
    RunDetail,
    Runs,
    RunsReply,
    ShowRun,
    TellStep,
)
from lastro.app.services import Services
from lastro.app.states import state_named
from lastro.domain.ids import LOCAL
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.record import RecordKind, RunBody, RunStateBody
from lastro.domain.run import RUN_TRANSITIONS, RunState
from lastro.errors import ConflictError, UsageError
from lastro.messages import N_
from lastro.proposals.globs import may_overlap, problem_with
from lastro.proposals.rows import LIVE, NIL, RunRow, clean_text, pack
from lastro.store.draft import RecordDraft

_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_HEX: Final = re.compile(r"([0-9a-f]{64})?\Z")


def begin(services: Services, request: BeginRun) -> RunBegun:
    """Record a run, or find the one with this id."""
    _check(request)
    with services.inbox.turn():
        known = services.inbox.run_by_id(request.id)
        if known is None:
            if not request.queued:
                _refuse_leased(services, request.project, request.leases)
            known = _record(services, request)
        frozen = _leased_by_others(services, known)
    memory = services.memories.open(known.number) if known.state in LIVE else ""
    return RunBegun(run=known.number, seq=known.seq, memory=memory, frozen=frozen)


def _check(request: BeginRun) -> None:
    """Refuse what no supervisor of ours sends."""
    if _ID.match(request.id) is None:
        raise UsageError(N_("A run's id is 32 hex digits."))
    if _HEX.match(request.policy_digest) is None:
        raise UsageError(N_("A policy's digest is 64 hex digits."))
    if not request.project.startswith("/"):
        raise UsageError(N_("A project is named by its absolute path."))
    for lease in request.leases:
        if clean_text(lease) != lease or problem_with(lease):
            raise UsageError(
                N_("This is no glob: {glob}"),
                hint=N_("Write it like docs/** or src/*.py."),
                glob=ascii(lease),
            )


def _record(services: Services, request: BeginRun) -> RunRow:
    body = RunBody(
        agent=clean_text(request.agent),
        command=[to_bytes(word) for word in request.command],
        id=request.id,
        leases=list(request.leases),
        policy_digest=bytes.fromhex(request.policy_digest),
        project=to_bytes(request.project),
        purpose=clean_text(request.purpose),
        rebases=request.rebases,
        resumes=request.resumes,
        role=clean_text(request.role),
    )
    drafts = [RecordDraft(kind=RecordKind.RUN, actor=services.actor, server=LOCAL, body=body)]
    if not request.queued:  # with the run itself: alone it would wait in the queue, and be run once more
        drafts.append(_state_draft(services, lambda numbers: numbers[RecordKind.RUN], RunState.PREPARING))
    with services.repository.begin() as transaction:
        stored = transaction.commit(*drafts)
    publish_since(services, stored[-1].seq - 1)
    return services.inbox.run(stored[0].record.number).run


def _refuse_leased(services: Services, project: str, leases: tuple[str, ...], *, but: int = 0) -> None:
    for other in services.inbox.live_runs(project):
        if other.number == but:
            continue
        for lease in leases:
            taken = next((glob for glob in other.leases if may_overlap(lease, glob)), None)
            if taken is not None:
                raise ConflictError(
                    N_("run-{run} has leased {taken}, which {lease} overlaps."),
                    hint=N_("Wait for it ('lastro runs show run-{run}'), stop it, or lease something else."),
                    run=other.number,
                    taken=taken,
                    lease=lease,
                )


def _leased_by_others(services: Services, run: RunRow) -> tuple[str, ...]:
    """What a run may not write while others run."""
    others = services.inbox.live_runs(run.project)
    return tuple(sorted({glob for other in others if other.number != run.number for glob in other.leases}))


def record_state(services: Services, request: RecordRunState) -> Nothing:
    """Record that a run is in another state. To the one it is in already: nothing."""
    state = state_named(RunState, request.state)
    with services.inbox.turn():
        run = services.inbox.run(request.run).run
        if run.state is state:
            return Nothing()
        if state not in RUN_TRANSITIONS.get(run.state, frozenset()):
            raise ConflictError(
                N_("run-{run} is {state}; it cannot become {wanted}."),
                hint=N_("Another supervisor may have taken it over: see 'lastro runs show run-{run}'."),
                run=run.number,
                state=run.state.value,
                wanted=state.value,
            )
        _enter(services, run.number, state, request)
    if state not in LIVE:
        services.memories.close(run.number)
    return Nothing()


def _enter(services: Services, run: int, state: RunState, request: RecordRunState | None = None) -> None:
    stored = services.repository.append(_state_draft(services, lambda _: run, state, request))
    publish_since(services, stored.seq - 1)


def _state_draft(
    services: Services,
    run: Callable[[Mapping[str, int]], int],
    state: RunState,
    request: RecordRunState | None = None,
) -> RecordDraft:
    """A record that a run is in another state. ``run``: its number, of those that the log has given."""
    facts = request.facts if request else None
    return RecordDraft(
        kind=RecordKind.RUN_STATE,
        actor=services.actor,
        server=LOCAL,
        body=lambda numbers: RunStateBody(
            after=request.after if request else None,
            before=request.before if request else None,
            facts=NIL if facts is None else pack(facts),
            run=run(numbers),
            state=state.value,
        ),
    )


def tell_step(services: Services, request: TellStep) -> Nothing:
    """Tell who watches that a step of a run has ended."""
    step = request.step
    services.publish(
        Event(
            kind="run_step",
            time_ns=step.time_ns,
            parameters={
                "run": request.run,
                "number": step.number,
                "exchange": step.exchange,
                "paths": len(step.paths),
                "sample": [from_bytes(path) for path in step.paths[:3]],
                "exact": step.exact,
            },
        )
    )
    return Nothing()


def queue(services: Services, request: QueuedRuns) -> QueuedRunsReply:
    """The runs that wait, oldest first; or, taking, the oldest that may begin: a run waits for the leases of others."""
    if not request.take:
        waiting = services.inbox.queued()
        return QueuedRunsReply(
            runs=tuple(detail_of(services, services.inbox.run(run.number)) for run in waiting)
        )
    with services.inbox.turn():
        for run in services.inbox.queued():
            try:
                _refuse_leased(services, run.project, run.leases, but=run.number)
            except ConflictError:
                continue
            _enter(services, run.number, RunState.PREPARING)
            return QueuedRunsReply(runs=(detail_of(services, services.inbox.run(run.number)),))
    return QueuedRunsReply(runs=())


OPERATIONS = (
    Operation(
        name="runs.list",
        request=Runs,
        reply=RunsReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_runs,
        summary=N_("What agents ran, newest first."),
    ),
    Operation(
        name="runs.show",
        request=ShowRun,
        reply=RunDetail,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show_run,
        summary=N_("One run: its states, steps, limits and use."),
    ),
    Operation(
        name="runs.begin",
        request=BeginRun,
        reply=RunBegun,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=begin,
        summary=N_("Record that a run begins, or waits for a runner."),
        internal=True,
    ),
    Operation(
        name="runs.state",
        request=RecordRunState,
        reply=Nothing,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=record_state,
        summary=N_("Record that a run is in another state."),
        internal=True,
    ),
    Operation(
        name="runs.step",
        request=TellStep,
        reply=Nothing,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=tell_step,
        summary=N_("Tell who watches that a step of a run has ended."),
        internal=True,
    ),
    Operation(
        name="runs.queue",
        request=QueuedRuns,
        reply=QueuedRunsReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=queue,
        summary=N_("The runs that wait for a runner; or take the oldest."),
        internal=True,
    ),
)
