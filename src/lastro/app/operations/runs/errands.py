"""``runs.stop`` and ``runs.propose``: ending a run, and collecting what an interrupted one left, from the caller's own process."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Final

from lastro.agents.supervision_places import RunPlaces, is_held, read_standing, run_places
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.runs import ProposeRun, RecordRunState, RunDetail, RunReply, ShowRun, StopRun
from lastro.app.wiring import open_caller
from lastro.domain.run import FINAL_RUN_STATES, RunState
from lastro.errors import ConflictError, DeniedError, LockedError, NotFoundError, UnreachableError
from lastro.messages import N_

_PATIENCE_S: Final = 60.0
"""How long a run that was told to stop is waited for: it still collects, checks and proposes."""
_LOOK_S: Final = 0.1


def stop(desk: Desk, request: StopRun) -> RunReply:
    """End a run. Its supervisor collects and proposes what it changed; that is waited for, up to a minute."""
    detail = _show(desk.caller, request.run)
    if detail.state == RunState.QUEUED.value:
        cancelled = RecordRunState(run=detail.run, state=RunState.CANCELLED.value)
        desk.caller.call("runs.state", cancelled)
        return _reply(_show(desk.caller, f"run-{detail.run}"))
    if RunState(detail.state) in FINAL_RUN_STATES:
        raise ConflictError(N_("run-{run} has ended already: {state}."), run=detail.run, state=detail.state)
    places = run_places(desk.places.state, detail.run)
    if not _signal(places):
        from lastro.app.runs.recovery import look_after_runs  # noqa: PLC0415  seldom needed, and much

        look_after_runs(desk.places, desk.caller)
        raise NotFoundError(
            N_("Nobody supervises run-{run} on this machine any more."),
            hint=N_("Collect what it left with: lastro runs propose run-{run}"),
            run=detail.run,
        )
    deadline = time.monotonic() + _PATIENCE_S
    while is_held(places) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return _reply(_show_again(desk, detail.run))


def _show_again(desk: Desk, run: int) -> RunDetail:
    """The run as it ended. Its keeper may have been in the supervisor's process and be gone with it: then this one asks the repository."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        caller = open_caller(desk.places, actor=desk.actor, clock=desk.clock)
        try:
            return _show(caller, f"run-{run}")
        except (UnreachableError, LockedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_S)
        finally:
            caller.close()


def _signal(places: RunPlaces) -> bool:
    """Ask the run's supervisor to end it; whether there is one.

    The process is pinned first, and looked at afterwards: the lock is still held, and ``run.json`` still names it. So no process that
    was given the same number meanwhile is ever signalled.
    """
    with suppress(NotFoundError, ProcessLookupError):
        process = read_standing(places).pid
        pinned = os.pidfd_open(process)
        try:
            if is_held(places) and read_standing(places).pid == process:
                signal.pidfd_send_signal(pinned, signal.SIGTERM)
                return True
        except PermissionError as error:
            raise DeniedError(
                N_("Process {process}, which supervises this run, is another user's."), process=process
            ) from error
        finally:
            os.close(pinned)
    return False


def propose(desk: Desk, request: ProposeRun) -> RunReply:
    """Collect, check and propose what an interrupted run left."""
    from lastro.app.operations.running import until_signalled  # noqa: PLC0415  much, for this operation alone
    from lastro.app.runs.recovery import look_after_runs, propose_left  # noqa: PLC0415  as above
    from lastro.app.standing_keeper import standing_caller  # noqa: PLC0415  as above

    with standing_caller(desk.places, emit=desk.tell, ticket=desk.ticket) as caller:
        look_after_runs(desk.places, caller)
        return propose_left(desk, caller, _show(caller, request.run), watch=until_signalled)


def _show(caller: Caller, run: str) -> RunDetail:
    reply = caller.call("runs.show", ShowRun(run=run))
    assert isinstance(reply, RunDetail)
    return reply


def _reply(detail: RunDetail) -> RunReply:
    facts = detail.facts
    return RunReply(
        run=detail.run,
        state=detail.state,
        proposal=detail.proposal,
        cause=facts.cause.value if facts else "",
        exit_status=facts.exit_status if facts else None,
    )


OPERATIONS = (
    Operation(
        name="runs.stop",
        request=StopRun,
        reply=RunReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=stop,
        summary=N_("End a run; its work is kept and proposed."),
    ),
    Operation(
        name="runs.propose",
        request=ProposeRun,
        reply=RunReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=propose,
        summary=N_("Collect and propose what an interrupted run left."),
        details=N_(
            "For a run whose supervisor was killed, or whose machine went down: what its agent had changed lies on the disk still."
        ),
    ),
)
