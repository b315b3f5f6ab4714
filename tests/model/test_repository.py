"""A repository against a plain dictionary: with reopening, dying writers, lost caches and readers beside it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lastro.domain.entry import EntryType
from lastro.domain.paths import join, parent_of
from lastro.store import pack, transaction
from lastro.store.backends.local import LocalBackend
from lastro.store.check import Severity, check
from lastro.store.content import ContentWriter, read_content
from lastro.store.tree import TreeEntry, lookup, update, walk
from tests.store_kit import Kit, Unsynced, snapshot_draft

names = st.sampled_from(["a", "b", "c", "\udcff"])
contents = st.builds(
    lambda seed, size: random.Random(seed).randbytes(size),
    st.integers(0, 9),
    st.sampled_from([0, 1, 700, 3000]),
)
edits = st.dictionaries(st.builds(join, st.sampled_from(["", "d"]), names), st.none() | contents, max_size=5)


class RepositoryMachine(RuleBasedStateMachine):
    """``model``: ``{path: content}`` now; ``history``: every root acknowledged, with the model of then."""

    @initialize()
    def create(self):
        memory = "/dev/shm"
        self.place = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
        self.kit = Kit(backend=self.backend(), cache=os.path.join(self.place, "cache", "index.db"))
        self.repository = self.kit.create()
        self.reader = None
        self.model, self.history, self.root = {}, [], None
        self.capture({}, commits=True)

    def backend(self):
        return LocalBackend(os.path.join(self.place, "repository"), system=Unsynced(), reserve=0)

    def entry(self, made, content):
        writer = ContentWriter(made, made.chunker)
        writer.write(0, content)
        written = writer.finish()
        return TreeEntry(content=written.content, digest=written.digest, size=written.size)

    @rule(changes=edits, commits=st.booleans())
    def capture(self, changes, commits):
        with self.repository.begin() as made:
            wanted = {
                path: None if data is None else self.entry(made, data) for path, data in changes.items()
            }
            if self.root is None:
                wanted[""] = TreeEntry(type=EntryType.DIRECTORY)
                wanted["d"] = TreeEntry(type=EntryType.DIRECTORY)
            root = update(made, made, self.root, wanted)
            if commits:
                made.commit(snapshot_draft(root))
        if commits:
            self.root = root
            for path, data in changes.items():
                self.model.pop(path, None)
                if data is not None:
                    self.model[path] = data
            self.history.append((root, dict(self.model)))

    @rule()
    def reopen(self):
        self.repository.close()
        self.repository = self.kit.open(writable=True)

    @rule()
    def die(self):
        """The process ends without a word; its descriptors are closed by the kernel."""
        lock = self.repository._writer._lock  # noqa: SLF001
        os.close(lock._descriptor)  # noqa: SLF001
        lock._descriptor = -1  # noqa: SLF001
        self.repository.close()
        self.kit.backend = self.backend()
        self.repository = self.kit.open(writable=True)

    @rule()
    def lose_the_cache(self):
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.kit.cache + suffix):
                os.unlink(self.kit.cache + suffix)

    @rule()
    def look_from_beside(self):
        if self.reader is None:
            cache, self.kit.cache = self.kit.cache, None
            self.reader = self.kit.open()
            self.kit.cache = cache
        self.reader.refresh()
        self.compare(self.reader, *self.history[-1])
        assert self.reader.head() == self.repository.head()

    @rule(data=st.data())
    def look_back(self, data):
        root, model = data.draw(st.sampled_from(self.history))
        self.compare(self.repository, root, model)

    @rule()
    def check(self):
        found = check(self.repository, read_data=True)
        assert [item for item in found if item.severity is Severity.DAMAGE] == []

    @invariant()
    def nothing_is_lost(self):
        kinds = [record.record.kind for record in self.repository.records()]
        assert kinds == ["repository", "key", "key"] + ["snapshot"] * len(self.history)

    def compare(self, repository, root, model):
        found = {
            path: b"".join(data for _, data in read_content(repository, entry))
            for path, entry in walk(repository, root)
            if entry.type is EntryType.FILE
        }
        assert found == model
        for path in ("a", "d/b"):
            assert (lookup(repository, root, path) is None) == (path not in model)
            assert lookup(repository, root, parent_of(path)) is not None

    def teardown(self):
        if hasattr(self, "repository"):
            self.repository.close()
            if self.reader is not None:
                self.reader.close()
            shutil.rmtree(self.place)


@pytest.fixture(autouse=True, scope="module")
def _small_packs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "SPILL_SIZE", 2000)
        patch.setattr(transaction, "PACK_SIZE", 3000)
        patch.setattr(pack, "GROUP_SIZE", 1000)
        patch.setattr("lastro.store.writer.SEGMENT_SIZE", 4000)
        yield


TestRepository = RepositoryMachine.TestCase
TestRepository.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
