"""The core of a run's supervisor: what follows from what happens, as one table. No I/O, no clock, no thread.

    phase       event               does                                                        next
    preparing   prepared            record ``running``                                          running
    preparing   stop(cause)         record the state of ``cause``                               over
    running     stop(cause)         stop the agent                                              stopping
    running     ended(cause)        record ``collecting``, collect                              collecting
    stopping    ended(any)          record ``collecting``, collect; the first cause stays       collecting
    left        resumed(cause)      record ``collecting``, collect                              collecting
    collecting  collected(nothing)  record ``empty``, or the state of the cause                 over
    collecting  collected           record ``checking``, check                                  checking
    checking    checked             propose                                                     proposing
    proposing   proposed            record the state of the cause, or ``blocked``               over
    collecting, checking, proposing
                stop                cut the checks short (once); the work is still proposed     —
    any         stop, again         leave at once: the run will be found ``interrupted``        left
    preparing   failed              record ``failed``                                           over
    later       failed              record ``interrupted``: the work is kept, and can be        over
                                    collected when the reason is gone (``runs propose``)

What always holds: whatever ended the agent, what it changed is collected and proposed; no run is ``finished`` without a proposal; the exit
status decides nothing; a run that changed what its role may not write is ``blocked``, whatever else is true of it. Events that
fit no row change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.domain.run import EndCause, RunState

# What happens ---------------------------------------------------------------------------------------------------------------------------


class Prepared(Struct, frozen=True):
    """The agent was started in its jail."""


class Stop(Struct, frozen=True):
    """Somebody, or a limit that the supervisor itself watches, wants the agent ended."""

    cause: EndCause


class Ended(Struct, frozen=True):
    """No process of the agent is left."""

    cause: EndCause


class Resumed(Struct, frozen=True):
    """An interrupted run is to be collected. ``cause``: why its agent ended, as far as that was known when its supervisor went."""

    cause: EndCause = EndCause.CANCELLED


class Collected(Struct, frozen=True):
    """The layer is recorded: how many paths differ, and whether the role may not write some of them."""

    changes: int
    outside: bool = False


class Checked(Struct, frozen=True):
    """The checks are over, however they went."""


class Proposed(Struct, frozen=True):
    """The proposal is recorded."""

    number: int


class Failed(Struct, frozen=True):
    """Something could not be done, and trying again is of no use."""


Happening = Prepared | Stop | Ended | Resumed | Collected | Checked | Proposed | Failed

# What is to be done ---------------------------------------------------------------------------------------------------------------------


class Record(Struct, frozen=True):
    """Record that the run is in another state."""

    state: RunState


class StopAgent(Struct, frozen=True):
    """End every process of the agent."""

    cause: EndCause


class Collect(Struct, frozen=True):
    """Record what the layer holds."""


class Check(Struct, frozen=True):
    """Run the checks on the result."""


class CutChecks(Struct, frozen=True):
    """End the checks; those that did not run count as skipped."""


class Propose(Struct, frozen=True):
    """Record the proposal."""


class Leave(Struct, frozen=True):
    """Go without another word."""


Deed = Record | StopAgent | Collect | Check | CutChecks | Propose | Leave


class Phase(StrEnum):
    """Where the supervisor is; see the module's table."""

    PREPARING = "preparing"
    RUNNING = "running"
    STOPPING = "stopping"
    COLLECTING = "collecting"
    CHECKING = "checking"
    PROPOSING = "proposing"
    LEFT = "left"
    OVER = "over"


STATE_OF_CAUSE: Final[Mapping[EndCause, RunState]] = {
    EndCause.EXITED: RunState.FINISHED,
    EndCause.SIGNALLED: RunState.FINISHED,
    EndCause.WALL: RunState.TIMED_OUT,
    EndCause.MEMORY: RunState.FAILED,
    EndCause.DISK: RunState.FAILED,
    EndCause.FILES: RunState.FAILED,
    EndCause.BUDGET: RunState.FAILED,
    EndCause.CANCELLED: RunState.CANCELLED,
    EndCause.NOT_STARTED: RunState.FAILED,
}
"""Where a run ends whose agent ended so. ``failed``: a limit cut it off, so its work is half done; it is proposed all the same."""

_WORKING: Final = frozenset({Phase.COLLECTING, Phase.CHECKING, Phase.PROPOSING})


class Supervision:
    """One run's state. ``take`` says what to do about an event; the caller does it, in order, before the next event.

    ``phase``: where it is. ``cause``: why the agent ended, once that is known. ``state``: the state recorded last.
    """

    def __init__(self, *, left: bool = False) -> None:
        self.phase = Phase.LEFT if left else Phase.PREPARING
        self.state = RunState.INTERRUPTED if left else RunState.PREPARING
        self.cause: EndCause | None = None
        self.outside = False
        self.proposal = 0
        self._stops = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do for this supervisor."""
        return self.phase is Phase.OVER or (self.phase is Phase.LEFT and self._stops > 1)

    def take(self, event: Happening) -> tuple[Deed, ...]:
        """What follows from ``event``."""
        deeds: tuple[Deed, ...] = ()
        if self.is_over:
            return deeds
        match event:
            case Stop(cause):
                deeds = self._stop(cause)
            case Failed():
                preparing = self.phase is Phase.PREPARING
                deeds = self._end(RunState.FAILED if preparing else RunState.INTERRUPTED)
            case Prepared() if self.phase is Phase.PREPARING:
                deeds = self._go(Phase.RUNNING, self._record(RunState.RUNNING))
            case Ended(cause) if self.phase in {Phase.PREPARING, Phase.RUNNING, Phase.STOPPING}:
                deeds = self._ended(cause)
            case Resumed(cause) if self.phase is Phase.LEFT:
                deeds = self._ended(cause)
            case Collected(changes, outside) if self.phase is Phase.COLLECTING:
                deeds = self._collected(changes, outside=outside)
            case Checked() if self.phase is Phase.CHECKING:
                deeds = self._go(Phase.PROPOSING, Propose())
            case Proposed(number) if self.phase is Phase.PROPOSING:
                self.proposal = number
                deeds = self._end(self._final())
            case _:
                pass
        return deeds

    def _stop(self, cause: EndCause) -> tuple[Deed, ...]:
        asked = cause is EndCause.CANCELLED
        self._stops += asked
        if asked and self._stops > 1:
            return self._go(Phase.LEFT, Leave())
        if self.phase is Phase.PREPARING:
            return self._never_began(cause)
        if self.phase is Phase.RUNNING:
            self.cause = cause
            return self._go(Phase.STOPPING, StopAgent(cause))
        return (CutChecks(),) if asked and self.phase in _WORKING else ()

    def _never_began(self, cause: EndCause) -> tuple[Deed, ...]:
        """There is nothing to collect. What never ran cannot have finished."""
        self.cause = cause
        state = STATE_OF_CAUSE[cause]
        return self._end(RunState.FAILED if state is RunState.FINISHED else state)

    def _ended(self, cause: EndCause) -> tuple[Deed, ...]:
        if self.phase is Phase.PREPARING:
            return self._never_began(cause)
        self.cause = self.cause or cause
        return self._go(Phase.COLLECTING, self._record(RunState.COLLECTING), Collect())

    def _collected(self, changes: int, *, outside: bool) -> tuple[Deed, ...]:
        if not changes:
            final = self._final()
            return self._end(RunState.EMPTY if final is RunState.FINISHED else final)
        self.outside = outside
        return self._go(Phase.CHECKING, self._record(RunState.CHECKING), Check())

    def _final(self) -> RunState:
        return RunState.BLOCKED if self.outside else STATE_OF_CAUSE[self.cause or EndCause.EXITED]

    def _record(self, state: RunState) -> Record:
        self.state = state
        return Record(state)

    def _end(self, state: RunState) -> tuple[Deed, ...]:
        return self._go(Phase.OVER, self._record(state))

    def _go(self, phase: Phase, *deeds: Deed) -> tuple[Deed, ...]:
        self.phase = phase
        return deeds
