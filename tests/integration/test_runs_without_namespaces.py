"""A host whose kernel lets users make no namespaces: an agent works on a copy, with Landlock alone around it, which is said everywhere."""

from __future__ import annotations

import os

import pytest

from tests.capabilities import WITHOUT_NAMESPACES
from tests.integration.commands import Home
from tests.integration.test_runs import WORK, approve, listing, make_project, run, shown, typed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("a host without namespaces")]

LACKING = {"attributes", "reading", "network"}


class PoorHome(Home):
    """Lastro on such a host."""

    def command(self, *arguments):
        return [*WITHOUT_NAMESPACES, *super().command(*arguments)]


@pytest.fixture
def poor(tmp_path):
    make_project(tmp_path / "project")
    home = PoorHome(str(tmp_path / "home"), {"HOME": str(tmp_path)})
    home.ask("init")
    return home, str(tmp_path / "project")


def allow(home, *forbidden):
    os.makedirs(f"{home.path}/config", exist_ok=True)
    with open(f"{home.path}/config/policy.toml", "w", encoding="ascii") as file:
        file.write(f"version = 1\nforbid_degraded = {list(forbidden)}\n".replace("'", '"'))


def test_what_only_namespaces_can_hold_may_be_demanded(poor):
    home, project = poor
    allow(home, "attributes")
    answer = home.run("run", "--json", "--project", project, "--", "sh", "-c", "echo > made")
    assert answer.code == 5
    assert "attributes" in answer.result["message"]
    assert home.ask("runs", "list")["runs"] == []
    assert not os.path.exists(f"{project}/made")


def test_landlock_alone_keeps_an_agent_from_writing_elsewhere(poor, tmp_path):
    home, project = poor
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    script = f"echo theirs > {elsewhere}; rm {elsewhere}; echo > {project}/live; echo > made; true"
    reply = home.run("run", "--json", "--project", project, "--", "sh", "-c", script).result["reply"]
    assert (reply["state"], reply["files"]) == ("finished", 1)
    assert elsewhere.read_text() == "mine"
    assert not os.path.exists(f"{project}/live")


def test_a_run_works_on_a_copy_and_everything_says_so(poor):
    home, project = poor
    typed(home, "approver", "add", "ana")
    before = listing(project)
    reply = run(home, project, f"{WORK}\nexit 3")
    assert (reply["state"], reply["exit_status"]) == ("finished", 3)
    assert set(reply["degraded"]) >= LACKING
    assert listing(project) == before
    found = home.ask("runs", "show", f"run-{reply['run']}")
    assert set(found["facts"]["enforcement"]["degraded"]) >= LACKING
    assert found["facts"]["enforcement"]["view"] == "copy"
    proposal = shown(home, reply["proposal"])
    assert set(proposal["enforcement"]["degraded"]) >= LACKING
    assert proposal["risk"] in {"medium", "high"}
    said = home.run("proposal", "show", f"proposal-{reply['proposal']}").out
    assert "Not enforced here" in said
    approve(home, reply["proposal"])
    assert os.path.exists(f"{project}/docs/moved")
    assert not os.path.exists(f"{project}/gone")


def test_each_limit_can_be_demanded(poor):
    home, project = poor
    allow(home, "network")
    answer = home.run("run", "--json", "--project", project, "--", "true")
    assert answer.code == 5
    assert "network" in answer.result["message"]


def test_an_overlay_that_cannot_be_is_refused_and_the_doctor_says_why(poor):
    home, project = poor
    allow(home)
    answer = home.run("run", "--json", "--project", project, "--view", "overlay", "--", "true")
    assert answer.code == 2
    findings = home.ask("doctor")["findings"]
    warned = [
        finding for finding in findings if finding["topic"] == "agents" and finding["state"] == "warning"
    ]
    assert len(warned) >= 2
    assert all(finding["said"]["hint"] for finding in warned)
