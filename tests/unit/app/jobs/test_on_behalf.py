"""Jobs in a real keeper, over its socket: whatever a job does in the log has its asker as actor."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial

import pytest

from lastro.app.encoding import decode, encode
from lastro.app.failure import Failure
from lastro.app.jobs.working import JobWorker
from lastro.app.keeper_process import keeper
from lastro.app.opening import create_repository
from lastro.app.permissions import Principal, Right
from lastro.app.places import places_of
from lastro.app.requests import Capture, Check, CheckReply, Restore, Status, Undo
from lastro.app.requests.proposals import ApproveProposal
from lastro.app.runner_process import carry_out_job
from lastro.app.visiting import Visit
from lastro.app.wiring import keeper_caller, person
from lastro.domain.clock import SystemClock
from lastro.domain.ids import LOCAL
from lastro.domain.job import JobOrder, JobOutcome, JobState
from lastro.domain.record import Actor
from lastro.domain.reference import AtId, Reference
from lastro.errors import DeniedError
from tests.conformance.jobs import LONG_S

pytestmark = pytest.mark.slow

BIA = Actor(kind="human", name="bia", uid=4242)


@pytest.fixture
def places(tmp_path):
    made = places_of(os.path.realpath(tmp_path / "home"))
    create_repository(made, person(), SystemClock())
    return made


@contextmanager
def keeping(places, *, runner=True):
    """A keeper, and a runner in this process."""
    with keeper(places, emit=lambda _: None) as running:
        worker = JobWorker(connect=lambda: keeper_caller(places), carry_out=partial(carry_out_job, places))
        if runner:
            worker.start()
        yield Visit(
            running.services,
            running.services.jobs,
            Principal(actor=BIA, rights=frozenset(Right), how="session"),
        )
        worker.stop()
        running.services.jobs.release()
        worker.end(LONG_S)


def over(visit, job):
    found = visit.jobs.find(job.number, until_over_s=LONG_S)[0]
    failure = decode(found.failure, Failure) if found.failure else None
    assert found.state is JobState.DONE, (found.state, failure)
    return visit.reply_of(found)


def test_whatever_a_job_does_in_the_log_is_its_askers(places, tmp_path):
    project = os.path.realpath(tmp_path / "project")
    os.mkdir(project)
    path = f"{project}/a"
    with open(path, "wb") as file:
        file.write(b"one")
    with keeping(places) as visit:
        repository = visit.services.repository
        known = {record.seq for record in repository.records()}
        place = Reference(server=LOCAL, path=project, at=None)
        snapshot = over(visit, visit.submit("capture", Capture(references=(place,)))).snapshots[0].snapshot
        with open(path, "wb") as file:
            file.write(b"two")
        old = Reference(server=LOCAL, path=path, at=AtId("snap", snapshot, before=False))
        planned = over(visit, visit.submit("restore", Restore(reference=old, plan=True)))
        wanted = Restore(reference=old, approved=planned.plan.digest)
        over(visit, visit.submit("restore", wanted))
        with open(path, "rb") as file:
            assert file.read() == b"one"
        planned = over(visit, visit.submit("undo", Undo(plan=True)))
        over(visit, visit.submit("undo", Undo(approved=planned.plan.digest)))
        with open(path, "rb") as file:
            assert file.read() == b"two"
        made = [stored.record for stored in repository.records() if stored.seq not in known]
    kinds = {record.kind for record in made}
    assert {"snapshot", "apply"} <= {str(kind) for kind in kinds}, kinds
    assert {record.actor for record in made} == {BIA}


@pytest.mark.parametrize("ticket", ["0" * 32, "x", "é"])
def test_a_ticket_of_no_job_is_refused(places, ticket):
    with keeping(places, runner=False):
        with pytest.raises(DeniedError):
            keeper_caller(places, ticket=ticket).call("status", Status())
        keeper_caller(places).call("status", Status())


def test_a_ticket_is_good_while_its_job_goes(places):
    with keeping(places, runner=False) as visit:
        visit.submit("capture", Capture())
        taken = visit.jobs.take("runner", "host/1", timeout_s=0)
        caller = keeper_caller(places, ticket=taken.ticket)
        caller.call("status", Status())
        visit.jobs.cancel(taken.number)
        caller.call("status", Status())
        visit.jobs.finish(taken.ticket, JobOutcome(reply=b"{}"))
        with pytest.raises(DeniedError):
            caller.call("status", Status())


def test_the_keeper_carries_out_what_needs_no_users_rights(places):
    with keeping(places, runner=False) as visit:
        assert isinstance(over(visit, visit.submit("repo.check", Check())), CheckReply)
        place = Reference(server=LOCAL, path=os.path.realpath(places.home), at=None)
        request = encode(Capture(references=(place,)))
        order = JobOrder(operation="capture", request=request, asker=BIA, place="keeper")
        job = visit.jobs.find(visit.jobs.submit(order).number, until_over_s=LONG_S)[0]
        assert job.state is JobState.FAILED and decode(job.failure, Failure).code == "usage"


def test_a_secret_stands_in_no_job(places):
    with keeping(places, runner=False) as visit:
        for name, request in (
            ("undo", Undo(passphrase="correct horse")),
            ("proposal.approve", ApproveProposal(passphrase="correct horse")),
        ):
            with pytest.raises(DeniedError):
                visit.submit(name, request)
        assert not visit.jobs.newest()


def test_jobs_wait_for_a_keeper_that_comes_back(places, tmp_path):
    with keeping(places, runner=False) as visit:
        place = Reference(server=LOCAL, path=os.path.realpath(tmp_path), at=None)
        number = visit.submit("capture", Capture(references=(place,))).number
    with keeping(places) as visit:
        assert over(visit, visit.jobs.find(number)[0]).snapshots
