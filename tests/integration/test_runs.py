"""``lastro run`` as a person uses it: real processes, a real jail, a real keeper."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.capabilities import needs
from tests.integration.commands import Answer, Home, Server, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("linux")]

NOBODY = 65534
PASSPHRASE = b"correct horse battery staple\n"


class OtherHome(Home):
    """A home of a user without any rights."""

    def command(self, *arguments):
        return [*AS_NOBODY, interpreter_of_nobody(), "-m", "lastro", *arguments]


AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@cache
def interpreter_of_nobody():
    """A Python of this version that another user may run by its real path, also inside a jail; ``""``: there is none."""
    version = (
        "import os, sys; sys.exit(sys.version_info[:2] != ({}, {}) or not os.access(sys.argv[1], os.X_OK))"
    )
    version = version.format(*sys.version_info)
    for found in (os.path.realpath(sys.executable), shutil.which("python3", path="/usr/bin") or ""):
        if found:
            done = subprocess.run(
                [*AS_NOBODY, found, "-c", version, found], capture_output=True, check=False, cwd="/"
            )
            if done.returncode == 0:
                return found
    return ""


@pytest.fixture(
    params=[
        pytest.param("root", marks=pytest.mark.needs("root")),
        pytest.param("nobody", marks=pytest.mark.needs("another user")),
    ]
)
def world(request):
    """A home and a project of root, and of a user without rights. Not below pytest's own directory, which keeps others out."""
    nobody = request.param == "nobody"
    if nobody:
        needs(interpreter_of_nobody(), "a Python that others may run")
    with tempfile.TemporaryDirectory(prefix="lastro-runs-") as name:
        os.chmod(name, 0o711)
        top = Path(name).resolve()
        project, home = top / "project", top / "home"
        make_project(project)
        home.mkdir(mode=0o700)
        environment = {"HOME": str(home)}
        if nobody:
            for path in (home, project, *project.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            environment["PYTHONPATH"] = os.pathsep.join(
                path for path in sys.path if "site-packages" in path or path.endswith("src")
            )
        found = (OtherHome if nobody else Home)(str(home), environment)
        found.ask("init")
        yield found, str(project)


@pytest.fixture
def small(tmp_path):
    """A home and a project of whoever runs the tests."""
    project = tmp_path / "project"
    make_project(project)
    home = Home(str(tmp_path / "home"), {"HOME": str(tmp_path)})
    home.ask("init")
    return home, str(project)


def make_project(project):
    (project / "docs").mkdir(parents=True)
    for name in ("edited", "gone", "script", "moved", "docs/kept"):
        (project / name).write_text(f"{name}\nsecond\n")
    (project / "link").symlink_to("edited")


def listing(top):
    """Every path with its mode and content."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else None
            if content is None and os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, top)] = (status.st_mode, status.st_uid, content, status.st_mtime_ns)
    return found


def run(home, project, script, *options, code=0):
    answer = home.run("run", "--json", "--project", project, *options, "--", "sh", "-c", script)
    assert answer.code == code, answer
    return answer.reply


def shown(home, proposal, *options):
    return home.ask("proposal", "show", f"proposal-{proposal}", *options)


def files_of(home, proposal):
    return {file["path"]: file["kind"] for file in shown(home, proposal)["files"]}


def typed(home, *arguments, code=0):
    """A command that is given the passphrase."""
    done = subprocess.run(
        home.command(*arguments, "--passphrase-stdin", "--json"),
        env=home.surroundings,
        input=PASSPHRASE,
        capture_output=True,
        timeout=120,
        check=False,
    )
    answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace"))
    assert code is None or answer.code == code, answer
    return answer


def approve(home, proposal, *options, code=0):
    return typed(home, "proposal", "approve", f"proposal-{proposal}", "--yes", *options, code=code)


class Running(Server):
    """A run that goes on."""

    def said(self, text):
        return any(event["text"] == text for event in self.events("run_said"))

    @property
    def reply(self):
        self._read()
        return next(line for line in self.lines if line.get("type") == "result")["reply"]


@contextmanager
def running(home, project, script, *options):
    arguments = ("run", "--project", project, *options)
    process = Running(_Tail(home, ("--", "sh", "-c", script)), arguments)
    try:
        yield process
    finally:
        process.stop(signal.SIGKILL)


class _Tail:
    """A home whose commands end with the agent's, behind ``--json``."""

    def __init__(self, home, tail):
        self._home, self._tail = home, tail
        self.surroundings = home.surroundings

    def command(self, *arguments):
        return [*self._home.command(*arguments), *self._tail]


def state_of(home, number=1):
    return home.ask("runs", "show", f"run-{number}")["state"]


WORK = """
echo more >> edited; rm gone; mv moved docs/moved; chmod 755 script; rm link; ln -s docs link
mkdir new; printf 'a\\nb\\n' > new/file; ln new/file new/same
"""


def test_everything_an_agent_does_is_in_the_proposal_and_the_project_stays(world):
    home, project = world
    before = listing(project)
    reply = run(home, project, f"{WORK}\nexit 7")
    assert (reply["state"], reply["exit_status"], reply["proposal"]) == ("finished", 7, 1)
    assert listing(project) == before
    found = files_of(home, 1)
    assert {path: kind for path, kind in found.items() if kind != "renamed"} == {
        "edited": "changed",
        "gone": "removed",
        "link": "changed",
        "new": "added",
        "new/file": "added",
        "new/same": "added",
        "script": "changed",
    }
    assert found["docs/moved"] == "renamed"
    assert "filesystem" not in reply["degraded"]
    assert home.ask("runs", "list")["runs"][0]["state"] == "finished"


def test_a_user_decides_queues_and_takes_back(world):
    home, project = world
    typed(home, "approver", "add", "ana")
    before = listing(project)
    run(home, project, WORK)
    queued = run(home, project, "echo later > later", "--queue")
    with home.serving("runner", "serve"):
        wait_until(lambda: state_of(home, queued["run"]) == "finished")
    approve(home, 1)
    approve(home, 2)
    assert {"later", "docs/moved", "new/same"} <= set(listing(project))
    assert "gone" not in listing(project)
    for name in ("proposal-2", "run-1"):
        typed(home, "undo", name, "--yes")
    after = listing(project)
    assert set(after) == set(before)
    for path, (mode, owner, content, _) in after.items():
        assert (mode, owner, content) == before[path][:3]
    assert home.run("audit", "verify", "--json").code == 0


def test_nothing_changed_is_empty_without_a_proposal_and_success(small):
    home, project = small
    reply = run(home, project, "cat edited; touch edited; exit 1")
    assert (reply["state"], reply["proposal"]) == ("empty", 0)
    assert home.ask("proposal", "list")["proposals"] == []
    assert os.listdir(f"{home.path}/state/runs") == []


def test_the_copy_view_gives_the_same(small):
    home, project = small
    before = listing(project)
    assert run(home, project, WORK, "--view", "copy")["state"] == "finished"
    assert run(home, project, WORK)["state"] == "finished"
    assert listing(project) == before
    copied, laid_over = shown(home, 1), shown(home, 2)
    assert copied["change_digest"] == laid_over["change_digest"]


def test_time_out_keeps_the_work(small):
    home, project = small
    reply = run(home, project, "echo half > half; sleep 60", "--wall", "1s")
    assert (reply["state"], reply["cause"], reply["proposal"]) == ("timed_out", "wall", 1)
    assert files_of(home, 1) == {"half": "added"}


def test_ctrl_c_keeps_the_work_and_ends_every_process(small):
    home, project = small
    with running(home, project, "echo half > half; (setsid sleep 61 &) ; echo ready; sleep 61") as process:
        wait_until(lambda: process.said("ready"))
        process.process.send_signal(signal.SIGINT)
        process.process.wait(40)
        assert (process.reply["state"], process.reply["proposal"]) == ("cancelled", 1)
    assert files_of(home, 1) == {"half": "added"}
    assert subprocess.run(["pgrep", "-fx", "sleep 61"], capture_output=True, check=False).stdout == b""


def test_a_killed_supervisor_is_found_and_its_work_proposed(world):
    home, project = world
    with running(home, project, "echo half > half; rm gone; echo ready; sleep 62") as process:
        wait_until(lambda: process.said("ready"))
        supervisors(process.process.pid)
        process.process.kill()
        process.process.wait()
    wait_until(
        lambda: subprocess.run(["pgrep", "-fx", "sleep 62"], capture_output=True, check=False).stdout == b""
    )
    assert state_of(home) == "interrupted"
    assert [found["run"] for found in home.ask("runs", "list", "--state", "interrupted")["runs"]] == [1]
    assert home.ask("runs", "list", "--state", "running")["runs"] == []
    reply = home.ask("runs", "propose", "run-1")
    assert (reply["state"], reply["proposal"]) == ("cancelled", 1)
    assert files_of(home, 1) == {"half": "added", "gone": "removed"}
    again = home.run("runs", "propose", "run-1")
    assert again.code == 7


def supervisors(pid):
    assert os.path.exists(f"/proc/{pid}")


def test_another_command_stops_a_run(small):
    home, project = small
    with running(home, project, "echo half > half; echo ready; sleep 63") as process:
        wait_until(lambda: process.said("ready"))
        reply = home.ask("runs", "stop", "run-1")
        assert (reply["state"], reply["proposal"]) == ("cancelled", 1)
        assert process.process.wait(40) == 0
    refused = home.run("runs", "stop", "run-1")
    assert refused.code == 7


def test_two_runs_in_one_project_do_not_see_each_other(small):
    home, project = small
    with running(
        home, project, "echo one > one; echo ready; while [ ! -e /tmp/never ]; do sleep 0.05; done"
    ) as one:
        wait_until(lambda: one.said("ready"))
        second = run(home, project, "test ! -e one && echo two > two")
        assert (second["state"], second["run"]) == ("finished", 2)
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(40)
    assert files_of(home, 1) == {"two": "added"}
    assert files_of(home, 2) == {"one": "added"}


def test_a_lease_keeps_others_out(small):
    home, project = small
    with running(home, project, "echo ready; sleep 64", "--lease", "docs/**") as one:
        wait_until(lambda: one.said("ready"))
        reply = run(home, project, "echo x >> docs/kept; echo y > free")
        assert files_of(home, reply["proposal"]) == {"free": "added"}  # the kernel kept it out
        taken = home.run("run", "--json", "--project", project, "--lease", "docs/kept", "--", "true")
        assert taken.code == 7


def test_a_keeper_that_is_killed_and_started_again_loses_nothing(small):
    home, project = small
    with home.serving("keeper", "serve") as keeper:
        keeper.wait_event("listening")
        with running(
            home,
            project,
            "echo half > half; echo ready; while [ ! -e go ]; do sleep 0.05; [ -e $HOME/go ] && exit; done",
        ) as process:
            wait_until(lambda: process.said("ready"))
            keeper.process.kill()
            keeper.process.wait()
            with open(f"{home.path}/state/runs/run-1/home/go", "w", encoding="ascii"):
                pass
            time.sleep(0.5)
            with home.serving("keeper", "serve") as second:
                second.wait_event("listening")
                assert process.process.wait(60) == 0
                assert (process.reply["state"], process.reply["proposal"]) == ("finished", 1)
                assert files_of(home, 1) == {"half": "added"}


def test_a_keeper_that_stays_away_is_replaced_by_the_run_itself(small):
    home, project = small
    with home.serving("keeper", "serve") as keeper:
        keeper.wait_event("listening")
        with running(home, project, "echo half > half; echo ready; sleep 1") as process:
            wait_until(lambda: process.said("ready"))
            keeper.process.kill()
            keeper.process.wait()
            assert process.process.wait(60) == 0
    assert files_of(home, 1) == {"half": "added"}


def test_the_projects_checks_run_on_the_result_in_a_jail_of_their_own(small):
    home, project = small
    os.makedirs(f"{project}/.lastro")
    with open(f"{project}/.lastro/project.toml", "w", encoding="ascii") as file:
        file.write(
            '[[check]]\nname = "sees"\ncommand = ["sh", "-c", "test -e made && test ! -e gone && echo sees >&2"]\n'
            '[[check]]\nname = "fails"\ncommand = ["sh", "-c", "echo no; touch litter; exit 4"]\n'
            '[[check]]\nname = "elsewhere"\ncommand = ["false"]\npaths = ["nowhere/**"]\n'
            '[[check]]\nname = "slow"\ncommand = ["sleep", "60"]\ntimeout = "1s"\n'
        )
    for view in ("overlay", "copy"):
        reply = run(home, project, "echo > made; rm gone; echo '' > .lastro/project.toml", "--view", view)
        assert reply["failed_checks"] == 2
        found = shown(home, reply["proposal"])
        checks = {check["name"]: check for check in found["checks"]}
        assert (checks["sees"]["verdict"], checks["sees"]["output"]) == ("passed", "sees\n")
        assert (checks["fails"]["verdict"], checks["fails"]["output"]) == ("failed", "no\n")
        assert checks["slow"]["verdict"] == "timed_out"
        assert "elsewhere" not in checks
        assert "litter" not in files_of(home, reply["proposal"])
    skipped = run(home, project, "echo > made", "--no-check")
    assert skipped["failed_checks"] == 0
    verdicts = {check["name"]: check["verdict"] for check in shown(home, skipped["proposal"])["checks"]}
    assert verdicts["fails"] == "skipped"


def test_what_the_role_may_not_write_blocks(small):
    home, project = small
    reply = run(home, project, "echo x > new", "--role", "reviewer")
    assert reply["state"] in {"empty", "blocked"}
    assert not os.path.exists(f"{project}/new")


def test_projects_that_are_none_are_refused(small):
    home, _ = small
    for place in ("/", home.path, f"{home.path}/data", os.path.dirname(home.path), "/nowhere"):
        answer = home.run("run", "--json", "--project", place, "--", "true")
        assert answer.code in {1, 2}, place
    assert home.ask("runs", "list")["runs"] == []
    assert home.run("run", "--json").code == 2


def test_a_queued_run_is_carried_out_by_a_runner(small):
    home, project = small
    reply = run(home, project, "echo later > later", "--queue")
    assert reply["state"] == "queued"
    assert home.ask("runs", "list")["runs"][0]["state"] == "queued"
    code = (
        "from lastro.app.processes import process_called as p; from lastro.app.places import find_places as f; import os, json;"
        "from lastro.app.encoding import encode;"
        "p('serve_runner')(f(os.environ), emit=lambda e: print(encode(e).decode(), flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=home.surroundings, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: state_of(home) == "finished")
    finally:
        process.terminate()
        assert process.wait(40) == 0
        process.stdout.close()
    assert files_of(home, 1) == {"later": "added"}


def test_old_decided_runs_are_removed_and_others_kept(small):
    home, project = small
    run(home, project, "echo one > one")
    run(home, project, "echo two > two")
    home.ask("proposal", "reject", "proposal-1", "-m", "no")
    long_ago = time.time() - 8 * 86_400
    for number in (1, 2):
        os.utime(f"{home.path}/state/runs/run-{number}", (long_ago, long_ago))
    run(home, project, "true")
    assert os.listdir(f"{home.path}/state/runs") == ["run-2"]


def test_an_agent_is_told_nothing_of_its_caller(small):
    home, project = small
    home.environment["SECRET_TOKEN"] = "hunter2"
    reply = run(home, project, "env > seen; cat /proc/1/environ >> seen; ls -a ~ >> seen")
    shutil.rmtree(f"{home.path}/state/runs/run-1/home", ignore_errors=True)
    text = json.dumps(shown(home, reply["proposal"]))
    assert "hunter2" not in text
    assert home.path not in text


@pytest.mark.parametrize("delay_s", [0.3, 0.6, 0.9, 1.2, 1.5, 2.0])
def test_killed_at_any_instant_a_run_is_never_lost_and_the_project_never_touched(small, delay_s):
    home, project = small
    before = listing(project)
    script = "for n in 1 2 3 4 5 6; do echo $n > part-$n; sleep 0.1; done; rm gone"
    process = subprocess.Popen(
        home.command("run", "--json", "--project", project, "--", "sh", "-c", script),
        env=home.surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(delay_s)
    process.kill()
    process.wait()
    assert listing(project) == before
    runs = home.ask("runs", "list")["runs"]
    if not runs:
        return  # it had not begun
    state = runs[0]["state"]
    if state in {"interrupted", "preparing"}:
        answer = home.run("runs", "propose", "run-1", "--json")
        # Killed before its directory was made: there is nothing to collect, and it says so.
        assert answer.code == 0 or (state == "preparing" and answer.code in {1, 7}), answer
    else:
        assert state in {"finished", "failed"}
    assert listing(project) == before
    assert home.run("audit", "verify", "--json").code == 0
