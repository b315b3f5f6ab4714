"""What people wait for at the console: until a page is answered, and until a browser has it ready; how much it loads; what a keeper with a
console keeps in memory.

The pages are served by this process over a home of its own. A browser (Chromium) takes part where one is installed.
"""

from __future__ import annotations

import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import psutil

from bench.processes import up
from lastro.faces.console import assets
from tests.browser import kit
from tests.console_kit import Kit, console_over
from tests.decision_kit import Office

RUNS = 7
SETTLED_S = 3
FILES = 200
LINES = b"".join(b"line %d of a file that is changed in the middle\n" % number for number in range(60))


def measure() -> Iterator[tuple[str, str]]:
    """Medians."""
    yield from _sizes()
    with tempfile.TemporaryDirectory() as scratch:
        office = Office.made(scratch, {f"source/file-{number}.txt": LINES for number in range(FILES)})
        changed = LINES.replace(b"line 30 ", b"line THIRTY ")
        with office.desk() as desk:
            small = office.propose(desk, {"source/file-0.txt": changed})
            large = office.propose(desk, {f"source/file-{number}.txt": changed for number in range(FILES)})
        with console_over(office) as console:
            pages = {
                "the inbox": "/inbox",
                "a proposal of one file": f"/proposals/{small}",
                f"a proposal of {FILES} files": f"/proposals/{large}",
            }
            yield from _answered(console, pages)
            if kit.program():
                yield from _ready(console, pages)
    with tempfile.TemporaryDirectory() as scratch:
        yield from _memory(scratch)


def _sizes() -> Iterator[tuple[str, str]]:
    names = assets.names()
    for name in ("console.js", "console.css", "editor.js", "passkeys.js"):
        content = assets.asset(names[name]).content
        packed = len(gzip.compress(content, 9))
        yield f"{name}, packed (as built)", f"{packed / 1000:.1f} kB ({len(content) / 1000:.1f} kB)"


def _median(act: Callable[[], object]) -> float:
    act()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _answered(console: Kit, pages: dict[str, str]) -> Iterator[tuple[str, str]]:
    ana = console.browser("ana")
    for what, path in pages.items():
        took = _median(lambda path=path: ana.get(path))
        size = len(ana.get(path).raw)
        yield f"{what}: answered, median of {RUNS}", f"{took:.0f} ms, {size / 1000:.0f} kB of HTML"


def _ready(console: Kit, pages: dict[str, str]) -> Iterator[tuple[str, str]]:
    with kit.served(kit.Happenings(console.client.app)) as address, kit.chromium() as browser:
        window = kit.Window(browser, address)
        for what, path in pages.items():
            took = _median(lambda path=path: window.open(path))
            yield f"{what}: ready in Chromium, median of {RUNS}", f"{took:.0f} ms"
        window.close()


def _memory(scratch: str) -> Iterator[tuple[str, str]]:
    with up(os.path.join(os.path.realpath(scratch), "home")) as (process, _ready, _seconds):
        time.sleep(SETTLED_S)
        resident = psutil.Process(process.pid).memory_info().rss
        yield "a keeper with a console, idle", f"{resident / 1e6:.0f} MB resident"
