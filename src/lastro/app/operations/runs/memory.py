"""``runs.memory``: the socket on which a run asks for its project's history, opened again after the keeper was away."""

from __future__ import annotations

from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.runs import BeginMemory, RunBegun
from lastro.app.services import Services
from lastro.messages import N_


def open_memory(services: Services, request: BeginMemory) -> RunBegun:
    """Open the socket of a run that goes on. Asking twice is asking once; a run that is over gets none."""
    run = services.inbox.run(request.run).run
    return RunBegun(run=run.number, seq=run.seq, memory=services.memories.open(run.number))


OPERATIONS = (
    Operation(
        name="runs.memory",
        request=BeginMemory,
        reply=RunBegun,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=open_memory,
        summary=N_("Open the socket on which a run asks for its project's history."),
        internal=True,
    ),
)
