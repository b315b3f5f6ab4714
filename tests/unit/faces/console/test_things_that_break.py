"""Pages while something that they need is broken, is away, or takes long."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import httpx
import msgspec
import pytest

from lastro.app.event_feed import EventFeed
from lastro.app.jobs.store import SqlJobs
from lastro.app.operations.login import login
from lastro.app.requests.accounts import Login
from lastro.catalogue.database import cannot_be_used, open_memory
from lastro.domain.job import JobState
from lastro.errors import ConfigError
from lastro.faces.console.server import serve
from lastro.faces.http.remote import remote_api
from lastro.keeper.connection import KeeperLoop
from lastro.transport.address import bind_tcp
from tests.console_kit import COOKIE, DoorOfTests, Kit, console_over, services_of_home
from tests.decision_kit import Office

pytestmark = pytest.mark.slow


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


class BrokenDoor(DoorOfTests):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def entered(self, _secret):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(cannot_be_used("/x/accounts.db", "database or disk is full"), 503), (ValueError("odd"), 500)],
    ids=["full", "defect"],
)
def test_accounts_that_cannot_be_read_are_a_page_that_says_so(tmp_path, error, status):
    with services_of_home(tmp_path) as services:
        kit = Kit(services, door=BrokenDoor(error))
        try:
            for page in (
                kit.browser("ana").get("/jobs", status=status),
                kit.browser("ana").post("/logout", status=status),
            ):
                assert str(error) in page.words and "To the inbox" in page.words
        finally:
            kit.close()


def test_what_was_asked_for_and_nobody_carries_out_yet_leads_to_its_job(office, monkeypatch):
    monkeypatch.setattr("lastro.app.visiting.PATIENCE_S", 0.0)
    monkeypatch.setattr("lastro.app.visiting.Visit.ask.__kwdefaults__", {"subject": "", "patience_s": 0.0})
    with console_over(office) as old:
        jobs = SqlJobs(open_memory())
        kit = Kit(old.services, jobs=jobs)
        try:
            sent = kit.browser("ana").send("/runs/new", {"project": office.root, "command": "true"})
            assert (sent.status_code, sent.headers["location"]) == (303, "/jobs/1?said=started")
            assert [job.state for job in jobs.newest()] == [JobState.QUEUED]
        finally:
            kit.close()
            jobs.close()


def test_who_proved_it_before_the_clock_was_set_back_proves_it_again(office):
    with console_over(office) as kit:
        kit.door.stepped_up.add("ana")
        assert kit.browser("ana").get("/setup/kit").all("h1")
        entered, ahead_ns = kit.door.entered, 24 * 3600 * 10**9

        def later(secret):
            found = entered(secret)
            session = msgspec.structs.replace(found.session, stepped_up_ns=time.time_ns() + ahead_ns)
            return msgspec.structs.replace(found, session=session)

        kit.door.entered = later
        answer = kit.client.get(
            "/setup/kit", headers={"cookie": f"{COOKIE}=ana:owner"}, follow_redirects=False
        )
        assert answer.status_code == 303 and answer.headers["location"].startswith("/step-up")


def test_no_link_is_given_to_a_console_that_is_not_installed(tmp_path, monkeypatch):
    with services_of_home(tmp_path) as services:
        assert login(services, Login()).url
        monkeypatch.setattr("importlib.util.find_spec", lambda _name, _package=None: None)
        with pytest.raises(ConfigError) as caught:
            login(services, Login())
    assert "lastro[console]" in caught.value.hint


class WaitingVisit:
    """Whose operations wait for something on the loop that also serves the pages."""

    services = None

    def __init__(self, loop, entered, go_on, heard):
        self.loop, self.entered, self.go_on, self.heard = loop, entered, go_on, heard

    def call(self, _name, _request):
        async def wait():
            return await asyncio.to_thread(self.go_on.wait, 30)

        self.entered.set()
        self.heard.append(self.loop.call(wait(), timeout_s=30))
        raise ConfigError("It has waited.")


def test_a_page_that_waits_for_the_keepers_loop_hears_of_it_while_the_console_ends():
    entered, go_on, heard = threading.Event(), threading.Event(), []
    listener = bind_tcp("127.0.0.1", 0, option="none")
    port = listener.getsockname()[1]

    def ask():
        with suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/jobs", headers={"cookie": f"{COOKIE}=ana:owner"}, timeout=60)
        go_on.set()  # its reader was let go

    with KeeperLoop() as loop:

        async def begin():
            stop = asyncio.Event()
            serving = serve(
                listener,
                api=remote_api,
                feed=EventFeed(),
                door=DoorOfTests(),
                visit=lambda _principal: WaitingVisit(loop, entered, go_on, heard),
                names=(),
                cookie=COOKIE,
                zone=lambda: None,
                stop=stop,
            )
            return stop, asyncio.get_running_loop().create_task(serving)

        async def end():
            stop.set()
            await asyncio.wait([task])

        stop, task = loop.call(begin())
        reader = threading.Thread(target=ask, daemon=True)
        reader.start()
        assert entered.wait(30)
        loop.call(end())
        reader.join(60)
    assert set(heard) == {True}, "the loop waited for a thread that waited for the loop"
