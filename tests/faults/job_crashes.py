"""A program of its own: a keeper's jobs, killed (SIGKILL) before each statement that it sends to its database, and after each commit.

    python -m tests.faults.job_crashes DIRECTORY

Each crash is a child of this process, which has one thread; what it had acknowledged came through a pipe. Afterwards the file is opened
again, and everything that was acknowledged must be there. Prints how many crashes there were; an assertion says what was lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from sqlalchemy import event

from lastro.app.jobs.opening import open_database
from lastro.app.jobs.store import SqlJobs
from lastro.domain.job import JobOutcome, JobState
from tests.conformance.jobs import Clock, order


def main(directory: str) -> int:
    """Crash at every point until the scenario comes to its end."""
    for point in range(1, 10_000):
        path = f"{directory}/{point}.db"
        acknowledged, is_over = _crashed(path, point)
        _must_hold(path, acknowledged)
        if is_over:
            print(point - 1)  # noqa: T201  it is a program
            return 0
    return 1


def _crashed(path: str, point: int) -> tuple[list[list[object]], bool]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            _scenario(path, point, writing)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}, "the scenario itself failed"
    return [json.loads(line) for line in lines], os.waitstatus_to_exitcode(status) == 0


def _scenario(path: str, point: int, pipe: int) -> None:
    """Asking, taking, reporting, ending and cancelling; each is acknowledged once it has returned."""
    engine = open_database(path, set_aside=lambda _kept: os._exit(2))
    count = 0

    def step(*_arguments: object) -> None:
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, name, step)

    def acknowledge(*said: object) -> None:
        os.write(pipe, json.dumps(said).encode() + b"\n")

    jobs = SqlJobs(engine, now_ns=Clock(), going_ns=Clock())
    for number in (1, 2, 3):
        jobs.submit(order(subject=f"s{number}", key=f"k{number}"))
        acknowledge("is", number, "queued")
    taken = jobs.take("runner", "host/1", timeout_s=0)
    assert taken is not None
    acknowledge("is", 1, "running")
    jobs.report(taken.ticket, step="a", events=[b"x", b"y"])
    acknowledge("line", 1, 2)
    jobs.cancel(2)
    acknowledge("is", 2, "cancelled")
    jobs.finish(taken.ticket, JobOutcome(reply=b"{}"))
    acknowledge("is", 1, "done")
    jobs.close()


_LATER = {
    "queued": {"queued", "running", "done", "cancelled"},
    "running": {"running", "done"},
    "done": {"done"},
    "cancelled": {"cancelled"},
}
"""What a job may be that was acknowledged as this: one act may have been done and not been acknowledged."""


def _must_hold(path: str, acknowledged: list[list[Any]]) -> None:
    def fail(kept: str) -> None:
        raise AssertionError(kept)

    jobs = SqlJobs(open_database(path, set_aside=fail), now_ns=Clock(), going_ns=Clock())
    found = {job.number: job for job in jobs.newest()}
    for what, number, value in acknowledged:
        if what == "is":
            assert found[number].state.value in _LATER[value], (what, number, value, found[number])
        else:
            assert len(jobs.find(number)[1]) == value, (what, number, value)
    for number, job in found.items():
        assert job.order == order(subject=f"s{number}")
        assert (job.state is JobState.DONE) == (job.reply == b"{}") == bool(job.ended_ns and number == 1)
        lines = jobs.find(number)[1]
        assert len(lines) in {0, 2} and len(lines) == 2 * len(job.steps), "half of a report"
        assert jobs.submit(order(subject=f"s{number}", key=f"k{number}")).number == number
    jobs.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
