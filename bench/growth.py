"""How much a repository grows by 1 000 snapshots of one changed file each, in a tree of 20 000 files."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator

from bench.trees import bytes_below, make_tree
from lastro.capture.local import LocalSource
from lastro.capture.source import ChangedPath, Root
from lastro.domain.clock import SystemClock
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.record import Actor
from lastro.domain.snapshot import Reason
from lastro.domain.target import Target, TargetKind
from lastro.keeper.capture_cycle import CaptureCycle
from lastro.keeper.capture_state import CaptureState
from lastro.store.backends.local import LocalBackend
from lastro.store.repository import Repository

CHANGES = 1000


def measure() -> Iterator[tuple[str, str]]:
    """Sizes on disk, and the time of a snapshot."""
    with tempfile.TemporaryDirectory() as scratch:
        tree, place = os.path.realpath(os.path.join(scratch, "tree")), os.path.join(scratch, "repository")
        paths = make_tree(tree, directories=200, files=100)
        actor, clock = Actor(kind="human", name="bench"), SystemClock()
        with Repository.create(LocalBackend(place), actor=actor, clock=clock).repository as repository:
            state = CaptureState(repository, None)
            cycle = CaptureCycle(repository, state, clock)
            source, target = LocalSource([Root(path=tree)]), Target(ServerId(LOCAL), TargetKind.FILES, tree)
            started = time.monotonic()
            cycle.capture(source, target, actor=actor, reason=Reason.FIRST)
            yield "first capture of 20 000 files, in process", f"{time.monotonic() - started:.2f} s"
            first = bytes_below(place)
            started = time.monotonic()
            for number in range(CHANGES):
                path = paths[number * 17 % len(paths)]
                with open(path, "a", encoding="utf-8") as file:
                    file.write(f"change {number}\n")
                changed = [ChangedPath(root=tree, path=os.path.relpath(path, tree))]
                cycle.capture(source, target, actor=actor, reason=Reason.CHANGE, paths=changed)
            seconds = time.monotonic() - started
            grown = bytes_below(place) - first
            yield (
                "repository after the first capture",
                f"{first / 1e6:.1f} MB of {bytes_below(tree) / 1e6:.1f} MB",
            )
            yield (
                f"growth by {CHANGES} single-file changes",
                f"{grown / 1e6:.1f} MB, {grown / CHANGES / 1000:.1f} kB each",
            )
            yield "a snapshot of one changed file", f"{seconds / CHANGES * 1000:.1f} ms"
            state.close()
