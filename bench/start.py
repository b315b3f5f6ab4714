"""CPU time of the commands that everybody waits for."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator

from bench.processes import cpu_seconds

RUNS = 15


def measure() -> Iterator[tuple[str, str]]:
    """Medians of user and system time."""
    for arguments in (("--version",), ("--help",), ("log", "--help")):
        times = [cpu_seconds(sys.executable, "-m", "lastro", *arguments) for _ in range(RUNS)]
        yield (
            f"lastro {' '.join(arguments)}, CPU, median of {RUNS}",
            f"{statistics.median(times) * 1000:.0f} ms",
        )
    times = [cpu_seconds(sys.executable, "-c", "pass") for _ in range(RUNS)]
    yield f"bare Python, CPU, median of {RUNS}", f"{statistics.median(times) * 1000:.0f} ms"
