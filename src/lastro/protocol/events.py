"""What the two sessions tell their drivers, in the nouns of the house: paths are byte-faithful ``str``, entries are ``domain`` entries.

What always holds: everything in an event has been checked. An event with a ``size`` is a part of a stream, and waits for an ``ack``
of that size.
"""

from __future__ import annotations

from dataclasses import dataclass

from lastro.domain.entry import Entry
from lastro.domain.ids import Digest
from lastro.domain.telemetry import Sample
from lastro.errors import LastroError
from lastro.protocol.messages import Hello


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedRoot:
    """A watched root, as ``task-list`` tells it. ``entries``, ``bytes``, ``cursor`` are ``None`` while unknown."""

    path: str
    excludes: tuple[str, ...] = ()
    entries: int | None = None
    bytes: int | None = None
    cursor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedPath:
    """A path (relative to the root) that a listing does not descend into (``excluded``) or cannot read (``unreadable``)."""

    path: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPath:
    """A path that may differ from what was listed last; with ``recursive`` everything below it too."""

    root: str
    path: str
    recursive: bool = False


# What the node's driver is asked. ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskListAsked:
    """Answer with ``NodeSession.reply_task_list``."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeDumpAsked:
    """Answer with ``NodeSession.start_tree``."""

    id: str
    root: str
    paths: tuple[str, ...]
    recursive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchAsked:
    """Answer with ``NodeSession.start_fetch``. ``many``: asked with ``paths``, else ``paths`` is the one path."""

    id: str
    root: str
    paths: tuple[str, ...]
    many: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchAsked:
    """Answer with ``NodeSession.reply_watch``, then tell what changes after ``cursor``. A second watch takes the place of the first."""

    id: str
    cursor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryAsked:
    """Answer with ``NodeSession.reply_telemetry``."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnded:
    """The keeper does not want ``changed`` and ``overflow`` any more. Nothing to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked:
    """Stop the work for command ``id``, then say so with ``NodeSession.finish_cancelled``. Finishing it in the usual way is allowed too."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOpened:
    """The keeper has acknowledged parts of stream ``id``: ``NodeSession.can_send`` may answer differently now."""

    id: str


NodeEvent = (
    TaskListAsked
    | TreeDumpAsked
    | FetchAsked
    | WatchAsked
    | TelemetryAsked
    | WatchEnded
    | CancelAsked
    | WindowOpened
)


# What the keeper's driver learns. ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloReceived:
    """The session is open: requests may be sent. The node's limits are in force now."""

    hello: Hello


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskListReceived:
    """The answer to ``request_task_list``; the last event of ``id``."""

    id: str
    roots: tuple[WatchedRoot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeStarted:
    """A dump begins."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeItems:
    """Part of a dump, in tree order. Call ``ack(id, size)`` when the items have been taken over."""

    id: str
    items: tuple[Entry | SkippedPath, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnded:
    """A dump is complete, its count and digest right; the last event of ``id``. Changes after ``cursor`` may or may not be in it."""

    id: str
    count: int
    cursor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStarted:
    """Bytes follow. ``entry``: the one file as it was before reading, a hint; ``None`` for many. Give the parts to ``FetchReceiver``."""

    id: str
    entry: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartArrived:
    """A part as it travelled, unopened. Give it to the stream's ``FetchReceiver``, and ``ack(id, size)`` once its bytes are taken over.

    ``kind`` is a ``codec.PartKind``. ``restart`` parts have no data: the one file of the stream begins again.
    """

    id: str
    kind: int
    offset: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchEnded:
    """The node has sent everything; the last event of ``id``. Give it to the ``FetchReceiver``, which checks that all is there.

    ``entry`` and ``racy``: the one file as it was read, ``None`` for many. ``files``, ``failed``, ``bytes`` count a stream of many.
    """

    id: str
    entry: Entry | None = None
    racy: bool = False
    files: int = 1
    failed: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStarted:
    """The subscription stands at ``cursor``; the last event of ``id``. ``FeedChanged`` and ``FeedOverflowed`` follow."""

    id: str
    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedChanged:
    """What may have changed. With ``more`` the same step continues in the next event, and ``cursor`` holds only after the last."""

    cursor: int
    paths: tuple[ChangedPath, ...]
    roots_changed: bool
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOverflowed:
    """The feed lost something about these roots: list them again."""

    cursor: int
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PongReceived:
    """The answer to ``ping``; the last event of ``id``."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryReceived:
    """The answer to ``request_telemetry``; the last event of ``id``. ``sample`` has the node's clock."""

    id: str
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelEnded:
    """The answer to ``cancel``; the last event of ``id``. The cancelled command ends by itself, with ``CommandFailed`` or as usual."""

    id: str
    target: str
    cancelled: bool
    freed_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFailed:
    """The node could not do it, or the link is gone; the last event of ``id``. ``code`` is the node's, ``detail`` for programs.

    ``error`` is ready to be raised: not found, denied, unreachable (link), or as the node said it.
    """

    id: str
    code: str
    detail: str
    error: LastroError


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeReceived:
    """The node leaves on purpose. What runs ends when the link closes."""

    reason: str


KeeperEvent = (
    HelloReceived
    | TaskListReceived
    | TreeStarted
    | TreeItems
    | TreeEnded
    | FetchStarted
    | PartArrived
    | FetchEnded
    | WatchStarted
    | FeedChanged
    | FeedOverflowed
    | PongReceived
    | TelemetryReceived
    | CancelEnded
    | CommandFailed
    | GoodbyeReceived
)


# What comes out of a FetchReceiver, and goes into a FetchSender: the same four steps as ``capture.source.FetchEvent``. ---------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBegun:
    """The bytes of ``path`` follow; a second one takes the first back."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBytes:
    """Bytes at ``offset``; offsets only grow, gaps are holes."""

    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEnded:
    """The file is complete; size and digest of what arrived are those of ``entry``."""

    path: str
    entry: Entry
    racy: bool = False
    """It was read so soon after its last change that a later change may show the same times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFailed:
    """The file could not be read: ``kind`` is ``unreadable`` or ``vanished``, ``detail`` the errno's name or ``not_a_file``."""

    path: str
    kind: str
    detail: str


FileEvent = FileBegun | FileBytes | FileEnded | FileFailed

FAILURE_KINDS = frozenset({"unreadable", "vanished"})
SKIPPED_KINDS = frozenset({"excluded", "unreadable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A frame of a stream, ready to be sent by ``NodeSession.send_part`` when ``can_send`` allows its ``size`` (bytes of the frame)."""

    frame: str | bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSummary:
    """What a finished dump was: items sent, and the digest over them."""

    count: int
    digest: Digest
