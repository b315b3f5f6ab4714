"""A worker: takes jobs from a keeper and carries them out in this process, with its rights, on behalf of whoever asked.

What always holds: the keeper heard that a job was accepted before anything of it is done; it hears of one that goes at least every
``HEARTBEAT_S`` seconds; whatever an operation raises becomes the job's failure. Only what changes nothing is broken off when somebody
cancels, or this process is told to stop: an apply is never left half-way for that.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from lastro.app.caller import Caller
from lastro.app.encoding import decode, encode
from lastro.app.events import Event
from lastro.app.failure import failure_of, unexpected
from lastro.app.jobs.interrupting import CancelledError, StoppedError, may_be_broken_off
from lastro.app.jobs.reporting import Reporter
from lastro.app.operation import find_operation
from lastro.app.requests.jobs import FinishJob, JobTaken, TakeJob
from lastro.domain.job import Job
from lastro.domain.progress import Report
from lastro.errors import LastroError, NotFoundError

MOST_AT_ONCE: Final = 8
POLL_S: Final = 20.0
_PAUSE_S: Final = 1.0

CarryOut = Callable[[Job, Report, Callable[[Event], None]], object]
"""Carries out a job's operation in its asker's name: the job, where to say how far it is, where to tell events. Gives the reply."""


class JobWorker:
    """``connect`` gives a caller to the keeper; a job is done by ``carry_out``."""

    def __init__(
        self,
        *,
        connect: Callable[[], Caller],
        carry_out: CarryOut,
        place: str = "runner",
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._connect = connect
        self._carry_out = carry_out
        self._place = place
        self._name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._free = threading.Semaphore(most_at_once)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._taking = threading.Thread(target=self._take, name=f"taking jobs of {place}", daemon=True)

    def start(self) -> None:
        """Take jobs from now on."""
        self._taking.start()

    def stop(self) -> None:
        """Take none any more. One that is just being given to this worker is not accepted, so the next one gets it."""
        self._stop.set()

    def end(self, timeout_s: float) -> None:
        """As ``stop``; those that go are waited for, at most ``timeout_s`` seconds."""
        self.stop()
        deadline = time.monotonic() + timeout_s
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _take(self) -> None:
        caller = self._connect()
        while not self._stop.is_set():
            if not self._free.acquire(timeout=_PAUSE_S):
                continue
            job = None
            try:
                request = TakeJob(worker=self._name, place=self._place, timeout_s=POLL_S)
                taken = caller.call("job.take", request)
                assert isinstance(taken, JobTaken)
                job = taken.job
            except LastroError:  # the keeper is away, or only just there
                self._stop.wait(_PAUSE_S)
            if job is None or self._stop.is_set():
                self._free.release()
                continue
            thread = threading.Thread(target=self._work, args=(job,), name=f"job-{job.number}", daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def _work(self, job: Job) -> None:
        try:
            reporter = Reporter(self._connect(), job, stopping=self._stop)
            if reporter.accept():
                done = self._done(job, reporter)
                if done is not None:
                    self._finish(done)
        finally:
            self._free.release()

    def _done(self, job: Job, reporter: Reporter) -> FinishJob | None:
        """How it ended; ``None``: it was left, for the next worker or nobody. All that was to be reported is reported by then."""
        try:
            return FinishJob(ticket=job.ticket, reply=encode(self._carried_out(job, reporter)))
        except StoppedError:
            return None
        except CancelledError:
            return FinishJob(ticket=job.ticket)
        except LastroError as error:
            return FinishJob(ticket=job.ticket, failure=encode(failure_of(error)))
        except Exception as error:  # noqa: BLE001  a defect is the job's failure, and not the worker's end
            return FinishJob(ticket=job.ticket, failure=encode(failure_of(unexpected(error))))
        finally:
            reporter.close()

    def _carried_out(self, job: Job, reporter: Reporter) -> object:
        interruptible = may_be_broken_off(job.order.operation)
        try:
            return self._carry_out(job, reporter.report(interruptible=interruptible), reporter.tell)
        except LastroError as error:
            if not (interruptible and reporter.cancelled):
                raise
            raise CancelledError(
                error.msgid
            ) from error  # the keeper broke its part off, and said so in its own way

    def _finish(self, done: FinishJob) -> None:
        """Say how it ended; while the keeper is away, again and again: doing so twice is doing it once."""
        while True:
            try:
                self._connect().call("job.finish", done)
            except NotFoundError:
                return  # it was given to somebody else meanwhile
            except LastroError as error:
                if not error.retryable and done.failure:
                    return  # the keeper finds it interrupted
                if not error.retryable:  # a reply that is too large, for example
                    done = FinishJob(ticket=done.ticket, failure=encode(failure_of(error)))
                elif self._stop.wait(_PAUSE_S):
                    return  # as above
            else:
                return


def request_of(job: Job) -> Struct:
    """What the job's operation is asked."""
    request: Struct = decode(job.order.request, find_operation(job.order.operation).request)
    return request
