"""The node's side of a session: frames in, requests out as events; answers in, frames out. Sans-I/O (``docs/protocol.md``).

    state     may receive                            may send                                          goes to
    ------------------------------------------------------------------------------------------------------------------------------
    NEW       nothing                                hello (``begin``)                                 OPEN
    OPEN      task-list tree-dump fetch watch        replies, changed and overflow if watched,         LEAVING (``say_goodbye``)
              ping telemetry cancel ack              goodbye                                           BROKEN (a breach)
    LEAVING   the same; new work is answered with    replies of what runs                              BROKEN (a breach)
              ``error busy``
    BROKEN    nothing                                what is queued; then the driver closes the link

    command              asked -> (start -> parts in the window -> done) or result; or ``error`` at any point. One last reply each.
    cancel of a command  waits until that command has its last reply, whichever it is.

What always holds: whatever a keeper sends, memory stays within the published limits, nothing but ``ProtocolError`` comes out of
``receive``, and no stream is ahead of its window. An unreadable frame ends the session; a request that is wrong in itself is answered with
``error`` and leaves the session as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Final, TypeVar

from msgspec import Struct, structs

from lastro.domain.entry import Entry
from lastro.domain.telemetry import Sample
from lastro.errors import LastroError, LimitError, NotFoundError, ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import encode_canonical, encode_message, read_envelope, read_message
from lastro.protocol.entries import fit_entry, wire_path
from lastro.protocol.events import (
    CancelAsked,
    ChangedPath,
    FetchAsked,
    NodeEvent,
    Part,
    TaskListAsked,
    TelemetryAsked,
    TreeDumpAsked,
    TreeSummary,
    WatchAsked,
    WatchedRoot,
    WatchEnded,
    WindowOpened,
)
from lastro.protocol.faults import BusyError, LocalProtocolError, error_reply
from lastro.protocol.fetch_sender import FetchSender, FileSender, ManySender, file_part_size
from lastro.protocol.flow import Window
from lastro.protocol.limits import check_limits
from lastro.protocol.messages import (
    DIGEST_KIND,
    ENCODING_BINARY,
    AckCommand,
    CancelCommand,
    CancelResult,
    Changed,
    ChangedItem,
    ErrorReply,
    FetchFileDone,
    FetchManyDone,
    FetchStart,
    Goodbye,
    Hello,
    Overflow,
    PingCommand,
    PingResult,
    Task,
    TaskListResult,
    TelemetryResult,
    TreeDone,
    TreeStart,
    WatchResult,
    WireDisk,
)
from lastro.protocol.node_requests import Request, read_request
from lastro.protocol.tree_parts import TreeWriter

_LARGEST_STREAM: Final = 0xFFFF_FFFF
_STREAMS: Final = (TreeDumpAsked, FetchAsked)
AskedKind = TypeVar("AskedKind")


class NodeState(Enum):
    """See the table at the head."""

    NEW = auto()
    OPEN = auto()
    LEAVING = auto()
    BROKEN = auto()


class _Running:
    """A command without its last reply. ``window`` is there once its stream has started."""

    __slots__ = ("asked", "cancelled_by", "encoding", "window")

    def __init__(self, asked: Request, encoding: str) -> None:
        self.asked = asked
        self.encoding = encoding
        self.window: Window | None = None
        self.cancelled_by: str | None = None


class NodeSession:
    """The node's machine for one connection. Not for several threads: call it from the driver's loop only.

    After every call send what ``outgoing`` returns, in order and before reading the next frame. ``receive`` raising means the peer is at
    fault and the session over: close the link with ``close_code(error)``.

    Streams: ``start_tree`` and ``start_fetch`` give a maker of parts, which may run in any thread. Send each part with ``send_part`` when
    ``can_send(id, part.size)`` says so, else wait for ``WindowOpened`` (and stop reading the source meanwhile); then ``finish_...``.

    Methods that take a command raise ``LocalProtocolError`` when it is not running, or not of their kind.
    """

    def __init__(self, hello: Hello) -> None:
        """``hello`` says what this node is, offers and holds; its limits are in force on both sides."""
        self._hello = hello
        self._limits = check_limits(hello.limits)
        self._state = NodeState.NEW
        self._running: dict[str, _Running] = {}
        self._watch: str | None = None
        self._streams = 0
        self._outgoing: list[str | bytes] = []

    @property
    def state(self) -> NodeState:
        """Where the session stands."""
        return self._state

    def begin(self) -> None:
        """Queue ``hello``: the first thing on a fresh link."""
        if self._state is not NodeState.NEW:
            raise LocalProtocolError(N_("The session has begun already."))
        self._state = NodeState.OPEN
        self._send(self._hello)

    def outgoing(self) -> list[str | bytes]:
        """The frames to send now, in order; they are handed out once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def is_running(self, command: str) -> bool:
        """Whether ``command`` still waits for its last reply."""
        return command in self._running

    @property
    def is_watched(self) -> bool:
        """Whether the keeper wants to hear of changes."""
        return self._watch is not None

    # What the keeper says -----------------------------------------------------------------------------------------------

    def receive(self, frame: str | bytes) -> list[NodeEvent]:
        """Take one frame; returns what the driver has to do.

        Raises:
            LimitError: the frame is larger, deeper or longer than published. The session is over.
            ProtocolError: any other breach by the keeper. The session is over.
        """
        if self._state not in {NodeState.OPEN, NodeState.LEAVING}:
            raise LocalProtocolError(N_("The session does not take frames now."))
        try:
            return self._receive(frame)
        except ProtocolError:
            self._state = NodeState.BROKEN
            raise

    def _receive(self, frame: str | bytes) -> list[NodeEvent]:
        if isinstance(frame, bytes):
            raise ProtocolError(N_("The keeper sent a binary frame; only nodes do."))
        envelope = read_envelope(frame, self._limits)
        command, cmd = envelope.id, envelope.cmd
        if cmd is None or command is None or not 1 <= len(command) <= 64:
            raise ProtocolError(N_("The keeper sent something that is no command."))
        if cmd == "ack":
            return self._acknowledged(read_message(frame, AckCommand))
        if command in self._running or command == self._watch:
            raise ProtocolError(N_("The keeper used the id of a command that is running."))
        try:
            if cmd == "cancel":
                return self._cancel(read_message(frame, CancelCommand))
            if cmd == "ping":
                self._send(PingResult(id=read_message(frame, PingCommand).id))
                return []
            return self._admit(*read_request(frame, cmd, self._hello))
        except LastroError as error:
            self._send(error_reply(command, error))
        return []

    def _acknowledged(self, message: AckCommand) -> list[NodeEvent]:
        running = self._running.get(message.id)
        if running is None or running.window is None:
            return []  # the stream has ended meanwhile
        running.window.open(message.bytes)
        return [WindowOpened(id=message.id)]

    def _cancel(self, message: CancelCommand) -> list[NodeEvent]:
        if message.target == self._watch:
            self._watch = None
            self._send(CancelResult(id=message.id, cancelled=True, freed_bytes=0))
            return [WatchEnded()]
        running = self._running.get(message.target)
        if running is None or running.cancelled_by is not None:
            self._send(CancelResult(id=message.id, cancelled=False, freed_bytes=0))
            return []
        running.cancelled_by = message.id
        return [CancelAsked(id=message.target)]

    def _admit(self, asked: Request, encoding: str) -> list[NodeEvent]:
        """Take a command on, unless there are too many."""
        streams = sum(1 for running in self._running.values() if isinstance(running.asked, _STREAMS))
        if self._state is NodeState.LEAVING:
            raise BusyError(N_("This node is about to leave."))
        if len(self._running) >= self._limits.parallel_commands:
            raise BusyError(N_("Too many commands at once."))
        if isinstance(asked, _STREAMS) and streams >= self._limits.open_transfers:
            raise BusyError(N_("Too many transfers at once."))
        self._running[asked.id] = _Running(asked, encoding)
        return [asked]

    # What the node says -------------------------------------------------------------------------------------------------

    def reply_task_list(self, command: str, roots: Sequence[WatchedRoot]) -> None:
        """Answer ``TaskListAsked``. A list that does not fit a message becomes an ``error``."""
        self._expect(command, TaskListAsked)
        tasks = tuple(
            Task(
                name=wire_path(root.path),
                kind="files",
                watch_root=wire_path(root.path),
                excludes=tuple(wire_path(exclude) for exclude in root.excludes),
                entries=root.entries,
                bytes=root.bytes,
                cursor=root.cursor,
            )
            for root in roots
        )
        self._finish(command, TaskListResult(id=command, tasks=tasks))

    def reply_telemetry(self, command: str, sample: Sample) -> None:
        """Answer ``TelemetryAsked``."""
        self._expect(command, TelemetryAsked)
        disks = tuple(
            WireDisk(path=wire_path(disk.path), total=disk.total, free=disk.free) for disk in sample.disks
        )
        values = {name: getattr(sample, name) for name in Sample.__struct_fields__}
        self._finish(command, TelemetryResult(**{**values, "disks": disks}, id=command))

    def start_tree(self, command: str) -> TreeWriter:
        """Begin the answer to ``TreeDumpAsked``; the writer makes its parts, ``flush`` the last."""
        asked = self._expect(command, TreeDumpAsked)
        self._start(command, TreeStart(id=command, root=wire_path(asked.root)))
        return TreeWriter(command, asked.root, self._limits)

    def finish_tree(self, command: str, summary: TreeSummary, *, cursor: int | None) -> None:
        """End it, after the writer's last part. ``cursor``: where the change feed stood *before* the listing began."""
        self._expect(command, TreeDumpAsked)
        self._finish(
            command, TreeDone(id=command, count=summary.count, digest=summary.digest.hex(), cursor=cursor)
        )

    def start_fetch(self, command: str, *, entry: Entry | None) -> FetchSender:
        """Begin the answer to ``FetchAsked``. ``entry``: the one file as listed before reading; ``None`` for many."""
        asked = self._expect(command, FetchAsked)
        encoding = self._running[command].encoding
        stream = self._next_stream() if encoding == ENCODING_BINARY else None
        sender: FetchSender
        if asked.many:
            sender, part_size = (
                ManySender(asked.root, asked.paths, self._limits, stream=stream or 0),
                self._limits.part_bytes,
            )
        else:
            sender = FileSender(asked.root, asked.paths[0], self._limits, command=command, stream=stream)
            part_size = file_part_size(self._limits, binary=stream is not None)
        start = FetchStart(
            id=command,
            encoding=encoding,  # type: ignore[arg-type]  # it came out of a FetchCommand
            part_size=part_size,
            digest_kind=DIGEST_KIND,
            stream=stream,
            size=None if entry is None else entry.size,
            entry=None if entry is None else fit_entry(entry, asked.root, self._limits),
        )
        self._start(command, start)
        return sender

    def finish_fetch(self, command: str, sender: FetchSender) -> None:
        """End it, after every part of ``sender.flush()``. The failure of a single file becomes the error reply."""
        asked = self._expect(command, FetchAsked)
        if not sender.complete:
            raise LocalProtocolError(N_("The source has not said how every file ended."))
        if isinstance(sender, FileSender):
            self._finish(command, self._file_done(command, asked.root, sender))
        else:
            done = FetchManyDone(id=command, files=sender.files, failed=sender.failed, bytes=sender.bytes)
            self._finish(command, done)

    def _file_done(self, command: str, root: str, sender: FileSender) -> FetchFileDone | ErrorReply:
        entry = None if sender.entry is None else fit_entry(sender.entry, root, self._limits)
        if entry is None or entry.digest is None:
            kind, detail = sender.failure or ("unreadable", "")
            error = NotFoundError(N_("The file could not be read ({detail})."), detail=detail)
            return structs.replace(error_reply(command, error, detail=detail), code=kind)
        return FetchFileDone(
            id=command, size=entry.size, digest=entry.digest, torn=entry.torn, entry=entry, racy=sender.racy
        )

    def can_send(self, command: str, size: int) -> bool:
        """Whether the window of this stream has room for a part of ``size`` bytes. False too once the command has ended."""
        running = self._running.get(command)
        return running is not None and running.window is not None and running.window.has_room(size)

    def send_part(self, command: str, part: Part) -> None:
        """Queue a part of a stream that has started, and for which ``can_send`` said yes."""
        running = self._running.get(command)
        if running is None or running.window is None:
            raise LocalProtocolError(N_("A part was sent outside a stream."))
        running.window.send(part.size)
        self._outgoing.append(part.frame)

    def reply_watch(self, command: str, cursor: int) -> None:
        """Answer ``WatchAsked``: what changes after ``cursor`` will be told."""
        self._expect(command, WatchAsked)
        unwanted = self._running[command].cancelled_by is not None
        if not unwanted:
            self._watch = command
        self._finish(command, WatchResult(id=command, cursor=cursor), cancelled=unwanted)

    def send_changed(self, cursor: int, paths: Sequence[ChangedPath], *, roots_changed: bool) -> None:
        """Tell a keeper that watches; nothing happens without one. A long step is told in several events.

        Send what is queued before saying more: that is what makes a slow keeper slow the feed down and not fill memory.
        """
        if self._watch is None:
            return
        steps = list(_in_steps(paths, self._limits.part_items, self._limits.part_bytes))
        for number, step in enumerate(steps, 1):
            last = number == len(steps)
            self._send(
                Changed(cursor=cursor, paths=step, roots_changed=roots_changed and last, more=not last)
            )

    def send_overflow(self, cursor: int, roots: Sequence[str]) -> None:
        """Tell a keeper that watches that the feed lost something about ``roots``."""
        if self._watch is not None:
            self._send(Overflow(cursor=cursor, roots=tuple(wire_path(root) for root in roots)))

    def fail(self, command: str, error: LastroError, *, detail: str = "") -> None:
        """End a command with ``error``."""
        self._expect(command, object)
        self._finish(command, error_reply(command, error, detail=detail))

    def finish_cancelled(self, command: str, *, freed_bytes: int = 0) -> None:
        """The work asked to stop by ``CancelAsked`` has stopped, and this much temporary data is gone."""
        running = self._running.get(command)
        if running is None:
            return  # it had finished by itself, and the cancel was answered then
        reply = ErrorReply(id=command, code="cancelled", message="The keeper cancelled it.")
        self._finish(command, reply, freed_bytes=freed_bytes, cancelled=True)

    def say_goodbye(self, reason: str) -> None:
        """Queue ``goodbye``; then let running commands end or not, send what is queued, and close with 1001."""
        if self._state is NodeState.OPEN:
            self._state = NodeState.LEAVING
            self._send(Goodbye(reason=reason))

    # ----------------------------------------------------------------------------------------------------------------------

    def _expect(self, command: str, kind: type[AskedKind]) -> AskedKind:
        running = self._running.get(command)
        if running is None or not isinstance(running.asked, kind):
            raise LocalProtocolError(N_("There is no such command running: {command}"), command=command)
        return running.asked

    def _start(self, command: str, start: Struct) -> None:
        running = self._running[command]
        if running.window is not None:
            raise LocalProtocolError(N_("The stream has started already: {command}"), command=command)
        running.window = Window(self._limits.window_bytes)
        self._send(start)

    def _finish(self, command: str, reply: Struct, *, cancelled: bool = False, freed_bytes: int = 0) -> None:
        """The last reply of a command; then the answer to who wanted to cancel it."""
        running = self._running.pop(command)
        self._send(self._fitting(command, reply))
        if running.cancelled_by is not None:
            self._send(CancelResult(id=running.cancelled_by, cancelled=cancelled, freed_bytes=freed_bytes))

    def _fitting(self, command: str, reply: Struct) -> Struct:
        size = len(encode_canonical(reply))
        if size <= self._limits.message_bytes:
            return reply
        error = LimitError(N_("The answer has {size} bytes, more than a message may have."), size=size)
        return error_reply(command, error)

    def _next_stream(self) -> int:
        self._streams += 1
        if self._streams > _LARGEST_STREAM:
            raise LocalProtocolError(N_("There are no stream numbers left; a new session is needed."))
        return self._streams

    def _send(self, message: Struct) -> None:
        self._outgoing.append(encode_message(message))


def _in_steps(paths: Sequence[ChangedPath], count: int, size: int) -> Iterator[tuple[ChangedItem, ...]]:
    """``paths`` in groups that fit a message; one empty group when there are none."""
    group: list[ChangedItem] = []
    filled = 0
    for path in paths:
        item = ChangedItem(
            watch_root=wire_path(path.root), rel_path=wire_path(path.path), recursive=path.recursive
        )
        length = len(encode_canonical(item)) + 1
        if len(group) >= count or (group and filled + length > size):
            yield tuple(group)
            group, filled = [], 0
        group.append(item)
        filled += length
    yield tuple(group)
