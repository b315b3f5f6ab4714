"""A run on a project of 30 000 files: how soon the agent begins, beside a Git worktree and a full copy; what collecting and steps cost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec

from bench.processes import lastro
from bench.trees import make_tree
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.agents.stepping import StepClock
from lastro.gateway.notices import Notice

GIT = shutil.which("git") or ""
ROUNDS = 5
DIRECTORIES, FILES = 300, 100
CHANGES = 300
STEPS = 200
SETTLE_S = 5.0
"""How long an agent waits before it changes files: the snapshot before is taken by then, as it is in any run that asks a model."""


def measure() -> Iterator[tuple[str, str]]:
    """Medians (and the extremes) of ``ROUNDS`` rounds in turns, everything on the same disk."""
    if not GIT or shutil.which("bwrap") is None:
        raise RuntimeError("this benchmark needs git and bwrap (bubblewrap)")
    # An installed package has its bytecode; a checkout writes it at the first start, unless it is told not to.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    yield "load average at the start", f"{os.getloadavg()[0]:.1f}"
    with tempfile.TemporaryDirectory(prefix="lastro-bench-", dir=_disk()) as scratch:
        home, project = os.path.join(scratch, "home"), os.path.join(scratch, "project")
        make_tree(project, directories=DIRECTORIES, files=FILES)
        _repository(project)
        lastro(home, "init")
        with _keeper(home):
            for _ in range(2):  # captured once, and the host probed once
                _ran(home, project, "true")
            yield from _starts(scratch, home, project)
            yield from _idle(home, project)
            yield from _collecting(home, project)
        alone = [_run_start(home, project)[0] for _ in range(3)]
        yield "the same where no keeper runs: the command is its own", _seconds_of(alone)
        yield from _steps(scratch, project)
    yield "load average at the end", f"{os.getloadavg()[0]:.1f}"


def _disk() -> str:
    """Where to measure: a disk, as projects lie on one (``/tmp`` may be memory)."""
    return os.environ.get("LASTRO_BENCH_DIRECTORY") or "/var/tmp"  # noqa: S108  a directory of its own is made in it


def _repository(project: str) -> None:
    for arguments in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "all"),
    ):
        subprocess.run([GIT, "-C", project, *arguments], check=True, capture_output=True)


@contextmanager
def _keeper(home: str) -> Iterator[None]:
    """``lastro keeper serve`` while the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lastro", "keeper", "serve", "--json"],
        env={**os.environ, "LASTRO_HOME": home},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if json.loads(line).get("event", {}).get("kind") == "listening":
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()  # nobody else takes what it says
        yield
    finally:
        process.terminate()
        process.wait(60)


# The start ----------------------------------------------------------------------------------------------------------------------------


def _starts(scratch: str, home: str, project: str) -> Iterator[tuple[str, str]]:
    mine: list[float] = []
    inside: list[float] = []
    trees: list[float] = []
    copies: list[float] = []
    for number in range(ROUNDS):
        os.sync()  # what the round before wrote is not to be paid for in this one
        whole, own = _run_start(home, project)
        mine.append(whole)
        inside.append(own)
        worktree = os.path.join(scratch, f"worktree-{number}")
        trees.append(_seconds(GIT, "-C", project, "worktree", "add", "-q", "--detach", worktree))
        subprocess.run([GIT, "-C", project, "worktree", "remove", "--force", worktree], check=True)
        copy = os.path.join(scratch, "copy")
        copies.append(_seconds("cp", "-a", project, copy))
        shutil.rmtree(copy)
    run, start, tree, full = (statistics.median(one) for one in (mine, inside, trees, copies))
    yield "lastro run, from the key press to the agent's first instruction", _seconds_of(mine)
    yield "of which from 'preparing' recorded to the agent's first instruction", _seconds_of(inside)
    yield "git worktree add", _seconds_of(trees)
    yield "cp -a", _seconds_of(copies)
    yield (
        "git worktree add / lastro run (whole command); cp -a / the same",
        f"{tree / run:.1f}; {full / run:.1f} times",
    )
    yield (
        "git worktree add / start of the run; cp -a / the same",
        f"{tree / start:.1f}; {full / start:.1f} times",
    )


def _run_start(home: str, project: str) -> tuple[float, float]:
    """Seconds from the start of the command, and from the run's first record, until the agent ran."""
    pressed = time.time()
    lines = _ran(home, project, "date", "+%s%N")
    began = int(next(text for line in lines if (text := _said(line)).isdigit())) / 1e9
    when = _transitions(home, lines[-1]["reply"]["run"])
    return began - pressed, began - when["preparing"]


def _run(project: str) -> list[str]:
    return [sys.executable, "-m", "lastro", "run", "--json", "--no-check", "--project", project]


def _ran(home: str, project: str, *command: str) -> list[Any]:
    """A run of ``command`` and what was said of it, the result last."""
    process = subprocess.run(
        [*_run(project), "--", *command],
        env={**os.environ, "LASTRO_HOME": home},
        capture_output=True,
        check=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


def _said(line: dict[str, Any]) -> str:
    event = line.get("event") or {}
    return str(event.get("parameters", {}).get("text", "")).strip() if event.get("kind") == "run_said" else ""


def _transitions(home: str, run: int) -> dict[str, float]:
    """State of a run → when it was recorded, in seconds since 1970."""
    detail = lastro(home, "runs", "show", f"run-{run}")
    return {one["state"]: one["time_ns"] / 1e9 for one in detail["transitions"]}


def _idle(home: str, project: str) -> Iterator[tuple[str, str]]:
    """The supervisor while its agent does nothing."""
    process = subprocess.Popen(
        [*_run(project), "--", "sleep", str(SETTLE_S + 2)],
        env={**os.environ, "LASTRO_HOME": home},
        stdout=subprocess.DEVNULL,
    )
    time.sleep(SETTLE_S)
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file.read().splitlines()[1:])
    process.wait(60)
    resident, proportional = (int(fields[name].split()[0]) / 1024 for name in ("Rss", "Pss"))
    yield "memory of an idle supervisor, resident (its share)", f"{resident:.0f} MiB ({proportional:.0f} MiB)"


# Collecting ---------------------------------------------------------------------------------------------------------------------------


def _collecting(home: str, project: str) -> Iterator[tuple[str, str]]:
    script = (
        f"sleep {SETTLE_S}; i=0; for f in package-00*/module_0[0-2]*.txt; do case $((i % 10)) in"
        f" 0) rm $f;; 1) mv $f $f.new;; *) echo x >> $f;; esac; i=$((i+1)); [ $i -lt {CHANGES} ] || break; done"
    )
    times, proposing = [], []
    changes = 0
    for _ in range(ROUNDS):
        reply = _ran(home, project, "sh", "-c", script)[-1]["reply"]
        changes = reply["files"]
        when = _transitions(home, reply["run"])
        times.append(when["checking"] - when["collecting"])
        proposing.append(when["finished"] - when["checking"])
    yield f"collecting {changes} changed paths, snapshot included", _seconds_of(times)
    yield "from there to the proposal, without checks", _seconds_of(proposing)


# Steps --------------------------------------------------------------------------------------------------------------------------------


def _steps(scratch: str, project: str) -> Iterator[tuple[str, str]]:
    """Notice to answer over the step clock's socket, one file changed in between, by how much the layer holds."""
    for files in (0, CHANGES, 10 * CHANGES):
        directory = os.path.join(scratch, f"steps-{files}")
        os.mkdir(directory, 0o700)
        prepare_overlay(directory, project)
        for number in range(files):
            below = os.path.join(directory, "upper", f"package-{number % 30:03d}")
            os.makedirs(below, exist_ok=True)
            with open(os.path.join(below, f"module_{number:05d}.txt"), "w", encoding="utf-8") as file:
                file.write("changed")
        yield f"a step, {files} files in the layer: notice to answer", _milliseconds(project, directory)


def _milliseconds(project: str, directory: str) -> str:
    path = os.path.join(directory, "sock")
    times = []
    with ExitStack() as stack:
        stack.enter_context(StepClock(OverlayLayer(project, directory), directory, path))
        connected = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connected.connect(path)
        lines = stack.enter_context(connected.makefile("rb"))
        for step in range(1, STEPS + 1):
            with open(os.path.join(directory, "upper", "changing"), "w", encoding="ascii") as file:
                file.write(str(step))
            notice = Notice(run="run-1", key="key", exchange=f"x-{step}", step=step, time_ns=time.time_ns())
            began = time.perf_counter()
            connected.sendall(msgspec.json.encode(notice) + b"\n")
            lines.readline()
            times.append((time.perf_counter() - began) * 1e3)
    ordered = sorted(times)
    return f"{statistics.median(times):.1f} ms (p99 {ordered[len(ordered) * 99 // 100]:.1f} ms)"


def _seconds(*command: str) -> float:
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started


def _seconds_of(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"
