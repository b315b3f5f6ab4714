"""Jobs in real processes: a keeper, and a runner that has only what the extra ``keeper`` installs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from lastro.app.keeper_process import keeper
from lastro.app.opening import create_repository
from lastro.app.permissions import Principal, Right
from lastro.app.places import places_of
from lastro.app.requests import Capture
from lastro.app.visiting import Visit
from lastro.app.wiring import person
from lastro.domain.clock import SystemClock
from lastro.domain.ids import LOCAL
from lastro.domain.job import JobState
from lastro.domain.record import Actor
from lastro.domain.reference import Reference

WITHOUT_AGENTS = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"aiohttp", "genai_prices", "xllamacpp"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "aiohttp" else found(name, package)
from lastro.faces.cli.main import main
sys.exit(main())
"""
PATIENCE_S = 60.0

pytestmark = pytest.mark.system


@pytest.fixture
def places(tmp_path):
    made = places_of(os.path.realpath(tmp_path / "home"))
    create_repository(made, person(), SystemClock())
    return made


def lastro(places, *words):
    done = subprocess.run(
        [sys.executable, "-m", "lastro", "--home", places.home, "--lang", "en", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def runner_without_agents(places):
    """A runner, which ends as it should."""
    words = ["--home", places.home, "--lang", "en", "runner", "serve"]
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_AGENTS, *words], stdout=subprocess.PIPE, text=True
    ) as runner:
        try:
            assert runner.stdout is not None
            assert "The runner waits for jobs; runs need" in runner.stdout.readline()
            yield
            runner.send_signal(signal.SIGTERM)
            assert runner.wait(PATIENCE_S) == 0
        finally:
            runner.kill()


def carried_out(places, services, project):
    """Jobs of somebody at the console, and what the command line says of them."""
    bia = Principal(actor=Actor(kind="human", name="bia", uid=7), rights=frozenset(Right), how="session")
    visit = Visit(services, services.jobs, bia)
    place = Reference(server=LOCAL, path=project, at=None)
    asked = visit.submit("capture", Capture(references=(place,)), subject=project)
    job = visit.jobs.find(asked.number, until_over_s=PATIENCE_S)[0]
    assert job.state is JobState.DONE and visit.reply_of(job).snapshots
    code, out, _ = lastro(places, "job", "list")
    assert code == 0 and out.split()[:2] == ["job-1", "done"] and "bia" in out
    code, out, _ = lastro(places, "job", "show", "job-1", "--json")
    reply = json.loads(out.splitlines()[-1])["reply"]
    assert reply["summary"]["actor"] == "bia" and json.loads(reply["reply"])["snapshots"]
    code, out, _ = lastro(places, "job", "logs", "--follow")
    assert code == 0 and "job-1  done  capture" in out
    failing = visit.submit(
        "capture", Capture(references=(Reference(server=LOCAL, path="/no/such", at=None),))
    )
    assert visit.jobs.find(failing.number, until_over_s=PATIENCE_S)[0].state is JobState.FAILED
    code, out, _ = lastro(places, "job", "logs", "job-2", "--follow")
    assert code == 1 and "job-2  failed" in out and "No such file" in out
    code, _, err = lastro(places, "job", "cancel", "job-9")
    assert code == 1 and "There is no job-9." in err


def test_a_runner_without_agents_takes_jobs_and_says_so(places, tmp_path):
    project = os.path.realpath(tmp_path / "project")
    os.mkdir(project)
    with open(f"{project}/a", "wb") as file:
        file.write(b"one")
    with keeper(places, emit=lambda _: None) as running, runner_without_agents(places):
        carried_out(places, running.services, project)
    code, _, err = lastro(places, "job", "list")
    assert code == 75 and "lastro up" in err
