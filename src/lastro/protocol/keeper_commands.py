"""What a keeper knows of each command it has given, and how the replies to it are read and checked (``docs/protocol.md``).

    command                        phase     event -> phase
    task-list watch ping           ASKED     result -> ended
    telemetry cancel
    tree-dump                      ASKED     start -> STREAM
                                   STREAM    chunk (in the window, in order) -> STREAM; done (count and digest right) -> ended
    fetch                          ASKED     start -> STREAM
                                   STREAM    chunk or binary part, restart (in the window) -> STREAM; done -> ended

(``error`` and ``progress`` are the same for all, and the session's.) What always holds: an event comes out only when the reply fits what
was asked; anything else is ``ProtocolError``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec import Struct
from typing_extensions import override

from lastro.domain.entry import Entry, EntryType
from lastro.domain.telemetry import DiskUse, Sample
from lastro.errors import ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import BinaryPart, PartKind, frame_size, read_message
from lastro.protocol.entries import (
    WireEntry,
    absolute_from_wire,
    entry_from_wire,
    path_from_wire,
    wire_path,
)
from lastro.protocol.events import (
    CancelEnded,
    FetchEnded,
    FetchStarted,
    KeeperEvent,
    PartArrived,
    PongReceived,
    TaskListReceived,
    TelemetryReceived,
    TreeEnded,
    TreeItems,
    TreeStarted,
    WatchedRoot,
    WatchStarted,
)
from lastro.protocol.fetch_receiver import FetchReceiver, FileReceiver, ManyReceiver
from lastro.protocol.flow import Window
from lastro.protocol.limits import Limits
from lastro.protocol.messages import (
    ENCODING_BINARY,
    CancelResult,
    Encoding,
    FetchCommand,
    FetchFileDone,
    FetchManyDone,
    FetchPart,
    FetchRestart,
    FetchStart,
    PingResult,
    Task,
    TaskListResult,
    TelemetryResult,
    TreeDone,
    TreeDumpCommand,
    TreePart,
    TreeStart,
    WatchResult,
    WireDisk,
)
from lastro.protocol.tree_parts import TreeReader

_MANY_KINDS: Final = frozenset({PartKind.MANY_RAW, PartKind.MANY_ZSTD})
Result = TypeVar("Result", bound=Struct)


class Asked(ABC):
    """A command without its last reply. Streams have a ``window`` from their start, and a number in ``stream`` if they are binary."""

    def __init__(self, command: str, limits: Limits) -> None:
        self.command = command
        self.limits = limits
        self.window: Window | None = None
        self.stream: int | None = None
        self.ended = False

    @abstractmethod
    def reply(self, frame: str, event: str) -> KeeperEvent:
        """What a reply says.

        Raises:
            ProtocolError: it does not fit what was asked, or comes out of order.
        """

    def _opened(self, event: str) -> Window:
        """The stream's window, which has to be there by now."""
        if self.window is None:
            raise out_of_order(event)
        return self.window


class AskedResult(Asked):
    """A command with one reply of type ``kind``, which ``read`` makes an event."""

    def __init__(
        self, command: str, limits: Limits, kind: type[Result], read: Callable[[Result], KeeperEvent]
    ) -> None:
        super().__init__(command, limits)
        self._read: Callable[[str], KeeperEvent] = lambda frame: read(read_message(frame, kind))

    @override
    def reply(self, frame: str, event: str) -> KeeperEvent:
        if event != "result":
            raise out_of_order(event)
        self.ended = True
        return self._read(frame)


def asked_task_list(command: str, limits: Limits) -> Asked:
    """``task-list``. Tasks of a kind that this version does not know are not used."""

    def root(task: Task) -> WatchedRoot:
        return WatchedRoot(
            path=absolute_from_wire(task.watch_root, limits),
            excludes=tuple([path_from_wire(exclude) for exclude in task.excludes]),
            entries=task.entries,
            bytes=task.bytes,
            cursor=task.cursor,
        )

    def read(result: TaskListResult) -> KeeperEvent:
        return TaskListReceived(
            id=command, roots=tuple([root(task) for task in result.tasks if task.kind == "files"])
        )

    return AskedResult(command, limits, TaskListResult, read)


def asked_watch(command: str, limits: Limits) -> Asked:
    """``watch``."""
    return AskedResult(
        command, limits, WatchResult, lambda result: WatchStarted(id=command, cursor=result.cursor)
    )


def asked_ping(command: str, limits: Limits) -> Asked:
    """``ping``."""
    return AskedResult(command, limits, PingResult, lambda _: PongReceived(id=command))


def asked_telemetry(command: str, limits: Limits) -> Asked:
    """``telemetry``. What cannot be (more used than there is) ends the session like any other breach."""

    def disk(wire: WireDisk) -> DiskUse:
        if wire.free > wire.total:
            raise ProtocolError(N_("The peer tells of a disk with more free than it has."))
        return DiskUse(path=absolute_from_wire(wire.path, limits), total=wire.total, free=wire.free)

    def read(result: TelemetryResult) -> KeeperEvent:
        if result.memory_used > result.memory_total:
            raise ProtocolError(N_("The peer tells of more memory in use than it has."))
        values = {name: getattr(result, name) for name in Sample.__struct_fields__}
        sample = Sample(**{**values, "disks": tuple([disk(wire) for wire in result.disks])})
        return TelemetryReceived(id=command, sample=sample)

    return AskedResult(command, limits, TelemetryResult, read)


def asked_cancel(command: str, limits: Limits, target: str) -> Asked:
    """``cancel`` of ``target``."""

    def read(result: CancelResult) -> KeeperEvent:
        return CancelEnded(
            id=command, target=target, cancelled=result.cancelled, freed_bytes=result.freed_bytes
        )

    return AskedResult(command, limits, CancelResult, read)


class AskedTree(Asked):
    """``tree-dump``."""

    def __init__(
        self, command: str, limits: Limits, root: str, paths: Sequence[str], *, recursive: bool
    ) -> None:
        super().__init__(command, limits)
        self._reader = TreeReader(root, paths, limits, recursive=recursive)
        wired = tuple([wire_path(path) for path in paths])
        self.message = TreeDumpCommand(id=command, root=wire_path(root), paths=wired, recursive=recursive)

    @override
    def reply(self, frame: str, event: str) -> KeeperEvent:
        if event == "start" and self.window is None:
            read_message(frame, TreeStart)
            self.window = Window(self.limits.window_bytes)
            return TreeStarted(id=self.command)
        window = self._opened(event)
        if event == "chunk":
            size = frame_size(frame)
            window.arrive(size)
            return TreeItems(
                id=self.command, items=self._reader.take(read_message(frame, TreePart)), size=size
            )
        if event == "done":
            done = read_message(frame, TreeDone)
            self._reader.finish(done)
            self.ended = True
            return TreeEnded(id=self.command, count=done.count, cursor=done.cursor)
        raise out_of_order(event)


class AskedFetch(Asked):
    """``fetch`` of one file, or of many."""

    def __init__(
        self, command: str, limits: Limits, root: str, paths: Sequence[str], *, encoding: Encoding, many: bool
    ) -> None:
        super().__init__(command, limits)
        self._root = root
        self._paths = tuple(paths)
        self._many = many
        self._encoding = encoding
        self.message = FetchCommand(
            id=command,
            root=wire_path(root),
            path=None if many else wire_path(paths[0]),
            paths=tuple([wire_path(path) for path in paths]) if many else None,
            encoding=encoding,
        )

    def receiver(self) -> FetchReceiver:
        """What opens this stream's parts."""
        if self._many:
            return ManyReceiver(self._root, self._paths, self.limits)
        return FileReceiver(self._paths[0], self.limits)

    def part(self, part: BinaryPart, size: int) -> KeeperEvent:
        """A binary part of this stream; ``size`` is that of its frame."""
        if (part.kind in _MANY_KINDS) != self._many:
            raise ProtocolError(N_("The peer sent a part of the wrong kind ({kind})."), kind=int(part.kind))
        self._opened("chunk").arrive(size)
        return PartArrived(id=self.command, kind=part.kind, offset=part.offset, data=part.data, size=size)

    @override
    def reply(self, frame: str, event: str) -> KeeperEvent:
        if event == "start" and self.window is None:
            return self._start(read_message(frame, FetchStart))
        window = self._opened(event)
        if event == "done":
            return self._done(frame)
        size = frame_size(frame)
        if event == "chunk" and self.stream is None:
            window.arrive(size)
            part = read_message(frame, FetchPart)
            return PartArrived(
                id=self.command, kind=PartKind.FILE_GZIP, offset=part.offset, data=part.data, size=size
            )
        if event == "restart" and not self._many:
            window.arrive(size)
            read_message(frame, FetchRestart)
            return PartArrived(id=self.command, kind=PartKind.RESTART, offset=0, data=b"", size=size)
        raise out_of_order(event)

    def _start(self, start: FetchStart) -> KeeperEvent:
        binary = self._encoding == ENCODING_BINARY
        if start.encoding != self._encoding or (start.stream is not None) != binary:
            raise ProtocolError(N_("The peer sends in another encoding than it was asked for."))
        entry = None if start.entry is None or self._many else self._entry(start.entry)
        self.stream = start.stream
        self.window = Window(self.limits.window_bytes)
        return FetchStarted(id=self.command, entry=entry)

    def _done(self, frame: str) -> KeeperEvent:
        if self._many:
            totals = read_message(frame, FetchManyDone)
            self.ended = True
            return FetchEnded(id=self.command, files=totals.files, failed=totals.failed, bytes=totals.bytes)
        done = read_message(frame, FetchFileDone)
        entry = self._entry(done.entry)
        if entry.digest is None or (done.size, done.digest, done.torn) != (
            entry.size,
            entry.digest.hex(),
            entry.torn,
        ):
            raise ProtocolError(
                N_("The peer contradicted itself about a file: {path}"), path=ascii(entry.path)
            )
        self.ended = True
        return FetchEnded(id=self.command, entry=entry, racy=done.racy)

    def _entry(self, wire: WireEntry) -> Entry:
        entry = entry_from_wire(wire, self._root, self.limits)
        if entry.path != self._paths[0] or entry.type is not EntryType.FILE:
            raise ProtocolError(
                N_("The peer sent another file than it was asked for: {path}"), path=ascii(entry.path)
            )
        return entry


def out_of_order(event: str) -> ProtocolError:
    """A reply that cannot come now."""
    return ProtocolError(N_("The peer sent {event} out of order."), event=event[:64])
