"""Serves any ``Source`` over any ``Connection``: the node's side of a session (``docs/protocol.md``).

The protocol itself is ``lastro.protocol.node_session``; this moves its frames, and calls the synchronous source in threads. What always
holds: a session holds no more than the published limits in memory, whatever the peer does, and nothing of it outlives it.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any, Final, TypeVar

from lastro.capture.source import Changes, Root, Source
from lastro.errors import LastroError, UnreachableError
from lastro.node.streams import fetch_parts, first_look, listing_parts, wire_change, wire_root
from lastro.node.telemetry import Telemetry
from lastro.protocol.entries import roots_fingerprint
from lastro.protocol.events import (
    CancelAsked,
    FetchAsked,
    NodeEvent,
    Part,
    TaskListAsked,
    TelemetryAsked,
    TreeDumpAsked,
    WatchAsked,
    WatchEnded,
    WindowOpened,
)
from lastro.protocol.faults import CLOSE_DONE, CLOSE_GOING_AWAY, close_code
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.messages import CAPABILITIES, SUBPROTOCOL, Hello
from lastro.protocol.node_session import NodeSession
from lastro.transport.connection import Connection
from lastro.transport.outbox import Outbox

Result = TypeVar("Result")

HEARTBEAT_INTERVAL_S: Final = 5.0
FEED_WAIT_S: Final = 0.5
"""How long one look at the change feed waits; a session that ends waits as long for it."""
FEED_PAUSE_S: Final = 0.1
"""After something was told: a burst of changes becomes few events."""
_GOODBYE_TIMEOUT_S: Final = 1.0
_OTHER_THREADS: Final = (
    3  # beside one for each transfer: the change feed, and two for what is answered at once
)


async def serve_source(
    connection: Connection,
    source: Source,
    *,
    node_id: str,
    name: str,
    version: str,
    limits: Limits = DEFAULT_LIMITS,
    watch: bool = True,
    telemetry: Telemetry | None = None,
) -> None:
    """Say ``hello`` and serve ``source`` until the connection ends or the task is cancelled (the peer is told ``goodbye``).

    ``watch``: whether the source has a change feed. ``telemetry``: what measures this server; without it nothing is said of it. It
    returns when the peer closed or the link broke.

    Raises:
        ProtocolError: the peer broke the protocol; the connection is closed with the code for that.
    """
    session = _Session(connection, source, limits=limits, watch=watch, telemetry=telemetry)
    await session.serve(node_id=node_id, name=name, version=version)


class _StoppedError(Exception):
    """The stream that this thread works for was cancelled, or its session is over."""


class _Session:
    def __init__(
        self,
        connection: Connection,
        source: Source,
        *,
        limits: Limits,
        watch: bool,
        telemetry: Telemetry | None,
    ) -> None:
        self._connection = connection
        self._source = source
        self._limits = limits
        self._watch = watch
        self._telemetry = telemetry
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(
            limits.open_transfers + _OTHER_THREADS, thread_name_prefix="lastro-source"
        )
        self._outbox = Outbox(connection, limit=limits.window_bytes)
        self._protocol: NodeSession
        self._tasks: asyncio.TaskGroup
        self._windows: dict[str, asyncio.Event] = {}
        self._cancelled: set[str] = set()
        self._watching: str | None = None
        self._over = False

    async def serve(self, *, node_id: str, name: str, version: str) -> None:
        """The whole session, from ``hello`` to the last thread's end."""
        code = CLOSE_DONE
        try:
            roots, cursor = await self._in_thread(self._look_at_roots)
            self._protocol = NodeSession(self._hello(node_id, name, version, roots, cursor))
            self._protocol.begin()
            await self._converse()
        except UnreachableError:
            return
        except asyncio.CancelledError:
            code = CLOSE_GOING_AWAY
            await self._say_goodbye()
            raise
        except LastroError as error:
            code = close_code(error)
            raise
        finally:
            await _to_its_end(self._end(code))

    async def _end(self, code: int) -> None:
        """Nothing of the session is left when this returns."""
        self._stop_streams()
        await self._connection.close(code)
        await asyncio.to_thread(self._threads.shutdown)

    async def _converse(self) -> None:
        """Read, answer and write at the same time, until one of them fails; its error is raised."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._outbox.run())
                self._flush()
                await self._read()
        except BaseExceptionGroup as failures:
            # A broken link is what everything else ends in: any other failure is the reason.
            reasons = [error for error in failures.exceptions if not isinstance(error, UnreachableError)]
            raise [*reasons, *failures.exceptions][0] from None
        finally:
            self._stop_streams()

    async def _read(self) -> None:
        while True:
            frame = await self._connection.receive()
            try:
                for event in self._protocol.receive(frame):
                    self._take(event)
            finally:
                self._flush()
            await self._outbox.room()

    def _take(self, event: NodeEvent) -> None:
        match event:
            case WindowOpened():
                self._wake(event.id)
            case CancelAsked():
                self._cancelled.add(event.id)
                self._wake(event.id)
            case WatchEnded():
                self._watching = None
            case TaskListAsked():
                self._answer(event.id, self._answer_task_list(event.id))
            case TelemetryAsked():
                self._answer(event.id, self._answer_telemetry(event.id))
            case TreeDumpAsked():
                self._answer(event.id, self._answer_tree(event))
            case FetchAsked():
                self._answer(event.id, self._answer_fetch(event))
            case WatchAsked():
                self._watching = event.id
                self._answer(event.id, self._answer_watch(event))

    def _answer(self, command: str, work: Coroutine[Any, Any, None]) -> None:
        async def answer() -> None:
            try:
                await work
            except _StoppedError:
                if self._protocol.is_running(command):
                    self._protocol.finish_cancelled(command)
            except LastroError as error:
                if not self._protocol.is_running(command):
                    raise
                self._protocol.fail(command, error)
            except asyncio.CancelledError:
                self._over = True  # nobody cancels one answer: the session ends
                raise
            finally:
                self._cancelled.discard(command)
                self._windows.pop(command).set()
            self._flush()

        self._windows[command] = asyncio.Event()
        self._tasks.create_task(answer())

    async def _answer_task_list(self, command: str) -> None:
        roots, cursor = await self._in_thread(self._look_at_roots)
        self._protocol.reply_task_list(command, [wire_root(root, cursor=cursor) for root in roots])

    async def _answer_telemetry(self, command: str) -> None:
        telemetry = self._telemetry
        assert telemetry is not None  # else it was not offered, and the protocol refuses it
        sample = await self._in_thread(lambda: telemetry.sample([root.path for root in self._source.roots()]))
        self._protocol.reply_telemetry(command, sample)

    async def _answer_tree(self, asked: TreeDumpAsked) -> None:
        cursor = await self._in_thread(self._look_at_cursor)
        writer = self._protocol.start_tree(asked.id)
        await self._stream(
            asked.id,
            lambda: listing_parts(self._source, asked.root, asked.paths, writer, recursive=asked.recursive),
        )
        self._protocol.finish_tree(asked.id, writer.summary, cursor=cursor)

    async def _answer_fetch(self, asked: FetchAsked) -> None:
        entry = None
        if not asked.many:
            entry = await self._in_thread(lambda: first_look(self._source, asked.root, asked.paths[0]))
        sender = self._protocol.start_fetch(asked.id, entry=entry)
        await self._stream(asked.id, lambda: fetch_parts(self._source, asked.root, asked.paths, sender))
        self._protocol.finish_fetch(asked.id, sender)

    async def _answer_watch(self, asked: WatchAsked) -> None:
        step = await self._look_at_feed(asked.cursor, 0)
        # A cursor of another feed may lie in the future; what is told must not go backwards from where the subscription stands.
        cursor = step.cursor if asked.cursor is None else min(asked.cursor, step.cursor)
        self._protocol.reply_watch(asked.id, cursor)
        if asked.cursor is None:
            # "From now on": what a source without a feed says first is of before.
            step = Changes(cursor=cursor)
        while self._watching == asked.id:
            if self._tell(cursor, step):
                await asyncio.sleep(FEED_PAUSE_S)
            cursor = step.cursor
            await self._outbox.room()
            step = await self._look_at_feed(cursor, FEED_WAIT_S)

    def _tell(self, before: int, step: Changes) -> bool:
        """Tell the keeper what the feed says after the cursor ``before``; whether there was anything."""
        if step.paths or step.roots_changed:
            changes = [wire_change(change) for change in step.paths]
            # The step is told whole only with the overflow: a link cut in between must make the keeper ask for all of it again.
            cursor = before if step.overflow else step.cursor
            self._protocol.send_changed(cursor, changes, roots_changed=step.roots_changed)
        if step.overflow:
            self._protocol.send_overflow(step.cursor, step.overflow)
        self._flush()
        return bool(step.overflow or step.paths or step.roots_changed)

    async def _stream(self, command: str, parts: Callable[[], Generator[Part, None, None]]) -> None:
        """Make parts in a thread, and send each when the window has room; meanwhile the thread waits, and reads no further."""

        def work() -> None:
            with closing(parts()) as making:
                for part in making:
                    asyncio.run_coroutine_threadsafe(self._send_part(command, part), self._loop).result()

        self._flush()
        await self._in_thread(work)

    async def _send_part(self, command: str, part: Part) -> None:
        while True:
            if self._over or command in self._cancelled or not self._protocol.is_running(command):
                raise _StoppedError
            if self._protocol.can_send(command, part.size):
                self._protocol.send_part(command, part)
                self._flush()
                return
            window = self._windows[command]
            window.clear()
            await window.wait()

    async def _look_at_feed(self, cursor: int | None, timeout_s: float) -> Changes:
        return await self._in_thread(lambda: self._source.changes(cursor, timeout_s))

    def _look_at_roots(self) -> tuple[list[Root], int | None]:
        return list(self._source.roots()), self._look_at_cursor()

    def _look_at_cursor(self) -> int | None:
        return self._source.changes(None, 0).cursor if self._watch else None

    def _hello(self, node_id: str, name: str, version: str, roots: list[Root], cursor: int | None) -> Hello:
        return Hello(
            protocol=(SUBPROTOCOL,),
            node_id=node_id,
            name=name,
            os=platform.system(),
            version=version,
            capabilities=tuple(each for each in CAPABILITIES if each not in self._without()),
            limits=self._limits,
            heartbeat_interval_s=HEARTBEAT_INTERVAL_S,
            roots_fingerprint=roots_fingerprint([(root.path, root.excludes) for root in roots]),
            cursor=cursor,
        )

    def _without(self) -> set[str]:
        """Capabilities that this source does not have."""
        return {
            *(() if self._watch else ("watch",)),
            *(() if self._telemetry is not None else ("telemetry",)),
        }

    def _flush(self) -> None:
        self._outbox.put(self._protocol.outgoing())

    def _wake(self, command: str) -> None:
        window = self._windows.get(command)
        if window is not None:
            window.set()

    def _stop_streams(self) -> None:
        """Threads that wait for a window, or come with their next part, stop."""
        self._over = True
        self._watching = None
        for window in self._windows.values():
            window.set()

    async def _say_goodbye(self) -> None:
        if not hasattr(self, "_protocol"):
            return
        self._protocol.say_goodbye("stopping")
        self._flush()
        with suppress(UnreachableError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_TIMEOUT_S):
                await self._outbox.drain()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await self._loop.run_in_executor(self._threads, work)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait until ``work`` is done, whoever cancels the waiting; the cancellation is raised then."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
