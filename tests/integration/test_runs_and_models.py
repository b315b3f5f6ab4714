"""Runs that ask models: steps, budgets, and an agent that is sent back, with a real gateway and a scripted provider."""

from __future__ import annotations

import json
import os

import pytest

from lastro.agents.supervision_places import run_places
from tests.coding_tools.scripts import AFTER, CHANGED, DELETED, LOCKED, PROJECT, SCRIPTS, Work
from tests.integration.commands import Home
from tests.integration.gateway import configure, running_gateway
from tests.integration.providers import provider
from tests.integration.test_proposals import enrol, say
from tests.upstreams import Says, Turn

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.needs("linux", "overlays"),
]

ASK = """
import json, os, urllib.error, urllib.request
def ask(text):
    body = json.dumps({"model": "auto", "max_tokens": 10, "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
"""


def configuration(upstream, dialect="chat"):
    return (
        f'[providers.scripted]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\ndialects = ["{dialect}"]\n'
        '[providers.scripted.models."m"]\ntools = "yes"\n[routes.default]\nmodels = ["scripted/m"]\n'
    )


@pytest.fixture
def home(tmp_path):
    made = Home(str(tmp_path / "home"), {"HOME": str(tmp_path)})
    made.ask("init")
    return made


@pytest.fixture
def project(tmp_path):
    path = tmp_path / "project"
    path.mkdir()
    for name, content in PROJECT.items():
        (path / name).write_text(content)
    return str(path)


def python(home, project, script, *options):
    arguments = (
        "run",
        "--json",
        "--project",
        project,
        *options,
        "--",
        "/usr/bin/python3",
        "-c",
        ASK + script,
    )
    answer = home.run(*arguments)
    assert answer.code == 0, answer
    return answer.reply


def shown(home, number):
    return home.ask("proposal", "show", f"proposal-{number}")


def test_each_change_is_tied_to_the_call_that_came_before_it(home, project):
    script = """
open('early', 'w').write('0')
ask('one')
open('first', 'w').write('1'); os.remove('deleted.txt')
ask('two')
open('first', 'w').write('22'); open('second', 'w').write('2')
"""
    with provider([Turn(), Turn()]) as upstream:
        configure(home, configuration(upstream))
        with running_gateway(home):
            reply = python(home, project, script)
            keys = home.ask("gateway", "keys", "list")["keys"]
    assert (reply["state"], reply["steps"], reply["tokens"]) == ("finished", 3, 2 * (11 + 7))
    found = {file["path"]: tuple(file["steps"]) for file in shown(home, reply["proposal"])["files"]}
    assert found == {"early": (1,), "first": (2, 3), "deleted.txt": (2,), "second": (3,)}
    steps = shown(home, reply["proposal"])["steps"]
    assert [bool(step["exchange"]) for step in steps] == [False, True, True]
    exchanges = home.ask("gateway", "exchanges", "search")["exchanges"]
    assert {step["exchange"] for step in steps if step["exchange"]} == {one["id"] for one in exchanges}
    assert [key["state"] for key in keys if key["run"] == "run-1"] == ["revoked"]


def test_a_budget_ends_the_run_and_its_work_is_proposed(home, project):
    policy = f"{home.path}/config/policy.toml"
    with open(policy, "w", encoding="ascii") as file:
        file.write('[roles.poor]\nwrite = ["**"]\n[roles.poor.limits]\ntokens = 200\n')
    script = "open('half', 'w').write('1')\nwhile ask('again') == 200: pass\nimport time; time.sleep(0.8)"
    with provider(lambda _: Turn(says=Says(text="x"))) as upstream:
        configure(home, configuration(upstream))
        with running_gateway(home):
            reply = python(home, project, script, "--role", "poor")
    assert (reply["state"], reply["cause"]) == ("failed", "budget")
    assert {file["path"] for file in shown(home, reply["proposal"])["files"]} == {"half"}


def work(project):
    return Work(project=project, outside=f"/etc/lastro-{os.getpid()}", port=9)


def test_the_built_in_agent_brings_its_own_gateway(home, project):
    script = SCRIPTS["offline"]
    with provider(script.answers(work(project))) as upstream:
        configure(home, configuration(upstream, script.dialect))
        answer = home.run("run", "--json", "--project", project, "--agent", "offline", "Do the work.")
    assert answer.code == 0, answer
    assert answer.reply["state"] == "finished"
    found = shown(home, answer.reply["proposal"])
    paths = {file["path"] for file in found["files"]}
    assert paths - {LOCKED} == set(CHANGED)
    assert found["last_words"]
    assert sorted(os.listdir(project)) == sorted(PROJECT)
    assert home.run("gateway", "status", "--json").code != 0 or not home.ask("gateway", "status").get(
        "running"
    )


def test_an_agent_that_is_sent_back_goes_on_from_its_work(home, project):
    script = SCRIPTS["offline"]
    with provider(script.answers(work(project))) as upstream:
        configure(home, configuration(upstream, script.dialect))
        first = home.run("run", "--json", "--project", project, "--agent", "offline", "Do the work.")
        assert first.code == 0, first
        before = len(upstream.requests)
        again = home.run("proposal", "comment", "proposal-1", "-m", "Say it louder.", "--json")
        assert again.code == 0, again
        asked = json.dumps([received.body.decode() for received in upstream.requests[before:]])
    assert "Say it louder." in asked
    assert "Do the work." in asked
    assert again.reply["run"] == 2
    found = shown(home, again.reply["new_proposal"])
    assert {file["path"] for file in found["files"]} - {LOCKED} == set(CHANGED)
    detail = home.ask("runs", "show", "run-2")
    assert detail["resumes"] == 1


def test_another_agent_goes_on_from_the_work_of_the_first(home, project):
    command = ("sh", "-c", "echo first > made.txt; echo own > ~/settings")
    assert home.run("run", "--json", "--project", project, "--", *command).reply["proposal"] == 1
    script = SCRIPTS["offline"]
    with provider(script.answers(work(project))) as upstream:
        configure(home, configuration(upstream, script.dialect))
        words = ("proposal", "comment", "proposal-1", "--agent", "offline", "-m", "Say it louder.", "--json")
        again = home.run(*words)
        assert again.code == 0, again
        asked = json.dumps([received.body.decode() for received in upstream.requests])
    assert "Say it louder." in asked
    assert "made.txt" not in asked, "a command is no task for an agent"
    detail = home.ask("runs", "show", f"run-{again.reply['run']}")
    assert (detail["agent"], detail["resumes"]) == ("offline", 1)
    homes = [run_places(f"{home.path}/state", number).home for number in (1, 2)]
    assert [os.path.exists(f"{one}/settings") for one in homes] == [True, False], (
        "settings are the first's own"
    )
    found = shown(home, again.reply["new_proposal"])
    paths = {file["path"] for file in found["files"]}
    assert paths - {LOCKED} == {*CHANGED, "made.txt"}


def test_what_was_approved_is_sent_on_to_another_agent(home, project):
    command = ("sh", "-c", "echo first > made.txt")
    assert home.run("run", "--json", "--project", project, "--", *command).reply["proposal"] == 1
    enrol(home)
    script = SCRIPTS["offline"]
    with provider(script.answers(work(project))) as upstream:
        configure(home, configuration(upstream, script.dialect))
        sent = ("--rest", "Now document it.", "--agent", "offline")
        done = say(home, "proposal", "approve", "proposal-1", "--yes", *sent)
        assert (done.code, done.reply["state"], done.reply["sent_back"]) == (0, "applied", 2), done
        asked = json.dumps([received.body.decode() for received in upstream.requests])
    assert "Now document it." in asked and "was accepted, and applied" in asked
    found = shown(home, home.ask("runs", "show", "run-2")["proposal"])
    assert {file["path"] for file in found["files"]} - {LOCKED} == set(CHANGED), "made.txt is live already"


def test_a_rebase_starts_with_the_work_merged_onto_what_is_live(home, project):
    command = ("sh", "-c", "sed -i s/one/uno/ edited.txt; echo new > native.txt; cp edited.txt seen")
    first = home.run("run", "--json", "--project", project, "--", *command)
    assert first.reply["proposal"] == 1, first
    with open(f"{project}/edited.txt", "a", encoding="ascii") as file:
        file.write("\n\n\nby a human\n")
    with open(f"{project}/kept.txt", "w", encoding="ascii") as file:
        file.write("also by a human\n")
    again = home.run("proposal", "rebase", "proposal-1", "--json")
    assert again.code == 0, again
    found = {file["path"]: file for file in shown(home, again.reply["new_proposal"])["files"]}
    assert set(found) == {"edited.txt", "native.txt", "seen"}
    lines = [line for hunk in found["edited.txt"]["hunks"] for line in hunk["lines"]]
    assert "-one" in lines
    assert "+uno" in lines
    assert " by a human" in lines or len(lines) < 9
    assert AFTER["kept.txt"]
    assert DELETED in os.listdir(project)
    assert home.ask("runs", "show", "run-2")["rebases"] == 1
