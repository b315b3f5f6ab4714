"""What a worker says of one job while it goes: sent together twice a second, and heard back whether somebody cancelled it.

What always holds: nothing that is reported holds the work up; of too many events between two reports the oldest are left out.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from lastro.app.caller import Caller
from lastro.app.encoding import encode
from lastro.app.events import Event
from lastro.app.jobs.interrupting import CancelledError, StoppedError
from lastro.app.requests.jobs import JobReported, ReportJob
from lastro.domain.job import Job
from lastro.domain.progress import Progress, Report
from lastro.errors import LastroError, NotFoundError
from lastro.messages import N_

HEARTBEAT_S: Final = 5.0
REPORT_S: Final = 0.5
_MOST_EVENTS: Final = 500
"""Events of one report."""


class Reporter:
    """See the module. ``accept`` first; ``close`` at the end. ``stopping``: set when the worker shall stop."""

    def __init__(
        self, caller: Caller, job: Job, *, stopping: threading.Event, every_s: float = REPORT_S
    ) -> None:
        self._caller = caller
        self._ticket = job.ticket
        self._stopping = stopping
        self._every_s = every_s
        self._lock = threading.Lock()
        self._events: list[bytes] = []
        self._progress: Progress | None = None
        self._phase = ""
        self._cancelled = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._send, name=f"job-{job.number} reports", daemon=True)

    def accept(self) -> bool:
        """Tell the keeper that the job is begun now. ``False``: it must not be, somebody else has it or will."""
        try:
            reported = self._caller.call("job.report", ReportJob(ticket=self._ticket))
        except LastroError:
            return False
        assert isinstance(reported, JobReported)
        if reported.cancel:
            self._cancelled.set()
        self._thread.start()
        return True

    def report(self, *, interruptible: bool) -> Report:
        """Takes progress. What is ``interruptible`` hears ``CancelledError`` and ``StoppedError`` from it, once it shall end."""

        def report(progress: Progress) -> None:
            with self._lock:
                self._progress = progress
            if interruptible and self._cancelled.is_set():
                raise CancelledError(N_("It was cancelled."))
            if interruptible and self._stopping.is_set():
                raise StoppedError(N_("Its worker was told to stop."))

        return report

    def tell(self, event: Event) -> None:
        """Takes an event."""
        with self._lock:
            self._events.append(encode(event))
            del self._events[:-_MOST_EVENTS]

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled it, as far as the keeper was heard."""
        return self._cancelled.is_set()

    def close(self) -> None:
        """Send what is left."""
        self._closed.set()
        self._thread.join()

    def _send(self) -> None:
        last = time.monotonic()
        while True:
            over = self._closed.wait(self._every_s)
            with self._lock:
                events, self._events = tuple(self._events), []
                progress, self._progress = self._progress, None
            if events or progress or time.monotonic() - last >= HEARTBEAT_S:
                last = time.monotonic()
                self._report(progress, events)
            if over:
                return

    def _report(self, progress: Progress | None, events: tuple[bytes, ...]) -> None:
        phase = progress.phase if progress else self._phase
        step = phase if phase != self._phase else ""
        request = ReportJob(ticket=self._ticket, progress=progress, step=step, events=events)
        try:
            reported = self._caller.call("job.report", request)
        except NotFoundError:  # it was taken from this worker: whatever may be broken off shall be
            self._cancelled.set()
            return
        except LastroError:  # the keeper is away; what was to be said was said for who watched
            return
        assert isinstance(reported, JobReported)
        self._phase = phase
        if reported.cancel:
            self._cancelled.set()
