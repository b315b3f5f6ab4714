"""The keeper's side of a session: requests in, frames out; frames in, checked events out. Sans-I/O (``docs/protocol.md``).

    state     may receive                                     may send                    goes to
    ------------------------------------------------------------------------------------------------------------------------
    WAITING   hello                                           nothing                     OPEN, BROKEN, LOST
    OPEN      replies of what was asked, changed and          requests, ack               LEFT (goodbye), LOST (``link_lost``),
              overflow after a watch, goodbye                                             BROKEN (a breach)
    LEFT      replies of what was asked                       ack, cancel                 LOST, BROKEN
    LOST      nothing                                         nothing
    BROKEN    nothing                                         what is queued; then the driver closes the link

What each command may be answered with stands in ``keeper_commands``. ``error`` ends any command, ``progress`` changes nothing.
Unasked events that this version does not know are not used.

What always holds: the node is not trusted. Everything in an event has been checked against what was asked; memory stays within the limits;
nothing but ``ProtocolError`` comes out of ``receive``; no stream is ahead of its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Annotated

from msgspec import Meta, Struct

from lastro.errors import LimitError, ProtocolError, UnreachableError
from lastro.messages import N_
from lastro.protocol.codec import encode_message, frame_size, read_envelope, read_message, read_part
from lastro.protocol.entries import absolute_from_wire, relative_from_wire
from lastro.protocol.events import (
    ChangedPath,
    CommandFailed,
    FeedChanged,
    FeedOverflowed,
    GoodbyeReceived,
    HelloReceived,
    KeeperEvent,
    WatchStarted,
)
from lastro.protocol.faults import LocalProtocolError, VersionError, error_from_reply
from lastro.protocol.fetch_receiver import FetchReceiver
from lastro.protocol.keeper_commands import (
    Asked,
    AskedFetch,
    AskedTree,
    asked_cancel,
    asked_ping,
    asked_task_list,
    asked_telemetry,
    asked_watch,
)
from lastro.protocol.limits import DEFAULT_LIMITS, Limits, check_limits
from lastro.protocol.messages import (
    ENCODING_BINARY,
    SUBPROTOCOL,
    AckCommand,
    CancelCommand,
    Changed,
    Code,
    Command,
    Encoding,
    ErrorReply,
    Goodbye,
    Hello,
    Overflow,
    PingCommand,
    TaskListCommand,
    TelemetryCommand,
    WatchCommand,
)


class KeeperState(Enum):
    """See the table at the head."""

    WAITING = auto()
    OPEN = auto()
    LEFT = auto()
    LOST = auto()
    BROKEN = auto()


class KeeperSession:
    """The keeper's machine for one connection. Not for several threads: call it from the driver's loop only.

    After every call send what ``outgoing`` returns. ``receive`` raising means that the node is at fault and the session over:
    close the link with ``close_code(error)``, then call ``link_lost``.

    **Who acknowledges, and when**: every event with a ``size`` (``TreeItems``, ``PartArrived``) holds that many bytes of its
    stream's window. The driver calls ``ack(id, size)`` once whoever asked has *taken the bytes over* (hashed, written, handed
    on), not when they arrive: that is what bounds memory and lets the slowest disk set the pace. Sums may be acknowledged
    together, but before half of the window is outstanding, or the node may have to stop. ``FeedChanged`` has no window: the
    driver merges what nobody has read yet, and past some bound of its own treats it as an overflow.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """``limits``: the most this keeper is willing to hold. Those in force are the node's, from ``hello``."""
        self.limits = limits
        """In force: this keeper's own until ``hello``, then the node's."""
        self.hello: Hello | None = None
        self._state = KeeperState.WAITING
        self._asked: dict[str, Asked] = {}
        self._streams: dict[int, AskedFetch] = {}
        self._uncounted: set[str] = set()
        self._last_id = 0
        self._watched = False
        self._cursor = 0
        self._outgoing: list[str | bytes] = []

    @property
    def state(self) -> KeeperState:
        """Where the session stands."""
        return self._state

    def outgoing(self) -> list[str | bytes]:
        """The frames to send now, in order; they are handed out once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    # What is asked ----------------------------------------------------------------------------------------------

    @property
    def free_commands(self) -> int:
        """How many more commands may run now; one more raises ``LimitError``. ``cancel`` and ``ping`` do not count."""
        return self.limits.parallel_commands - (len(self._asked) - len(self._uncounted))

    @property
    def free_transfers(self) -> int:
        """How many more streams may be open now; one more raises ``LimitError``."""
        streams = sum(1 for asked in self._asked.values() if isinstance(asked, AskedTree | AskedFetch))
        return self.limits.open_transfers - streams

    def supports(self, capability: str) -> bool:
        """Whether the node offers ``capability``. What it does not offer must not be asked."""
        return self.hello is not None and capability in self.hello.capabilities

    def request_task_list(self) -> str:
        """Ask for the watched roots; returns the command's id. ``TaskListReceived`` or ``CommandFailed`` follows."""
        command = self._next_id()
        return self._ask(TaskListCommand(id=command), asked_task_list(command, self.limits))

    def request_tree_dump(self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True) -> str:
        """Ask for a listing as ``Source.list`` gives it. ``TreeStarted``, ``TreeItems`` (to be acknowledged), ``TreeEnded`` follow."""
        self._check_paths(paths)
        asked = AskedTree(self._next_id(), self.limits, root, paths, recursive=recursive)
        return self._ask(asked.message, asked)

    def request_fetch(self, root: str, path: str, *, encoding: Encoding = ENCODING_BINARY) -> str:
        """Ask for one file. ``FetchStarted``, ``PartArrived`` (opened by ``receiver``, then acknowledged), ``FetchEnded`` follow."""
        self._need(encoding)
        asked = AskedFetch(self._next_id(), self.limits, root, (path,), encoding=encoding, many=False)
        return self._ask(asked.message, asked)

    def request_fetch_many(self, root: str, paths: Sequence[str]) -> str:
        """Ask for many files in one stream, at most ``limits.command_paths``; events as for ``request_fetch``."""
        self._need(ENCODING_BINARY)
        self._need("fetch-many")
        self._check_paths(paths)
        asked = AskedFetch(self._next_id(), self.limits, root, paths, encoding=ENCODING_BINARY, many=True)
        return self._ask(asked.message, asked)

    def request_watch(self, cursor: int | None) -> str:
        """Subscribe to what changes after ``cursor``. ``WatchStarted``, then ``FeedChanged`` and ``FeedOverflowed`` until cancelled."""
        self._need("watch")
        command = self._next_id()
        asked = self._ask(WatchCommand(id=command, cursor=cursor), asked_watch(command, self.limits))
        self._watched = True
        return asked

    def request_telemetry(self) -> str:
        """Ask how the server is doing; ``TelemetryReceived`` follows."""
        self._need("telemetry")
        command = self._next_id()
        return self._ask(TelemetryCommand(id=command), asked_telemetry(command, self.limits))

    def ping(self) -> str:
        """Ask for a sign of life; ``PongReceived`` follows."""
        command = self._next_id()
        return self._ask(PingCommand(id=command), asked_ping(command, self.limits), counted=False)

    def cancel(self, target: str) -> str:
        """End a command or a watch. Its stream may still bring parts until its last event, and they are acknowledged as always."""
        command = self._next_id()
        asked = asked_cancel(command, self.limits, target)
        return self._ask(CancelCommand(id=command, target=target), asked, counted=False)

    def ack(self, command: str, size: int) -> None:
        """The bytes of one or more events of ``command`` have been taken over: let the node send as many more.

        Nothing happens when the command has ended meanwhile.
        """
        asked = self._asked.get(command)
        if asked is None or asked.window is None or self._state not in {KeeperState.OPEN, KeeperState.LEFT}:
            return
        asked.window.acknowledge(size)
        self._outgoing.append(encode_message(AckCommand(id=command, bytes=size)))

    def receiver(self, command: str) -> FetchReceiver:
        """What opens the parts of fetch ``command``: one for each stream, so ask once, right after requesting. May run in any thread."""
        asked = self._asked.get(command)
        if not isinstance(asked, AskedFetch):
            raise LocalProtocolError(N_("There is no such command running: {command}"), command=command)
        return asked.receiver()

    def link_lost(self) -> list[KeeperEvent]:
        """The link is gone: one ``CommandFailed`` (``UnreachableError``) for everything that still ran."""
        if self._state is not KeeperState.BROKEN:
            self._state = KeeperState.LOST
        commands = list(self._asked)
        self._asked, self._streams = {}, {}
        self._uncounted.clear()
        error = _link_lost()
        return [CommandFailed(id=command, code=error.code, detail="", error=error) for command in commands]

    def _need(self, capability: str) -> None:
        if self.hello is not None and not self.supports(capability):
            raise LocalProtocolError(N_("The node does not offer {capability}."), capability=capability)

    def _check_paths(self, paths: Sequence[str]) -> None:
        if not 1 <= len(paths) <= self.limits.command_paths:
            raise LimitError(
                N_("A command names {count} paths, from 1 to {limit} are allowed."),
                count=len(paths),
                limit=self.limits.command_paths,
            )

    def _next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _ask(self, message: Command, asked: Asked, *, counted: bool = True) -> str:
        if self._state is KeeperState.WAITING:
            raise LocalProtocolError(N_("The node has not said hello yet."))
        if self._state is KeeperState.LEFT and not isinstance(message, CancelCommand):
            raise UnreachableError(N_("The node is about to leave."), hint=N_("It is tried again by itself."))
        if self._state in {KeeperState.LOST, KeeperState.BROKEN}:
            raise _link_lost()
        stream = isinstance(asked, AskedTree | AskedFetch)
        if (counted and self.free_commands <= 0) or (stream and self.free_transfers <= 0):
            raise LimitError(N_("More commands at once than the node allows."))
        frame = encode_message(message)
        if frame_size(frame) > self.limits.message_bytes:
            raise LimitError(N_("A command is larger than a message may be; name fewer paths."))
        self._asked[asked.command] = asked
        if not counted:
            self._uncounted.add(asked.command)
        self._outgoing.append(frame)
        return asked.command

    # What the node says -----------------------------------------------------------------------------------------

    def receive(self, frame: str | bytes) -> list[KeeperEvent]:
        """Take one frame; returns what it says, checked.

        Raises:
            LimitError: larger, deeper, longer or more than published. The session is over.
            VersionError: the node speaks no version that this keeper speaks. The session is over.
            ProtocolError: any other breach by the node. The session is over.
        """
        if self._state not in {KeeperState.WAITING, KeeperState.OPEN, KeeperState.LEFT}:
            raise LocalProtocolError(N_("The session does not take frames now."))
        try:
            event = self._binary(frame) if isinstance(frame, bytes) else self._text(frame)
        except ProtocolError:
            self._state = KeeperState.BROKEN
            raise
        return [] if event is None else [event]

    def _binary(self, frame: bytes) -> KeeperEvent:
        part = read_part(frame, self.limits)
        asked = self._streams.get(part.stream)
        if asked is None:
            raise ProtocolError(
                N_("The peer sent a part of an unknown stream ({stream})."), stream=part.stream
            )
        return asked.part(part, len(frame))

    def _text(self, frame: str) -> KeeperEvent | None:
        envelope = read_envelope(frame, self.limits)
        if envelope.event is None:
            raise ProtocolError(N_("The node sent something that is neither a reply nor an event."))
        if envelope.event == "hello" or self._state is KeeperState.WAITING:
            return self._hello(frame, envelope.event)
        if envelope.id is None:
            return self._unasked(frame, envelope.event)
        asked = self._asked.get(envelope.id)
        if asked is None:
            raise ProtocolError(N_("The node answered a command that nobody gave."))
        if envelope.event == "progress":
            return None
        return self._answer(frame, envelope.event, asked)

    def _answer(self, frame: str, event: str, asked: Asked) -> KeeperEvent:
        if event == "error":
            reply = read_message(frame, ErrorReply)
            self._end(asked)
            return CommandFailed(
                id=asked.command, code=reply.code, detail=reply.detail, error=error_from_reply(reply)
            )
        known = asked.stream
        told = asked.reply(frame, event)
        if asked.ended:
            self._end(asked)
        elif known is None and asked.stream is not None and isinstance(asked, AskedFetch):
            if asked.stream in self._streams:
                raise ProtocolError(N_("The node used the number of a stream that is open."))
            self._streams[asked.stream] = asked
        if isinstance(told, WatchStarted):
            self._cursor = told.cursor
        return told

    def _end(self, asked: Asked) -> None:
        del self._asked[asked.command]
        self._uncounted.discard(asked.command)
        if asked.stream is not None:
            self._streams.pop(asked.stream, None)

    def _hello(self, frame: str, event: str) -> KeeperEvent:
        if event != "hello" or self._state is not KeeperState.WAITING:
            raise ProtocolError(N_("The node must say hello first, and only once."))
        versions = read_message(frame, _Versions)
        if SUBPROTOCOL not in versions.protocol:
            raise VersionError(
                N_("The node speaks {theirs}, this keeper speaks {ours}."),
                hint=N_("Install versions of Lastro on both sides that fit together."),
                theirs=", ".join(versions.protocol),
                ours=SUBPROTOCOL,
            )
        hello = read_message(frame, Hello)
        self.limits = check_limits(hello.limits, ceiling=self.limits)
        self.hello = hello
        self._state = KeeperState.OPEN
        return HelloReceived(hello=hello)

    def _unasked(self, frame: str, event: str) -> KeeperEvent | None:
        if event == "goodbye":
            goodbye = read_message(frame, Goodbye)
            self._state = KeeperState.LEFT
            return GoodbyeReceived(reason=goodbye.reason)
        if event not in {"changed", "overflow"}:
            return None
        if not self._watched:
            raise ProtocolError(N_("The node tells of changes that nobody asked for."))
        return (
            self._changed(read_message(frame, Changed))
            if event == "changed"
            else self._overflowed(read_message(frame, Overflow))
        )

    def _overflowed(self, message: Overflow) -> KeeperEvent:
        self._advance(message.cursor, len(message.roots))
        roots = tuple([absolute_from_wire(root, self.limits) for root in message.roots])
        return FeedOverflowed(cursor=message.cursor, roots=roots)

    def _changed(self, message: Changed) -> KeeperEvent:
        self._advance(message.cursor, len(message.paths))
        paths = tuple(
            [
                ChangedPath(
                    root=absolute_from_wire(item.watch_root, self.limits),
                    path=relative_from_wire(item.rel_path, self.limits),
                    recursive=item.recursive,
                )
                for item in message.paths
            ]
        )
        return FeedChanged(
            cursor=message.cursor, paths=paths, roots_changed=message.roots_changed, more=message.more
        )

    def _advance(self, cursor: int, items: int) -> None:
        if items > self.limits.part_items:
            raise LimitError(N_("The peer sent a part with too many items ({count})."), count=items)
        if cursor < self._cursor:
            raise ProtocolError(N_("The node's change feed goes backwards."))
        self._cursor = cursor


class _Versions(Struct, frozen=True, kw_only=True):
    """What of ``hello`` has to be readable in every version."""

    protocol: Annotated[tuple[Code, ...], Meta(max_length=16)]


def _link_lost() -> UnreachableError:
    return UnreachableError(
        N_("The connection to the node was lost."), hint=N_("It is tried again by itself.")
    )
