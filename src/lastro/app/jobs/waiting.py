"""Jobs for faces that answer in a few threads: only some requests wait for a job at the same time, so that there are threads left."""

from __future__ import annotations

import threading
from typing import Any

from lastro.app.jobs import Jobs
from lastro.app.jobs.tables import MOST_LINES
from lastro.domain.job import Job, JobLine


class FewWait:
    """``jobs``, of which ``find`` waits for at most ``most`` callers at a time; the next ones hear at once how far the job is."""

    def __init__(self, jobs: Jobs, *, most: int) -> None:
        self._jobs = jobs
        self._places = threading.BoundedSemaphore(most)

    def __getattr__(self, name: str) -> Any:
        """Any other verb of ``Jobs``."""
        return getattr(self._jobs, name)

    def find(
        self, number: int, *, lines_after: int = 0, most_lines: int = MOST_LINES, until_over_s: float = 0.0
    ) -> tuple[Job, tuple[JobLine, ...]]:
        """See ``Jobs``."""
        waits = until_over_s > 0 and self._places.acquire(blocking=False)
        try:
            return self._jobs.find(
                number,
                lines_after=lines_after,
                most_lines=most_lines,
                until_over_s=until_over_s if waits else 0.0,
            )
        finally:
            if waits:
                self._places.release()
