"""What is known of a run so far: what recovery needs is in ``run.json`` at once, what people are told of it becomes its facts.

What always holds: what was noted survives the supervisor; a run's facts are recorded once, before there is a proposal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.agents.collecting import Collection
from lastro.agents.parts import Spent
from lastro.agents.supervision_places import RunPlaces, Standing, write_standing
from lastro.domain.paths import to_bytes
from lastro.domain.proposal import Risk
from lastro.domain.run import CheckResult, EndCause, RunFacts, RunState, RunStep

MOST_PATHS: Final = 100_000
"""Of all steps of a run together, that are recorded."""


class Known:
    """``standing`` is what ``run.json`` says; the rest is worked out again where a supervisor dies."""

    def __init__(self, places: RunPlaces, standing: Standing) -> None:
        self._places = places
        self.standing = standing
        self.steps: tuple[RunStep, ...] = ()
        self.spent = Spent()
        self.collection: Collection | None = None
        self.checks: tuple[CheckResult, ...] = ()
        self.commits: Mapping[str, str] = {}
        self.risk = Risk.LOW
        self._told_facts = False

    def note(self, **known: object) -> None:
        """Keep fields of ``standing``."""
        self.standing = replace(self.standing, **known)
        write_standing(self._places, self.standing)

    @property
    def found(self) -> Collection:
        """What the run changed; it has been collected."""
        assert self.collection is not None
        return self.collection

    @property
    def degraded(self) -> tuple[str, ...]:
        """What this host did not enforce."""
        enforcement = self.standing.enforcement
        return enforcement.degraded if enforcement else ()

    def facts_for(self, state: RunState, cause: EndCause | None) -> RunFacts | None:
        """What is recorded with ``state``: once, as soon as all is known, and before there is a proposal."""
        known = self.standing.cause is not None and state not in {RunState.RUNNING, RunState.COLLECTING}
        if not known or self._told_facts:
            return None
        self._told_facts = True
        return self.facts(cause)

    def facts(self, cause: EndCause | None) -> RunFacts:
        """All of it. ``cause``: why the agent ended, where that is decided."""
        standing, collection = self.standing, self.collection
        return RunFacts(
            cause=cause or standing.cause or EndCause.CANCELLED,
            exit_status=standing.exit_status,
            steps=bounded_steps(self.steps),
            enforcement=standing.enforcement,
            usage=standing.usage,
            session=standing.session,
            last_words=standing.last_words,
            refused=standing.refused,
            commits=self.commits,
            outside=tuple(map(to_bytes, collection.outside)) if collection else (),
        )


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended."""

    state: str
    facts: RunFacts
    proposal: int = 0
    files: int = 0
    risk: str = ""
    checks: tuple[CheckResult, ...] = ()


def bounded_steps(steps: Sequence[RunStep], most: int = MOST_PATHS) -> tuple[RunStep, ...]:
    """The steps as they are recorded: with at most ``most`` paths in all; a step that had to leave some out is not exact."""
    bounded, left = [], most
    for step in steps:
        kept = step.paths[:left]
        left -= len(kept)
        bounded.append(step if len(kept) == len(step.paths) else replace(step, paths=kept, exact=False))
    return tuple(bounded)
