"""Seconds from a file's change to its acknowledged version, after quiet."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator

from bench.processes import snapshots, up
from bench.trees import make_tree

CHANGES = 8


def measure() -> Iterator[tuple[str, str]]:
    """Different files of a tree of 20 000, one at a time."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = os.path.join(scratch, "tree")
        paths = make_tree(tree, directories=200, files=100)
        with up(os.path.join(scratch, "home"), tree) as (process, _, _):
            taken = snapshots(process)
            delays = []
            for path in paths[:: len(paths) // CHANGES][:CHANGES]:
                time.sleep(1)
                with open(path, "a", encoding="utf-8") as file:
                    file.write("one more line\n")
                changed = time.monotonic()
                for snapshot in taken:
                    if path in snapshot["paths"]:
                        break
                delays.append(time.monotonic() - changed)
    yield f"change of a file to its version, median of {CHANGES}", f"{statistics.median(delays):.2f} s"
    yield f"change of a file to its version, slowest of {CHANGES}", f"{max(delays):.2f} s"
