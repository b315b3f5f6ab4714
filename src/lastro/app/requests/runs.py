"""What operations on runs are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.domain.changes import Change
from lastro.domain.run import RunEnforcement, RunFacts, RunStep
from lastro.messages import N_

_RUN = parameter(N_("Which: run-N; the last one if not given."), cli="argument", metavar="RUN")
_RECORDED = parameter(
    N_("The state as it was recorded, also of a run whose supervisor is gone since."), cli="hidden"
)


class Run(Struct, frozen=True, kw_only=True):
    """Run an agent on a copy-on-write view of a project."""

    command: Annotated[
        tuple[str, ...],
        parameter(
            N_("What to run, best after '--': a coding tool with its arguments, or any command."),
            cli="argument",
            metavar="COMMAND",
        ),
    ] = ()
    agent: Annotated[str, parameter(N_("Run this agent instead of a command: offline."), metavar="NAME")] = ""
    role: Annotated[str, parameter(N_("What it may do: a role of the policy."), metavar="ROLE")] = ""
    project: Annotated[
        str, parameter(N_("The project's directory; the current one if not given."), metavar="DIR")
    ] = ""
    model: Annotated[
        str, parameter(N_("Which model the gateway shall ask: PROVIDER/MODEL or auto."), metavar="MODEL")
    ] = "auto"
    wall: Annotated[
        str, parameter(N_("At most this long, such as 30m; never more than the role allows."), metavar="TIME")
    ] = ""
    lease: Annotated[
        tuple[str, ...], parameter(N_("Paths that no other run may write meanwhile."), metavar="GLOB")
    ] = ()
    view: Annotated[
        str, parameter(N_("How the project is shown: overlay, or copy. The best there is."), metavar="KIND")
    ] = ""
    check: Annotated[bool, parameter(N_("Run the project's checks before proposing."))] = True
    queue: Annotated[bool, parameter(N_("Leave it to 'lastro runner serve'."))] = False


class RunReply(Struct, frozen=True, kw_only=True):
    """How a run ended. ``proposal`` 0: there is none. ``files``: changed paths."""

    run: int
    state: str
    proposal: int = 0
    cause: str = ""
    exit_status: int | None = None
    files: int = 0
    steps: int = 0
    tokens: int = 0
    money: int | None = 0
    wall_ns: int = 0
    risk: str = ""
    failed_checks: int = 0
    degraded: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class Runs(Struct, frozen=True, kw_only=True):
    """The newest runs."""

    project: Annotated[str, parameter(N_("Only of this project."), metavar="DIR")] = ""
    state: Annotated[str, parameter(N_("Only those in this state."), metavar="STATE")] = ""
    agent: Annotated[str, parameter(N_("Only of this agent: codex, claude, offline..."), metavar="NAME")] = ""
    role: Annotated[str, parameter(N_("Only in this role."), metavar="ROLE")] = ""
    actor: Annotated[str, parameter(N_("Only what this one asked for."), metavar="NAME")] = ""
    text: Annotated[str, parameter(N_("Only where what was asked holds this."), metavar="TEXT")] = ""
    before: Annotated[int, parameter(N_("Only runs with a smaller number (0: any)."), metavar="N")] = 0
    limit: Annotated[int, parameter(N_("Show at most this many (0: all)."), short="-n", least=0)] = 50
    recorded: Annotated[bool, _RECORDED] = False


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run in a list."""

    run: int
    state: str
    project: str
    role: str
    agent: str
    purpose: str
    actor: str
    began_ns: int
    ended_ns: int = 0
    proposal: int = 0


class RunsReply(Struct, frozen=True, kw_only=True):
    """Newest first. ``more``: there are older ones; the next page is asked for with the last one's number as ``before``."""

    runs: tuple[RunSummary, ...]
    more: bool = False


class ShowRun(Struct, frozen=True, kw_only=True):
    """One run, whole."""

    run: Annotated[str, _RUN] = ""
    recorded: Annotated[bool, _RECORDED] = False


class RunTransition(Struct, frozen=True, kw_only=True):
    """A state that a run was in from ``time_ns`` on."""

    state: str
    time_ns: int


class RunDetail(Struct, frozen=True, kw_only=True):
    """One run. ``before`` and ``after`` are numbers of snapshots (0: none)."""

    run: int
    seq: int
    state: str
    id: str
    project: str
    role: str
    agent: str
    command: tuple[str, ...]
    purpose: str
    actor: str
    actor_uid: int | None
    policy_digest: str
    leases: tuple[str, ...]
    transitions: tuple[RunTransition, ...]
    before: int = 0
    after: int = 0
    before_seq: int | None = None
    after_seq: int | None = None
    proposal: int = 0
    resumes: int = 0
    rebases: int = 0
    facts: RunFacts | None = None


class Transcript(Struct, frozen=True, kw_only=True):
    """What an agent said and did."""

    run: Annotated[str, _RUN] = ""
    limit: Annotated[int, parameter(N_("Show at most this many (0: all)."), short="-n", least=0)] = 200


class TranscriptLine(Struct, frozen=True, kw_only=True):
    """What was said (``kind`` and ``name`` as ``agents.adapters.adapter.Said`` has them; data, whatever it says), or, of the kind ``step``,
    what had changed when the step ended: ``paths`` (raw bytes, relative to the project) and how many ``more``.
    """

    time_ns: int
    kind: str
    name: str = ""
    text: str = ""
    step: int = 0
    paths: tuple[bytes, ...] = ()
    more: int = 0
    exchange: str = ""


class RunTranscript(Struct, frozen=True, kw_only=True):
    """Oldest first. ``cut``: there was more before. ``kept``: false once the run's directory is gone; then only its steps are known."""

    run: int
    lines: tuple[TranscriptLine, ...]
    kept: bool = True
    cut: bool = False


class StopRun(Struct, frozen=True, kw_only=True):
    """End a run; its work is kept and proposed."""

    run: Annotated[str, _RUN] = ""


class ProposeRun(Struct, frozen=True, kw_only=True):
    """Collect and propose what an interrupted run left."""

    run: Annotated[str, _RUN] = ""


# Steps of a run, between its supervisor and the keeper ----------------------------------------------------------------------------------


class BeginRun(Struct, frozen=True, kw_only=True):
    """Record a run (``agents.ledger.RunOrder``). ``queued``: it waits for a runner."""

    id: str
    project: str
    role: str
    agent: str
    command: tuple[str, ...]
    purpose: str
    policy_digest: str
    leases: tuple[str, ...] = ()
    resumes: int | None = None
    rebases: int | None = None
    queued: bool = False


class RunBegun(Struct, frozen=True, kw_only=True):
    """See ``agents.ledger.Begun``. ``memory``: path of the run's ``memory.sock``."""

    run: int
    seq: int
    memory: str = ""
    frozen: tuple[str, ...] = ()


class BeginMemory(Struct, frozen=True, kw_only=True):
    """Open the ``memory.sock`` of a run (again): it is closed with the run, and with the keeper."""

    run: int


class RecordRunState(Struct, frozen=True, kw_only=True):
    """A run is in another state."""

    run: int
    state: str
    before: int | None = None
    after: int | None = None
    facts: RunFacts | None = None


class CaptureLayer(Struct, frozen=True, kw_only=True):
    """Record what the offered source has at ``changed`` paths of ``project``, all else being as in the snapshot ``before`` (``seq``).

    A directory that is one in ``before`` too stands for its own attributes; any other is taken with everything below it.

    ``reason``: a value of ``domain.snapshot.Reason``. ``run`` 0: a human's edit, or an undo.
    """

    offer: str
    project: str
    before: int
    changed: tuple[str, ...]
    run: int = 0
    reason: str = "run"


class LayerCaptured(Struct, frozen=True, kw_only=True):
    """See ``agents.ledger.Pair``. ``paths``: what differs, relative to the project, in tree order; ``changes``: the same, both sides."""

    before: int
    after: int
    digest: str
    paths: tuple[str, ...]
    changes: tuple[Change, ...] = ()


class TellStep(Struct, frozen=True, kw_only=True):
    """A step of a run has ended; for who watches."""

    run: int
    step: RunStep


class QueuedRuns(Struct, frozen=True, kw_only=True):
    """Runs that wait for a runner, oldest first."""

    take: bool = False
    """Take the oldest: it is ``preparing`` from now on, and nobody else gets it."""


class QueuedRunsReply(Struct, frozen=True, kw_only=True):
    """The runs that wait, or the one that was taken."""

    runs: tuple[RunDetail, ...]


__all__ = [
    "BeginMemory",
    "BeginRun",
    "CaptureLayer",
    "LayerCaptured",
    "ProposeRun",
    "QueuedRuns",
    "QueuedRunsReply",
    "RecordRunState",
    "Run",
    "RunBegun",
    "RunDetail",
    "RunEnforcement",
    "RunReply",
    "RunSummary",
    "RunTransition",
    "Runs",
    "RunsReply",
    "ShowRun",
    "StopRun",
    "TellStep",
]
