"""``NodeSource``: a node as a ``Source``, called from worker threads, answered over the wire (``docs/protocol.md``).

What always holds: a listing or a file that did not arrive whole is never delivered as whole: a cut link raises ``UnreachableError`` out of
whatever call is running; and no more than the window of a stream (two while small files follow each other) is held in memory, however
slowly the caller reads.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from lastro.capture.source import (
    Changes,
    FetchEvent,
    FileBegin,
    FileData,
    FileEnd,
    FileFailed,
    Root,
    Skipped,
)
from lastro.domain.entry import Entry
from lastro.domain.paths import to_bytes, tree_order
from lastro.errors import ProtocolError, UnreachableError
from lastro.keeper.connection import KeeperLoop, Link, OfferedSources
from lastro.keeper.conversation import Conversation, Stream
from lastro.keeper.feed import FeedBuffer
from lastro.messages import N_
from lastro.protocol import events as wire
from lastro.protocol.events import (
    FAILURE_KINDS,
    CommandFailed,
    FetchEnded,
    KeeperEvent,
    PartArrived,
    TaskListReceived,
    TreeEnded,
    TreeItems,
    WatchStarted,
)
from lastro.protocol.fetch_receiver import FetchReceiver
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.messages import ENCODING_BINARY, ENCODING_TEXT, Encoding, Hello
from lastro.transport.unix import PeerCredentials

SMALL_FILE_BYTES: Final = 256 * 1024
"""Files up to this size travel many to a stream; a larger one has a stream of its own."""


class NodeSource:
    """``capture.source.Source`` over a link. The link's owner closes the link; the source itself holds nothing open.

    ``encoding`` is one of ``protocol.messages.ENCODING_*``; ``None``: the best that the node offers. A call waits ``connect_timeout_s``
    seconds for a session when there is none. Listings and fetches are for any number of threads, ``changes`` is for one at a time.
    """

    def __init__(
        self, link: Link, *, encoding: Encoding | None = None, connect_timeout_s: float = 10.0
    ) -> None:
        self._link = link
        self._encoding = encoding
        self._connect_timeout_s = connect_timeout_s
        self._feed: FeedBuffer | None = None

    def wait_ended(self) -> None:
        """Return when the session that is open now has ended; at once when there is none. From a worker thread."""
        with suppress(UnreachableError):
            conversation, _ = self._conversation()
            self._link.loop.call(conversation.wait_ended())

    def roots(self) -> Sequence[Root]:
        """See ``Source``."""
        conversation, _ = self._conversation()
        stream = self._link.loop.call(conversation.ask(lambda session: session.request_task_list()))
        try:
            match stream.take():
                case TaskListReceived(roots=roots):
                    return tuple(Root(path=root.path, excludes=root.excludes) for root in roots)
                case event:
                    raise _failure(event)
        finally:
            stream.close()

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        """See ``Source``. More paths than the node takes in one command (4096 by default) are asked in several, in tree order."""
        conversation, _ = self._conversation()
        batches = _listing_batches(paths, conversation.limits)
        asked = frozenset(paths) if len(batches) > 1 else frozenset()
        answered: set[str] = set()
        for batch in batches:
            for item in self._list(conversation, root, batch, recursive=recursive):
                # An asked path can also come as a child of another one that was asked in an earlier command.
                if item.path in asked and isinstance(item, Entry):
                    if item.path in answered:
                        continue
                    answered.add(item.path)
                yield item

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        """See ``Source``."""
        conversation, hello = self._conversation()
        encoding = self._choose(hello)
        many = encoding == ENCODING_BINARY and "fetch-many" in hello.capabilities
        batches = deque(_fetch_batches(entries, conversation.limits, many=many))
        running: deque[tuple[Sequence[str], Stream, FetchReceiver]] = deque()
        try:
            while batches or running:
                # The next stream is asked for while this one arrives, so that small ones do not wait for each other's way there and back.
                while batches and (not running or (len(running) == 1 and conversation.free_transfers > 1)):
                    batch = batches.popleft()
                    running.append((batch, *self._ask_fetch(conversation, root, batch, encoding, many=many)))
                batch, stream, receiver = running[0]
                yield from _receive(conversation, stream, receiver, batch[0])
                running.popleft()
        finally:
            for _, stream, _ in running:
                stream.close()

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """See ``Source``. After a cut the subscription is made again at ``cursor``; a node that cannot go back so far says overflow."""
        conversation, hello = self._conversation()
        if "watch" not in hello.capabilities:
            if cursor is not None:
                time.sleep(timeout_s)
            roots = tuple(root.path for root in self.roots())
            return Changes(cursor=(cursor or 0) + 1, overflow=roots, roots_changed=True)
        feed = self._feed
        if cursor is None or feed is None or not feed.continues(conversation, cursor):
            feed = self._feed = self._subscribe(conversation, cursor)
            if cursor is None:
                return Changes(cursor=feed.cursor)
        return feed.take(timeout_s)

    def _conversation(self) -> tuple[Conversation, Hello]:
        async def find() -> tuple[Conversation, Hello]:
            conversation = await self._link.conversation(self._connect_timeout_s)
            return conversation, await conversation.hello()

        return self._link.loop.call(find())

    def _choose(self, hello: Hello) -> Encoding:
        if self._encoding is not None:
            return self._encoding
        return ENCODING_BINARY if ENCODING_BINARY in hello.capabilities else ENCODING_TEXT

    def _list(
        self, conversation: Conversation, root: str, paths: Sequence[str], *, recursive: bool
    ) -> Iterator[Entry | Skipped]:
        stream = self._link.loop.call(
            conversation.ask(
                lambda session: session.request_tree_dump(root, paths, recursive=recursive), transfer=True
            )
        )
        try:
            while True:
                match stream.take():
                    case TreeItems(items=items, size=size):
                        for item in items:
                            yield item if isinstance(item, Entry) else _skipped(item)
                        stream.acknowledge(size)
                    case TreeEnded():
                        return
                    case CommandFailed(error=error):
                        raise error
        finally:
            stream.close()

    def _ask_fetch(
        self, conversation: Conversation, root: str, paths: Sequence[str], encoding: Encoding, *, many: bool
    ) -> tuple[Stream, FetchReceiver]:
        if many and len(paths) > 1:
            return self._link.loop.call(
                conversation.ask_fetch(lambda session: session.request_fetch_many(root, paths))
            )
        return self._link.loop.call(
            conversation.ask_fetch(lambda session: session.request_fetch(root, paths[0], encoding=encoding))
        )

    def _subscribe(self, conversation: Conversation, cursor: int | None) -> FeedBuffer:
        feed = FeedBuffer(conversation)
        stream = self._link.loop.call(conversation.watch(cursor, feed.add))
        try:
            match stream.take():
                case WatchStarted(cursor=start):
                    feed.start(start)
                    return feed
                case event:
                    raise _failure(event)
        finally:
            stream.close()


def accept_sources(
    loop: KeeperLoop,
    listener: socket.socket,
    on_source: Callable[[NodeSource, PeerCredentials, Hello], None],
    *,
    admit: Callable[[PeerCredentials], bool],
    limits: Limits = DEFAULT_LIMITS,
) -> OfferedSources:
    """Serve the keeper's ``source.sock`` (``listener`` is of ``transport.unix.bind_owner_only``).

    ``on_source`` is called in a worker thread for each process that ``admit`` lets in; when it returns, the session is closed.
    """
    offered = OfferedSources(
        loop,
        on_offer=lambda link, credentials, hello: on_source(NodeSource(link), credentials, hello),
        admit=admit,
        limits=limits,
    )
    offered.open(listener)
    return offered


def _receive(
    conversation: Conversation, stream: Stream, receiver: FetchReceiver, path: str
) -> Iterator[FetchEvent]:
    """The events of one stream; ``path`` is its only one where it is of one file."""
    while True:
        event = stream.take()
        if isinstance(event, CommandFailed):
            if event.code not in FAILURE_KINDS:
                raise event.error
            yield FileFailed(path=path, kind=event.code, detail=event.detail)
            return
        if not isinstance(event, PartArrived | FetchEnded):
            continue
        try:
            opened = receiver.take(event)
        except ProtocolError as error:
            conversation.fail(error)
            raise
        for each in opened:
            yield _fetch_event(each)
        if isinstance(event, FetchEnded):
            return
        stream.acknowledge(event.size)


def _fetch_event(event: wire.FileEvent) -> FetchEvent:
    if isinstance(event, wire.FileBytes):
        return FileData(path=event.path, offset=event.offset, data=event.data)
    if isinstance(event, wire.FileBegun):
        return FileBegin(path=event.path)
    if isinstance(event, wire.FileEnded):
        return FileEnd(path=event.path, entry=event.entry, racy=event.racy)
    return FileFailed(path=event.path, kind=event.kind, detail=event.detail)


def _skipped(item: wire.SkippedPath) -> Skipped:
    return Skipped(path=item.path, kind=item.kind, detail=item.detail)


def _failure(event: KeeperEvent) -> Exception:
    if isinstance(event, CommandFailed):
        return event.error
    return ProtocolError(N_("The node answered another command than was asked."))


def _listing_batches(paths: Sequence[str], limits: Limits) -> Sequence[Sequence[str]]:
    """``paths`` in tree order, cut so that each command fits a message."""
    return list(_cut(sorted(paths, key=tree_order), limits))


def _fetch_batches(entries: Sequence[Entry], limits: Limits, *, many: bool) -> Iterator[Sequence[str]]:
    """The paths of ``entries`` in their order: runs of small files together, each large one alone."""
    run: list[str] = []
    for entry in entries:
        if many and entry.size <= SMALL_FILE_BYTES:
            run.append(entry.path)
            continue
        yield from _cut(run, limits)
        run = []
        yield [entry.path]
    yield from _cut(run, limits)


def _cut(paths: Sequence[str], limits: Limits) -> Iterator[Sequence[str]]:
    batch: list[str] = []
    size = 0
    for path in paths:
        # JSON escapes a control character into six, and base64 of other bytes is less.
        length = len(to_bytes(path)) * (1 if path.isascii() and path.isprintable() else 6) + 16
        if batch and (len(batch) >= limits.command_paths or size + length > limits.message_bytes // 2):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch
