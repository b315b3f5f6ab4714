"""A job that goes, watched in a real browser: it moves on by itself, its log grows at its end, and it can be paused and cancelled."""

from __future__ import annotations

import time

import pytest

from lastro.app.encoding import encode
from lastro.app.events import Event
from lastro.app.jobs.store import SqlJobs
from lastro.app.opening import open_services
from lastro.app.wiring import person
from lastro.catalogue.database import open_memory
from lastro.domain.clock import SystemClock
from lastro.domain.job import JobOutcome
from lastro.domain.progress import Progress
from tests.browser import kit
from tests.browser.kit import until
from tests.conformance.jobs import order
from tests.console_kit import Kit
from tests.decision_kit import Office

pytestmark = [pytest.mark.system, pytest.mark.slow]
HOSTILE = '<img src=x onerror=alert(1)> hx-get="/x" \x1b[31m\u202e'


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """A console whose jobs are done by the test."""
    office = Office.made(str(tmp_path_factory.mktemp("console")), {"a": b"one\n"})
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        made = Kit(services, jobs=SqlJobs(open_memory()))
        made.happenings = kit.Happenings(made.client.app)
        with kit.served(made.happenings) as made.address:
            yield made
        made.close()
        made.jobs.close()


class Worker:
    """Takes the next job, and does what the test says."""

    def __init__(self, console):
        self.console = console
        console.jobs.submit(order(operation="capture", subject=HOSTILE))
        self.job = console.jobs.take("runner", "host/1", timeout_s=0)
        self.number = self.job.number
        self.says()

    def says(self, *lines, **progress):
        events = [
            encode(
                Event(
                    kind="problem",
                    time_ns=time.time_ns(),
                    parameters={"msgid": "{line}", "parameters": {"line": line}},
                )
            )
            for line in lines
        ]
        made = Progress(phase="capture", **progress) if progress else None
        self.console.jobs.report(
            self.job.ticket, progress=made, step="capture" if progress else "", events=events
        )
        self.console.happenings.happen("job")

    def ends(self):
        self.console.jobs.finish(self.job.ticket, JobOutcome(reply=b'{"snapshots":[]}'))
        self.console.happenings.happen("job")


@pytest.mark.parametrize(("theme", "width"), [("light", 1180), ("dark", 320)])
def test_a_job_is_watched_to_its_end(window, console, theme, width):
    worker = Worker(console)
    worker.says("First line", files=1, bytes=10, total_bytes=100)
    one = window(theme=theme, width=width)
    page = one.open(f"/jobs/{worker.number}")
    one.check()
    worker.says("Second line", HOSTILE, files=5, bytes=50, total_bytes=100)
    page.get_by_text("Second line").wait_for()
    page.get_by_text("50 B of 100 B").first.wait_for()
    assert page.get_by_role("progressbar").get_attribute("value") == "50"
    assert page.get_by_text("First line").count() == 1  # what is there already is not said again
    worker.says("Third line")
    page.get_by_text("Third line").wait_for()
    lines = [text for text in page.locator("[role=log] li").all_inner_texts() if text]
    assert lines[0].endswith("First line") and lines[-1].endswith("Third line")
    one.check()
    worker.ends()
    page.get_by_text("What came of it").wait_for()
    assert page.get_by_role("progressbar").count() == 0
    one.check()


def test_a_log_that_is_paused_stays_as_it_is(window, console):
    worker = Worker(console)
    worker.says("First line")
    until(lambda: not console.happenings.followers)
    one = window()
    page = one.open(f"/jobs/{worker.number}")
    until(lambda: console.happenings.followers == 1)
    asked = console.happenings.asked
    page.get_by_role("link", name="Pause").click()
    page.get_by_text("Go on showing what comes").wait_for()
    until(lambda: console.happenings.asked > asked and console.happenings.followers == 1)
    worker.says("Unseen line", files=7, bytes=1)
    page.get_by_text("7 files").first.wait_for()
    assert page.get_by_text("Unseen line").count() == 0
    page.get_by_text("Go on showing what comes").click()
    page.get_by_text("Unseen line").wait_for()
    one.check()


def test_cancelling_by_keyboard(window, console):
    worker = Worker(console)
    until(lambda: not console.happenings.followers)
    one = window()
    page = one.open(f"/jobs/{worker.number}")
    until(lambda: console.happenings.followers == 1)
    button = page.get_by_role("button", name="Cancel it")
    button.focus()
    worker.says(files=3)
    page.get_by_text("3 files").first.wait_for()
    assert button.evaluate(
        "one => one === document.activeElement"
    )  # nothing that is refreshed takes the focus away
    page.keyboard.press("Enter")
    page.get_by_text("It ends as soon as it can; what it did stays.").wait_for()
    assert console.jobs.find(worker.number)[0].cancelling
    one.check()


def test_the_list_moves_on_and_what_is_hostile_is_inert(window, console):
    one = window()
    until(lambda: not console.happenings.followers)
    page = one.open("/jobs")
    until(lambda: console.happenings.followers == 1)
    worker = Worker(console)
    page.get_by_role("link", name=f"job-{worker.number}", exact=True).wait_for()
    assert page.locator("main img").count() == 0
    one.check()
