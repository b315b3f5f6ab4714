"""``StepClock``: which files changed between two requests of a run to a model.

It listens on a socket of the run's own, at which the gateway announces each request (``gateway.notices``), and compares what the layer
holds then with what it held before. What always holds: an announcement is answered, whatever becomes of the comparison, so no call waits
for it longer than the gateway does; a step is in ``steps.jsonl`` before the clock goes on, so a supervisor that is killed loses none; and
a step says when it is not exact:

- the announcement came while the one before was still being looked at, or one before it never came: several requests are under way;
- the look took longer than ``PATIENCE_NS``: the agent may have gone on meanwhile. The announcement after such a look is answered first;
- the look before it failed: this step is that one's as well.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Self

import msgspec

from lastro.agents.layer import Layer, Manifest
from lastro.domain.paths import join, to_bytes, tree_order
from lastro.domain.run import RunStep
from lastro.errors import LastroError
from lastro.filesystem.system import System
from lastro.gateway.notices import LONGEST_LINE, Noted, Notice
from lastro.transport.unix import bind_owner_only, may_listen_for, peer_credentials, remove_socket

STEPS_NAME: Final = "steps.jsonl"
PATIENCE_NS: Final = 80_000_000
"""A look that takes longer is too slow for the gateway, which waits 100 ms in all."""
MOST_CONNECTIONS: Final = 16
_JOIN_S: Final = 5.0


class StepClock:
    """The steps of one run. ``directory``: the run's own. ``socket_path``: where to listen, at most 100 bytes.

    ``on_step`` hears of each step when it ends, from a thread of the clock's. ``clock_ns``: nanoseconds since 1970.
    """

    def __init__(
        self,
        layer: Layer,
        directory: str,
        socket_path: str,
        *,
        on_step: Callable[[RunStep], None] = lambda _: None,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        system: System | None = None,
    ) -> None:
        self._layer = layer
        self._directory = directory
        self._path = socket_path
        self._on_step = on_step
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._system = system or System()
        self._turn = threading.RLock()
        # Not the turn: who comes while a look lasts is heard at once, so that its instant is known.
        self._door = threading.Lock()
        self._steps: list[RunStep] = []
        self._seen: Manifest = {}
        self._exchange = ""
        self._announced: int | None = None
        self._looked_ns = 0
        self._slow = False
        self._exact = True
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._finished = False

    def start(self) -> Self:
        """Listen, unless it does already. What is in the layer already belongs to no step.

        Raises:
            ConfigError: the socket cannot be made.
            LockedError: another process listens there.
        """
        if self._listener is not None:
            return self
        self._steps = list(read_steps(self._directory))
        if os.path.lexists(to_bytes(join(self._directory, STEPS_NAME))):
            self._append(b"\n")  # ends a line that a killed clock left half written
        self._seen = self._layer.manifest()
        self._listener = bind_owner_only(self._path)
        self._spawn(self._accept, self._listener)
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> tuple[RunStep, ...]:
        """Listen no more, and end the last step: the agent is gone. All steps; calling it again gives the same.

        Raises:
            NotFoundError: the layer is gone.
            OSError: the last step could not be written.
        """
        self._stop()
        with self._turn:
            if not self._finished:
                self._end_step(self._layer.manifest(), exact=self._exact)
                self._finished = True
        return tuple(self._steps)

    def steps(self) -> tuple[RunStep, ...]:
        """Those that have ended."""
        with self._turn:
            return tuple(self._steps)

    # Listening ------------------------------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:  # closed: the run is over
                return
            with self._door:
                refused = self._listener is None or len(self._connections) >= MOST_CONNECTIONS
                if not refused:
                    self._connections.add(connected)
            if refused or not may_listen_for(peer_credentials(connected).uid, own=os.geteuid()):
                self._drop(connected)
            else:
                self._spawn(self._serve, connected)

    def _serve(self, connected: socket.socket) -> None:
        try:
            with connected.makefile("rb") as lines:
                while line := lines.readline(LONGEST_LINE):
                    self._note(connected, _DECODER.decode(line), self._monotonic_ns())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            pass  # whoever speaks otherwise, or is gone, costs its own connection
        finally:
            self._drop(connected)

    def _note(self, connected: socket.socket, notice: Notice, arrived_ns: int) -> None:
        """Answer an announcement, and end the step that it ends."""
        with self._turn:
            late = self._slow
            if late:
                _answer(connected, notice)
            overlapping = arrived_ns < self._looked_ns
            missed = self._announced is not None and notice.step != self._announced + 1
            began_ns = self._monotonic_ns()
            try:
                manifest = self._layer.manifest()
                self._looked_ns = self._monotonic_ns()
                self._slow = self._looked_ns - began_ns > PATIENCE_NS
                self._end_step(
                    manifest, exact=self._exact and not (late or overlapping or missed or self._slow)
                )
                self._exact, self._exchange = True, notice.exchange
            except (
                OSError,
                LastroError,
            ):  # the next look sees what this one would have seen; the last one raises
                self._exact = False
            finally:
                self._announced = notice.step
                if not late:
                    _answer(connected, notice)

    def _end_step(self, manifest: Manifest, *, exact: bool) -> None:
        paths = differing_paths(self._seen, manifest)
        if not paths and not self._exchange:
            return  # nothing happened before the first request
        step = RunStep(
            number=len(self._steps) + 1,
            exchange=self._exchange,
            time_ns=self._clock_ns(),
            paths=tuple(map(to_bytes, paths)),
            exact=exact,
        )
        self._append(msgspec.json.encode(step) + b"\n")
        self._seen = manifest
        self._steps.append(step)
        self._on_step(step)

    def _append(self, line: bytes) -> None:
        directory = os.open(to_bytes(self._directory), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            file = self._system.open(directory, to_bytes(STEPS_NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                self._system.write(file, line)
            finally:
                os.close(file)
        finally:
            os.close(directory)

    # Ending ---------------------------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Callable[[socket.socket], None], connected: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(connected,), name="step-clock", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _stop(self) -> None:
        with self._door:
            listener, self._listener = self._listener, None
            connections = list(self._connections)
        if listener is None:
            return
        for each in (listener, *connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        listener.close()
        remove_socket(self._path)
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _drop(self, connected: socket.socket) -> None:
        with self._door:
            self._connections.discard(connected)
        connected.close()


def differing_paths(before: Manifest, after: Manifest) -> list[str]:
    """The paths whose state in the layer is another one, in tree order; also those that are in one of the two only."""
    changed = {path for path, mark in after.items() if before.get(path) != mark}
    return sorted(changed | (before.keys() - after.keys()), key=tree_order)


def read_steps(directory: str) -> tuple[RunStep, ...]:
    """The steps that ended, as ``directory`` has them; a line that was cut off by a crash is none."""
    try:
        with open(to_bytes(join(directory, STEPS_NAME)), "rb") as file:
            return tuple(_steps_in(file))
    except FileNotFoundError:
        return ()


def _steps_in(lines: Iterable[bytes]) -> Iterator[RunStep]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=RunStep)
        except msgspec.DecodeError:
            continue


def _answer(connected: socket.socket, notice: Notice) -> None:
    with suppress(OSError):  # the gateway has gone on without it
        connected.sendall(_ENCODER.encode(Noted(exchange=notice.exchange)) + b"\n")


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Notice)
