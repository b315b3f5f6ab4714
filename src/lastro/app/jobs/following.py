"""``lastro job logs``: what happened in a job, and what happens in it, until it is over."""

from __future__ import annotations

import time
from typing import Final

from lastro.app.places import Places
from lastro.app.requests.jobs import JobDetail, ShowJob
from lastro.app.signals import Emit, tell
from lastro.app.wiring import open_desk
from lastro.domain.job import FINAL_JOB_STATES, JobState
from lastro.errors import LastroError, UnreachableError

_LOOK_S: Final = 1.0
_AWAY_S: Final = 60.0
"""How long a keeper that went away is waited for."""
_ALL: Final = 10_000


def follow_job(places: Places, *, emit: Emit, job: str = "", follow: bool = False) -> int:
    """Tell the events of a job's log, and how it ended; with ``follow`` as they come. The last job where none is named.

    Raises:
        NotFoundError: there is no such job.
        UnreachableError: no keeper runs, or it went away and did not come back.
    """
    with open_desk(places) as desk:
        detail = _shown(desk.caller.call("job.show", ShowJob(job=job, lines=_ALL)))
        name, seen = f"job-{detail.summary.job}", _tell_log(emit, detail, 0)
        away = 0.0
        while follow and JobState(detail.summary.state) not in FINAL_JOB_STATES:
            request = ShowJob(job=name, lines_after=seen, lines=_ALL, wait_s=_LOOK_S)
            try:
                detail, away = _shown(desk.caller.call("job.show", request)), 0.0
            except UnreachableError:
                away += _LOOK_S
                if away > _AWAY_S:
                    raise
                time.sleep(_LOOK_S)
                continue
            seen = _tell_log(emit, detail, seen)
    summary = detail.summary
    tell(emit, "job", number=summary.job, state=summary.state, operation=summary.operation, moved=True)
    if detail.failure is not None:
        failure = detail.failure
        tell(emit, "problem", msgid=failure.message, hint=failure.hint, parameters=dict(failure.parameters))
    return LastroError.exit_code if summary.state in {"failed", "interrupted"} else 0


def _tell_log(emit: Emit, detail: JobDetail, seen: int) -> int:
    for line in detail.log:
        emit(line.event)
        seen = line.number
    return seen


def _shown(reply: object) -> JobDetail:
    assert isinstance(reply, JobDetail)
    return reply
