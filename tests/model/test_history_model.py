"""Repository and history against a plain dict: whatever happens to a directory, every snapshot reads back as the directory was."""

from __future__ import annotations

import os
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from lastro.capture.source import ChangedPath
from lastro.domain.paths import parent_of
from lastro.history.projection import Projection
from lastro.history.timeline import Timeline
from lastro.keeper.capture_cycle import CaptureCycle
from lastro.keeper.capture_state import CaptureState
from tests.laboratory import Laboratory

NAMES = ("a", "b", "c.d", "é", "x y")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
CONTENTS = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"z" * 200_000, os.urandom(300_000)]))


class HistoryMachine(RuleBasedStateMachine):
    """``self.model`` is the directory as a dict; ``self.snapshots`` what each snapshot must read back as."""

    paths = Bundle("paths")

    def __init__(self) -> None:
        super().__init__()
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="lastro-model-"))
        self.laboratory = Laboratory(self.root)
        self.model: dict[str, bytes] = {}
        self.snapshots: dict[int, dict[str, bytes]] = {}
        self.changed: list[ChangedPath] = []
        self.first = True

    def teardown(self) -> None:
        self.laboratory.close()
        shutil.rmtree(self.root)

    def _touch(self, path: str, *, recursive: bool = False) -> None:
        self.changed.append(ChangedPath(root=self.root, path=path, recursive=recursive))

    @rule(path=PATHS, content=CONTENTS)
    def write(self, path: str, content: bytes) -> None:
        inner = path
        while inner:
            if os.path.isfile(self.laboratory.path(inner)) and inner != path:
                return
            inner = parent_of(inner)
        if os.path.isdir(self.laboratory.path(path)):
            return
        parent = parent_of(path)
        new = parent and not os.path.isdir(self.laboratory.path(parent))
        self.laboratory.write(path, content)
        self.model[path] = content
        if new:
            top = parent
            while parent_of(top) and not any(
                known.startswith(f"{parent_of(top)}/") and known != path for known in self.model
            ):
                top = parent_of(top)
            self._touch(top, recursive=True)
        self._touch(path)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.model)))
        os.unlink(self.laboratory.path(path))
        del self.model[path]
        self._touch(path)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def rename_top(self, data: st.DataObject, name: str) -> None:
        source = data.draw(st.sampled_from(sorted({path.split("/")[0] for path in self.model})))
        if source == name or os.path.lexists(self.laboratory.path(name)):
            return
        os.rename(self.laboratory.path(source), self.laboratory.path(name))
        self.model = {
            name + path[len(source) :] if path == source or path.startswith(f"{source}/") else path: content
            for path, content in self.model.items()
        }
        self._touch(source)
        self._touch(name, recursive=True)

    @rule(full=st.booleans())
    def capture(self, *, full: bool) -> None:
        result = self.laboratory.capture(None if full or self.first else self.changed)
        self.first = False
        self.changed = []
        self.snapshots[result.seq] = dict(self.model)

    @precondition(lambda self: not self.first)
    @rule()
    def capture_partly_then_fully(self) -> None:
        """A full listing finds nothing that a partial capture of the changed paths missed."""
        before = self.laboratory.capture(self.changed)
        self.changed = []
        assert self.laboratory.files_at(before.seq) == self.model
        after = self.laboratory.capture()
        assert self.laboratory.files_at(after.seq) == self.model
        assert after.statistics.added == after.statistics.removed == 0 or after.unchanged
        self.snapshots[after.seq] = dict(self.model)

    @rule()
    def forget_every_cache(self) -> None:
        """Databases are caches: without them the same answers come out."""
        laboratory = self.laboratory
        laboratory.projection.close()
        laboratory.state.close()
        laboratory.state = CaptureState(laboratory.repository, None)
        laboratory.projection = Projection(laboratory.repository, None)
        laboratory.timeline = Timeline(laboratory.projection)
        laboratory.cycle = CaptureCycle(laboratory.repository, laboratory.state, laboratory.clock)

    @invariant()
    def every_snapshot_reads_back(self) -> None:
        for seq, files in self.snapshots.items():
            assert self.laboratory.files_at(seq) == files

    @invariant()
    def versions_say_what_changed(self) -> None:
        """The versions of a path replay to its content at every snapshot."""
        if not self.snapshots:
            return
        for path in {path for files in self.snapshots.values() for path in files}:
            versions = self.laboratory.timeline.versions(
                self.laboratory.timeline.locate("local", self.laboratory.path(path))
            )
            for seq, files in self.snapshots.items():
                newest = next((version for version in versions if version.seq <= seq), None)
                present = newest is not None and newest.operation != "removed" and newest.type == "file"
                assert present == (path in files)


HistoryMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestHistory = HistoryMachine.TestCase
