"""Every message of the protocol as a frozen type; the JSON Schema in ``docs/protocol.schema.json`` is generated from here.

Commands are tagged by ``cmd``, replies and unasked events by ``event``. The reply types of different commands share their tags (``result``,
``start``, ``chunk``, ``done``): a reader knows the command by the ``id``. Fields that are not known are ignored; fields with a default may
be missing. Times are nanoseconds since 1970, sizes are bytes. Integers go up to 2**64 - 1, beyond what a JavaScript number holds.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from lastro.domain.telemetry import MOST_DISKS
from lastro.protocol.entries import WireEntry, WirePath
from lastro.protocol.limits import Limits

SUBPROTOCOL: Final = "lastro.v1"
"""The WebSocket subprotocol, and the major version that this code speaks."""

ENCODING_TEXT: Final = "gzip+base64"
ENCODING_BINARY: Final = "zstd+binary"
DIGEST_KIND: Final = "blake3"

CAPABILITIES: Final = (ENCODING_TEXT, ENCODING_BINARY, "fetch-many", "watch", "telemetry")
"""What a complete node of this version offers. One without a change feed leaves ``watch`` out, one that measures nothing ``telemetry``."""

CommandId = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Code = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=4096)]
Share = Annotated[int, Meta(ge=0, le=1000)]
"""Thousandths of a whole."""
Thousandths = Annotated[int, Meta(ge=0, le=1_000_000_000)]
"""Thousandths of what has no upper end of its own."""
Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Encoding = Literal["gzip+base64", "zstd+binary"]


class Hello(Struct, frozen=True, kw_only=True, tag_field="event", tag="hello"):
    """First message of a session, from the node. ``docs/protocol.md``, hello."""

    protocol: Annotated[tuple[Code, ...], Meta(max_length=16)]
    """Subprotocols that the node speaks; ``lastro.v1`` must be among them."""
    node_id: Text
    """The device id of the node's certificate, or a name of its own on a unix socket."""
    name: Text
    """What the server calls itself: its host name unless configured."""
    os: Text
    version: Text
    """Version of the node's software, for people."""
    capabilities: Annotated[tuple[Code, ...], Meta(max_length=64)]
    limits: Limits
    heartbeat_interval_s: Annotated[float, Meta(gt=0, le=3600)]
    roots_fingerprint: Code
    """``roots_fingerprint`` of the tasks: differs from the last session's when a dump has to be made again."""
    cursor: Count | None = None
    """Where the change feed stands; ``None`` without one."""


class TaskListCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="task-list"):
    """Ask for the watched roots. ``docs/protocol.md``, task-list."""

    id: CommandId


class Task(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One capture task of a node: here always a watched root, ``kind`` ``files``. ``docs/protocol.md``, task-list."""

    name: WirePath
    kind: Code
    watch_root: WirePath
    excludes: tuple[WirePath, ...] = ()
    entries: Count | None = None
    bytes: Count | None = None
    cursor: Count | None = None


class TaskListResult(Struct, frozen=True, kw_only=True, tag_field="event", tag="result"):
    """Answer to ``task-list``. ``docs/protocol.md``, task-list."""

    id: CommandId
    tasks: tuple[Task, ...]


class TreeDumpCommand(
    Struct, frozen=True, kw_only=True, tag_field="cmd", tag="tree-dump", omit_defaults=True
):
    """Ask for the entries of a root, or of paths below it. ``docs/protocol.md``, tree-dump."""

    id: CommandId
    root: WirePath
    paths: tuple[WirePath, ...] = ("",)
    """Relative to ``root``; the empty path is the root itself."""
    recursive: bool = True
    """Everything below each path; otherwise the path and its direct children."""


class TreeStart(Struct, frozen=True, kw_only=True, tag_field="event", tag="start"):
    """A dump begins. ``docs/protocol.md``, tree-dump."""

    id: CommandId
    root: WirePath
    digest_kind: Literal["blake3"] = DIGEST_KIND


class TreePart(Struct, frozen=True, kw_only=True, tag_field="event", tag="chunk"):
    """One part of a dump. Each item is an ``entry`` or ``skipped`` object in canonical form; see ``lastro.protocol.tree_parts``.

    See ``docs/protocol.md``, tree-dump.
    """

    id: CommandId
    items: list[msgspec.Raw]


class TreeDone(Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """A dump is complete. ``digest`` is BLAKE3-256 over every item's canonical bytes, each followed by a line feed.

    See ``docs/protocol.md``, tree-dump.
    """

    id: CommandId
    count: Count
    """Items sent: entries and skipped ones."""
    digest: Hex32
    cursor: Count | None = None
    """Where the change feed stood before the listing began: changes after it may or may not be in the dump."""


class FetchCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="fetch", omit_defaults=True):
    """Ask for the bytes of one file (``path``) or of many (``paths``); exactly one of the two. ``docs/protocol.md``, fetch."""

    id: CommandId
    root: WirePath
    path: WirePath | None = None
    paths: tuple[WirePath, ...] | None = None
    encoding: Encoding = "gzip+base64"


class FetchStart(Struct, frozen=True, kw_only=True, tag_field="event", tag="start", omit_defaults=True):
    """The bytes follow. ``entry`` and ``size``: the one file as it was before reading, hints only; missing for many.

    See ``docs/protocol.md``, fetch.
    """

    id: CommandId
    encoding: Encoding
    part_size: Count
    """The most bytes of content in one part."""
    digest_kind: Literal["blake3"]
    stream: Annotated[int, Meta(ge=1, le=0xFFFF_FFFF)] | None = None
    """Number of the stream in binary frames; missing with ``gzip+base64``."""
    size: Count | None = None
    entry: WireEntry | None = None


class FetchPart(Struct, frozen=True, kw_only=True, tag_field="event", tag="chunk"):
    """A slice of one file, ``gzip+base64``: ``data`` is one gzip member of the bytes at ``offset``. ``docs/protocol.md``, fetch."""

    id: CommandId
    offset: Count
    data: bytes


class FetchRestart(Struct, frozen=True, kw_only=True, tag_field="event", tag="restart"):
    """The file changed while it was read: what came before counts for nothing, and reading starts again at offset 0.

    See ``docs/protocol.md``, fetch.
    """

    id: CommandId


class FetchFileDone(Struct, frozen=True, kw_only=True, tag_field="event", tag="done", omit_defaults=True):
    """The one file is complete. ``entry`` is its state as it was read; ``size``, ``digest``, ``torn`` repeat its fields.

    See ``docs/protocol.md``, fetch.
    """

    id: CommandId
    size: Count
    digest: Hex32
    torn: bool
    entry: WireEntry
    racy: bool = False
    """It was read so soon after its last change that a later change may show the same times: do not rely on them."""


class FetchManyDone(Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """Every asked file has ended. ``bytes``: content sent in all, restarts included. ``docs/protocol.md``, fetch."""

    id: CommandId
    files: Count
    failed: Count
    bytes: Count


class WatchCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="watch", omit_defaults=True):
    """Subscribe to the change feed after ``cursor`` (``None``: from now on). ``docs/protocol.md``, watch."""

    id: CommandId
    cursor: Count | None = None


class WatchResult(Struct, frozen=True, kw_only=True, tag_field="event", tag="result"):
    """The subscription stands; ``changed`` and ``overflow`` follow unasked. ``docs/protocol.md``, watch."""

    id: CommandId
    cursor: Count


class ChangedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path that may differ. ``recursive``: everything below it too. ``docs/protocol.md``, changed."""

    watch_root: WirePath
    rel_path: WirePath
    recursive: bool = False


class Changed(Struct, frozen=True, kw_only=True, tag_field="event", tag="changed", omit_defaults=True):
    """Paths that may have changed. ``docs/protocol.md``, changed."""

    cursor: Count
    paths: tuple[ChangedItem, ...] = ()
    roots_changed: bool = False
    """Ask for ``task-list`` again."""
    more: bool = False
    """The same step of the feed continues in the next event; ``cursor`` holds only after the last."""


class Overflow(Struct, frozen=True, kw_only=True, tag_field="event", tag="overflow"):
    """The feed lost something: list these roots again from scratch. ``docs/protocol.md``, overflow."""

    cursor: Count
    roots: tuple[WirePath, ...]


class PingCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="ping"):
    """Is the command channel alive? ``docs/protocol.md``, ping."""

    id: CommandId


class PingResult(Struct, frozen=True, kw_only=True, tag_field="event", tag="result"):
    """Answer to ``ping``. ``docs/protocol.md``, ping."""

    id: CommandId
    pong: Literal[True] = True


class TelemetryCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="telemetry"):
    """How is the server doing? ``docs/protocol.md``, telemetry."""

    id: CommandId


class WireDisk(Struct, frozen=True, kw_only=True):
    """The file system of a watched root: its size, and what an ordinary user may still write. ``docs/protocol.md``, telemetry."""

    path: WirePath
    total: Count
    free: Count


class TelemetryResult(Struct, frozen=True, kw_only=True, tag_field="event", tag="result", omit_defaults=True):
    """Answer to ``telemetry``: one measurement. ``docs/protocol.md``, telemetry."""

    id: CommandId
    time_ns: Count
    cpu: Share
    load: Thousandths
    processors: Annotated[int, Meta(ge=1, le=65536)]
    memory_total: Count
    memory_used: Count
    own_cpu: Thousandths = 0
    own_memory: Count = 0
    disks: Annotated[tuple[WireDisk, ...], Meta(max_length=MOST_DISKS)] = ()


class CancelCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="cancel"):
    """End the command ``target``. ``docs/protocol.md``, cancel."""

    id: CommandId
    target: CommandId


class CancelResult(Struct, frozen=True, kw_only=True, tag_field="event", tag="result"):
    """Answer to ``cancel``. ``cancelled`` is false when the command had ended by itself, or never was. ``docs/protocol.md``, cancel."""

    id: CommandId
    cancelled: bool
    freed_bytes: Count


class AckCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="ack"):
    """Open the window of stream ``id`` by ``bytes`` (whole frames as received). No reply. ``docs/protocol.md``, ack."""

    id: CommandId
    bytes: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]


class ErrorReply(Struct, frozen=True, kw_only=True, tag_field="event", tag="error", omit_defaults=True):
    """Last reply of a command that failed. ``docs/protocol.md``, Errors."""

    id: CommandId
    code: Code
    message: str
    hint: str = ""
    retryable: bool = False
    detail: str = ""
    """A code for programs: the errno's name, ``not_a_file``."""


class Goodbye(Struct, frozen=True, kw_only=True, tag_field="event", tag="goodbye"):
    """The node leaves on purpose. ``docs/protocol.md``, goodbye."""

    reason: Code


class PairCommand(Struct, frozen=True, kw_only=True, tag_field="cmd", tag="pair"):
    """First and only command on the pairing listener. ``docs/protocol.md``, Pairing."""

    id: CommandId
    secret: Annotated[bytes, Meta(max_length=64)]
    """The secret inside the join token."""
    name: Text
    """What the keeper calls itself."""
    certificate: Annotated[bytes, Meta(max_length=16384)]
    """DER of the keeper's certificate."""


class PairResult(Struct, frozen=True, kw_only=True, tag_field="event", tag="result"):
    """The node has stored the keeper's certificate, and says its name and the port of its main listener.

    See ``docs/protocol.md``, Pairing.
    """

    id: CommandId
    name: Text
    port: Annotated[int, Meta(ge=0, le=65535)]


Command = (
    TaskListCommand
    | TreeDumpCommand
    | FetchCommand
    | WatchCommand
    | PingCommand
    | TelemetryCommand
    | CancelCommand
    | AckCommand
)
"""What a keeper sends."""

Reply = (
    TaskListResult
    | TreeStart
    | TreePart
    | TreeDone
    | FetchStart
    | FetchPart
    | FetchRestart
    | FetchFileDone
    | FetchManyDone
    | WatchResult
    | PingResult
    | TelemetryResult
    | CancelResult
    | ErrorReply
)
"""What a node answers."""

Unasked = Hello | Changed | Overflow | Goodbye
"""What a node says by itself."""

Message = Command | Reply | Unasked | PairCommand | PairResult
