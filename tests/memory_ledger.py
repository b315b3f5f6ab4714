"""A ``RunLedger`` that keeps everything in lists, and what a run needs beside it where there is no jail: a process of its own."""

# ruff: noqa: ARG002  a ledger takes what its contract says

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time

from lastro.agents.jail.spec import JailEnd
from lastro.agents.ledger import Begun, Pair, RunLedger
from lastro.capture.local import LocalSource
from lastro.capture.source import FileEnd, Root, Skipped
from lastro.domain.changes import ChangeSet, diff
from lastro.domain.entry import EntryType
from lastro.domain.paths import is_within
from lastro.domain.run import RUN_TRANSITIONS, EndCause, RunEnforcement, RunState


def entries_of(source, root):
    """Everything below ``root``, with digests, but for what Git keeps."""
    listed = [entry for entry in source.list(root) if not isinstance(entry, Skipped)]
    files = [entry for entry in listed if entry.type is EntryType.FILE]
    read = {event.path: event.entry for event in source.fetch(root, files) if isinstance(event, FileEnd)}
    return [read.get(entry.path, entry) for entry in listed if not is_within(entry.path, ".git")]


class MemoryLedger(RunLedger):
    """Refuses what the keeper's log refuses. ``pause`` lets a snapshot take its time; ``errors`` are raised once each, by verb."""

    def __init__(self):
        self.state = RunState.PREPARING
        self.states = [RunState.PREPARING]
        self.facts = {}
        self.snapshots = []
        self.proposals = []
        self.steps = []
        self.pause = threading.Event()
        self.pause.set()
        self.errors = {}
        self.when_before = lambda: None

    def _may_fail(self, verb):
        if verb in self.errors:
            raise self.errors.pop(verb)

    def begin(self, order):
        return Begun(run=1, memory="")

    def before(self, run, project):
        self._may_fail("before")
        assert self.pause.wait(20)
        self.snapshots.append(entries_of(LocalSource([Root(path=project)]), project))
        self.when_before()
        return len(self.snapshots)

    def after(self, run, before, source, changed):
        self._may_fail("after")
        (root,) = source.roots()
        found = entries_of(source, root.path)
        self.snapshots.append(found)
        changes = tuple(
            change
            for change in diff(self.snapshots[before - 1], found)
            if change.path in changed or any(is_within(change.path, path) for path in changed if path)
        )
        return Pair(
            before=before,
            after=len(self.snapshots),
            changes=len(changes),
            digest=ChangeSet(changes).digest.hex(),
            changed=changes,
        )

    def step(self, run, step):
        self.steps.append(step)

    def transition(self, run, state, *, before=None, after=None, facts=None):
        self._may_fail(state.value)
        if state is self.state:
            return
        assert state in RUN_TRANSITIONS.get(self.state, frozenset()), (self.state, state)
        self.state = state
        self.states.append(state)
        if facts is not None:
            self.facts[state] = facts

    def propose(self, run, pair, *, checks, notes, risk):
        self._may_fail("propose")
        self.proposals.append((pair, tuple(checks), tuple(notes), risk))
        return len(self.proposals)


class BareProcess:
    """A ``JailedProcess`` without a jail: a session of its own, ended by signals."""

    def __init__(self, command, directory, *, degraded=("filesystem",)):
        self.enforcement = RunEnforcement(view="copy", degraded=degraded)
        self._began = time.monotonic_ns()
        self._cause = None
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._selector = selectors.DefaultSelector()
        for name in ("stdout", "stderr"):
            self._selector.register(getattr(self._process, name), selectors.EVENT_READ, name)

    @property
    def pid(self):
        return self._process.pid

    def read(self, timeout_s):
        if not self._selector.get_map():
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return None
            return ("end", b"")
        for key, _ in self._selector.select(timeout_s):
            data = os.read(key.fd, 65_536)
            if data:
                return (key.data, data)
            self._selector.unregister(key.fileobj)
        return None

    def stop(self, cause):
        if self._process.poll() is None:
            self._cause = self._cause or cause
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self):
        status = self._process.wait(30)
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()
        cause = self._cause or (EndCause.EXITED if status >= 0 else EndCause.SIGNALLED)
        return JailEnd(cause=cause, status=status, wall_ns=time.monotonic_ns() - self._began)
