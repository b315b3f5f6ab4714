"""A keeper's request, read and checked: a frame in, what the node is asked out (``docs/protocol.md``, one section per command).

What always holds: a path that comes out of here is inside its root, and there are no more of them than the limits say. A request that is
wrong in itself raises, and the session answers it with ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import read_message
from lastro.protocol.entries import WirePath, absolute_from_wire, relative_from_wire
from lastro.protocol.events import FetchAsked, TaskListAsked, TelemetryAsked, TreeDumpAsked, WatchAsked
from lastro.protocol.faults import UnsupportedError
from lastro.protocol.limits import Limits
from lastro.protocol.messages import (
    ENCODING_TEXT,
    FetchCommand,
    Hello,
    TaskListCommand,
    TelemetryCommand,
    TreeDumpCommand,
    WatchCommand,
)

Request = TaskListAsked | TreeDumpAsked | FetchAsked | WatchAsked | TelemetryAsked
"""What the driver has to answer."""


def read_request(frame: str, cmd: str, hello: Hello) -> tuple[Request, str]:
    """What is asked, and for a fetch in which encoding. ``hello`` is what this node offers.

    Raises:
        LimitError: too many paths, or one too long.
        ProtocolError: a field is missing or impossible.
        UnsupportedError: an unknown command, or a capability that this node does not have.
    """
    reader = _READERS.get(cmd)
    if reader is None:
        raise UnsupportedError(N_("This node does not know the command {command}."), command=ascii(cmd[:64]))
    return reader(frame, hello)


def _task_list(frame: str, _: Hello) -> tuple[Request, str]:
    return TaskListAsked(id=read_message(frame, TaskListCommand).id), ""


def _tree_dump(frame: str, hello: Hello) -> tuple[Request, str]:
    message = read_message(frame, TreeDumpCommand)
    root = absolute_from_wire(message.root, hello.limits)
    paths = _relative(message.paths, hello.limits)
    return TreeDumpAsked(id=message.id, root=root, paths=paths, recursive=message.recursive), ""


def _fetch(frame: str, hello: Hello) -> tuple[Request, str]:
    message = read_message(frame, FetchCommand)
    many = message.paths is not None
    if many == (message.path is not None):
        raise ProtocolError(N_("A fetch names either a path or paths."))
    if many and message.encoding == ENCODING_TEXT:
        raise ProtocolError(N_("Many files travel as zstd+binary only."))
    _need(message.encoding, hello)
    if many:
        _need("fetch-many", hello)
    wired = message.paths if message.paths is not None else (message.path or "",)
    root, paths = absolute_from_wire(message.root, hello.limits), _relative(wired, hello.limits)
    return FetchAsked(id=message.id, root=root, paths=paths, many=many), message.encoding


def _watch(frame: str, hello: Hello) -> tuple[Request, str]:
    message = read_message(frame, WatchCommand)
    _need("watch", hello)
    return WatchAsked(id=message.id, cursor=message.cursor), ""


def _telemetry(frame: str, hello: Hello) -> tuple[Request, str]:
    message = read_message(frame, TelemetryCommand)
    _need("telemetry", hello)
    return TelemetryAsked(id=message.id), ""


def _need(capability: str, hello: Hello) -> None:
    if capability not in hello.capabilities:
        raise UnsupportedError(N_("This node does not offer {capability}."), capability=capability)


def _relative(paths: Sequence[WirePath], limits: Limits) -> tuple[str, ...]:
    if not 1 <= len(paths) <= limits.command_paths:
        raise LimitError(
            N_("A command names {count} paths, from 1 to {limit} are allowed."),
            count=len(paths),
            limit=limits.command_paths,
        )
    return tuple([relative_from_wire(path, limits) for path in paths])


_READERS: Final[dict[str, Callable[[str, Hello], tuple[Request, str]]]] = {
    "task-list": _task_list,
    "tree-dump": _tree_dump,
    "fetch": _fetch,
    "watch": _watch,
    "telemetry": _telemetry,
}
