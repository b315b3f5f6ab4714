"""The law of the change feed: whoever lists what it names, and only that, has at any time what a full listing would give."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from lastro.capture.local import LocalSource
from lastro.capture.source import Root, Skipped
from lastro.capture.watch import InotifyWatcher
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import is_within, parent_of
from lastro.filesystem.system import System
from tests import hard_files

NAMES = ("a", "b", "c", "not-utf-8-\udcff")
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


class Mirror:
    """A listing that is kept up to date by a change feed alone, as a keeper does."""

    def __init__(self, source, root):
        self._source = source
        self._root = root
        self.cursor = source.changes(None, 0).cursor
        self.entries = self._list(("",), recursive=True)

    def _list(self, asked, *, recursive):
        listed = self._source.list(self._root, asked, recursive=recursive)
        return {each.path: each for each in listed if not isinstance(each, Skipped)}

    def follow(self):
        """Take what the feed says now. Returns the paths that it named below other roots."""
        answer = self._source.changes(self.cursor, 5.0)
        self.cursor = answer.cursor
        if self._root in answer.overflow:
            self.entries = self._list(("",), recursive=True)
        for changed in answer.paths:
            if changed.root == self._root:
                self._replace(changed.path, recursive=changed.recursive)
        return {each.path for each in answer.paths if each.root != self._root}, answer

    def _replace(self, path, *, recursive):
        found = self._list((path,), recursive=recursive)
        is_directory = path in found and found[path].type is EntryType.DIRECTORY
        for old in [old for old in self.entries if is_within(old, path)]:
            known = not recursive and is_directory and old != path
            child = old if parent_of(old) == path else None
            if known and (child is None or child in found):
                if child is None and self._top_child(old, path) not in found:
                    del self.entries[old]
                continue
            del self.entries[old]
        self.entries |= found

    @staticmethod
    def _top_child(path, directory):
        below = path[len(directory) :].lstrip("/")
        return "/".join(filter(None, (directory, below.split("/")[0])))


class Machine(RuleBasedStateMachine):
    """Random changes on a disk, followed by a mirror."""

    @initialize(patterns=st.sampled_from(((), ("c",))))
    def start(self, patterns):
        self.place = hard_files.place(in_memory=True)
        self.base = self.place.__enter__()
        self.root, self.outside, self.beacon = (
            f"{self.base}/{name}" for name in ("root", "outside", "beacon")
        )
        for directory in (self.root, self.outside, self.beacon):
            os.mkdir(directory)
        roots = [Root(path=self.root, excludes=patterns), Root(path=self.beacon)]
        self.watcher = InotifyWatcher(roots, first_cursor=1, **self.limits())
        self.source = LocalSource(roots, watcher=self.watcher)
        self.mirror = Mirror(self.source, self.root)
        self.number = 0

    def limits(self):
        return {}

    @override
    def teardown(self):
        if hasattr(self, "watcher"):
            self.watcher.close()
        if hasattr(self, "place"):
            self.place.__exit__(None, None, None)

    def at(self, path):
        return os.fsencode(f"{self.root}/{path}")

    def attempt(self, function, *arguments):
        try:
            function(*arguments)
        except OSError:
            return

    @rule(path=paths, data=st.binary(max_size=8))
    def write(self, path, data):
        def write():
            with open(self.at(path), "wb") as file:
                file.write(data)

        self.attempt(write)

    @rule(path=paths)
    def append(self, path):
        def append():
            with open(self.at(path), "r+b") as file:
                file.seek(0, os.SEEK_END)
                file.write(b"+")

        self.attempt(append)

    @rule(path=paths)
    def make_directory(self, path):
        self.attempt(os.mkdir, self.at(path))

    @rule(path=paths)
    def make_directories(self, path):
        self.attempt(os.makedirs, self.at(path))

    @rule(path=paths)
    def remove(self, path):
        if os.path.isdir(self.at(path)) and not os.path.islink(self.at(path)):
            shutil.rmtree(self.at(path))
        else:
            self.attempt(os.unlink, self.at(path))

    @rule(path=paths, content=paths)
    def link(self, path, content):
        self.attempt(os.symlink, content, self.at(path))

    @rule(path=paths, other=paths)
    def rename(self, path, other):
        self.attempt(os.rename, self.at(path), self.at(other))

    @rule(path=paths, other=paths)
    def exchange(self, path, other):
        top = os.open(self.root, os.O_RDONLY)
        self.attempt(System().exchange, top, os.fsencode(path), top, os.fsencode(other))
        os.close(top)

    @rule(path=paths, name=st.sampled_from(NAMES))
    def move_out(self, path, name):
        self.attempt(os.rename, self.at(path), os.fsencode(f"{self.outside}/{name}"))

    @rule(path=paths, name=st.sampled_from(NAMES))
    def move_in(self, path, name):
        self.attempt(os.rename, os.fsencode(f"{self.outside}/{name}"), self.at(path))

    @rule(path=st.one_of(st.just(""), paths), mode=st.sampled_from((0o700, 0o755)))
    def change_mode(self, path, mode):
        if not os.path.islink(self.at(path)):
            self.attempt(os.chmod, self.at(path), mode)

    @rule(path=paths)
    def change_outside(self, path):
        """What was moved out is no longer ours, and must not be reported under its old name."""
        self.attempt(os.mkdir, os.fsencode(f"{self.outside}/{path}"))

    @invariant()
    def follows(self):
        if not hasattr(self, "mirror") or self.number % 3:  # several changes at a time, too
            self.number = getattr(self, "number", 0) + 1
            return
        self.number += 1
        self.settle()
        expected = {each.path: each for each in self.source.list(self.root) if isinstance(each, Entry)}
        assert self.mirror.entries == expected

    def settle(self):
        """Follow until everything that happened so far has been told: events come in order, and the last is ours."""
        name = f"beacon-{self.number}"
        os.mkdir(f"{self.beacon}/{name}")
        while name not in self.mirror.follow()[0]:
            pass


class TinyMachine(Machine):
    """The same with a feed that remembers almost nothing: more overflows, the same law."""

    @override
    def limits(self):
        return {"maximum_remembered": 3}

    @override
    def settle(self):
        name = f"beacon-{self.number}"
        os.mkdir(f"{self.beacon}/{name}")
        while True:
            told, answer = self.mirror.follow()
            if name in told or self.beacon in answer.overflow:
                return


TestWatcher = Machine.TestCase
TestWatcher.settings = settings(max_examples=40, stateful_step_count=40)
TestTinyWatcher = TinyMachine.TestCase
TestTinyWatcher.settings = settings(max_examples=20, stateful_step_count=30)
pytestmark = pytest.mark.needs("linux", "names of any bytes")
