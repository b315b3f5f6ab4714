"""What the keeper does for a worker's job is heard in the job: how far it is, and whether somebody cancelled it meanwhile.

A worker's operation asks the keeper for the long part (a capture), over its socket, with the job's ticket. So its progress is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from lastro.app.jobs import Jobs
from lastro.app.jobs.interrupting import CancelledError, may_be_broken_off
from lastro.domain.progress import Progress, Report
from lastro.errors import NotFoundError
from lastro.messages import N_

EVERY_S: Final = 0.5


def heard_by_job(
    jobs: Jobs,
    ticket: str,
    operation: str,
    report: Report,
    *,
    now_s: Callable[[], float] = time.monotonic,
) -> Report:
    """A report that also reaches the job with this ticket, at most every ``EVERY_S`` seconds. Where the job's ``operation`` may be broken
    off it raises ``CancelledError`` once it shall end, or has another worker.
    """
    told_s, phase = -EVERY_S, ""

    def tell(progress: Progress) -> None:
        nonlocal told_s, phase
        report(progress)
        if now_s() - told_s < EVERY_S:
            return
        told_s = now_s()
        step, phase = (progress.phase if progress.phase != phase else ""), progress.phase
        try:
            cancelled = jobs.report(ticket, progress=progress, step=step)
        except NotFoundError:
            cancelled = True
        if cancelled and may_be_broken_off(operation):
            raise CancelledError(N_("It was cancelled."))

    return tell
