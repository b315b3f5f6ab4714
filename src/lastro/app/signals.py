"""What every process that stays needs: to be told to stop, and to tell what happens."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lastro.app.events import Event

Emit = Callable[[Event], None]
"""Takes every event of a process; must be quick and must not raise."""


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, while the context lasts. For the main thread."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(emit: Emit, kind: str, **parameters: object) -> None:
    """Emit an event of this instant."""
    emit(Event(kind=kind, time_ns=time.time_ns(), parameters=parameters))
