"""What the keeper does for a job is heard in it."""

from __future__ import annotations

import pytest

from lastro.app.jobs.heard import EVERY_S, heard_by_job
from lastro.app.jobs.interrupting import CancelledError, may_be_broken_off
from lastro.app.jobs.store import SqlJobs
from lastro.app.operation import Effect, all_operations
from lastro.catalogue.database import open_memory
from lastro.domain.job import JobOutcome
from lastro.domain.progress import Progress
from tests.conformance.jobs import order


@pytest.fixture
def jobs():
    jobs = SqlJobs(open_memory())
    yield jobs
    jobs.close()


class Hearing:
    def __init__(self, jobs, operation):
        jobs.submit(order(operation=operation))
        self.job = jobs.take("runner", "host/1", timeout_s=0)
        self.now, self.others = 100.0, []
        self.tell = heard_by_job(jobs, self.job.ticket, operation, self.others.append, now_s=lambda: self.now)

    def report(self, phase="capture", files=1):
        self.tell(Progress(phase=phase, files=files))


def test_progress_and_phases_stand_in_the_job_and_go_on_to_others(jobs):
    hearing = Hearing(jobs, "restore")
    hearing.report(files=1)
    hearing.report(files=2)  # too soon
    assert jobs.find(1)[0].progress.files == 1
    hearing.now += EVERY_S
    hearing.report(files=3)
    hearing.now += EVERY_S
    hearing.report("packs", files=4)
    found = jobs.find(1)[0]
    assert found.progress == Progress(phase="packs", files=4)
    assert [step.name for step in found.steps] == ["capture", "packs"]
    assert [one.files for one in hearing.others] == [1, 2, 3, 4]


@pytest.mark.parametrize("end", ["cancel", "finish"])
@pytest.mark.parametrize(("operation", "ends"), [("capture", True), ("status", True), ("restore", False)])
def test_only_what_may_be_broken_off_is(jobs, operation, ends, end):
    hearing = Hearing(jobs, operation)
    hearing.report()
    if end == "cancel":
        jobs.cancel(1)
    else:
        jobs.finish(hearing.job.ticket, JobOutcome())
    hearing.now += EVERY_S
    if not ends:
        hearing.report()
        return
    with pytest.raises(CancelledError):
        hearing.report()


def test_no_operation_that_applies_may_be_broken_off():
    broken_off = {one.name for one in all_operations() if may_be_broken_off(one.name)}
    changing = {one.name for one in all_operations() if one.effect is Effect.CHANGE}
    assert broken_off & changing == {"capture", "capture.server"}
