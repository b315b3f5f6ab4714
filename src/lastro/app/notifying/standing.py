"""Telling people while a keeper stays: it hears every event, keeps the vigil, and sends what is due. One thread.

What always holds: whoever publishes an event is not held up; a durable event that nobody heard, because no keeper stayed, is found in the
log; whatever goes wrong here, keeping goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from lastro.app.decision_events import events_since
from lastro.app.event_feed import EventFeed
from lastro.app.events import Event
from lastro.app.keeper_settings import read_keeper_settings
from lastro.app.notifying.channels import read_channels
from lastro.app.notifying.gathering import notices_of, stands
from lastro.app.notifying.nouns import Channel, Notice, NoticeKind
from lastro.app.notifying.outbox import METADATA, ChannelWork, Outbox
from lastro.app.notifying.sending import Compose, Post, Sending
from lastro.app.notifying.vigil import LOOK_EVERY_S, Vigil
from lastro.app.places import Places
from lastro.app.services import Links, Services
from lastro.catalogue.database import open_file
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.target import TargetKind
from lastro.errors import LastroError, UnreachableError
from lastro.messages import N_

_log = logging.getLogger("lastro.notifying")

_HEARD: Final = frozenset({"proposal", "run", "connected", "disconnected", "signed_in"})
_MOST_UNHEARD: Final = 10_000
_SECOND: Final = 1_000_000_000
QUIET_NS: Final = 120 * _SECOND
"""A node that said how it is and then not for so long does not live, whatever its link says."""
_THIN_EVERY_NS: Final = 3600 * _SECOND


class Notifying:
    """See the module and ``services.Alerts``."""

    def __init__(
        self,
        places: Places,
        *,
        feed: EventFeed,
        compose: Compose,
        post: Post,
        now_ns: Callable[[], int] = time.time_ns,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._places = places
        self._feed = feed
        self._now_ns = now_ns
        self._look_every_s = look_every_s
        self._outbox = Outbox(
            open_file(places.notices_database, set_aside=self._was_set_aside, tables=METADATA)
        )
        self.vigil = Vigil(self._outbox.engine, tell=self._tell_missing, configured_ns=self._configured_ns)
        self._services: Services | None = None
        self._sending = Sending(
            outbox=self._outbox, compose=compose, post=post, stands=self._stands, address=self._address
        )
        self._heard: queue.Queue[Event | None] = queue.Queue(_MOST_UNHEARD)
        self._thread = threading.Thread(target=self._run, name="lastro-notifying", daemon=True)
        self._end: Callable[[], None] = lambda: None
        self._stopped = threading.Event()
        self._damaged: set[str] = set()
        self._thinned_ns = 0
        self._after = 0

    def start(self, services: Services) -> None:
        """Begin to hear and to tell. ``services`` with links."""
        self.over(services)
        self._end = self._feed.subscribe(self._hear)
        self._thread.start()

    def over(self, services: Services, links: Links | None = None) -> None:
        """Work over these services, in whatever thread calls from now on. ``links``: in place of theirs."""
        self._services = services if links is None else replace(services, links=links)
        if self._outbox.seq() is None:
            self._outbox.put((), (), self._now_ns(), seq=services.repository.head()[0])
        self._after = self._outbox.seq() or 0
        self._seed(services)

    def close(self) -> None:
        """Stop; what waits is told by the next keeper that stays."""
        self._end()
        self._stopped.set()
        with suppress(queue.Full):
            self._heard.put_nowait(None)
        if self._thread.ident is not None:
            self._thread.join()
        with suppress(SQLAlchemyError, LastroError):
            self.vigil.write(self._now_ns(), at_once=True)
        self._outbox.close()

    def work(self, channel: str) -> ChannelWork:
        """See ``services.Alerts``."""
        return self._outbox.work(channel)

    def forget(self, channel: str) -> None:
        """See ``services.Alerts``."""
        self._outbox.forget(channel)

    # The thread -----------------------------------------------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        if event.kind in _HEARD:
            with suppress(queue.Full):  # what is durable is found in the log
                self._heard.put_nowait(event)

    def _run(self) -> None:
        looked_s = 0.0
        while not self._stopped.is_set():
            try:
                self._catch_up()
                if time.monotonic() - looked_s >= self._look_every_s:
                    looked_s = time.monotonic()
                    self.look()
                self.send_due()
            except Exception:  # noqa: BLE001  the alarm must never end in silence, whatever went wrong
                _log.exception("notifying")
                self._stopped.wait(self._look_every_s)
            self._wait()

    def _wait(self) -> None:
        """For what is heard next, and then for everything that was heard meanwhile; a durable event only wakes, it is read from the log."""
        with suppress(queue.Empty):
            event = self._heard.get(timeout=min(1.0, self._look_every_s))
            while not self._stopped.is_set():
                if event is not None and event.seq is None:
                    self.take(event)
                event = self._heard.get_nowait()

    def _catch_up(self) -> None:
        """Every durable event that is not in yet."""
        assert self._services is not None
        head = self._services.repository.head()[0]
        if head <= self._after:
            return
        channels = self._channels()
        for event in events_since(self._services, self._after):
            if event.kind in _HEARD:
                self._outbox.put(
                    notices_of(event, self._outbox.latest), channels, self._now_ns(), seq=event.seq
                )
        self._after = head

    def take(self, event: Event) -> None:
        """Put what people are told of ``event`` into the outbox; it is there when this returns."""
        self._outbox.put(notices_of(event, self._outbox.latest), self._channels(), self._now_ns())

    def look(self) -> None:
        """Look at every root, and whether anything is damaged; tell what is found."""
        services = self._services
        assert services is not None
        assert services.links is not None
        now, names = self._now_ns(), {}
        for server in services.timeline.servers():
            if not server.device:
                continue
            names[server.id] = server.name
            if services.links.link_state(server.id) == "connected":
                heard = self._heard_ns(services.links, server.id, now)
                roots = services.links.root_states(server.id)
                if roots:
                    self.vigil.saw(
                        server.id, {path: min(root.good_ns, heard) for path, root in roots.items()}, now
                    )
        self.vigil.look(names, now)
        self._look_for_damage(services, now)
        if (rings := services.links.telemetry()) is not None:
            rings.write(now)
        if now - self._thinned_ns > _THIN_EVERY_NS:
            self._thinned_ns = now
            self._outbox.thin(now)

    def send_due(self) -> None:
        """Tell what is due."""
        self._sending.send_due(self._channels(), self._now_ns())

    def test(self, channel: Channel) -> None:
        """See ``services.Alerts``."""
        now = self._now_ns()
        notice = Notice(
            kind=NoticeKind.TEST,
            key=f"test:{now}",
            urgent=True,
            time_ns=now,
            msgid=N_("This is a test: what Lastro has to tell arrives here."),
            path="/settings/notifications",
        )
        if not self._sending.test(channel, notice):
            raise UnreachableError(
                N_("{name} did not take the notice."),
                hint=N_(
                    "Look whether its address is right and its service can be reached from this machine."
                ),
                name=channel.name,
            )

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _was_set_aside(self, kept: str) -> None:
        parameters = {
            "msgid": N_("What had to be told to people could not be read; it is begun anew."),
            "hint": N_("What waited is lost, and nothing that is kept. It lies there: {path}"),
            "parameters": {"path": kept},
        }
        self._feed.publish(Event(kind="problem", time_ns=self._now_ns(), parameters=parameters))

    def _tell_missing(self, _key: str, event: Event) -> None:
        self.take(event)
        self._feed.publish(event)

    def _heard_ns(self, links: Links, server: ServerId, now_ns: int) -> int:
        """Until when a node is known to live. One whose link stands and that answers nothing any more tells of no change either."""
        recent = rings.recent(server) if (rings := links.telemetry()) is not None else ()
        return recent[-1].time_ns if recent and now_ns - recent[-1].time_ns > QUIET_NS else now_ns

    def _look_for_damage(self, services: Services, now_ns: int) -> None:
        objects = {item.object for item in services.repository.damage()}
        if objects - self._damaged:
            event = Event(kind="damage", time_ns=now_ns, parameters={"objects": ", ".join(sorted(objects))})
            self.take(event)
        self._damaged = objects

    def _seed(self, services: Services) -> None:
        """Servers of which nothing is known here (``state/`` was lost): their roots are those whose history there is. What is watched on
        this machine is asked of its own node in a moment.
        """
        for server in services.timeline.servers():
            if not server.device or server.id == ServerId(LOCAL) or self.vigil.knows(server.id):
                continue
            good = {}
            for target in services.timeline.targets(server.id):
                newest = services.timeline.snapshot_at(target, None)
                if target.kind is TargetKind.FILES and newest is not None:
                    good[target.path] = newest.time_ns
            if good:
                self.vigil.saw(server.id, good, self._now_ns())

    def _channels(self) -> tuple[Channel, ...]:
        try:
            return read_channels(self._places.notification_settings)
        except LastroError as error:
            _log.warning("%s", error)
            return ()

    def _stands(self, notice: Notice) -> bool:
        return self._services is None or stands(self._services, notice)

    def _address(self) -> str:
        try:
            return read_keeper_settings(self._places.keeper_settings).console.url
        except LastroError:
            return ""

    def _configured_ns(self) -> int:
        try:
            return read_keeper_settings(self._places.keeper_settings).alerts.missing_after_s * _SECOND
        except LastroError:
            return 0
