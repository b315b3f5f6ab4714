"""A process of Lastro as the child of ``lastro up``: started again when it dies, gone when its parent goes, heard through ``--json``."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Final

import msgspec
from msgspec import Struct

from lastro.app.events import Event
from lastro.app.places import Places
from lastro.app.signals import Emit, tell

_GRACE_S: Final = 5.0
_PATIENCE_S: Final = 10.0
_PARENT: Final = "LASTRO_PARENT"
_PR_SET_PDEATHSIG: Final = 1
_PASSED: Final = frozenset(
    {
        "listening",
        "problem",
        "restart_needed",
        "notice",
        "gateway_initialized",
        "gateway_reloaded",
        "exchange",
        "exchanges_more",
        "run_done",
    }
)
"""Events that a child says and its parent does not say itself."""


class ChildProcess:
    """``lastro ARGUMENTS`` as a child. Its methods are for one thread.

    ``ended`` is the sentence for its unexpected end, with ``{status}``; ``grace_s`` how long it may take to end when it is asked to.
    """

    def __init__(
        self, places: Places, emit: Emit, *arguments: str, ended: str, grace_s: float = _GRACE_S
    ) -> None:
        self._places = places
        self._emit = emit
        self._arguments = arguments
        self._ended = ended
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._listening = threading.Event()
        self._started = 0.0
        self._pause_s = 0.5
        self._again = 0.0

    def start(self) -> None:
        """Start it. It ends with this process, however this one ends."""
        environment = {**os.environ, _PARENT: str(os.getpid())}
        if self._places.home:
            environment["LASTRO_HOME"] = self._places.home
        self._started = time.monotonic()
        self._again = 0.0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lastro", *self._arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops its children
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def wait_listening(self, stop: threading.Event) -> None:
        """Return once it listens, has ended, or has taken long."""
        deadline = time.monotonic() + _PATIENCE_S
        while not stop.is_set() and time.monotonic() < deadline and not self._listening.wait(0.02):
            if self._process is None or self._process.poll() is not None:
                return

    def look_after(self) -> None:
        """Start it again if it died: after a pause that grows while it keeps dying."""
        if self._process is None or self._process.poll() is None:
            return
        now = time.monotonic()
        if not self._again:
            status = self._process.returncode
            tell(self._emit, "problem", msgid=self._ended, hint="", parameters={"status": str(status)})
            self._pause_s = min(self._pause_s * 2, 30.0) if now - self._started < 60 else 0.5
            self._again = now + self._pause_s
        elif now >= self._again:
            self._let_go(self._process)
            self.start()

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._let_go(process)

    def _let_go(self, process: subprocess.Popen[bytes]) -> None:
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on what it says, but for what its parent says itself."""
        assert process.stdout is not None
        for line in process.stdout:
            message = msgspec.json.decode(line, type=_Line)
            if message.event is not None and message.event.kind in _PASSED:
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


class _Line(Struct, frozen=True):
    """A line of the child's ``--json`` output."""

    type: str
    event: Event | None = None
    message: str = ""
    hint: str = ""


def end_with_parent() -> None:
    """If this process is somebody's child: ask the kernel for SIGTERM when the parent dies, and end at once if it is gone already."""
    if _PARENT not in os.environ:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(_PARENT) != str(os.getppid()):
        raise SystemExit(1)
