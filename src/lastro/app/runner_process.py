"""``lastro runner serve``: takes runs that wait, one after the other or some at once, and jobs that need a user's rights, as that user.

What always holds: a run is taken by one runner; whatever becomes of it, the next one is taken. Jobs do not wait for runs. Where agents are
not installed it takes jobs alone. On SIGINT or SIGTERM the running agents are ended, their work is collected and proposed, jobs are
finished, and then it ends; a second signal leaves at once.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from lastro.agents.running import Supervisor
from lastro.app.caller import Caller
from lastro.app.child_process import end_with_parent
from lastro.app.jobs.working import JobWorker
from lastro.app.jobs.working import request_of as job_request_of
from lastro.app.operation import find_operation
from lastro.app.places import Places
from lastro.app.requests.runs import QueuedRuns, QueuedRunsReply, RecordRunState, RunDetail
from lastro.app.runs.carrying_out import carry_out_run
from lastro.app.runs.order import plan_run
from lastro.app.runs.queue import request_of
from lastro.app.runs.recovery import look_after_runs
from lastro.app.signals import Emit, stop_signals, tell
from lastro.app.standing_keeper import standing_caller
from lastro.app.wiring import job_desk, keeper_caller, open_desk
from lastro.domain.job import Job
from lastro.domain.progress import Report
from lastro.domain.run import EndCause, RunFacts, RunState
from lastro.errors import LastroError, UnreachableError, UsageError
from lastro.messages import N_

_LOOK_S: Final = 1.0
_JOBS_S: Final = 20.0
"""How long jobs are waited for at the end."""
_LOOK_AFTER_S: Final = 60.0
"""Between two looks for runs whose supervisor is gone."""
MOST_PARALLEL: Final = 64


def serve_runner(places: Places, *, emit: Emit, parallel: int = 1) -> int:
    """Carry out queued runs until SIGINT or SIGTERM, at most ``parallel`` at once; and jobs.

    Raises:
        UsageError: ``parallel`` is none, or too many.
        LastroError: there is no keeper, and none can be started.
    """
    if not 1 <= parallel <= MOST_PARALLEL:
        raise UsageError(N_("Between 1 and {most} runs can go at once."), most=MOST_PARALLEL)
    end_with_parent()
    with stop_signals() as stop, standing_caller(places, emit=emit) as caller:
        look_after_runs(places, caller)
        has_agents = importlib.util.find_spec("aiohttp") is not None  # a run needs the gateway's parts
        parallel = parallel if has_agents else 0
        tell(emit, "listening", what="runner" if has_agents else "jobs", address="")
        runner = _Runner(places, caller, emit)
        worker = JobWorker(connect=lambda: keeper_caller(places), carry_out=partial(carry_out_job, places))
        worker.start()
        looked = time.monotonic()
        while not stop.is_set():
            try:
                if time.monotonic() - looked >= _LOOK_AFTER_S:
                    looked = time.monotonic()
                    look_after_runs(places, caller)
                taken = _take(caller) if runner.going < parallel else None
            except UnreachableError:  # the keeper comes back, or this process takes its place
                stop.wait(_LOOK_S)
                continue
            if taken is not None:
                runner.begin(taken)
            else:
                stop.wait(_LOOK_S)
        runner.end()
        worker.end(_JOBS_S)
    tell(emit, "stopped", what="runner")
    return 0


def carry_out_job(places: Places, job: Job, report: Report, tell_event: Emit) -> object:
    """What the operation of a job replies, done with the rights of this process."""
    operation = find_operation(job.order.operation)
    desk = job_desk(places, job, report, tell_event)
    try:
        return operation.run(desk, job_request_of(job))
    finally:
        desk.caller.close()


def _take(caller: Caller) -> RunDetail | None:
    """The next run. One that was taken by a request whose answer was cut off is found interrupted, a minute later."""
    reply = caller.call("runs.queue", QueuedRuns(take=True))
    assert isinstance(reply, QueuedRunsReply)
    return reply.runs[0] if reply.runs else None


class _Runner:
    """The runs that go; each in a thread of its own."""

    def __init__(self, places: Places, caller: Caller, emit: Emit) -> None:
        self._places = places
        self._caller = caller
        self._emit = emit
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._supervisors: list[Supervisor] = []
        self._ending = False

    @property
    def going(self) -> int:
        """How many runs go."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return len(self._threads)

    def begin(self, detail: RunDetail) -> None:
        """Carry out a run that was taken."""
        thread = threading.Thread(
            target=self._carry_out, args=(detail,), name=f"run-{detail.run}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """End all agents, and wait until their work is proposed."""
        with self._lock:
            self._ending = True
            for supervisor in self._supervisors:
                supervisor.stop(EndCause.CANCELLED)
        for thread in self._threads:
            thread.join()

    def _carry_out(self, detail: RunDetail) -> None:
        try:
            with open_desk(self._places) as own:
                desk = replace(own, tell=self._emit)
                request = request_of(self._places, detail)
                planned = plan_run(desk, self._caller, request, identity=detail.id)
                reply = carry_out_run(desk, self._caller, planned, watch=self._watch)
            tell(self._emit, "run_done", run=reply.run, state=reply.state, proposal=reply.proposal)
        except LastroError as error:
            self._say_failed(detail.run)
            plain = {name: str(value) for name, value in error.parameters.items()}
            tell(self._emit, "problem", msgid=error.msgid, hint=error.hint, parameters=plain)

    def _say_failed(self, run: int) -> None:
        """It could not even be begun; where it was, its state says so already."""
        facts = RunFacts(cause=EndCause.NOT_STARTED)
        try:
            self._caller.call("runs.state", RecordRunState(run=run, state=RunState.FAILED.value, facts=facts))
        except LastroError:
            return

    @contextmanager
    def _watch(self, supervisor: Supervisor) -> Iterator[None]:
        with self._lock:
            self._supervisors.append(supervisor)
            if self._ending:
                supervisor.stop(EndCause.CANCELLED)
        try:
            yield
        finally:
            with self._lock:
                self._supervisors.remove(supervisor)
