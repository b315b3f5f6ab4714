"""Node and keeper joined by a link, in any interleaving, cut at any time: what arrives is exactly what was sent, within every window."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from lastro.domain.entry import EntryType
from lastro.domain.paths import tree_order
from lastro.errors import UnreachableError
from lastro.protocol.codec import frame_size
from lastro.protocol.events import (
    CancelAsked,
    CancelEnded,
    ChangedPath,
    CommandFailed,
    FeedChanged,
    FeedOverflowed,
    FetchAsked,
    FetchEnded,
    FileFailed,
    PartArrived,
    PongReceived,
    SkippedPath,
    TaskListAsked,
    TaskListReceived,
    TelemetryAsked,
    TelemetryReceived,
    TreeDumpAsked,
    TreeEnded,
    TreeItems,
    WatchAsked,
    WatchedRoot,
    WatchEnded,
    WatchStarted,
)
from tests.protocol_nouns import SMALL, plain_entry, sample_of
from tests.protocol_pair import Assembled, Pair, file_events

ROOTS = (WatchedRoot(path="/srv", excludes=("*.tmp",), cursor=3),)
NOISE = random.Random(7).randbytes(700_000)
FILES = {
    "big": NOISE,
    "dir/empty": b"",
    "dir/small": b"small",
    "dir/\udcff": b"not utf-8" * 100,
    "medium": NOISE[:90_000],
    "zeros": bytes(400_000),
}
GONE = "dir/vanished"
TREE = sorted(
    [
        plain_entry("", EntryType.DIRECTORY),
        plain_entry("dir", EntryType.DIRECTORY),
        SkippedPath(path="proc", kind="excluded", detail="proc"),
        *(plain_entry(path, size=len(content)) for path, content in FILES.items()),
        *(plain_entry(f"many/{index}", user="x" * 3000) for index in range(200)),
        plain_entry("many", EntryType.DIRECTORY),
    ],
    key=lambda item: tree_order(item.path),
)
LAST = (
    TaskListReceived,
    TelemetryReceived,
    TreeEnded,
    FetchEnded,
    WatchStarted,
    PongReceived,
    CancelEnded,
    CommandFailed,
)
asked_files = st.lists(st.sampled_from([*FILES, GONE]), min_size=1, max_size=6, unique=True)


def source_events(paths):
    for path in paths:
        if path == GONE:
            yield FileFailed(path=path, kind="vanished", detail="ENOENT")
        else:
            yield from file_events(path, FILES[path], cut=200_000)


def tree_parts(writer):
    for item in TREE:
        yield from writer.take(item)
    yield from writer.flush()


def fetch_parts(sender, paths):
    for event in source_events(paths):
        yield from sender.take(event)
    yield from sender.flush()


class SessionPair(RuleBasedStateMachine):
    """``work``: what the node's threads have in hand. ``unread``: what the keeper has got and not taken over yet."""

    def __init__(self):
        super().__init__()
        self.connect()

    def connect(self):
        self.pair = Pair().opened()
        self.work = {}
        self.unread = []
        self.asked = {}
        self.trees = {}
        self.fetches = {}
        self.ended = set()
        self.cancelled = set()
        self.told = []
        self.heard = []

    # The keeper asks ----------------------------------------------------------------------------------------------------

    def may_ask(self):
        return self.pair.keeper.free_commands > 0 and self.pair.keeper.free_transfers > 0

    def remember(self, command, kind, detail=None):
        assert command not in self.asked
        self.asked[command] = (kind, detail)
        self.pair.move()

    @precondition(may_ask)
    @rule()
    def ask_task_list(self):
        self.remember(self.pair.keeper.request_task_list(), "task-list")

    @precondition(may_ask)
    @rule()
    def ask_tree(self):
        command = self.pair.keeper.request_tree_dump("/srv")
        self.trees[command] = []
        self.remember(command, "tree")

    @precondition(may_ask)
    @rule(path=st.sampled_from([*FILES, GONE]), encoding=st.sampled_from(["gzip+base64", "zstd+binary"]))
    def ask_file(self, path, encoding):
        command = self.pair.keeper.request_fetch("/srv", path, encoding=encoding)
        self.fetches[command] = (self.pair.keeper.receiver(command), Assembled())
        self.remember(command, "fetch", (path,))

    @precondition(may_ask)
    @rule(paths=asked_files)
    def ask_many(self, paths):
        command = self.pair.keeper.request_fetch_many("/srv", paths)
        self.fetches[command] = (self.pair.keeper.receiver(command), Assembled())
        self.remember(command, "many", tuple(paths))

    @precondition(may_ask)
    @rule()
    def ask_watch(self):
        self.remember(self.pair.keeper.request_watch(None), "watch")

    @precondition(may_ask)
    @rule()
    def ask_telemetry(self):
        self.remember(self.pair.keeper.request_telemetry(), "telemetry")

    @rule()
    def ask_ping(self):
        self.remember(self.pair.keeper.ping(), "ping")

    @rule(data=st.data())
    def ask_cancel(self, data):
        target = data.draw(st.sampled_from([*self.asked, "nothing"]))
        self.cancelled.add(target)
        self.remember(self.pair.keeper.cancel(target), "cancel", target)

    # The link and the two drivers ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.pair.to_node)
    @rule()
    def node_reads(self):
        for event in self.pair.step_node():
            if isinstance(event, TaskListAsked | TelemetryAsked | WatchAsked | TreeDumpAsked | FetchAsked):
                self.work[event.id] = event
            elif isinstance(event, CancelAsked):
                self.work[event.id] = None
            elif isinstance(event, WatchEnded):
                assert not self.pair.node.is_watched

    @precondition(lambda self: self.work)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def node_works(self, data, steps):
        command = data.draw(st.sampled_from(sorted(self.work)))
        for _ in range(steps):
            if command in self.work:
                self.node_step(command)
        self.pair.move()

    def node_step(self, command):
        node, job = self.pair.node, self.work[command]
        if job is None:
            node.finish_cancelled(command)
        elif isinstance(job, TaskListAsked):
            node.reply_task_list(command, ROOTS)
        elif isinstance(job, TelemetryAsked):
            node.reply_telemetry(command, sample_of(paths=("/srv", "/\udcff")))
        elif isinstance(job, WatchAsked):
            node.reply_watch(command, len(self.told))
        elif isinstance(job, TreeDumpAsked):
            writer = node.start_tree(command)
            self.work[command] = (tree_parts(writer), writer, [])
            return
        elif isinstance(job, FetchAsked):
            entry = None if job.many or job.paths[0] == GONE else plain_entry(job.paths[0])
            sender = node.start_fetch(command, entry=entry)
            self.work[command] = (fetch_parts(sender, job.paths), sender, [])
            return
        else:
            self.node_streams(command, *job)
            return
        del self.work[command]

    def node_streams(self, command, parts, maker, waiting):
        if not waiting:
            part = next(parts, None)
            if part is None:
                del self.work[command]
                if self.asked[command][0] == "tree":
                    self.pair.node.finish_tree(command, maker.summary, cursor=5)
                else:
                    self.pair.node.finish_fetch(command, maker)
                return
            waiting.append(part)
        if self.pair.node.can_send(command, waiting[0].size):
            self.pair.node.send_part(command, waiting.pop())

    @precondition(lambda self: self.pair.to_keeper)
    @rule(frames=st.integers(1, 8))
    def keeper_reads(self, frames):
        for _ in range(frames):
            if self.pair.to_keeper:
                self.unread += self.pair.step_keeper()

    @precondition(lambda self: self.unread)
    @rule(count=st.integers(1, 8))
    def keeper_takes_over(self, count):
        for _ in range(min(count, len(self.unread))):
            self.take_over(self.unread.pop(0))
        self.pair.move()

    def take_over(self, event):
        if isinstance(event, TreeItems):
            self.trees[event.id] += event.items
        if isinstance(event, PartArrived | FetchEnded):
            receiver, whole = self.fetches[event.id]
            whole.take(receiver.take(event))
        if isinstance(event, TreeItems | PartArrived):
            self.pair.keeper.ack(event.id, event.size)
        if isinstance(event, FeedChanged | FeedOverflowed):
            self.heard.append(event)
        if isinstance(event, LAST):
            self.check_end(event)

    def check_end(self, event):
        assert event.id not in self.ended
        self.ended.add(event.id)
        kind, detail = self.asked[event.id]
        if isinstance(event, CommandFailed):
            assert (
                event.code == "cancelled"
                if event.id in self.cancelled and event.code != "vanished"
                else event.code == "vanished"
            )
        elif kind == "task-list":
            assert event.roots == ROOTS
        elif kind == "tree":
            assert self.trees[event.id] == TREE
            assert event.cursor == 5
        elif kind in {"fetch", "many"}:
            whole = self.fetches[event.id][1]
            assert whole.order == list(detail)
            for path in detail:
                assert path == GONE or bytes(whole.files[path]) == FILES[path]
        elif kind == "cancel":
            assert event.target == detail

    # The change feed ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.pair.node.is_watched)
    @rule(paths=st.lists(st.sampled_from([*FILES]), max_size=20), lost=st.booleans())
    def something_changes(self, paths, lost):
        cursor = len(self.told) + 1
        changed = [ChangedPath(root="/srv", path=path) for path in paths]
        self.told.append(("/srv",) if lost else tuple(changed))
        if lost:
            self.pair.node.send_overflow(cursor, ["/srv"])
        else:
            self.pair.node.send_changed(cursor, changed, roots_changed=False)
        self.pair.move()

    # The link is cut ----------------------------------------------------------------------------------------------------

    @rule()
    def cut(self):
        running = (
            set(self.asked) - self.ended - {event.id for event in self.unread if isinstance(event, LAST)}
        )
        lost = self.pair.keeper.link_lost()
        assert {event.id for event in lost} == running
        assert all(isinstance(event.error, UnreachableError) for event in lost)
        self.connect()

    @override
    def teardown(self):
        """Whatever was interrupted can still be finished, and then nothing is left over."""
        for _ in range(100_000):
            if not (self.pair.to_node or self.pair.to_keeper or self.work or self.unread):
                break
            if self.pair.to_node:
                self.node_reads()
            if self.pair.to_keeper:
                self.keeper_reads(4)
            if self.unread:
                self.keeper_takes_over(4)
            for command in list(self.work):
                self.node_step(command)
            self.pair.move()
        assert set(self.asked) == self.ended
        told = [paths for step in self.told for paths in step]
        heard = [
            item
            for event in self.heard
            for item in (event.paths if isinstance(event, FeedChanged) else event.roots)
        ]
        assert heard == told
        assert self.pair.keeper.free_commands == SMALL.parallel_commands
        assert self.pair.keeper.free_transfers == SMALL.open_transfers

    @invariant()
    def memory_is_bounded(self):
        """What is on its way or not taken over yet fits the windows of the streams that are open, and nothing else is large."""
        held = sum(frame_size(frame) for frame in self.pair.to_keeper)
        held += sum(event.size for event in self.unread if isinstance(event, TreeItems | PartArrived))
        assert held <= SMALL.open_transfers * SMALL.window_bytes + 400_000


TestSessionPair = SessionPair.TestCase
TestSessionPair.settings = settings(max_examples=40, stateful_step_count=60)
