"""Jobs: what is asked for through the console or the API, and carried out where it has the rights for it.

What always holds: a job that was acknowledged is there after any restart; one worker has it at a time; a job whose worker is not heard of
for ``LOST_S`` seconds is queued again if that does no harm (it never began it, or twice is once), else interrupted. Working state: its
loss only makes people ask again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from lastro.domain.job import Job, JobLine, JobOrder, JobOutcome, JobState
from lastro.domain.progress import Progress
from lastro.errors import UnreachableError
from lastro.messages import N_

LOST_S: Final = 30.0
"""A worker that has not been heard of for so long is gone."""


class Jobs(Protocol):
    """See the module. Safe from any thread."""

    def submit(self, order: JobOrder) -> Job:
        """Keep what is asked for; the job that the same asker ordered by the same ``key``, if there is one.

        Raises:
            ConflictError: there is one, for something else.
        """
        ...

    def take(self, place: str, worker: str, *, timeout_s: float) -> Job | None:
        """Give ``worker`` the oldest queued job of ``place``, waiting up to ``timeout_s`` seconds for one; with its ticket.

        It accepts it by a first ``report``, before it begins: what was not accepted was not begun, and is given to the next one.

        Raises:
            UnreachableError: the keeper is being stopped.
        """
        ...

    def report(
        self,
        ticket: str,
        *,
        progress: Progress | None = None,
        step: str = "",
        events: Sequence[bytes] = (),
    ) -> bool:
        """Its worker lives, and this is how far it is. Gives whether the job shall be cancelled.

        Raises:
            NotFoundError: nobody has a job by this ticket (any more).
        """
        ...

    def order_by(self, ticket: str) -> JobOrder:
        """What was asked for, and by whom, in the job that is being carried out by this ticket.

        Raises:
            NotFoundError: none is.
        """
        ...

    def finish(self, ticket: str, outcome: JobOutcome) -> Job:
        """It is over. Doing this twice with the same ticket is doing it once.

        Raises:
            NotFoundError: nobody has a job by this ticket (any more).
        """
        ...

    def cancel(self, number: int) -> Job:
        """End it: at once if it is queued, else as soon as its worker looks. A job that is over stays as it is.

        Raises:
            NotFoundError: there is no such job.
        """
        ...

    def find(
        self, number: int, *, lines_after: int = 0, most_lines: int = 10_000, until_over_s: float = 0.0
    ) -> tuple[Job, tuple[JobLine, ...]]:
        """One job, and the last ``most_lines`` that its log has after that line; as soon as it is over, and at the latest after
        ``until_over_s`` seconds.

        Raises:
            NotFoundError: there is no such job.
        """
        ...

    def newest(
        self,
        *,
        states: Sequence[JobState] = (),
        operation: str = "",
        subject: str = "",
        before: int = 0,
        limit: int = 50,
    ) -> list[Job]:
        """Jobs, newest first; ``before``: only with a smaller number (0: from the newest)."""
        ...


class NoJobs:
    """Where no keeper stays there are no jobs: every verb says so."""

    def __getattr__(self, name: str) -> Any:
        """Any verb of ``Jobs``."""
        raise UnreachableError(
            N_("Jobs are kept by a keeper that stays, and none is running."),
            hint=N_("Start one with 'lastro up'."),
        )
