"""Opening the jobs of a keeper: their file, what happens when it is none, and who hears of their changes.

What always holds: a file that cannot be read, or holds other tables than these (another version's, somebody else's), is moved aside and
said; jobs begin anew. They are working state.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Engine

from lastro.app.encoding import to_builtins
from lastro.app.events import Event
from lastro.app.jobs.store import SqlJobs
from lastro.app.jobs.tables import METADATA
from lastro.app.operations.jobs import summary_of
from lastro.app.signals import Emit, tell
from lastro.catalogue.database import open_file
from lastro.domain.job import Job
from lastro.messages import N_


def open_jobs(path: str, *, publish: Emit) -> SqlJobs:
    """The jobs in the file ``path``. ``publish`` hears ``job`` of every change, and ``problem`` where they had to begin anew."""

    def set_aside(kept: str) -> None:
        tell(
            publish,
            "problem",
            msgid=N_("The list of jobs could not be read; a new one was begun."),
            hint=N_("Jobs that waited are gone; what was done stands in the history. It lies there: {path}"),
            parameters={"path": kept},
        )

    return SqlJobs(open_database(path, set_aside=set_aside), changed=_teller(publish))


def open_database(path: str, *, set_aside: Callable[[str], None]) -> Engine:
    """An engine over the file ``path``, in which there are no tables but those of jobs. ``set_aside`` hears where another was moved.

    Raises:
        UnreachableError: it cannot be used now.
    """
    return open_file(path, set_aside=set_aside, tables=METADATA)


def _teller(publish: Emit) -> Callable[[Job, bool], None]:
    def changed(job: Job, moved: bool) -> None:  # noqa: FBT001  called by position alone
        parameters = {**to_builtins(summary_of(job)), "number": job.number, "moved": moved}
        publish(Event(kind="job", time_ns=time.time_ns(), parameters=parameters))

    return changed
