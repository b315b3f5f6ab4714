"""Runs beside each other, and runs whose supervisor or keeper dies: no update is lost, whoever decides first."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time

import pytest

from tests.integration.commands import Home, wait_until
from tests.integration.test_runs import (
    approve,
    files_of,
    listing,
    make_project,
    run,
    running,
    shown,
    state_of,
    typed,
)

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("linux", "bubblewrap")]


@pytest.fixture
def small(tmp_path):
    """A home with an approver, and a project, of whoever runs the tests."""
    project = tmp_path / "project"
    make_project(project)
    home = Home(str(tmp_path / "home"), {"HOME": str(tmp_path)})
    home.ask("init")
    typed(home, "approver", "add", "ana")
    return home, str(project)


def state_of_proposal(home, proposal):
    return shown(home, proposal)["state"]


def append(number):
    """What a run does: its own line in a file of all, unless it is there, and a file of its own."""
    return f"grep -qx line-{number} edited || echo line-{number} >> edited; echo {number} > own-{number}"


def text(project, name):
    with open(f"{project}/{name}", encoding="ascii") as file:
        return file.read()


@pytest.mark.parametrize("seed", [1])
def test_ten_runs_at_once_decided_in_any_order_lose_no_update(small, seed):
    home, project = small
    order = random.Random(seed)
    replies = at_once(lambda number: run(home, project, append(number)), range(1, 11))
    assert sorted(reply["proposal"] for reply in replies) == list(range(1, 11))
    waiting = [reply["proposal"] for reply in replies]
    order.shuffle(waiting)
    rebased = 0
    while waiting:
        proposal = waiting.pop(order.randrange(len(waiting)))
        before = listing(project)
        answer = approve(home, proposal, code=None)
        if answer.code == 0:
            continue
        assert answer.code == 7, answer
        assert listing(project) == before  # all of it, or nothing
        again = home.ask("proposal", "rebase", f"proposal-{proposal}")
        assert again["new_proposal"] not in {0, proposal}
        assert listing(project) == before
        waiting.append(again["new_proposal"])
        rebased += 1
        assert rebased <= 100
    assert sorted(text(project, "edited").splitlines()[2:]) == sorted(f"line-{n}" for n in range(1, 11))
    for number in range(1, 11):
        assert text(project, f"own-{number}") == f"{number}\n"
    assert rebased
    assert home.run("audit", "verify", "--json").code == 0


def test_what_merges_is_merged_and_what_does_not_goes_back_to_its_agent(small):
    home, project = small
    with open(f"{project}/edited", "w", encoding="ascii") as file:
        file.writelines(f"{number}\n" for number in range(20))
    run(home, project, "sed -i 's/^2$/two/' edited")
    run(home, project, "sed -i 's/^17$/seventeen/' edited")
    run(home, project, "sed -i 's/^2$/zwei/; s/^two$/zwei/' edited; chmod 755 script")
    approve(home, 1)
    approve(home, 2)  # elsewhere in the same file: merged
    assert "two" in text(project, "edited").split()
    assert "seventeen" in text(project, "edited").split()
    before = listing(project)
    refused = approve(home, 3, code=7)
    assert "edited" in refused.out
    assert listing(project) == before  # the script's mode neither
    assert state_of_proposal(home, 3) == "conflict"
    again = home.ask("proposal", "rebase", "proposal-3")
    assert files_of(home, again["new_proposal"]) == {"edited": "changed", "script": "changed"}
    approve(home, again["new_proposal"])
    assert "zwei" in text(project, "edited").split()
    assert "seventeen" in text(project, "edited").split()
    assert os.access(f"{project}/script", os.X_OK)


def test_a_lease_ends_with_its_run_however_that_ends(small):
    home, project = small
    with running(home, project, "echo ready; sleep 71", "--lease", "docs/**") as one:
        wait_until(lambda: one.said("ready"))
        taken = home.run("run", "--json", "--project", project, "--lease", "docs/*", "--", "true")
        assert taken.code == 7
        one.process.kill()
        one.process.wait()
    reply = run(home, project, "echo x >> docs/kept", "--lease", "docs/*")
    assert files_of(home, reply["proposal"]) == {"docs/kept": "changed"}
    assert state_of(home) == "interrupted"


def test_supervisors_killed_at_any_instant_lose_no_work(small):
    """Whatever an agent had written when its supervisor was killed is proposed afterwards, and can be applied."""
    home, project = small
    chance, before = random.Random(4), listing(project)
    script = "n=0; while [ $n -lt 400 ]; do n=$((n+1)); echo $n > part-$n; echo $n; done; sleep 0.2"
    for number in range(1, 21):
        process = subprocess.Popen(
            home.command("run", "--json", "--project", project, "--", "sh", "-c", script),
            env=home.surroundings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.2, 1.2))
        process.kill()
        process.wait()
        assert listing(project) == before
        seen = heard(home, number)
        runs = home.ask("runs", "list", "--limit", "1")["runs"]
        if not runs or runs[0]["run"] != number or runs[0]["state"] == "preparing":
            # It had not begun: as if it had never been asked for.
            if not runs or runs[0]["run"] != number:
                run(home, project, "true")
            continue
        if runs[0]["state"] == "interrupted":
            reply = home.ask("runs", "propose", f"run-{number}")
            assert (reply["state"] == "empty") <= (seen == 0)
        found = home.ask("runs", "show", f"run-{number}")
        assert found["state"] in {"cancelled", "finished", "empty", "failed"}
        if found["proposal"]:
            parts = {int(path.partition("-")[2]) for path in files_of(home, found["proposal"])}
            assert parts == set(range(1, len(parts) + 1))
            assert len(parts) >= seen
        else:
            assert seen == 0
    assert listing(project) == before
    assert home.run("audit", "verify", "--json").code == 0


def heard(home, number):
    """How many parts the agent of a run is known to have written."""
    try:
        with open(f"{home.path}/state/runs/run-{number}/output.jsonl", "rb") as file:
            return sum(1 for line in file.read().splitlines() if line.endswith(b"}"))
    except FileNotFoundError:
        return 0


def test_keepers_killed_at_any_instant_lose_nothing(small):
    """The keeper is killed and started again, over and over, while agents work and a human decides."""
    home, project = small
    chance = random.Random(5)
    over = threading.Event()

    def kill():
        while not over.is_set():
            with home.serving("keeper", "serve") as keeper:
                over.wait(chance.uniform(0.3, 1.5))
                keeper.process.kill()
                keeper.process.wait()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        replies = [run(home, project, append(number)) for number in range(1, 9)]
    finally:
        over.set()
        killing.join()
    assert [reply["state"] for reply in replies] == ["finished"] * 8
    assert sorted({reply["proposal"] for reply in replies}) == list(range(1, 9))
    for number, reply in enumerate(replies, 1):
        assert files_of(home, reply["proposal"]) == {"edited": "changed", f"own-{number}": "added"}
    assert home.run("audit", "verify", "--json").code == 0


def test_what_waits_for_a_human_survives_every_restart(small):
    home, project = small
    with home.serving("keeper", "serve") as keeper:
        keeper.wait_event("listening")
        proposal = run(home, project, append(1))["proposal"]
        first = shown(home, proposal)
        keeper.process.kill()
        keeper.process.wait()
    assert shown(home, proposal)["digest"] == first["digest"]  # without a keeper
    with home.serving("keeper", "serve") as keeper:
        keeper.wait_event("listening")
        assert shown(home, proposal)["digest"] == first["digest"]
        queued = run(home, project, append(2), "--queue")
        assert queued["state"] == "queued"
    with home.serving("up", project) as up:
        up.wait_event("ready")
        wait_until(lambda: state_of(home, queued["run"]) == "finished")
        approve(home, proposal)
    assert text(project, "own-1") == "1\n"
    home.run("undo", "--json")
    assert state_of_proposal(home, 2) == "open"


def test_up_takes_over_from_a_run_and_carries_out_what_waits(small):
    """``lastro up`` while a run is the keeper; then its runner, stopped in the middle of a run, keeps that one's work."""
    home, project = small
    go = f"{home.path}/state/runs/run-1/home/go"
    with running(
        home, project, "echo ready; while [ ! -e $HOME/go ]; do sleep 0.05; done; echo 1 > own-1"
    ) as one:
        wait_until(lambda: one.said("ready"))
        with home.serving("up", project) as up:
            up.wait_event("ready")
            assert state_of(home) == "running"
            queued = run(home, project, "echo 2 > own-2; sleep 72", "--queue")
            wait_until(lambda: os.path.exists(f"{home.path}/state/runs/run-{queued['run']}/upper/own-2"))
            with open(go, "wb"):
                pass
            assert one.process.wait(60) == 0
            assert files_of(home, one.reply["proposal"]) == {"own-1": "added"}
            assert up.stop(signal.SIGINT) == 0
    found = home.ask("runs", "show", f"run-{queued['run']}")
    assert found["state"] == "cancelled"
    assert files_of(home, found["proposal"]) == {"own-2": "added"}
    assert subprocess.run(["pgrep", "-fx", "sleep 72"], capture_output=True, check=False).stdout == b""


def at_once(call, items):
    """``call`` for each item, at the same time; what they gave, in order."""
    given, errors = {}, []

    def one(item):
        try:
            given[item] = call(item)
        except BaseException as error:  # noqa: BLE001  raised below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [given[item] for item in items]
