"""What people see of jobs: readable, and inert whatever stands in them."""

from __future__ import annotations

import msgspec
import pytest

from lastro.app.events import Event
from lastro.app.failure import Failure
from lastro.app.requests.jobs import JobDetail, JobsList, JobsReply, JobSummary, LoggedEvent
from lastro.domain.job import JobStep
from lastro.domain.progress import Progress
from lastro.faces.cli.render import render
from lastro.faces.cli.render.events import Announcer
from lastro.faces.wording import job_words
from tests.hostile_values import HOSTILE, hostile_value
from tests.unit.faces.cli.conftest import NOW_NS

MINUTE = 60 * 10**9
SUMMARY = JobSummary(
    job=4,
    state="running",
    operation="capture",
    subject="web-01:/etc",
    actor="ana",
    asked_ns=NOW_NS - 5 * MINUTE,
)
CODES = {
    JobSummary: {"job": 4},
    Failure: {"message": "{a} changed.", "parameters": {"a": HOSTILE}, "hint": "{a}"},
    Event: {"kind": "of_a_newer_version", "parameters": {HOSTILE: HOSTILE}, "time_ns": NOW_NS},
}


@pytest.fixture
def shown(context, streams):
    def show(reply, request=None):
        streams()
        render(reply, request, context)
        return streams()

    return show


@pytest.mark.parametrize("kind", [JobsReply, JobDetail], ids=lambda kind: kind.__name__)
def test_nothing_in_a_job_steers_the_terminal(shown, kind):
    out, err = shown(hostile_value(kind, CODES))
    assert out
    for text in (out, err):
        assert "\x1b" not in text and "\u202e" not in text and "\udcff" not in text


def test_only_a_job_that_moves_is_said(context, streams):
    event = Event(kind="job", time_ns=NOW_NS, parameters={"number": 4, "state": "running", "moved": False})
    Announcer(context).emit(event)
    assert streams() == ("", "")


def test_the_list(shown):
    done = msgspec.structs.replace(SUMMARY, job=3, state="done", subject="proposal-9", operation="undo")
    out, err = shown(JobsReply(jobs=(SUMMARY, done), more=True), JobsList())
    assert out == (
        "job-4  running  5 min ago  ana  capture  web-01:/etc\n"
        "job-3  done     5 min ago  ana  undo     proposal-9\n"
    )
    assert "--before 3" in err
    out, err = shown(JobsReply(jobs=()), JobsList())
    assert not out and "No job." in err


def test_one_job_that_goes(shown):
    detail = JobDetail(
        summary=msgspec.structs.replace(
            SUMMARY,
            began_ns=NOW_NS - 4 * MINUTE,
            cancelling=True,
            progress=Progress(phase="capture", files=3, bytes=500, total_bytes=2000),
        ),
        worker="host/1",
        attempts=1,
        steps=(JobStep(number=1, name="capture", began_ns=NOW_NS - 3 * MINUTE),),
        log=(LoggedEvent(number=1, event=Event(kind="keeper_back", time_ns=NOW_NS)),),
        usual_ns=(5 * MINUTE, 10 * MINUTE),
    )
    out, _err = shown(detail)
    for text in (
        "job-4  running  it is being cancelled",
        "Capturing: 3 files, 500 B of 2.0 kB",
        "1 min to 6 min more",
        "Capturing  3 min",
        "The keeper is back.",
    ):
        assert text in out


def test_one_job_that_failed(shown):
    failure = Failure(code="conflict", message="{a} changed.", parameters={"a": HOSTILE}, hint="Ask again.")
    detail = JobDetail(
        summary=msgspec.structs.replace(SUMMARY, state="failed", began_ns=NOW_NS - MINUTE, ended_ns=NOW_NS),
        worker="",
        attempts=1,
        steps=(),
        log=(),
        failure=failure,
    )
    out, _err = shown(detail)
    assert "changed.\nAsk again.\n" in out and "took" in out and "1 min" in out and "\x1b" not in out


@pytest.mark.parametrize(
    ("elapsed", "usual", "said"),
    [
        (0, (0, 0), ""),
        (20, (5, 10), ""),
        (7, (5, 10), "at most 3 s more"),
        (1, (5, 10), "4 s to 9 s more"),
        (0, (5, 5), "at most 5 s more"),
    ],
)
def test_how_long_it_may_still_take(elapsed, usual, said):
    assert job_words.left(elapsed * 10**9, tuple(one * 10**9 for one in usual)) == said


@pytest.mark.parametrize(
    ("progress", "percent"),
    [
        (Progress(phase="x"), None),
        (Progress(phase="x", bytes=5, total_bytes=0), None),
        (Progress(phase="x", bytes=5, total_bytes=20), 25),
        (Progress(phase="x", files=50, total_files=20), 100),
        (Progress(phase="x", files=1, total_files=2, bytes=1, total_bytes=4), 25),
    ],
)
def test_percent(progress, percent):
    assert job_words.percent(progress) == percent
