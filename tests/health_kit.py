"""Servers that are no machines: links, telemetry and a vigil that say what a test wants, over real services."""

from __future__ import annotations

from lastro.app.event_feed import EventFeed
from lastro.app.links import record_server
from lastro.app.notifying.standing import Notifying
from lastro.app.requests import RootState
from lastro.domain.ids import ServerId
from lastro.domain.server import Server
from lastro.errors import UnreachableError
from lastro.faces.wording.notice_words import compose
from lastro.keeper.telemetry import TelemetryRings
from tests.protocol_nouns import sample_of

__all__ = ["DAY", "DEVICE", "HOUR", "SECOND", "FakeLinks", "Posted", "enrol", "fake_alerts", "sample_of"]

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
DEVICE = "-".join(["ABCDEFG"] * 8)


def enrol(services, name, *, device=DEVICE):
    """A server in the log; its id."""
    server = Server(
        id=ServerId(name.encode().hex().ljust(32, "0")[:32]),
        name=name,
        device=device,
        address="10.0.0.7:8422",
    )
    record_server(services, server, b"certificate")
    return server.id


class FakeLinks:
    """See ``services.Links``. ``roots``: server → path → until when it is well."""

    def __init__(self, services):
        self.states, self.problems, self.roots = {}, {}, {}
        self.rings = TelemetryRings(None, repository=services.repository.id, now_ns=services.clock.wall_ns())
        self.paired, self.captured = [], []
        self.services = services

    def link_state(self, server):
        return self.states.get(server, "none")

    def link_problem(self, server):
        return self.problems.get(server, "")

    def root_states(self, server):
        return {
            path: RootState(
                path=path,
                watched=True,
                snapshots=0,
                last_snapshot=0,
                last_ns=0,
                files=0,
                bytes=0,
                good_ns=good,
                checked_ns=good,
            )
            for path, good in self.roots.get(server, {}).items()
        }

    def capture(self, server, path):
        self.captured.append((server.name, path))
        raise UnreachableError("Nobody is there.")

    def telemetry(self):
        return self.rings

    def pair(self, token, name):
        self.paired.append((token, name))
        identity = enrol(self.services, name or "web-09")
        return next(server for server in self.services.timeline.servers() if server.id == identity)


class Posted(list[tuple[str, str, str, bool]]):
    """A ``Post`` that keeps what it is given; ``works``: whether it takes it."""

    works = True

    def __call__(self, url, title, body, *, urgent):
        if self.works:
            self.append((url, title, body, urgent))
        return self.works


def fake_alerts(services, links, *, post=None, now_ns=None, feed=None):
    """``Notifying`` without its thread: a test says when it looks and sends."""
    alerts = Notifying(
        services.places,
        feed=feed or EventFeed(),
        compose=compose,
        post=post if post is not None else Posted(),
        now_ns=now_ns or services.clock.wall_ns,
    )
    alerts.over(services, links)
    return alerts
