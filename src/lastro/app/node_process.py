"""The node as a process: serving and pairing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lastro.app.child_process import end_with_parent
from lastro.app.events import Event
from lastro.app.home import own_instances
from lastro.app.places import Places
from lastro.app.signals import Emit, tell
from lastro.app.wiring import VERSION
from lastro.capture.local import LocalSource
from lastro.capture.notice import Notice
from lastro.capture.source import Root
from lastro.capture.watch import InotifyWatcher
from lastro.errors import LastroError, UsageError
from lastro.messages import N_
from lastro.node import daemon
from lastro.node.daemon import NodeEvent, node_places
from lastro.node.pair import DEFAULT_PAIRING_PORT, pair
from lastro.transport.allow_list import read_allow_list

_MOST_NOTICES = 1000
_PAIRING_NS = 15 * 60 * 1_000_000_000


def serve_node(places: Places, *, emit: Emit) -> int:
    """Run this machine's node until SIGINT or SIGTERM.

    Raises:
        ConfigError: ``node.toml`` cannot be used, or the port is taken.
    """
    node = node_places(places.config)
    end_with_parent()

    said: set[tuple[str, str, str]] = set()

    def notify(notice: Notice) -> None:
        """Say each thing once: every listing comes across it again."""
        if (notice.code, notice.root, notice.path) in said or len(said) >= _MOST_NOTICES:
            return
        said.add((notice.code, notice.root, notice.path))
        plain = {key: str(value) for key, value in notice.message.parameters.items()}
        tell(emit, "notice", msgid=notice.message.msgid, parameters=plain)

    @contextmanager
    def open_source(roots: Sequence[Root]) -> Iterator[LocalSource]:
        honoured = own_instances(places) | {device.device for device in read_allow_list(node.allowed).devices}
        watcher = InotifyWatcher(
            roots, first_cursor=time.time_ns() // 1000, honoured_markers=honoured, notify=notify
        )
        try:
            yield LocalSource(roots, watcher=watcher, honoured_markers=honoured, notify=notify)
        finally:
            watcher.close()

    daemon.run(
        node, open_source=open_source, version=VERSION, on_event=lambda event: emit(_node_event(event))
    )
    tell(emit, "stopped", what="node")
    return 0


def pair_node(places: Places, *, emit: Emit, address: str = "") -> int:
    """Print a join token, and wait for the keeper that brings it."""
    host, _, port = address.rpartition(":")
    if address and not (host and port.isascii() and port.isdigit()):
        raise UsageError(N_("{address} is not an address."), hint=N_("Write HOST:PORT."), address=address)

    def show(token: str) -> None:
        expires = time.time_ns() + _PAIRING_NS
        tell(emit, "pairing", token=token, expires_ns=expires)

    paired = asyncio.run(
        pair(
            node_places(places.config),
            on_token=show,
            port=int(port) if port else DEFAULT_PAIRING_PORT,
            hosts=(host,) if host else (),
        )
    )
    tell(emit, "paired", name=paired.name, device=paired.device)
    return 0


def _node_event(event: NodeEvent) -> Event:
    """What the node says, in the words of the keeper's events."""
    parameters = dict(event.parameters)
    kind = event.kind
    if kind == "ready":
        kind = "listening"
        parameters = {
            "what": "node",
            "address": f"{parameters['host']}:{parameters['port']}",
            "device": parameters["device"],
        }
    elif kind in {"connected", "disconnected"}:
        error = parameters.get("error")
        parameters = {
            "server": parameters.get("name", ""),
            "detail": str(error or parameters.get("address", "")),
            "what": "keeper",
        }
    elif kind == "problem":
        error = parameters.get("error")
        parameters = {"msgid": str(error)}
        if isinstance(error, LastroError):
            plain = {key: str(value) for key, value in error.parameters.items()}
            parameters = {"msgid": error.msgid, "hint": error.hint, "parameters": plain}
    return Event(kind=kind, time_ns=time.time_ns(), parameters=parameters)
