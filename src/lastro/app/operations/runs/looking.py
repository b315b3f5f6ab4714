"""What ran: the list, and one run whole. Changes nothing."""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from lastro.agents.supervision_places import is_left, run_places
from lastro.app.numbers import run_named
from lastro.app.requests.runs import (
    RunDetail,
    Runs,
    RunsReply,
    RunSummary,
    RunTransition,
    ShowRun,
)
from lastro.app.services import Services
from lastro.app.states import state_named
from lastro.domain.run import FINAL_RUN_STATES, RunState
from lastro.proposals.rows import LIVE, RunRow, RunWhole
from lastro.proposals.wanted import WantedRuns


def list_runs(services: Services, request: Runs) -> RunsReply:
    """The newest runs."""
    wanted = WantedRuns(
        project=request.project,
        state=state_named(RunState, request.state) if request.state else None,
        agent=request.agent,
        role=request.role,
        actor=request.actor,
        text=request.text,
        before=max(0, request.before),
    )
    limit = max(0, request.limit)
    if request.recorded or wanted.state not in {*LIVE, RunState.INTERRUPTED}:
        found = services.inbox.runs(wanted, limit=limit + 1 if limit else 0)
    else:
        found = _in_truth(services, wanted)
    shown = found[:limit] if limit else found
    as_recorded = request.recorded
    summaries = tuple(_summary(run if as_recorded else _as_it_is(services, run)) for run in shown)
    return RunsReply(runs=summaries, more=len(found) > len(shown))


def _in_truth(services: Services, wanted: WantedRuns) -> list[RunRow]:
    """The runs in a state that the record of one may not know yet."""
    found = [
        _as_it_is(services, run)
        for recorded in (*LIVE, RunState.INTERRUPTED)
        for run in services.inbox.runs(dataclasses.replace(wanted, state=recorded))
    ]
    return sorted((run for run in found if run.state is wanted.state), key=lambda run: -run.number)


def _as_it_is(services: Services, run: RunRow) -> RunRow:
    """The run, interrupted if its supervisor is gone; whoever next begins or collects one records that."""
    if run.state in LIVE and is_left(run_places(services.places.state, run.number)):
        return replace(run, state=RunState.INTERRUPTED)
    return run


def _summary(run: RunRow) -> RunSummary:
    return RunSummary(
        run=run.number,
        state=run.state.value,
        project=run.project,
        role=run.role,
        agent=run.agent,
        purpose=run.purpose,
        actor=run.actor.name or run.actor.kind,
        began_ns=run.began_ns,
        ended_ns=run.changed_ns if _is_over(run) else 0,
        proposal=run.proposal,
    )


def _is_over(run: RunRow) -> bool:
    return run.state in FINAL_RUN_STATES or run.state is RunState.INTERRUPTED


def show_run(services: Services, request: ShowRun) -> RunDetail:
    """One run, whole."""
    whole = services.inbox.run(run_named(services, request.run))
    if not request.recorded:
        whole = replace(whole, run=_as_it_is(services, whole.run))
    return detail_of(services, whole)


def detail_of(services: Services, whole: RunWhole) -> RunDetail:
    """A run with everything that is known of it, as replies say it."""
    run = whole.run
    return RunDetail(
        run=run.number,
        seq=run.seq,
        state=run.state.value,
        id=run.id,
        project=run.project,
        role=run.role,
        agent=run.agent,
        command=run.command,
        purpose=run.purpose,
        actor=run.actor.name or run.actor.kind,
        actor_uid=run.actor.uid,
        policy_digest=run.policy_digest.hex(),
        leases=run.leases,
        transitions=tuple(
            RunTransition(state=passage.state.value, time_ns=passage.time_ns) for passage in whole.passages
        ),
        before=_snapshot(services, run.before),
        after=_snapshot(services, run.after),
        before_seq=run.before,
        after_seq=run.after,
        proposal=run.proposal,
        resumes=run.resumes or 0,
        rebases=run.rebases or 0,
        facts=whole.facts,
    )


def _snapshot(services: Services, seq: int | None) -> int:
    """The number of the snapshot whose record is ``seq``; 0: none."""
    return 0 if seq is None else services.timeline.snapshot_by_seq(seq).number
