"""A run: one execution of an agent, between two snapshots. Nouns and the table of its states.

    queued ──► preparing ──► running ──► collecting ──► checking ──► finished
                   │             │            │  └──► empty   │
                   └─────────────┴────────────┴───────────────┴──► blocked · failed · timed_out · cancelled · interrupted

Every transition is a record. ``finished`` means that a proposal is recorded; ``timed_out``, ``cancelled`` and ``interrupted`` runs may have
one too, for their work is kept. ``interrupted``: its supervisor is gone; it is collected when somebody asks for it (``runs propose``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct


class RunState(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    CHECKING = "checking"
    FINISHED = "finished"
    EMPTY = "empty"
    """It ended, and nothing differs. Coding tools report success for that."""
    BLOCKED = "blocked"
    """The policy forbids it, or what it changed."""
    FAILED = "failed"
    """It could not be carried out; whatever it changed is in its proposal."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


_SIDE: Final = frozenset(
    {RunState.BLOCKED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED, RunState.INTERRUPTED}
)

RUN_TRANSITIONS: Final[Mapping[RunState, frozenset[RunState]]] = {
    RunState.QUEUED: frozenset(
        {RunState.PREPARING, RunState.CANCELLED, RunState.FAILED, RunState.INTERRUPTED}
    ),
    RunState.PREPARING: frozenset({RunState.RUNNING}) | _SIDE,
    RunState.RUNNING: frozenset({RunState.COLLECTING}) | _SIDE,
    RunState.COLLECTING: frozenset({RunState.CHECKING, RunState.EMPTY}) | _SIDE,
    RunState.CHECKING: frozenset({RunState.FINISHED}) | _SIDE,
    RunState.INTERRUPTED: frozenset({RunState.COLLECTING, RunState.FAILED, RunState.CANCELLED}),
}
"""State → states that may follow. States that are no key are final."""

FINAL_RUN_STATES: Final = frozenset(RunState) - frozenset(RUN_TRANSITIONS)


class EndCause(StrEnum):
    """Why the agent's process ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    """Something ended it with a signal: itself, or the kernel."""
    WALL = "wall"
    """Its time was over."""
    MEMORY = "memory"
    DISK = "disk"
    FILES = "files"
    BUDGET = "budget"
    """Tokens or money: the gateway refused further calls."""
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    """The program could not be started at all."""


class RunStep(Struct, frozen=True, kw_only=True):
    """What changed between two requests to a model. ``paths`` (raw bytes, relative to the project) had another state in the layer when the
    request that *ended* this step arrived; ``exchange`` is the one that began it (empty: before the first request).

    ``exact`` is false when the gateway did not wait for the supervisor, or several requests were open at once: "seen by this step".
    """

    number: int
    exchange: str
    time_ns: int
    paths: tuple[bytes, ...]
    exact: bool = True


class RunEnforcement(Struct, frozen=True, kw_only=True):
    """How a run was confined. ``view``: ``overlay``, ``overlay-user`` (in a user namespace) or ``copy``. ``degraded``: values of
    ``policy.Enforcement`` that this host could not enforce. ``landlock``: the kernel's ABI, 0 without. ``details``: code → value.
    """

    view: str
    enforced: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    landlock: int = 0
    details: Mapping[str, str] = {}


class RunUsage(Struct, frozen=True, kw_only=True):
    """What a run used. Money in millionths of a dollar, ``None`` when a price was unknown; times in nanoseconds."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: int | None = 0
    wall_ns: int = 0
    peak_memory: int | None = None


class CheckVerdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


class CheckResult(Struct, frozen=True, kw_only=True):
    """A check of the project, run on the result before a human looks. ``output``: the end of what it said, bounded."""

    name: str
    command: str
    verdict: CheckVerdict
    duration_ns: int = 0
    output: str = ""


def failed_checks(checks: Iterable[CheckResult]) -> int:
    """How many checks ran and did not pass."""
    return sum(check.verdict in {CheckVerdict.FAILED, CheckVerdict.TIMED_OUT} for check in checks)


class RunFacts(Struct, frozen=True, kw_only=True):
    """What is known of a run when it ends. Paths are raw bytes relative to the project.

    ``session``: the coding tool's own id of its conversation, to be resumed. ``refused``: what it tried and was not allowed, as far as it
    is known (hosts, paths). ``commits``: Git commits it made, as ``refs`` → object names, and the bundle that holds them.
    """

    cause: EndCause
    exit_status: int | None = None
    steps: tuple[RunStep, ...] = ()
    enforcement: RunEnforcement | None = None
    usage: RunUsage = RunUsage()
    session: str = ""
    last_words: str = ""
    """The agent's final message, bounded; data, never policy."""
    refused: tuple[str, ...] = ()
    commits: Mapping[str, str] = {}
    outside: tuple[bytes, ...] = ()
    """Changed paths that the role may not write: they block the run."""
