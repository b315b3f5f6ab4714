"""Carries a run out, from its record to its reply.

What always holds: a run that was recorded and cannot be started is recorded as failed; while it goes, its directory is locked; its work is
kept until its proposal is decided, and given up at once only where nothing was changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Final

from lastro.agents.jail.probing import HostAbilities, probe
from lastro.agents.known import Outcome
from lastro.agents.ledger import Begun
from lastro.agents.running import Supervisor, not_confined
from lastro.agents.supervision_places import (
    held,
    make_run_directory,
    remove_run_directory,
    runs_directory,
)
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.requests.runs import BeginMemory, RunReply
from lastro.app.runs.gateway import gateway_for
from lastro.app.runs.ledger import CallerLedger
from lastro.app.runs.order import PlannedRun
from lastro.app.runs.parts import GENERIC, Fill, Making, tell_of
from lastro.app.runs.views import lacking
from lastro.domain.paths import from_bytes
from lastro.domain.policy import NetworkMode
from lastro.domain.run import EndCause, RunFacts, RunState, failed_checks
from lastro.errors import DeniedError, LastroError
from lastro.messages import N_

_REMEMBER_S: Final = 5.0

Watch = Callable[[Supervisor], AbstractContextManager[None]]
"""Lets somebody stop the run while the context lasts."""


def carry_out_run(
    desk: Desk, caller: Caller, planned: PlannedRun, *, watch: Watch, fill: Fill | None = None
) -> RunReply:
    """Run it to its end. ``caller`` reaches a keeper that stays; ``fill`` puts earlier work into the layer.

    Raises:
        LastroError: it could not be started, or its work could not be recorded (then it is kept, and the run is ``interrupted``).
        KeyboardInterrupt: the user left at once.
    """
    info = planned.tool()
    needs_models = planned.order.agent != GENERIC
    os.makedirs(runs_directory(desk.places.state), mode=0o700, exist_ok=True)
    abilities = probe(runs_directory(desk.places.state))
    _require_possible(planned, abilities, needs_models=needs_models)
    ledger = CallerLedger(caller, planned.order, local_source=desk.local_source, tell=tell_of(desk))
    with ExitStack() as stack:
        has_gateway = stack.enter_context(gateway_for(desk, needed=needs_models))
        begun = ledger.begin(planned.order)
        try:
            places = make_run_directory(desk.places.state, begun.run)
            stack.enter_context(held(places))
            supervisor = Making(
                desk=desk,
                caller=caller,
                planned=planned,
                begun=begun,
                places=places,
                abilities=abilities,
                stack=stack,
            ).supervisor(ledger, info, has_gateway=has_gateway, fill=fill)
        except BaseException as error:
            cancelled = isinstance(error, KeyboardInterrupt)
            state = RunState.CANCELLED if cancelled else RunState.FAILED
            with suppress(LastroError):
                ledger.transition(begun.run, state, facts=RunFacts(cause=EndCause.NOT_STARTED))
            raise
        with watch(supervisor), _remembering(caller, begun):
            outcome = supervisor.supervise()
    if outcome.state == RunState.EMPTY.value:
        remove_run_directory(places)
    return reply_of(begun.run, outcome)


def _require_possible(planned: PlannedRun, abilities: HostAbilities, *, needs_models: bool) -> None:
    """Refuse, before anything is recorded, what this role or this host cannot do."""
    if needs_models and planned.role.network is NetworkMode.NONE:
        raise DeniedError(
            N_("The role {role} may not reach models, and {agent} needs them."),
            hint=N_("Choose another role with --role; 'lastro policy show' says what each may do."),
            role=planned.role.name,
            agent=planned.order.agent,
        )
    if missing := lacking(abilities, planned.role.limits).intersection(planned.policy.forbid_degraded):
        raise not_confined(missing)


@contextmanager
def _remembering(caller: Caller, begun: Begun) -> Iterator[None]:
    """Have the run's ``memory.sock`` opened again by each keeper that comes, while the context lasts."""
    over = threading.Event()

    def remember() -> None:
        while not over.wait(_REMEMBER_S):
            with suppress(LastroError):  # no keeper now, or the run has just ended: nothing to open
                caller.call("runs.memory", BeginMemory(run=begun.run))

    thread = threading.Thread(target=remember, name="remembering", daemon=True)
    if begun.memory:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if begun.memory:
            thread.join()


def reply_of(run: int, outcome: Outcome) -> RunReply:
    """How a run ended, as replies say it."""
    facts = outcome.facts
    return RunReply(
        run=run,
        state=outcome.state,
        proposal=outcome.proposal,
        cause=facts.cause.value,
        exit_status=facts.exit_status,
        files=outcome.files,
        steps=len(facts.steps),
        tokens=facts.usage.tokens_in + facts.usage.tokens_out,
        money=facts.usage.money,
        wall_ns=facts.usage.wall_ns,
        risk=outcome.risk,
        failed_checks=failed_checks(outcome.checks),
        degraded=facts.enforcement.degraded if facts.enforcement else (),
        outside=tuple(map(from_bytes, facts.outside)),
    )
