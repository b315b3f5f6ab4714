"""``run``: an agent on a copy-on-write view of a project, from the caller's own process."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lastro.agents.jail.probing import probe
from lastro.agents.running import Supervisor
from lastro.agents.supervision_places import runs_directory
from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.places import Places
from lastro.app.requests.runs import Run, RunReply
from lastro.app.runs.carrying_out import carry_out_run
from lastro.app.runs.ledger import CallerLedger
from lastro.app.runs.order import plan_run
from lastro.app.runs.parts import tell_of
from lastro.app.runs.queue import keep_request
from lastro.app.runs.recovery import look_after_runs
from lastro.app.standing_keeper import standing_caller
from lastro.domain.run import EndCause, RunState
from lastro.messages import N_


def run(desk: Desk, request: Run) -> RunReply:
    """Run an agent, and propose what it changed."""
    if request.queue:
        return _queue(desk, request)
    with _probing(desk.places), standing_caller(desk.places, emit=desk.tell, ticket=desk.ticket) as caller:
        look_after_runs(desk.places, caller)
        planned = plan_run(desk, caller, request, identity=secrets.token_hex(16))
        return carry_out_run(desk, caller, planned, watch=until_signalled)


def _queue(desk: Desk, request: Run) -> RunReply:
    """Leave a run to whoever serves the queue. It is recorded as asked for by this desk's own actor."""
    planned = plan_run(desk, desk.caller, request, identity=secrets.token_hex(16))
    planned.tool()
    ledger = CallerLedger(
        desk.caller, planned.order, local_source=desk.local_source, tell=tell_of(desk), queued=True
    )
    begun = ledger.begin(planned.order)
    keep_request(desk.places, begun.run, request)
    return RunReply(run=begun.run, state=RunState.QUEUED.value)


@contextmanager
def _probing(places: Places) -> Iterator[None]:
    """Find out what this host can do while the keeper starts: it takes a tenth of a second, most of it in other processes."""
    os.makedirs(runs_directory(places.state), mode=0o700, exist_ok=True)
    thread = threading.Thread(
        target=probe,
        args=(runs_directory(places.state),),
        kwargs={"remembered": f"{places.cache}/host.json"},
        name="probing",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def until_signalled(supervisor: Supervisor) -> Iterator[None]:
    """SIGINT, SIGTERM and a closed terminal (SIGHUP, unless whoever started it ignores that, as ``nohup`` does) end the agent, and its work
    is kept; a second SIGINT or SIGTERM leaves at once. Elsewhere than in the main thread: nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = 0

    def handle(number: int, _frame: object) -> None:
        nonlocal came
        if (
            came and number == signal.SIGHUP
        ):  # one for each of a shell, a session and a terminal that go: that is nobody's haste
            return
        came += 1
        if came > 1:
            raise KeyboardInterrupt
        supervisor.stop(EndCause.CANCELLED)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


OPERATIONS = (
    Operation(
        name="run",
        request=Run,
        reply=RunReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=run,
        summary=N_("Run an agent on a view of a project, and propose what it changes."),
        details=N_(
            "The project itself stays as it is: the agent works on a copy-on-write view of it, in a jail. When it ends, however it ends,"
            " what it changed is recorded, checked, and proposed; a human decides. Ctrl-C ends the agent and keeps its work."
        ),
    ),
)
