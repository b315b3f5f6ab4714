"""One open session with a node, as the keeper drives it (``docs/protocol.md``).

The protocol itself is ``lastro.protocol.keeper_session``; this moves its frames on the event loop, and hands what arrives to the worker
threads that asked. What always holds: whoever waits here is woken when the session ends, with ``UnreachableError``; parts wait here
only as far as the stream's window, because they are acknowledged when they are taken over.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from lastro.errors import LastroError, ProtocolError, UnreachableError
from lastro.messages import N_
from lastro.protocol.events import (
    CancelEnded,
    CommandFailed,
    FeedChanged,
    FeedOverflowed,
    FetchEnded,
    GoodbyeReceived,
    HelloReceived,
    KeeperEvent,
    PartArrived,
    PongReceived,
    TaskListReceived,
    TelemetryReceived,
    TreeEnded,
    TreeItems,
    WatchStarted,
)
from lastro.protocol.faults import CLOSE_DONE, close_code
from lastro.protocol.fetch_receiver import FetchReceiver
from lastro.protocol.keeper_session import KeeperSession
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.messages import Hello
from lastro.transport.connection import Connection
from lastro.transport.outbox import Outbox

HELLO_TIMEOUT_S: Final = 20.0

Request = Callable[[KeeperSession], str]
"""Sends one command through the session; its id."""
FeedSink = Callable[[FeedChanged | FeedOverflowed | None], None]
"""Takes what the change feed says, on the loop; ``None``: the session has ended."""

_LAST: Final = (
    TaskListReceived,
    TreeEnded,
    FetchEnded,
    WatchStarted,
    PongReceived,
    TelemetryReceived,
    CancelEnded,
    CommandFailed,
)


class Stream:
    """The answers to one command, for the worker thread that asked. Close it when no more of it is wanted."""

    def __init__(self, conversation: Conversation, command: str) -> None:
        self._conversation = conversation
        self._command = command
        self._events: queue.SimpleQueue[KeeperEvent] = queue.SimpleQueue()
        self._ended = False

    def take(self) -> KeeperEvent:
        """The next answer, waiting for it. The last one of a command (``CommandFailed`` among them) is the last to be taken."""
        event = self._events.get()
        self._ended = isinstance(event, _LAST)
        return event

    def acknowledge(self, size: int) -> None:
        """``size`` bytes of the stream have been taken over: the node may send as many more."""
        self._conversation.schedule(lambda: self._conversation.acknowledge(self._command, size))

    def close(self) -> None:
        """Nothing more of it is wanted; the node is told, unless it has ended."""
        if not self._ended:
            self._ended = True
            self._conversation.schedule(lambda: self._conversation.cancel(self._command))

    def deliver(self, event: KeeperEvent) -> None:
        """An answer has arrived; called on the loop."""
        self._events.put(event)


class _Answer(Stream):
    """The one answer to a short command, for a task on the loop."""

    def __init__(self, conversation: Conversation, command: str) -> None:
        super().__init__(conversation, command)
        self.arrived: asyncio.Future[KeeperEvent] = asyncio.get_running_loop().create_future()

    @override
    def deliver(self, event: KeeperEvent) -> None:
        if not self.arrived.done():
            self.arrived.set_result(event)


class Conversation:
    """A session over ``connection``. Made on the event loop; methods are for the loop unless they say otherwise."""

    def __init__(self, connection: Connection, limits: Limits = DEFAULT_LIMITS) -> None:
        self._connection = connection
        self._protocol = KeeperSession(limits)
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(connection, limit=limits.window_bytes)
        self._hello: asyncio.Future[Hello] = self._loop.create_future()
        self._streams: dict[str, Stream] = {}
        self._watches: dict[str, FeedSink] = {}
        self._feed: FeedSink | None = None
        self._free = asyncio.Event()
        self._failure: LastroError | None = None
        self._over = False
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Move frames until the session ends; then everybody who waits has been told.

        Raises:
            UnreachableError: the peer closed, or the link broke. It always ends so, unless:
            ProtocolError: the peer broke the protocol; the connection was closed with the code for that.
        """
        code = CLOSE_DONE
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._outbox.run())
                tasks.create_task(self._expect_hello())
                await self._read()
        except BaseExceptionGroup as failures:
            # A broken link is what everything else ends in: any other failure is the reason.
            reasons = [error for error in failures.exceptions if not isinstance(error, UnreachableError)]
            reason = self._failure or [*reasons, *failures.exceptions][0]
            code = close_code(reason) if isinstance(reason, ProtocolError) else CLOSE_DONE
            raise reason from None
        finally:
            self._end()
            await self._connection.close(code)

    async def hello(self) -> Hello:
        """What the node said first, waiting for it.

        Raises:
            UnreachableError: the session ended before.
        """
        return await asyncio.shield(self._hello)

    async def wait_ended(self) -> None:
        """Return when the session has ended, for whatever reason."""
        await self._ended.wait()

    @property
    def limits(self) -> Limits:
        """The limits in force; from any thread, after ``hello``."""
        return self._protocol.limits

    async def ask(self, request: Request, *, transfer: bool = False) -> Stream:
        """Send a command once there is room for one more (``transfer``: for one more stream).

        Raises:
            UnreachableError: the session has ended.
            LastroError: the request is impossible.
        """
        while True:
            if self._over:
                raise self._gone()
            if self._protocol.free_commands > 0 and (not transfer or self._protocol.free_transfers > 0):
                break
            self._free.clear()
            await self._free.wait()
        command = request(self._protocol)
        stream = self._streams[command] = Stream(self, command)
        self._flush()
        return stream

    async def ask_telemetry(self) -> KeeperEvent:
        """How the server is doing: ``TelemetryReceived``, or ``CommandFailed``. Only of a node that offers ``telemetry``.

        Raises:
            UnreachableError: the session has ended.
        """
        while self._protocol.free_commands <= 0 and not self._over:
            self._free.clear()
            await self._free.wait()
        if self._over:
            raise self._gone()
        command = self._protocol.request_telemetry()
        answer = self._streams[command] = _Answer(self, command)
        self._flush()
        return await answer.arrived

    async def ask_fetch(self, request: Request) -> tuple[Stream, FetchReceiver]:
        """``ask`` for a fetch, with what opens its parts."""
        receivers: list[FetchReceiver] = []

        def ask(protocol: KeeperSession) -> str:
            command = request(protocol)
            receivers.append(protocol.receiver(command))
            return command

        stream = await self.ask(ask, transfer=True)
        return stream, receivers[0]

    async def watch(self, cursor: int | None, sink: FeedSink) -> Stream:
        """``ask`` for the change feed after ``cursor``; from its answer on ``sink`` takes it, in place of the sink before."""

        def ask(protocol: KeeperSession) -> str:
            command = protocol.request_watch(cursor)
            self._watches[command] = sink
            return command

        return await self.ask(ask)

    @property
    def free_transfers(self) -> int:
        """How many more streams may be open now; from any thread, as a hint."""
        return 0 if self._over else self._protocol.free_transfers

    def acknowledge(self, command: str, size: int) -> None:
        """See ``Stream.acknowledge``."""
        if not self._over and command in self._streams:
            self._protocol.ack(command, size)
            self._flush()

    def cancel(self, command: str) -> None:
        """End a command that may have ended already; what still comes of it is dropped."""
        if not self._over and self._streams.pop(command, None) is not None:
            self._protocol.cancel(command)
            self._flush()

    def fail(self, error: ProtocolError) -> None:
        """End the session, because the node cheated; from any thread. ``run`` raises ``error``."""

        def end() -> None:
            self._failure = self._failure or error
            self._closing = self._loop.create_task(self._connection.close(close_code(error)))

        self.schedule(end)

    def schedule(self, action: Callable[[], None]) -> None:
        """Run ``action`` on the loop soon; from any thread. Nothing happens once the loop is gone."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action)

    async def close(self) -> None:
        """End the session; ``run`` returns soon."""
        await self._connection.close()

    async def _read(self) -> None:
        while True:
            frame = await self._connection.receive()
            for event in self._protocol.receive(frame):
                self._take(event)
            self._flush()
            await self._outbox.room()

    def _take(self, event: KeeperEvent) -> None:
        match event:
            case HelloReceived():
                if not self._hello.done():
                    self._hello.set_result(event.hello)
            case FeedChanged() | FeedOverflowed():
                if self._feed is not None:
                    self._feed(event)
            case GoodbyeReceived():
                pass  # what runs ends when the link closes
            case _:
                self._deliver(event)

    def _deliver(self, event: KeeperEvent) -> None:
        command = getattr(event, "id", "")
        if isinstance(event, WatchStarted):
            self._feed = self._watches.pop(command, None)
        stream = self._streams.get(command)
        if isinstance(event, _LAST):
            self._streams.pop(command, None)
            self._watches.pop(command, None)
            self._free.set()
        if stream is not None:
            stream.deliver(event)
        elif isinstance(event, TreeItems | PartArrived):
            self._protocol.ack(
                command, event.size
            )  # of a cancelled stream: it may have to end before it can be cancelled

    async def _expect_hello(self) -> None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                await asyncio.shield(self._hello)
        except TimeoutError as error:
            raise ProtocolError(
                N_("The node at {address} said no hello."), address=self._connection.peer.address
            ) from error

    def _end(self) -> None:
        """Wake everybody who waits."""
        self._over = True
        self._ended.set()
        for event in self._protocol.link_lost():
            self._take(event)
        for command, stream in list(self._streams.items()):
            error = self._gone()
            stream.deliver(CommandFailed(id=command, code=error.code, detail="", error=error))
        self._streams.clear()
        if self._feed is not None:
            self._feed(None)
        if not self._hello.done():
            self._hello.set_exception(self._failure or self._gone())
            self._hello.exception()  # nobody may be waiting for it
        self._free.set()

    def _gone(self) -> UnreachableError:
        return UnreachableError(
            N_("The connection to {address} is gone. {reason}"),
            address=self._connection.peer.address,
            reason="",
        )

    def _flush(self) -> None:
        self._outbox.put(self._protocol.outgoing())
