"""``RunLedger``: where a supervisor reports what happens to its run. The keeper's log stands behind it.

What always holds: every verb may be repeated with the same arguments, and has its effect once; a keeper that is away for a while is waited
for by the implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from lastro.capture.source import Source
from lastro.domain.changes import Change
from lastro.domain.proposal import ChangeNote, Risk
from lastro.domain.run import CheckResult, RunFacts, RunState, RunStep


class RunOrder(Struct, frozen=True, kw_only=True):
    """A run that is asked for (``domain.record.RunBody``)."""

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


class Begun(Struct, frozen=True, kw_only=True):
    """The run's number, and the host path of its ``memory.sock`` (empty: there is none). ``frozen``: globs that other runs lease."""

    run: int
    memory: str
    frozen: tuple[str, ...] = ()


class Pair(Struct, frozen=True, kw_only=True):
    """The two snapshots of a run: ``seq`` of their records, and the digest (hex) of what differs in the project; no changes: empty.

    ``changed``: those differences with both sides, paths relative to the project, in tree order.
    """

    before: int
    after: int
    changes: int
    digest: str
    changed: tuple[Change, ...] = ()


class RunLedger(Protocol):
    """See the module."""

    def begin(self, order: RunOrder) -> Begun:
        """Record a run."""
        ...

    def before(self, run: int, project: str) -> int:
        """Take the snapshot of the project as it is; its record's ``seq``."""
        ...

    def after(self, run: int, before: int, source: Source, changed: Sequence[str]) -> Pair:
        """Record what ``source`` (rooted at the project) has at ``changed`` paths, everything else being as in ``before``."""
        ...

    def step(self, run: int, step: RunStep) -> None:
        """Tell of a step that ended, for who watches. Not recorded: facts are."""
        ...

    def transition(
        self,
        run: int,
        state: RunState,
        *,
        before: int | None = None,
        after: int | None = None,
        facts: RunFacts | None = None,
    ) -> None:
        """Record that the run is in another state. A transition to the state it is in already is nothing."""
        ...

    def propose(
        self, run: int, pair: Pair, *, checks: Sequence[CheckResult], notes: Sequence[ChangeNote], risk: Risk
    ) -> int:
        """Record the proposal of a run; its number."""
        ...
