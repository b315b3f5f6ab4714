"""What the gateway's process says while it runs, one event for each exchange among it, without holding any call up."""

from __future__ import annotations

import queue
import threading
import time
from typing import Final

from lastro.app.signals import Emit, tell
from lastro.errors import LastroError
from lastro.gateway.collaborators import Recorder
from lastro.gateway.exchange import Bodies, ExchangeBegan, ExchangeEnded
from lastro.messages import Message

_MOST_EVENTS: Final = 1000
_REST_S: Final = 0.05
_EXCHANGES_A_SECOND: Final = 20
"""So many are told one by one: nobody reads more, and writing them would slow the calls down."""
_CLOSE_S: Final = 2.0


class Teller:
    """Emits events from a thread of its own: a reader that is slow or gone holds no call up.

    When more than ``_MOST_EVENTS`` wait, further ones are dropped. Between two looks it rests, so that a busy gateway does not change
    threads for each of them.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._waiting: queue.Queue[tuple[str, dict[str, object]] | None] = queue.Queue(_MOST_EVENTS)
        self._closing = threading.Event()
        self._lost = False
        self._second = self._told = self._untold = 0
        self._thread = threading.Thread(target=self._run, name="lastro-events", daemon=True)
        self._thread.start()

    def tell(self, kind: str, **parameters: object) -> None:
        """Say that something happened. From any thread; returns at once."""
        try:
            self._waiting.put_nowait((kind, parameters))
        except queue.Full:
            return

    def tell_exchange(self, ended: ExchangeEnded) -> None:
        """Say that an exchange ended; of more than ``_EXCHANGES_A_SECOND``, how many there were. For one thread."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        if self._told > _EXCHANGES_A_SECOND:
            self._untold += 1
            return
        self.tell(
            "exchange",
            id=ended.id,
            outcome=ended.outcome.value,
            provider=ended.provider,
            model=ended.model,
            attempts=len(ended.attempts),
            input=ended.used.input,
            output=ended.used.output,
            cost=ended.cost,
            duration_ns=ended.duration_ns,
            degraded=ended.degraded,
            error=ended.error,
        )

    def problem(self, error: LastroError | Message) -> None:
        """Say that something is wrong."""
        hint = error.hint if isinstance(error, LastroError) else ""
        plain = {key: str(value) for key, value in error.parameters.items()}
        self.tell("problem", msgid=error.msgid, hint=hint, parameters=plain)

    @property
    def hangs(self) -> bool:
        """After ``close``: whether its thread still waits for a reader that does not read; then nothing more can be written there."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Say what is still waiting, and end; a reader that hangs is left after ``_CLOSE_S`` seconds."""
        self._closing.set()
        try:
            self._waiting.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    def _emit_event(self, kind: str, **parameters: object) -> None:
        """Emit it. A reader that is gone, or a full disk behind it, ends the telling and nothing else."""
        if self._lost:
            return
        try:
            tell(self._emit, kind, **parameters)
        except OSError:
            self._lost = True

    def _run(self) -> None:
        while True:
            try:
                event = self._waiting.get(timeout=1)
            except queue.Empty:
                self._tell_rest()
                continue
            if event is None:
                self._tell_rest()
                return
            kind, parameters = event
            self._emit_event(kind, **parameters)
            if self._waiting.empty():
                self._closing.wait(_REST_S)

    def _tell_rest(self) -> None:
        """How many exchanges were not told one by one."""
        if count := self._untold:
            self._untold -= count
            self._emit_event("exchanges_more", count=count)


class TellingRecorder:
    """A recorder that also says one event for each exchange that ended."""

    def __init__(self, recorder: Recorder, teller: Teller) -> None:
        self._recorder = recorder
        self._teller = teller

    def begin(self, began: ExchangeBegan) -> None:
        """See ``collaborators.Recorder``."""
        self._recorder.begin(began)

    def end(self, ended: ExchangeEnded, bodies: Bodies | None) -> None:
        """See ``collaborators.Recorder``."""
        self._recorder.end(ended, bodies)
        self._teller.tell_exchange(ended)
