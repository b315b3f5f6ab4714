"""What is asked of a run, kept until a runner takes it."""

from __future__ import annotations

import pytest

from lastro.app.places import places_of
from lastro.app.requests.runs import Run
from lastro.app.runs.queue import keep_request, request_of


@pytest.fixture
def places(tmp_path):
    return places_of(str(tmp_path / "lastro"))


def test_a_queued_request_comes_back_with_what_the_log_says(places, run_detail):
    request = Run(command=("sh", "-c", "x"), wall="5m", model="a/b", check=False, queue=True, project="/p")
    keep_request(places, 3, request)
    detail = run_detail(run=3, command=("sh", "-c", "other\udcff"), agent="generic", role="r", project="/q")
    found = request_of(places, detail)
    assert (found.wall, found.model, found.check, found.queue) == ("5m", "a/b", False, False)
    assert (found.command, found.role, found.project, found.agent) == (
        ("sh", "-c", "other\udcff"),
        "r",
        "/q",
        "",
    )
    named = run_detail(run=4, command=("offline", "do it"), agent="offline", role="r", project="/q")
    keep_request(places, 4, Run(agent="offline", command=("do it",)))
    assert (request_of(places, named).agent, request_of(places, named).command) == ("offline", ("do it",))


@pytest.fixture
def run_detail():
    from lastro.app.requests.runs import RunDetail  # noqa: PLC0415

    def make(**fields):
        rest = {
            "seq": 1,
            "state": "queued",
            "id": "0" * 32,
            "purpose": "",
            "actor": "",
            "actor_uid": 0,
            "policy_digest": "",
            "leases": (),
            "transitions": (),
        }
        return RunDetail(**rest, **fields)

    return make
