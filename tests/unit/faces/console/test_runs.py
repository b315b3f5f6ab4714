"""Runs as pages."""

from __future__ import annotations

import os

import msgspec
import pytest

from lastro.agents.output import OutputFile
from lastro.agents.stepping import STEPS_NAME
from lastro.agents.supervision_places import run_places
from lastro.app.requests.runs import BeginRun, RecordRunState
from lastro.domain.run import RunStep
from tests.console_kit import console_over
from tests.decision_kit import Office

HOSTILE = '<img src=x onerror=alert(1)> hx-get="/x" \x1b[31m\u202e'


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


def begin(kit, number, **fields):
    request = BeginRun(
        **{
            "id": f"{number:032x}",
            "project": "/srv/app",
            "role": "client-agent",
            "agent": "generic",
            "command": ("sh", "-c", HOSTILE),
            "purpose": HOSTILE,
            "policy_digest": "",
            **fields,
        }
    )
    return kit.desk.caller.call("runs.begin", request).run


def test_no_run_yet(office):
    with console_over(office) as kit:
        page = kit.browser("ana").get("/runs")
        assert "No run yet" in page.words and "/runs/new" in page.links
        assert "/runs/new" not in kit.browser("vera", "viewer").get("/runs").links


def test_runs_and_one_whole(office):
    with console_over(office) as kit:
        number = begin(kit, 1)
        page = kit.browser("ana").get("/runs")
        assert f"/runs/{number}" in page.links and "preparing" in page.words
        assert kit.browser("ana").get("/runs?state=queued").words.count("run-1") == 0
        one = kit.browser("ana").get(f"/runs/{number}")
        assert one.all("form", action=f"/runs/{number}/stop")
        for html in (page, one):
            assert not html.all("img") and "\x1b" not in html.raw and "\u202e" not in html.raw
        kit.desk.caller.call("runs.state", RecordRunState(run=number, state="interrupted"))
        again = kit.browser("ana").get(f"/runs/{number}")
        assert not again.all("form", action=f"/runs/{number}/stop")
        assert again.all("form", action=f"/runs/{number}/propose")
        kit.browser("ana").get("/runs/99", status=404)
        kit.browser("ana").get("/runs/zero", status=404)


def test_a_run_is_started_by_a_form_and_waits_for_a_runner(office):
    with console_over(office) as kit:
        ana = kit.browser("ana")
        assert ana.get("/runs/new").all("option", value=office.root)
        page = ana.post(
            "/runs/new", {"project": office.root, "command": "sh -c 'echo two > a'", "kind": "command"}
        )
        assert "run-1" in page.words and "queued" in page.words
        refused = ana.post("/runs/new", {"project": office.root, "command": "sh -c 'x"}, status=400)
        assert "no command line" in refused.words


def test_who_may_only_look_starts_and_stops_nothing(office):
    with console_over(office) as kit:
        number = begin(kit, 1)
        vera = kit.browser("vera", "viewer", "approver")
        for path in ("/runs/new", f"/runs/{number}/stop", f"/runs/{number}/propose"):
            assert "operate" in vera.post(path, {"project": office.root, "command": "true"}, status=403).words
        assert kit.jobs.done == []


def test_what_the_agent_says_stands_beside_its_steps_while_it_works(office):
    with console_over(office) as kit:
        number, ana = begin(kit, 1), kit.browser("ana")
        assert "It said nothing yet" in ana.get(f"/runs/{number}").words
        kit.desk.caller.call("runs.state", RecordRunState(run=number, state="running"))
        places = run_places(office.places.state, number)
        os.makedirs(places.directory, exist_ok=True)
        output = OutputFile(places.output)
        output.write(10**18, "stdout", f"{HOSTILE}\nI am done\n".encode())
        output.close()
        step = RunStep(number=3, exchange="ex-1", time_ns=2 * 10**18, paths=(b"docs/caf\xe9",))
        with open(f"{places.directory}/{STEPS_NAME}", "wb") as file:
            file.write(msgspec.json.encode(step) + b"\n")
        page = ana.get(f"/runs/{number}")
        assert not page.all("img") and "\x1b" not in page.raw and "\u202e" not in page.raw
        assert page.words.index("I am done") < page.words.index("Step 3") < page.words.index("docs/caf")
        assert "/gateway/exchanges/ex-1" in page.links
        assert page.all("section", **{"hx-get": f"/runs/{number}"})
        assert not ana.get(f"/runs/{number}?paused=1").all("section", **{"hx-get": f"/runs/{number}"})
        part = ana.get(f"/runs/{number}", **{"hx-request": "true", "hx-target": "said"})
        assert "I am done" in part.words and not part.all("h1")
        kit.desk.caller.call("runs.state", RecordRunState(run=number, state="interrupted"))
        assert not ana.get(f"/runs/{number}").all("section", **{"hx-get": f"/runs/{number}"})
