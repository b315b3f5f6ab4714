"""What tests of the store share: a clock and entropy that repeat, a fresh repository, and drafts of records."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from typing_extensions import override

from lastro.chunking.digest import chunk_id, digest_of
from lastro.domain.record import Actor, RecordKind, RecordTarget, ServerBody
from lastro.domain.snapshot import SnapshotBody, Statistics
from lastro.filesystem.system import System
from lastro.store.backends.memory import MemoryBackend
from lastro.store.recovery import KeyFile
from lastro.store.repository import RecordDraft, Repository
from lastro.store.tree import encode_tree_entry

ACTOR = Actor(kind="human", name="ana", uid=1000)


class Unsynced(System):
    """Promises durability without waiting for the disk: for tests that never cut the power."""

    @override
    def sync(self, descriptor):
        pass

    @override
    def sync_data(self, descriptor):
        pass


@dataclass
class StillClock:
    """A clock that moves one second a reading, both hands alike, unless it is told otherwise."""

    wall: int = 1_700_000_000_000_000_000
    monotonic: int = 0

    def wall_ns(self):
        self.wall += 1_000_000_000
        return self.wall

    def monotonic_ns(self):
        self.monotonic += 1_000_000_000
        return self.monotonic


def entropy(seed=0):
    """Bytes that look random and repeat."""
    return random.Random(seed).randbytes


@dataclass
class Kit:
    """A repository on ``backend``, and how to open it again."""

    backend: object = field(default_factory=MemoryBackend)
    clock: StillClock = field(default_factory=StillClock)
    seed: int = 0
    cache: str | None = None

    def create(self):
        created = Repository.create(
            self.backend, actor=ACTOR, clock=self.clock, cache=self.cache, entropy=entropy(self.seed)
        )
        self.secret = KeyFile(created.key_file)
        self.recovery_key = created.recovery_key
        return created.repository

    def open(self, *, writable=False):
        self.seed += 1
        return Repository.open(
            self.backend,
            self.secret,
            clock=self.clock,
            cache=self.cache,
            writable=writable,
            entropy=entropy(self.seed),
        )


def server_draft(name="web"):
    body = ServerBody(address="", certificate=b"", device="", name=name)
    return RecordDraft(kind=RecordKind.SERVER, actor=ACTOR, body=body, server="local")


def snapshot_draft(root):
    body = SnapshotBody(
        node_time_ns=0, reason="request", root=encode_tree_entry(root), statistics=Statistics(), warnings=[]
    )
    target = RecordTarget(kind="files", path=b"/srv")
    return RecordDraft(kind=RecordKind.SNAPSHOT, actor=ACTOR, body=body, server="local", target=target)


class DictStore:
    """Chunks in a dictionary: the smallest thing that trees and contents can be written to."""

    boundary_key = b"b" * 32

    def __init__(self):
        self.chunks = {}
        self.written = []
        self.read = []

    def chunk_id(self, digest):
        return chunk_id(b"k" * 32, digest)

    def put(self, data, *, digest=None, metadata=False):  # noqa: ARG002  as its interface says
        assert digest is None or digest == digest_of(data)
        chunk = self.chunk_id(digest_of(data))
        if chunk not in self.chunks:
            self.chunks[chunk] = bytes(data)
            self.written.append(chunk)
        return chunk

    def chunk(self, chunk):
        self.read.append(chunk)
        return self.chunks[chunk]


def noise(number, size=500):
    """Bytes that no compression makes smaller, the same for the same number."""
    return entropy(number)(size)


def commit(repository, *contents, drafts=1):
    """One transaction with these chunks and as many records; the chunks' ids."""
    with repository.begin() as made:
        chunks = [made.put(content) for content in contents]
        made.commit(*[server_draft(f"n{number}") for number in range(drafts)])
    return chunks


def kinds(repository):
    return [record.record.kind for record in repository.records()]
