"""Jobs as pages."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest

from lastro.app.encoding import encode
from lastro.app.events import Event
from lastro.app.failure import failure_of
from lastro.app.jobs.store import SqlJobs
from lastro.app.opening import open_services
from lastro.app.operation import find_operation
from lastro.app.requests.jobs import ShowJob
from lastro.app.wiring import person
from lastro.catalogue.database import open_memory
from lastro.domain.clock import SystemClock
from lastro.domain.job import JobOrder, JobOutcome, JobState
from lastro.domain.progress import Progress
from lastro.domain.record import Actor
from lastro.errors import ConflictError
from tests.console_kit import Kit
from tests.decision_kit import Office

HOSTILE = '<img src=x onerror=alert(1)> hx-get="/x" \x1b[31m\u202e\udcff'
ANA = Actor(kind="human", name="ana", uid=-1)


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


@contextmanager
def console_with_jobs(office, *, now_ns=time.time_ns):
    """A console whose jobs nobody takes but the test."""
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        jobs = SqlJobs(open_memory(), now_ns=now_ns)
        kit = Kit(services, jobs=jobs)
        try:
            yield kit
        finally:
            kit.close()
            jobs.close()


def order(**fields):
    return JobOrder(
        **{"operation": "capture", "request": b"{}", "asker": ANA, "place": "runner", "subject": "", **fields}
    )


def begun(jobs, **fields):
    """A job that a worker has accepted; its number and ticket."""
    jobs.submit(order(**fields))
    taken = jobs.take(fields.get("place", "runner"), "host/1", timeout_s=0)
    jobs.report(taken.ticket)
    return taken.number, taken.ticket


def inert(page):
    assert not page.all("img") and "\x1b" not in page.raw and "\u202e" not in page.raw
    assert not [attributes for _tag, attributes in page.tags if attributes.get("hx-get") == "/x"]


def test_no_job_yet(office):
    with console_with_jobs(office) as kit:
        page = kit.browser("ana").get("/jobs")
        assert "No job yet" in page.words and "lastro job list" in page.words
        assert "No such job" in kit.browser("ana").get("/jobs?state=failed").words


def test_jobs_are_listed_filtered_and_inert(office):
    with console_with_jobs(office) as kit:
        begun(kit.jobs, subject=HOSTILE, operation="no.such<script>")
        kit.jobs.submit(order(subject="proposal-9"))
        page = kit.browser("ana").get("/jobs")
        for html in (page, kit.browser("ana").get("/jobs/1")):
            inert(html)
            assert "no.such<script>" not in html.raw and "no.such<script>" in html.words
        assert {"/jobs/1", "/jobs/2", "/proposals/9"} <= set(page.links)
        queued = kit.browser("ana").get("/jobs?state=queued")
        assert "/jobs/2" in queued.links and "/jobs/1" not in queued.links
        assert "/jobs/1" not in kit.browser("ana").get("/jobs?subject=proposal-9").links
        assert "lastro job list --state queued" in queued.words


def test_a_long_list_comes_in_pages(office):
    with console_with_jobs(office) as kit:
        for _ in range(53):
            kit.jobs.submit(order(subject="run-3"))
        first = kit.browser("ana").get("/jobs?subject=run-3")
        shown = [link for link in first.links if link.startswith("/jobs/")]
        assert shown == [f"/jobs/{number}" for number in range(53, 3, -1)]
        (older,) = [link for link in first.links if "before=" in link]
        second = kit.browser("ana").get(older)
        assert [link for link in second.links if link.startswith("/jobs/")] == [
            "/jobs/3",
            "/jobs/2",
            "/jobs/1",
        ]
        assert not [link for link in second.links if "before=" in link]


def test_how_far_a_job_is(office):
    with console_with_jobs(office) as kit:
        number, ticket = begun(kit.jobs, subject="run-7")
        progress = Progress(phase="capture", files=3, bytes=500, total_bytes=2000, path=HOSTILE)
        kit.jobs.report(ticket, progress=progress, step="capture")
        page = kit.browser("ana").get(f"/jobs/{number}")
        inert(page)
        (bar,) = page.all("progress")
        assert (bar["max"], bar["value"]) == ("100", "25")
        assert "Capturing: 3 files, 500 B of 2.0 kB" in page.words
        assert "/runs/7" in page.links and "goes on" in page.words
        assert f"lastro job logs job-{number} --follow" in page.words


def test_how_long_it_may_take_is_a_range_of_what_others_took(office):
    clock = [time.time_ns()]
    with console_with_jobs(office, now_ns=lambda: clock[0]) as kit:
        for seconds in (300, 600):
            _number, ticket = begun(kit.jobs)
            clock[0] += seconds * 1_000_000_000
            kit.jobs.report(ticket)
            kit.jobs.finish(ticket, JobOutcome(reply=b"{}"))
        clock[0] = time.time_ns()
        number, _ticket = begun(kit.jobs)
        assert "4 min to 9 min more" in kit.browser("ana").get(f"/jobs/{number}").words


def test_its_log_is_told_in_sentences_and_only_what_is_new_comes_after(office):
    with console_with_jobs(office) as kit:
        number, ticket = begun(kit.jobs)
        events = [
            Event(
                kind="problem", time_ns=1, parameters={"msgid": "{x} is odd.", "parameters": {"x": HOSTILE}}
            ),
            Event(kind="keeper_back", time_ns=2),
        ]
        kit.jobs.report(ticket, events=[encode(one) for one in events])
        page = kit.browser("ana").get(f"/jobs/{number}")
        inert(page)
        assert "is odd." in page.words and "The keeper is back." in page.words
        assert page.all("div", role="log")
        (tail,) = page.all("li", id="tail")
        part = kit.browser("ana").get(tail["hx-get"], **{"hx-request": "true", "hx-target": "tail"})
        assert "is odd" not in part.words and part.all("li", id="tail") and not part.all("main")
        kit.jobs.report(ticket, events=[encode(Event(kind="keeper_away", time_ns=3))])
        part = kit.browser("ana").get(tail["hx-get"], **{"hx-request": "true", "hx-target": "tail"})
        assert "The keeper is away" in part.words and "is odd" not in part.words
        assert not kit.browser("ana").get(f"/jobs/{number}?paused=1").all("li", id="tail")
        few = kit.browser("ana").get(f"/jobs/{number}?lines=1")
        assert "is odd" not in few.words and "The keeper is away" in few.words and "lines=2000" in few.raw


def test_what_became_of_it(office):
    with console_with_jobs(office) as kit:
        number, ticket = begun(kit.jobs, operation="run")
        kit.jobs.finish(ticket, JobOutcome(reply=b'{"run":4,"state":"finished","proposal":5}'))
        page = kit.browser("ana").get(f"/jobs/{number}")
        assert {"/runs/4", "/proposals/5"} <= set(page.links)
        assert not page.all("li", id="tail") and not page.all("progress")
        failed, ticket = begun(kit.jobs)
        error = ConflictError("{what} changed.", hint="Look at {what} again.", what=HOSTILE)
        kit.jobs.finish(ticket, JobOutcome(failure=encode(failure_of(error))))
        page = kit.browser("ana").get(f"/jobs/{failed}")
        inert(page)
        assert "changed." in page.words and "Look at" in page.words
        unknown, ticket = begun(kit.jobs, operation="of.a.newer.version")
        kit.jobs.finish(ticket, JobOutcome(reply=b'{"x":1}'))
        assert "It was done." in kit.browser("ana").get(f"/jobs/{unknown}").words


def test_who_may_operate_cancels_and_nobody_else(office):
    with console_with_jobs(office) as kit:
        number = kit.jobs.submit(order()).number
        viewer = kit.browser("vera", "viewer")
        assert not viewer.get(f"/jobs/{number}").all("form", action=f"/jobs/{number}/cancel")
        viewer.post(f"/jobs/{number}/cancel", status=403)
        assert kit.jobs.find(number)[0].state is JobState.QUEUED
        ana = kit.browser("ana")
        assert ana.get(f"/jobs/{number}").all("form", action=f"/jobs/{number}/cancel")
        assert "as soon as it can" in ana.post(f"/jobs/{number}/cancel").words
        assert kit.jobs.find(number)[0].state is JobState.CANCELLED
        done, ticket = begun(kit.jobs)
        kit.jobs.finish(ticket, JobOutcome(reply=b"{}"))
        assert "over already" in ana.post(f"/jobs/{done}/cancel").words
        ana.post("/jobs/99/cancel", status=404)
        ana.get("/jobs/99", status=404)
        ana.get("/jobs/x", status=404)


def test_parts_are_refreshed_alone(office):
    with console_with_jobs(office) as kit:
        number, _ticket = begun(kit.jobs)
        for path, part in (("/jobs", "rows"), (f"/jobs/{number}", "detail")):
            html = kit.browser("ana").get(path, **{"hx-request": "true", "hx-target": part})
            assert not html.all("main") and "running" in html.words


def test_what_only_an_owner_may_ask_for_is_answered_to_who_asked_alone(office):
    with console_with_jobs(office) as kit:
        for operation in ("gateway.env", "capture", "of.a.newer.version"):
            _number, ticket = begun(kit.jobs, operation=operation, asker=ANA)
            kit.jobs.finish(ticket, JobOutcome(reply=b'{"key":"abc"}'))

        def seen(actor):
            own = kit.services.for_actor(actor)
            return [
                bool(find_operation("job.show").run(own, ShowJob(job=f"job-{number}")).reply)
                for number in (1, 2, 3)
            ]

        assert seen(ANA) == [True, True, True]
        assert seen(Actor(kind="human", name="vera", uid=-1)) == [False, True, False]
