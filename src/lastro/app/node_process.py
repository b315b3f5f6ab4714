"""The node as a process: serving, pairing, and as the child of ``lastro up``."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Struct

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
_NODE_GRACE_S = 5.0
_NODE_PATIENCE_S = 10.0
_PARENT = "LASTRO_PARENT"
_PR_SET_PDEATHSIG = 1


def serve_node(places: Places, *, emit: Emit) -> int:
    """Run this machine's node until SIGINT or SIGTERM.

    Raises:
        ConfigError: ``node.toml`` cannot be used, or the port is taken.
    """
    node = node_places(places.config)
    if _PARENT in os.environ:
        _end_with_parent()

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


class NodeProcess:
    """The node as a process of its own, started again when it dies. Its methods are for one thread."""

    def __init__(self, places: Places, emit: Emit) -> None:
        self._places = places
        self._emit = emit
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._listening = threading.Event()
        self._started = 0.0
        self._pause_s = 0.5

    def start(self) -> None:
        """Start it. It ends with this process, however this one ends."""
        environment = {**os.environ, _PARENT: str(os.getpid())}
        if self._places.home:
            environment["LASTRO_HOME"] = self._places.home
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lastro", "node", "serve", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the keeper alone, which then stops the node
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def wait_listening(self, stop: threading.Event) -> None:
        """Return once it listens, has ended, or has taken long."""
        deadline = time.monotonic() + _NODE_PATIENCE_S
        while not stop.is_set() and time.monotonic() < deadline and not self._listening.wait(0.02):
            if self._process is None or self._process.poll() is not None:
                return

    def look_after(self) -> None:
        """Start it again if it died."""
        if self._process is None or self._process.poll() is None:
            return
        status = self._process.returncode
        tell(
            self._emit,
            "problem",
            msgid=N_("The node ended with status {status}; it is started again."),
            hint="",
            parameters={"status": str(status)},
        )
        self._pause_s = min(self._pause_s * 2, 30.0) if time.monotonic() - self._started < 60 else 0.5
        time.sleep(self._pause_s)
        self.start()

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_NODE_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on what the node says, but for what the keeper says itself."""
        assert process.stdout is not None
        for line in process.stdout:
            message = msgspec.json.decode(line, type=_NodeLine)
            if message.event is not None and message.event.kind in {
                "listening",
                "problem",
                "restart_needed",
                "notice",
            }:
                self._emit(message.event)
                if message.event.kind == "listening":
                    self._listening.set()
            elif message.type == "result" and message.message:
                parameters: dict[str, object] = {
                    "msgid": message.message,
                    "hint": message.hint,
                    "parameters": {},
                }
                self._emit(Event(kind="problem", time_ns=time.time_ns(), parameters=parameters))


class _NodeLine(Struct, frozen=True):
    """A line of the node's ``--json`` output."""

    type: str
    event: Event | None = None
    message: str = ""
    hint: str = ""


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the process that started this one dies, and end at once if it is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(_PARENT) != str(os.getppid()):
        raise SystemExit(1)
