"""The driver with real parts: a copied project, a real process, a ledger in memory."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lastro.agents.adapters.adapter import Said
from lastro.agents.checking import SECRETS, SYNTAX, built_in_checks, project_checks
from lastro.agents.collecting import steps_by_path, steps_of
from lastro.agents.copied import CopyLayer, prepare_copy
from lastro.agents.known import bounded_steps
from lastro.agents.output import MOST, Lines, OutputFile
from lastro.agents.parts import RunParts, Spent
from lastro.agents.running import Supervisor
from lastro.agents.supervision_places import (
    Standing,
    held,
    is_held,
    make_run_directory,
    read_standing,
    remove_run_directory,
    run_numbers,
    write_standing,
)
from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import to_bytes
from lastro.domain.policy import Role
from lastro.domain.proposal import Flag
from lastro.domain.run import EndCause, RunState, RunStep, RunUsage, failed_checks
from lastro.errors import LockedError, NotFoundError, StorageFullError
from lastro.proposals.checks_file import ProjectCheck
from tests.memory_ledger import BareProcess, MemoryLedger

ROLE = Role(name="client-agent", write=("**",), deny_write=("forbidden/**",))


class NoSteps:
    def __init__(self, *steps):
        self.steps = steps

    def finish(self):
        return self.steps


@pytest.fixture
def project(tmp_path):
    path = tmp_path / "project"
    path.mkdir()
    for name in ("kept", "edited", "gone"):
        (path / name).write_text(f"{name}\n")
    for entry in (*path.iterdir(), path):
        os.utime(entry, ns=(1, 1))
    time.sleep(0.1)  # beyond the coarseness of ctimes: what follows is later for sure
    return str(path)


@pytest.fixture
def run(tmp_path, project):
    def make(script, *, resumed=False, **other):
        places = make_run_directory(str(tmp_path / "state"), 1)
        standing = Standing(
            run=1,
            id="0" * 32,
            project=project,
            role=ROLE,
            agent="generic",
            command=("sh", "-c", script),
            purpose="",
            policy_digest="",
            pid=os.getpid(),
            view="copy",
        )
        ledger = other.pop("ledger", None) or MemoryLedger()
        copy = f"{places.directory}/copy"
        if not resumed:
            prepare_copy(project, places.directory)
        else:
            standing = read_standing(places)
        told, processes = [], []
        parts = RunParts(
            standing=standing,
            places=places,
            ledger=ledger,
            layer=CopyLayer(project, places.directory),
            start=lambda: processes.append(BareProcess(["sh", "-c", script], copy)) or processes[0],
            checks=other.pop(
                "checks", lambda changes, notes, texts, _cut: built_in_checks(changes, notes, texts)
            ),
            steps=other.pop("steps", NoSteps()),
            tell=lambda kind, parameters: told.append((kind, parameters)),
            **other,
        )
        return SimpleNamespace(
            supervisor=Supervisor(parts, resumed=resumed),
            ledger=ledger,
            told=told,
            places=places,
            processes=processes,
        )

    return make


def changes_of(made):
    ((pair, _, _, _),) = made.ledger.proposals
    return {change.path: change.kind.value for change in pair.changed if change.path}


def test_what_an_agent_changed_is_proposed_and_the_project_stays(run, project):
    made = run("echo new > made; echo more >> edited; rm gone; echo bye; exit 3")
    outcome = made.supervisor.supervise()
    assert outcome.state == "finished"
    assert outcome.facts.exit_status == 3  # decides nothing
    assert changes_of(made) == {"made": "added", "edited": "changed", "gone": "removed"}
    assert made.ledger.states == [
        RunState.PREPARING,
        RunState.RUNNING,
        RunState.COLLECTING,
        RunState.CHECKING,
        RunState.FINISHED,
    ]
    assert sorted(os.listdir(project)) == ["edited", "gone", "kept"]
    assert outcome.facts.last_words == "bye"


def test_an_agent_that_does_nothing_is_empty(run):
    made = run("true")
    outcome = made.supervisor.supervise()
    assert (outcome.state, outcome.proposal, made.ledger.proposals) == ("empty", 0, [])


def test_a_stopped_agent_leaves_its_work(run):
    made = run("echo half > made; echo ready; sleep 60")

    def stop_when_ready():
        while not any(kind == "run_said" for kind, _ in made.told):
            time.sleep(0.01)
        made.supervisor.stop(EndCause.CANCELLED)

    threading.Thread(target=stop_when_ready, daemon=True).start()
    outcome = made.supervisor.supervise()
    assert (outcome.state, outcome.proposal) == ("cancelled", 1)
    assert changes_of(made) == {"made": "added"}


def test_two_stops_leave_at_once_and_the_run_can_be_collected_later(run):
    made = run("echo half > made; echo ready; sleep 60; echo > late")

    def stop_twice():
        while not any(kind == "run_said" for kind, _ in made.told):
            time.sleep(0.01)
        made.supervisor.stop(EndCause.CANCELLED)
        made.supervisor.stop(EndCause.CANCELLED)

    threading.Thread(target=stop_twice, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        made.supervisor.supervise()
    assert made.ledger.state in {RunState.RUNNING, RunState.COLLECTING}
    with pytest.raises(ProcessLookupError):
        os.kill(made.processes[0].pid, 0)  # ended and waited for
    made.ledger.transition(1, RunState.INTERRUPTED)
    later = run("", resumed=True, ledger=made.ledger)
    outcome = later.supervisor.supervise()
    assert (outcome.state, outcome.proposal) == ("cancelled", 1)
    assert changes_of(later) == {"made": "added"}


def test_what_the_keeper_could_not_take_is_kept_and_collected_when_it_can(run):
    made = run("echo new > made")
    made.ledger.errors["after"] = StorageFullError("full")
    with pytest.raises(StorageFullError):
        made.supervisor.supervise()
    assert made.ledger.state is RunState.INTERRUPTED
    outcome = run("", resumed=True, ledger=made.ledger).supervisor.supervise()
    assert (outcome.state, outcome.facts.cause) == ("finished", EndCause.EXITED)


def test_a_run_that_cannot_be_started_has_failed(run):
    made = run("true")
    made.ledger.errors["before"] = StorageFullError("full")
    with pytest.raises(StorageFullError):
        made.supervisor.supervise()
    assert made.ledger.states[-1] is RunState.FAILED
    assert made.ledger.facts[RunState.FAILED].cause is EndCause.NOT_STARTED


def test_a_used_up_budget_ends_the_agent(run):
    made = run(
        "echo half > made; sleep 30; echo > late",
        spent=lambda _: Spent(usage=RunUsage(requests=2, tokens_in=10), exhausted=True),
    )
    outcome = made.supervisor.supervise()
    assert (outcome.state, outcome.facts.cause) == ("failed", EndCause.BUDGET)
    assert outcome.proposal
    assert ("run_limit", {"run": 1, "cause": "budget"}) in made.told
    assert changes_of(made) == {"made": "added"}


def test_paths_outside_the_role_block_the_run_before_there_is_a_proposal(run):
    made = run("mkdir forbidden; echo no > forbidden/it; echo yes > allowed")
    outcome = made.supervisor.supervise()
    assert outcome.state == "blocked"
    assert made.ledger.facts[RunState.CHECKING].outside == (b"forbidden", b"forbidden/it")
    ((_, _, notes, _),) = made.ledger.proposals
    assert {note.path for note in notes if Flag.OUTSIDE_ROLE in note.flags} == {b"forbidden", b"forbidden/it"}


def test_a_live_file_that_changed_while_the_run_began_makes_its_base_uncertain(run, project):
    ledger = MemoryLedger()
    ledger.pause.clear()
    made = run("echo mine > edited; echo mine > gone; sleep 0.3", ledger=ledger, warm=True)

    def human():
        time.sleep(0.1)
        with open(f"{project}/edited", "a") as file:
            file.write("by a human\n")
        ledger.pause.set()

    threading.Thread(target=human, daemon=True).start()
    made.supervisor.supervise()
    ((_, _, notes, _),) = ledger.proposals
    uncertain = {note.path for note in notes if Flag.BASE_UNCERTAIN in note.flags}
    assert uncertain == {b"edited"}


def test_steps_are_tied_to_paths_and_told(run):
    step = RunStep(number=1, exchange="x-1", time_ns=1, paths=(b"made", b"gone"))
    made = run("echo new > made; rm gone", steps=NoSteps(step))
    made.supervisor.stepped(step)
    outcome = made.supervisor.supervise()
    assert made.ledger.steps == [step]
    assert outcome.facts.steps == (step,)
    ((_, _, notes, _),) = made.ledger.proposals
    assert {note.path: note.steps for note in notes if note.steps} == {b"made": (1,), b"gone": (1,)}


def test_what_went_with_a_directory_was_changed_by_the_step_that_removed_it():
    seen = steps_by_path([RunStep(number=2, exchange="", time_ns=1, paths=(b"gone", b"other/x"))])
    assert steps_of("gone/deep/file", seen) == (2,)
    assert steps_of("other/y", seen) == ()


@given(st.lists(st.lists(st.binary(max_size=3), max_size=6), max_size=6), st.integers(0, 20))
def test_recorded_steps_are_bounded_and_say_so(paths, most):
    steps = [RunStep(number=n, exchange="", time_ns=1, paths=tuple(each)) for n, each in enumerate(paths)]
    bounded = bounded_steps(steps, most)
    assert [step.number for step in bounded] == [step.number for step in steps]
    assert sum(len(step.paths) for step in bounded) == min(most, sum(map(len, paths)))
    assert all(
        step.exact == (len(step.paths) == len(was.paths)) for step, was in zip(bounded, steps, strict=True)
    )


def test_what_is_kept_of_the_output_is_bounded_and_has_its_beginning_and_its_end(tmp_path):
    output = OutputFile(str(tmp_path / "output.jsonl"))
    for number in range(60):
        output.write(number, "stdout", b"\xff" * 50_000)
    output.close()
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sum(map(len, kept.values())) <= MOST + 1024
    assert b'"time_ns": 0,' in kept["output.jsonl"]
    assert b'"time_ns": 59,' in kept["output.jsonl.1"]


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_lines_are_whole_however_they_come(pieces):
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)] + list(lines.end())
    *whole, rest = b"".join(pieces).split(b"\n")
    assert found == [*whole, *([rest] if rest else [])]


def test_project_checks_tell_apart_what_passes_fails_and_was_cut(tmp_path):
    def start(check):
        return BareProcess(list(check.command), str(tmp_path))

    def check(name, script, **other):
        return ProjectCheck(name=name, command=("sh", "-c", script), **other)

    checks = [
        check("good", "echo fine"),
        check("bad", "echo no; exit 3"),
        check("other", "true", paths=("docs/**",)),
    ]
    changes = [Change(path="src/x", before=None, after=Entry(path="src/x", type=EntryType.FILE))]
    cut = threading.Event()
    found = {one.name: one for one in project_checks(checks, changes, start, cut)}
    assert {name: one.verdict.value for name, one in found.items()} == {"good": "passed", "bad": "failed"}
    assert found["bad"].output == "no\n"
    threading.Timer(0.5, cut.set).start()
    late = list(project_checks([check("long", "sleep 60"), check("next", "true")], changes, start, cut))
    assert [one.verdict.value for one in late] == ["skipped", "skipped"]


def test_built_in_checks_find_what_does_not_parse_and_what_is_secret(run):
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    made = run(
        "echo 'def f(:' > bad.py; echo 'x = 1' > good.py; echo '{\"a\": }' > bad.json; echo 'a = ' > bad.toml;"
        f" echo 'token = \"{token}\"' > settings.cfg"
    )
    outcome = made.supervisor.supervise()
    by_name = {check.name: check for check in outcome.checks}
    assert {line.split(":")[0] for line in by_name[SYNTAX].output.splitlines()} == {
        "bad.py",
        "bad.json",
        "bad.toml",
    }
    assert by_name[SECRETS].output == "settings.cfg"
    assert failed_checks(outcome.checks) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dots.toml", "a" + ".a" * 300_000 + " = 1"),
        ("within.toml", "x = {a" + ".a" * 300_000 + " = 1}"),
        ("deep.toml", "x = " + "[" * 100_000),
        ("deep.json", "[" * 500_000),
        ("number.json", "1" * 1_000_000),
        ("deep.py", "x = " + "-" * 100_000 + "1"),
        ("chain.py", "x" + ".a" * 100_000),
    ],
)
def test_text_made_to_keep_a_parser_busy_does_not(run, tmp_path, name, text):
    (tmp_path / "bomb").write_text(text)
    made = run(f"cp {tmp_path}/bomb {name}")
    asked = threading.Thread(target=made.supervisor.supervise, daemon=True)
    asked.start()
    asked.join(30)
    assert not asked.is_alive()


def test_what_it_says_is_told_printable_and_bounded(run):
    made = run(
        r"printf '\033[31mred\033[0m\n'; yes | head -c 3000000; echo",
        parse=lambda line: [Said(kind="raw", text=line.decode("utf-8", "surrogateescape"))],
    )
    made.supervisor.supervise()
    said = [parameters for kind, parameters in made.told if kind == "run_said"]
    assert said[0]["text"] == "\\x1b[31mred\\x1b[0m"
    assert len(said) < 2000
    kept = sum(
        os.path.getsize(f"{made.places.directory}/{name}")
        for name in os.listdir(made.places.directory)
        if name.startswith("output")
    )
    assert kept < 17 * 1024 * 1024


def test_a_run_directory_is_held_by_one_process_and_knows_bytes(tmp_path, run):
    made = run("true")
    with held(made.places):
        assert is_held(made.places)
        with pytest.raises(LockedError), held(made.places):
            pass
    assert not is_held(made.places)
    odd = b"/a\xff".decode("utf-8", "surrogateescape")
    standing = Standing(
        run=1, id="", project=odd, role=ROLE, agent="", command=(odd,), purpose="", policy_digest="", pid=1
    )
    write_standing(made.places, standing)
    assert to_bytes(read_standing(made.places).project) == b"/a\xff"
    assert list(run_numbers(str(tmp_path / "state"))) == [1]
    os.mkdir(f"{made.places.home}/deep", 0o000)
    remove_run_directory(made.places)
    assert list(run_numbers(str(tmp_path / "state"))) == []
    with pytest.raises(NotFoundError):
        read_standing(made.places)
