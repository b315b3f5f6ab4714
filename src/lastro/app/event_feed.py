"""Events inside the keeper: published once, delivered to every subscriber; durable ones can be replayed from history."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from lastro.app.decision_events import events_since
from lastro.app.events import Event
from lastro.app.services import Services
from lastro.domain.paths import from_bytes


class EventFeed:
    """Subscribers are called in the publisher's thread; they must be quick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: dict[int, Callable[[Event], None]] = {}
        self._next = 0
        self._services: Services | None = None

    def attach(self, services: Services) -> None:
        """Replay comes from the history of these services."""
        self._services = services

    def publish(self, event: Event) -> None:
        """Give ``event`` to every subscriber. One that fails is given nothing more: its terminal or pipe is gone, and whoever publishes, a
        capture above all, must go on without it.
        """
        with self._lock:
            subscribers = list(self._subscribers.items())
        for number, deliver in subscribers:
            try:
                deliver(event)
            except Exception:  # noqa: BLE001  whatever it is, it is the subscriber's
                with self._lock:
                    self._subscribers.pop(number, None)

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``deliver`` with every event from now on; gives what ends it."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._subscribers[number] = deliver

        def end() -> None:
            with self._lock:
                self._subscribers.pop(number, None)

        return end

    def replay(self, after: int) -> Iterator[Event]:
        """The durable events (snapshots, applies, and what happened to runs and proposals) after ``seq`` ``after``, oldest first."""
        if self._services is None:
            return
        timeline = self._services.timeline
        names = {server.id: server.name for server in timeline.servers()}
        events = [
            Event(
                kind="snapshot",
                seq=item.seq,
                time_ns=item.time_ns,
                parameters={
                    "number": item.snapshot,
                    "server": names.get(item.target.server, item.target.server),
                    "path": item.target.path,
                    "reason": item.reason,
                    "added": item.added,
                    "changed": item.changed,
                    "removed": item.removed,
                    "warnings": item.warnings,
                    "paths": list(item.paths),
                },
            )
            for item in timeline.timeline(None)
            if item.seq > after
        ]
        events += [
            Event(
                kind="apply",
                seq=item.seq,
                time_ns=item.time_ns,
                parameters={
                    "number": item.number,
                    "kind": item.body.kind,
                    "destination": from_bytes(item.body.destination),
                    "paths": len(item.body.paths),
                    "outcome": item.body.outcome,
                    "of": item.body.of or 0,
                },
            )
            for item in timeline.applies()
            if item.seq > after
        ]
        events += events_since(self._services, after)
        yield from sorted(events, key=lambda event: event.seq or 0)
