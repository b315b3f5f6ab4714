"""What a run is made of: everything that its supervisor works with. Whoever starts a run puts it together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from lastro.agents.adapters.adapter import Said
from lastro.agents.collecting import Texts
from lastro.agents.hearing import Parse
from lastro.agents.jail.spec import JailedProcess
from lastro.agents.layer import Layer
from lastro.agents.ledger import RunLedger
from lastro.agents.supervision_places import RunPlaces, Standing
from lastro.domain.changes import Change
from lastro.domain.proposal import ChangeNote
from lastro.domain.run import CheckResult, RunStep, RunUsage

Tell = Callable[[str, Mapping[str, object]], None]
"""Takes an event's kind and parameters; quick, never raises."""


class Spent(Struct, frozen=True, kw_only=True):
    """What the gateway counts for a run. ``exhausted``: its budget is used up, or the gateway refused a call for it."""

    usage: RunUsage = RunUsage()
    exhausted: bool = False


class Steps(Protocol):
    """Ties model calls to file changes (``stepping.StepClock``)."""

    def finish(self) -> Sequence[RunStep]:
        """Close the last step; all of them."""
        ...


Checks = Callable[[Sequence[Change], Sequence[ChangeNote], Texts, threading.Event], Sequence[CheckResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What a run is made of.

    ``start`` starts the agent in its jail. ``spent`` asks the gateway what was used: while the agent runs (false), and once it has ended
    (true). ``warm``: the keeper knows the project, so its snapshot is quick.
    """

    standing: Standing
    places: RunPlaces
    ledger: RunLedger
    layer: Layer
    steps: Steps
    start: Callable[[], JailedProcess]
    checks: Checks
    commits: Callable[[], Mapping[str, str]] = dict
    parse: Parse = lambda line: (Said(kind="raw", text=line.decode("utf-8", "replace")),)
    spent: Callable[[bool], Spent] = lambda _: Spent()
    tell: Tell = lambda _kind, _parameters: None
    warm: bool = False
    lacking: tuple[str, ...] = ()
    """Values of ``policy.Enforcement`` that this run lacks beside what its jail does."""
    forbidden: frozenset[str] = frozenset()
    """Those without which the policy lets nothing run."""
