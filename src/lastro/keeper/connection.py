"""The keeper's end of the wire: an event loop of its own, a link to each node that comes back by itself, and the socket on which other
processes offer their sources.

What always holds: at most one session per link; after a cut the link dials again, at first after a second, then more and more slowly with
jitter up to a minute, for as long as it is open; whoever waits for an answer when a session ends gets ``UnreachableError``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Protocol, Self, TypeVar

from msgspec import Struct

from lastro.domain.telemetry import Sample
from lastro.errors import LastroError, UnreachableError
from lastro.keeper.conversation import Conversation
from lastro.keeper.telemetry import follow_telemetry
from lastro.messages import N_
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.messages import Hello
from lastro.transport.connection import Connection
from lastro.transport.dial import dial_tls
from lastro.transport.identity import Identity
from lastro.transport.listen import Listener, listen_unix
from lastro.transport.tls import client_context
from lastro.transport.unix import PeerCredentials

Result = TypeVar("Result")
Dial = Callable[[], Awaitable[Connection]]

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
CLOSE_NOT_ADMITTED: Final = 4403
_CANCEL_AGAIN_S: Final = 0.1
OFFERED_AT_ONCE: Final = 64
"""Sources that other processes may offer at the same time; each holds a thread."""


class KeeperLoop:
    """An asyncio loop in a thread of its own, on which everything on the wire of one keeper runs: ``with KeeperLoop() as loop:``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="lastro-keeper-loop", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what still runs, and wait until the thread has ended. Whoever waits in ``call`` gets ``UnreachableError``."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def call(self, work: Coroutine[Any, Any, Result], timeout_s: float | None = None) -> Result:
        """Run ``work`` on the loop and wait for its result; from any thread but the loop's own.

        Raises:
            UnreachableError: the loop has ended, or ``timeout_s`` seconds were not enough (``work`` is cancelled).
        """
        if not self._loop.is_running():
            work.close()
            raise _stopping()
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result(timeout_s)
        except concurrent.futures.CancelledError as error:
            raise _stopping() from error
        except TimeoutError as error:
            if waiting.done():
                raise
            waiting.cancel()
            raise UnreachableError(
                N_("There was no answer in {seconds} seconds."), seconds=timeout_s
            ) from error

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin ``work`` on the loop and return its task; from any thread but the loop's own."""

        async def begin() -> asyncio.Task[None]:
            return asyncio.get_running_loop().create_task(work)

        return self.call(begin())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            while tasks := asyncio.all_tasks(self._loop):
                self._loop.run_until_complete(_cancel_all(tasks))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            self._loop.close()


class Link(Protocol):
    """Where a ``NodeSource`` gets its session from."""

    @property
    def loop(self) -> KeeperLoop:
        """The loop that the session runs on."""
        ...

    async def conversation(self, timeout_s: float) -> Conversation:
        """The open session, waiting for one; on the loop.

        Raises:
            UnreachableError: there is none within ``timeout_s`` seconds.
        """
        ...


class LinkEvent(Struct, frozen=True, kw_only=True):
    """What a link reports: ``connected`` with ``hello``, or ``disconnected`` with ``error`` and in how many seconds it dials again.

    A failed attempt to connect is a ``disconnected`` too.
    """

    kind: str
    address: str
    hello: Hello | None = None
    error: LastroError | None = None
    retry_in_s: float | None = None


def retry_delay_s(attempt: int, jitter: float) -> float:
    """Seconds to wait before dialling again: doubled with each failed ``attempt`` (0, 1, ...), halved at most by ``jitter`` in [0, 1)."""
    longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempt, 16))
    return longest * (1.0 - jitter / 2)


def dial_node(
    address: str, identity: Identity, certificate: bytes, *, limits: Limits = DEFAULT_LIMITS
) -> Dial:
    """How to reach one node: its address (``host:port``), pinned to its ``certificate`` (DER), showing ``identity``."""
    context = client_context(identity, certificate)

    async def dial() -> Connection:
        return await dial_tls(address, context, certificate=certificate, max_message=limits.message_bytes)

    return dial


class NodeLink:
    """A link to one node that stays until ``close``. Its public methods are for any thread but the loop's own.

    ``on_event`` is called on the loop and must be quick; so is ``on_sample``, with how the server is doing, as often as its node shows
    that it lives. ``delay_s`` says after which pause to dial again, by the number of failures.
    """

    def __init__(
        self,
        loop: KeeperLoop,
        dial: Dial,
        *,
        address: str,
        on_event: Callable[[LinkEvent], None] = lambda _: None,
        on_sample: Callable[[Sample], None] = lambda _: None,
        delay_s: Callable[[int], float] = lambda attempt: retry_delay_s(attempt, random.random()),  # noqa: S311  no secret
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._keeper_loop = loop
        self._dial = dial
        self._address = address
        self._on_event = on_event
        self._on_sample = on_sample
        self._delay_s = delay_s
        self._limits = limits
        self._task: asyncio.Task[None] | None = None
        self._open: Conversation | None = None
        self._opened = asyncio.Event()
        self._attempt = 0
        self._last_error: LastroError | None = None

    @property
    def loop(self) -> KeeperLoop:
        """See ``Link``."""
        return self._keeper_loop

    def start(self) -> None:
        """Begin to dial; returns at once."""
        self._task = self._keeper_loop.start(self._keep())

    def wait_connected(self, timeout_s: float) -> Hello:
        """The node's ``hello``, waiting for a session if there is none.

        Raises:
            UnreachableError: no session within ``timeout_s`` seconds; it says what the last attempt failed with.
        """

        async def wait() -> Hello:
            return await (await self.conversation(timeout_s)).hello()

        return self._keeper_loop.call(wait())

    def close(self) -> None:
        """End the session and dial no more; returns when nothing is left of it."""
        with suppress(UnreachableError):  # the loop has ended, and with it the link
            self._keeper_loop.call(self._stop())

    async def conversation(self, timeout_s: float) -> Conversation:
        """See ``Link``."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._open is None:
                    await self._opened.wait()
        except TimeoutError as error:
            if self._last_error is not None:
                raise _no_session(self._address, self._last_error) from self._last_error
            raise UnreachableError(
                N_("Nobody answers at {address}: {reason}"), address=self._address, reason="no answer in time"
            ) from error
        return self._open

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await _cancel(task)

    async def _keep(self) -> None:
        while True:
            try:
                await self._talk(Conversation(await self._dial(), self._limits))
            except LastroError as error:
                self._last_error = error
                delay = self._delay_s(self._attempt)
                self._attempt += 1
                self._on_event(
                    LinkEvent(kind="disconnected", address=self._address, error=error, retry_in_s=delay)
                )
                await asyncio.sleep(delay)

    async def _talk(self, conversation: Conversation) -> None:
        """One session, from ``hello`` to its end, which it raises."""

        async def announce() -> None:
            hello = await conversation.hello()
            self._attempt = 0
            self._open = conversation
            self._opened.set()
            self._on_event(LinkEvent(kind="connected", address=self._address, hello=hello))
            await follow_telemetry(conversation, hello, self._on_sample)

        announcing = asyncio.create_task(announce())
        try:
            await conversation.run()
        finally:
            self._open = None
            self._opened.clear()
            announcing.cancel()
            await asyncio.gather(announcing, return_exceptions=True)


class OfferedSources:
    """The keeper's ``source.sock``, made by ``node_source.accept_sources``: sources that other processes offer, each with a thread."""

    def __init__(
        self,
        loop: KeeperLoop,
        *,
        on_offer: Callable[[Link, PeerCredentials, Hello], None],
        admit: Callable[[PeerCredentials], bool],
        limits: Limits,
    ) -> None:
        self._loop = loop
        self._on_offer = on_offer
        self._admit = admit
        self._limits = limits
        self._threads = ThreadPoolExecutor(OFFERED_AT_ONCE, thread_name_prefix="lastro-offered")
        self._listener: Listener | None = None

    def open(self, listener: socket.socket) -> None:
        """Begin to accept on a bound socket, which belongs to the listener from now on."""

        async def begin() -> Listener:
            return await listen_unix(listener, handler=self._serve, max_message=self._limits.message_bytes)

        self._listener = self._loop.call(begin())

    def close(self) -> None:
        """End every session, and return when nothing is left of them. The socket's file stays."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(UnreachableError):  # the loop has ended, and with it the listener
                self._loop.call(listener.close())
        self._threads.shutdown()

    async def _serve(self, connection: Connection) -> None:
        credentials = connection.peer.credentials
        if credentials is None or not self._admit(credentials):
            await connection.close(CLOSE_NOT_ADMITTED, "not admitted")
            return
        conversation = Conversation(connection, self._limits)
        running = asyncio.create_task(conversation.run())
        try:
            hello = await conversation.hello()
            link = _FixedLink(self._loop, conversation)
            await asyncio.get_running_loop().run_in_executor(
                self._threads, self._on_offer, link, credentials, hello
            )
        except LastroError:
            return  # the process that offered is gone, or broke the protocol: there is nobody to tell
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class _FixedLink:
    """A link that is one session and does not come back."""

    def __init__(self, loop: KeeperLoop, conversation: Conversation) -> None:
        self._loop = loop
        self._conversation = conversation

    @property
    def loop(self) -> KeeperLoop:
        return self._loop

    async def conversation(self, timeout_s: float) -> Conversation:
        del timeout_s  # it is open, or it never will be again
        return self._conversation


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended: a cancellation that meets the failure of a ``TaskGroup``'s member in the same instant is lost."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)


async def _cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*map(_cancel, tasks))


def _stopping() -> UnreachableError:
    return UnreachableError(N_("The keeper is stopping."))


def _no_session(address: str, error: LastroError) -> UnreachableError:
    return UnreachableError(
        N_("There is no session with the node at {address}: {reason}"),
        hint=error.hint,
        **{**error.parameters, "address": address, "reason": str(error)},
    )
