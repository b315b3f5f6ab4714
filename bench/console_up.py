"""A real ``lastro up`` with a console: what starting it costs, pages over its socket, jobs, and what it keeps in memory.

Beside it, in the same run: a file that the same server only hands out and ``git diff`` printing what the review of
200 files shows.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Final

import psutil

from bench.pages import ROUNDS, Connection
from bench.processes import lastro, up
from lastro.faces.console import assets
from tests.decision_kit import Office

FILES: Final = 200
PAGES: Final = 200
STARTS: Final = 5
SETTLED_S: Final = 3
LINES: Final = b"".join(b"line %d of a file that is changed in the middle\n" % number for number in range(60))
CHANGED: Final = LINES.replace(b"line 30 ", b"line THIRTY ")
_GIT: Final = (
    "git",
    "-c",
    "user.name=bench",
    "-c",
    "user.email=bench@localhost",
    "-c",
    "commit.gpgsign=false",
)


def measure() -> Iterator[tuple[str, str]]:
    """Medians; starts are of a fresh home each."""
    kinds = {"with a console": "", "without": "[console]\nenabled = false\n"}
    taken: dict[str, list[tuple[float, float]]] = {label: [] for label in kinds}
    for _ in range(STARTS):  # in turns: what else the machine does meets both
        for label, settings in kinds.items():
            taken[label].append(_start(settings))
    for label, found in taken.items():
        seconds, spent = (statistics.median(column) for column in zip(*found, strict=True))
        least = min(column[0] for column in found)
        said = f"{seconds:.2f} s (shortest {least:.2f}), {spent:.2f} s of CPU time in its process"
        yield f"first start of lastro up, {label}", said
    with tempfile.TemporaryDirectory() as scratch:
        yield from _standing(os.path.realpath(scratch))


def _start(settings: str) -> tuple[float, float]:
    """Seconds until it is ready, and CPU seconds of its own process until then."""
    with tempfile.TemporaryDirectory() as scratch:
        home = os.path.join(os.path.realpath(scratch), "home")
        os.makedirs(f"{home}/config")
        if settings:
            with open(f"{home}/config/keeper.toml", "w", encoding="utf-8") as file:
                file.write(settings)
        with up(home) as (process, _ready, seconds):
            spent = psutil.Process(process.pid).cpu_times()
            return seconds, spent.user + spent.system


def _standing(scratch: str) -> Iterator[tuple[str, str]]:
    office = Office.made(scratch, {f"source/file-{number}.txt": LINES for number in range(FILES)})
    with office.desk() as desk:
        small = office.propose(desk, {"source/file-0.txt": CHANGED})
        large = office.propose(desk, {f"source/file-{number}.txt": CHANGED for number in range(FILES)})
    with up(office.places.home, office.root) as (process, _ready, _seconds):
        console = _console(process)
        address = console["url"]
        ana = Connection(address)
        ana.sign_in(console["link"])
        time.sleep(SETTLED_S)
        idle = psutil.Process(process.pid).memory_info().rss
        yield "a keeper with a console, idle", f"{idle / 2**20:.0f} MiB resident"
        floor = Connection(address).median_ms(assets.address_of("console.js"))
        yield "a file of the same server (console.js)", f"{floor[0]:.1f} ms, {floor[2] / 1000:.0f} kB"
        for label, path in (
            ("the inbox", "/inbox"),
            ("a proposal of one file", f"/proposals/{small}"),
            (f"a proposal of {FILES} files", f"/proposals/{large}"),
            ("one file of it, as a script asks", f"/proposals/{large}/files/100"),
        ):
            median, longest, size = ana.median_ms(path)
            said = f"{median:.0f} ms (longest {longest:.0f}), {size / 1000:.0f} kB"
            yield f"{label}: to its last byte", f"{said}; {median / floor[0]:.0f} times the file"
            if path.endswith(str(large)):
                yield from _beside_git(scratch, median)
        yield from _jobs(office.places.home, address)
        for number in range(PAGES):
            ana.get(("/inbox", f"/proposals/{large}", "/events", "/servers", "/jobs", "/history")[number % 6])
        grown = psutil.Process(process.pid).memory_info().rss
        yield f"the same keeper after {PAGES} more pages", f"{grown / 2**20:.0f} MiB resident"


def _console(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """What ``lastro up`` says of its console."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line).get("event", {})
        if event.get("kind") == "console":
            found: dict[str, str] = event["parameters"]
            return found
    raise RuntimeError("lastro up has no console")


def _median(act: Callable[[], object]) -> float:
    act()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _beside_git(scratch: str, page_ms: float) -> Iterator[tuple[str, str]]:
    top = f"{scratch}/git"
    for content in (LINES, CHANGED):
        os.makedirs(f"{top}/source", exist_ok=True)
        for number in range(FILES):
            with open(f"{top}/source/file-{number}.txt", "wb") as file:
                file.write(content)
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "state")):
            subprocess.run([*_GIT, *words], cwd=top, check=True, capture_output=True)
    taken = _median(
        lambda: subprocess.run([*_GIT, "diff", "HEAD~1", "HEAD"], cwd=top, check=True, capture_output=True)
    )
    yield (
        f"git diff printing the {FILES} files",
        f"{taken:.0f} ms; the page takes {page_ms / taken:.1f} times that",
    )


def _jobs(home: str, address: str) -> Iterator[tuple[str, str]]:
    """From asking until the answer of an operation that a runner carries out."""
    secret = lastro(home, "token", "add", "bench", "--scope", "look")["secret"]
    program = Connection(address, {"authorization": f"Bearer {secret}", "prefer": "wait=30"})

    def ask() -> None:
        status, _cookie, body = program.send("/api/v1/policy.show", b"{}", "application/json")
        assert status == 200, (status, body)

    yield "a job that does next to nothing, asked for by a program", f"{_median(ask):.0f} ms"
