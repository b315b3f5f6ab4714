"""Seconds of ``lastro up`` in a fresh home until the first capture is acknowledged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from bench.processes import up
from bench.trees import make_tree


def measure() -> Iterator[tuple[str, str]]:
    """The sample project, and a tree of 20 000 files."""
    with tempfile.TemporaryDirectory() as scratch, up(os.path.join(scratch, "home")) as (_, ready, seconds):
        yield (
            f"lastro up, sample project ({ready['files']} files), process start to ready",
            f"{seconds:.2f} s",
        )
    with tempfile.TemporaryDirectory() as scratch:
        tree = os.path.join(scratch, "tree")
        make_tree(tree, directories=200, files=100)
        with up(os.path.join(scratch, "home"), tree) as (_, ready, seconds):
            yield (
                f"lastro up, {ready['files']} files, {ready['bytes'] / 1e6:.0f} MB, to ready",
                f"{seconds:.2f} s",
            )
