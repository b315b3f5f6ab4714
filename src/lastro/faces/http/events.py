"""Events as server-sent events, with ids and replay.

A durable event's id is its ``seq`` in the log. What always holds: a client that reconnects with the last id it saw misses no durable
event and sees none twice. A client too slow for its queue is cut off, and reconnects; progress and other passing events have no id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, Protocol

from starlette.requests import Request

from lastro.app.encoding import encode
from lastro.app.events import Event
from lastro.errors import UsageError
from lastro.messages import N_

QUEUE_LENGTH: Final = 10_000
HEARTBEAT_S: Final = 15.0
_DIGITS: Final = 18
"""Of an id: no log is longer, and every database can compare it."""


class EventFeed(Protocol):
    """Where events come from."""

    def replay(self, after: int) -> Iterable[Event]:
        """The durable events after the log's ``seq`` ``after`` up to now, oldest first. Blocking."""
        ...

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``deliver`` with every event from now on, from any thread; it returns at once. Gives what ends it."""
        ...


def last_event_id(request: Request) -> int | None:
    """The ``seq`` to go on after: the ``Last-Event-ID`` header, or ``?after=``.

    Raises:
        UsageError: it is no number.
    """
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    if text is None:
        return None
    digits = text.removeprefix("-")  # -1: from the first
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise UsageError(N_("This is not the id of an event: {text}"), text=text[:100])
    return int(text)


async def event_stream(
    feed: EventFeed,
    after: int | None,
    *,
    stopping: asyncio.Event,
    in_thread: Callable[..., Awaitable[Any]],
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncIterator[bytes]:
    """The body of the response; ends when ``stopping`` is set, or when the client is too slow."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LENGTH)
    overflow = asyncio.Event()

    def enqueue(event: Event) -> None:
        if queue.full():
            overflow.set()
        else:
            queue.put_nowait(event)

    def deliver(event: Event) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(enqueue, event)

    end = feed.subscribe(deliver)
    try:
        yield b": hello\n\n"
        seen = -1
        if after is not None:
            seen = after
            for event in await in_thread(lambda: list(feed.replay(after))):
                seen = max(seen, event.seq or seen)
                yield _message(event)
        while not (stopping.is_set() or overflow.is_set()):
            next_event = await _next(queue, stopping, heartbeat_s)
            if next_event is None:
                yield b": still here\n\n"
            elif next_event.seq is None or next_event.seq > seen:
                yield _message(next_event)
    finally:
        end()


async def _next(queue: asyncio.Queue[Event], stopping: asyncio.Event, timeout_s: float) -> Event | None:
    """The next event; ``None`` after ``timeout_s`` seconds, or at once when it is time to stop."""
    getting = asyncio.ensure_future(queue.get())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({getting, stopped}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return getting.result() if getting.done() else None
    finally:
        getting.cancel()
        stopped.cancel()


def _message(event: Event) -> bytes:
    head = b"" if event.seq is None else b"id: %d\n" % event.seq
    return head + b"event: " + event.kind.encode() + b"\ndata: " + encode(event) + b"\n\n"
