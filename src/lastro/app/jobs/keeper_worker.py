"""The keeper's own worker: jobs that need no user's rights (a check of the repository, a capture of a server), in a small pool of threads.

What always holds: each is done in its asker's name; what it tells is heard as an event of the keeper, and stands in the job's log too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from lastro.app.events import Event
from lastro.app.jobs.store import SqlJobs
from lastro.app.jobs.working import JobWorker, request_of
from lastro.app.keeper_caller import KeeperCaller
from lastro.app.operation import Place, find_operation
from lastro.app.services import Services
from lastro.app.visiting import KEEPER, run_in_keeper
from lastro.domain.job import Job
from lastro.domain.progress import Report
from lastro.errors import UsageError
from lastro.messages import N_

MOST_AT_ONCE: Final = 2
END_S: Final = 20.0
"""How long jobs are waited for when the keeper stops."""


@contextmanager
def keeper_worker(services: Services, jobs: SqlJobs) -> Iterator[JobWorker]:
    """A worker in this process while the context lasts. At its end nobody gets a job any more, in no process: ``jobs`` are released."""
    worker = JobWorker(
        connect=lambda: KeeperCaller(services),
        carry_out=lambda job, report, tell: _carried_out(services, job, report, tell),
        place=KEEPER,
        most_at_once=MOST_AT_ONCE,
    )
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        jobs.release()
        worker.end(END_S)


def _carried_out(services: Services, job: Job, report: Report, tell: Callable[[Event], None]) -> object:
    operation = find_operation(job.order.operation)
    if operation.place is Place.CALLER:
        raise UsageError(
            N_("{name} runs in the process of whoever asks for it, not in the keeper."), name=operation.name
        )

    def publish(event: Event) -> None:
        tell(event)
        services.publish(event)

    own = replace(services.for_actor(job.order.asker), report=report, publish=publish)
    return run_in_keeper(own, operation, request_of(job))
