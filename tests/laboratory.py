"""A whole keeper in one process over a scratch directory: repository in memory, a local source, capture cycle, history."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from lastro.capture.local import LocalSource
from lastro.capture.source import ChangedPath, Root
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.record import Actor
from lastro.domain.snapshot import Reason
from lastro.domain.target import Target, TargetKind
from lastro.history.projection import Projection
from lastro.history.timeline import Timeline
from lastro.keeper.capture_cycle import CaptureCycle, CaptureResult
from lastro.keeper.capture_state import CaptureState
from lastro.store.backends.base import Backend
from lastro.store.backends.memory import MemoryBackend
from lastro.store.content import read_content
from lastro.store.recovery import KeyFile
from lastro.store.repository import Repository
from lastro.store.tree import decode_tree_entry, lookup, walk

ACTOR = Actor(kind="human", name="tester", uid=1000)


@dataclass
class StepClock:
    """A clock that moves when told, and a millisecond with every reading."""

    wall: int = 1_800_000_000_000_000_000
    monotonic: int = 0

    def wall_ns(self) -> int:
        self.wall += 1_000_000
        return self.wall

    def monotonic_ns(self) -> int:
        self.monotonic += 1_000_000
        return self.monotonic

    def pass_s(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)
        self.monotonic += int(seconds * 1e9)


@dataclass
class Laboratory:
    """Captures ``root`` and answers questions about it."""

    root: str
    clock: StepClock = field(default_factory=StepClock)
    backend: Backend = field(default_factory=MemoryBackend)
    secret: KeyFile | None = None
    """The key of a repository that stands in ``backend``; without one a new repository is made."""

    def __post_init__(self) -> None:
        if self.secret is None:
            created = Repository.create(self.backend, actor=ACTOR, clock=self.clock)
            self.repository, self.secret = created.repository, KeyFile(created.key_file)
        else:
            self.repository = Repository.open(self.backend, self.secret, clock=self.clock, writable=True)
        self.state = CaptureState(self.repository, None)
        self.projection = Projection(self.repository, None)
        self.timeline = Timeline(self.projection)
        self.cycle = CaptureCycle(self.repository, self.state, self.clock)
        self.source = LocalSource([Root(path=self.root)])
        self.target = Target(ServerId(LOCAL), TargetKind.FILES, self.root)

    def close(self) -> None:
        self.projection.close()
        self.state.close()
        self.repository.close()

    def capture(self, paths: Sequence[ChangedPath] | None = None, *, only: bool = False) -> CaptureResult:
        return self.cycle.capture(
            self.source, self.target, actor=ACTOR, reason=Reason.CHANGE, paths=paths, only=only
        )

    def changed(self, *paths: str, recursive: bool = False) -> CaptureResult:
        return self.capture([ChangedPath(root=self.root, path=path, recursive=recursive) for path in paths])

    def path(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def write(self, name: str, content: bytes) -> None:
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def files_at(self, seq: int) -> dict[str, bytes]:
        """Path and content of every file in the snapshot of record ``seq``."""
        root = decode_tree_entry(self.timeline.snapshot_by_seq(seq).root)
        return {
            path: self.content(seq, path)
            for path, entry in walk(self.repository, root)
            if entry.type == "file"
        }

    def content(self, seq: int, path: str) -> bytes:
        root = decode_tree_entry(self.timeline.snapshot_by_seq(seq).root)
        entry = lookup(self.repository, root, path)
        assert entry is not None
        content = bytearray(entry.size)
        for offset, data in read_content(self.repository, entry):
            content[offset : offset + len(data)] = data
        return bytes(content)
