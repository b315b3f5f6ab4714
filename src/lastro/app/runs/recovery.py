"""Runs whose supervisor is gone: found, said to be interrupted, collected when somebody asks, and removed when they are decided.

What always holds: only a run whose lock is free is touched, and it is held meanwhile; nothing that is not decided is ever removed; what a
run left is collected by the same code as that of one that ends by itself, also after the machine was started anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from msgspec.structs import replace

from lastro.agents.adapters.registry import adapter_called
from lastro.agents.commits import bundle_commits
from lastro.agents.jail.spec import JailedProcess
from lastro.agents.ledger import RunOrder
from lastro.agents.parts import RunParts, Spent
from lastro.agents.running import Supervisor
from lastro.agents.stepping import read_steps
from lastro.agents.supervision_places import (
    RunPlaces,
    Standing,
    held,
    read_standing,
    remove_run_directory,
    run_numbers,
    run_places,
)
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.places import Places
from lastro.app.project_place import project_checks
from lastro.app.requests.proposals import ProposalReply, ShowProposal
from lastro.app.requests.runs import RecordRunState, RunDetail, RunReply, Runs, RunsReply, ShowRun
from lastro.app.runs.carrying_out import Watch, reply_of
from lastro.app.runs.checks import RunChecks
from lastro.app.runs.gateway import revoke_key
from lastro.app.runs.ledger import CallerLedger
from lastro.app.runs.parts import steps_socket, tell_of
from lastro.app.runs.views import opened_layer
from lastro.domain.proposal import ProposalState
from lastro.domain.run import FINAL_RUN_STATES, RunState, RunStep
from lastro.errors import ConflictError, LastroError, LockedError, NotFoundError
from lastro.messages import N_
from lastro.transport.unix import remove_socket

KEPT_S: Final = 7 * 86_400
"""How long the directory of a decided run is kept."""
_YOUNG_S: Final = 60.0
"""How long a run may take from its record to its directory."""
_GOING: Final = (RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING, RunState.CHECKING)
_DECIDED: Final = frozenset(
    {
        ProposalState.REJECTED,
        ProposalState.EXPIRED,
        ProposalState.APPLIED,
        ProposalState.UNDONE,
        ProposalState.ROLLED_BACK,
    }
)


def look_after_runs(
    places: Places, caller: Caller, *, now_s: Callable[[], float] = time.time
) -> tuple[int, ...]:
    """Record as interrupted what nobody supervises any more, and remove what is long decided; the runs that were found so."""
    found = _interrupted(places, caller, now_s())
    for number in run_numbers(places.state):
        old = run_places(places.state, number)
        with suppress(OSError, LastroError):  # kept for another time
            if now_s() - os.stat(old.directory).st_mtime < KEPT_S:
                continue
            with held(old):
                if is_decided(caller, number):
                    remove_run_directory(old)
    return found


def _interrupted(places: Places, caller: Caller, now_s: float) -> tuple[int, ...]:
    found = []
    for state in _GOING:
        reply = caller.call("runs.list", Runs(state=state.value, limit=0, recorded=True))
        assert isinstance(reply, RunsReply)
        for run in reply.runs:
            with (
                suppress(LockedError, ConflictError),
                _abandoned(run_places(places.state, run.run)) as is_left,
            ):
                # It makes its directory, takes the lock and writes run.json, in this order, right after it began.
                young = now_s - run.began_ns / 1e9 < _YOUNG_S
                if is_left is None and young:
                    continue
                if show_run(caller, run.run, recorded=True).state == state.value:
                    request = RecordRunState(run=run.run, state=RunState.INTERRUPTED.value)
                    caller.call("runs.state", request)
                    found.append(run.run)
    return tuple(found)


@contextmanager
def _abandoned(places: RunPlaces) -> Iterator[Standing | None]:
    """Look after a run that nobody looks after, while the context lasts; gives what it left, ``None`` when that cannot be read.

    Raises:
        LockedError: somebody does look after it.
    """
    with ExitStack() as stack:
        with suppress(FileNotFoundError):
            stack.enter_context(held(places))
        try:
            left = read_standing(places)
        except NotFoundError:
            left = None
        yield left


def is_decided(caller: Caller, run: int) -> bool:
    """Whether nothing of a run waits for anybody: it is over, and its proposal, if it has one, is decided and done with."""
    detail = show_run(caller, run)
    if RunState(detail.state) not in FINAL_RUN_STATES:
        return False
    if not detail.proposal:
        return True
    reply = caller.call("proposal.show", ShowProposal(proposal=f"proposal-{detail.proposal}", names=True))
    assert isinstance(reply, ProposalReply)
    return ProposalState(reply.state) in _DECIDED


def show_run(caller: Caller, run: int, *, recorded: bool = False) -> RunDetail:
    """One run, as the keeper knows it. ``recorded``: in the state that its record says, also where nobody supervises it any more.

    Raises:
        NotFoundError: there is no such run.
    """
    reply = caller.call("runs.show", ShowRun(run=f"run-{run}" if run else "", recorded=recorded))
    assert isinstance(reply, RunDetail)
    return reply


def propose_left(desk: Desk, caller: Caller, detail: RunDetail, *, watch: Watch) -> RunReply:
    """Collect, check and propose what an interrupted run left.

    Raises:
        ConflictError: it is not interrupted.
        NotFoundError: nothing of it lies on this machine.
        LockedError: its supervisor lives.
    """
    if detail.state != RunState.INTERRUPTED.value:
        raise ConflictError(
            N_("run-{run} is {state}: there is nothing left to collect."),
            hint=N_("See 'lastro runs show run-{run}'."),
            run=detail.run,
            state=detail.state,
        )
    places = run_places(desk.places.state, detail.run)
    standing = replace(read_standing(places), pid=os.getpid())
    with ExitStack() as stack:
        stack.enter_context(held(places))
        remove_socket(steps_socket(desk.places, detail.run))
        if standing.key:
            revoke_key(desk, standing.key)
        if standing.before is None and detail.before_seq is not None:
            standing = replace(standing, before=detail.before_seq)
        supervisor = Supervisor(_parts_left(desk, caller, standing, places), resumed=True)
        with watch(supervisor):
            outcome = supervisor.supervise()
    if outcome.state == RunState.EMPTY.value:
        remove_run_directory(places)
    return reply_of(detail.run, outcome)


def _parts_left(desk: Desk, caller: Caller, standing: Standing, places: RunPlaces) -> RunParts:
    order = RunOrder(
        id=standing.id,
        project=standing.project,
        role=standing.role.name,
        agent=standing.agent,
        command=standing.command,
        purpose=standing.purpose,
        policy_digest=standing.policy_digest,
    )
    layer = opened_layer(standing.view, standing.project, places.directory)
    checks = project_checks(standing.project)
    return RunParts(
        standing=standing,
        places=places,
        ledger=CallerLedger(caller, order, local_source=desk.local_source, tell=tell_of(desk)),
        layer=layer,
        steps=StepsLeft(places),
        start=_never,
        checks=RunChecks(
            checks,
            run=f"run-{standing.run}",
            project=standing.project,
            role=standing.role,
            view=standing.view,
            places=places,
            environment=os.environ,
            wanted=standing.check,
        ),
        commits=lambda: bundle_commits(standing.project, layer.source(), places.directory).refs,
        parse=adapter_called(standing.agent).parse,
        spent=lambda _: Spent(usage=standing.usage),
        tell=tell_of(desk),
    )


class StepsLeft:
    """The steps that an interrupted run had written down."""

    def __init__(self, places: RunPlaces) -> None:
        self._places = places

    def finish(self) -> tuple[RunStep, ...]:
        """Those of ``steps.jsonl``."""
        try:
            return tuple(read_steps(self._places.directory))
        except FileNotFoundError:
            return ()


def _never() -> JailedProcess:
    raise NotFoundError(N_("An interrupted run is not started again."))
