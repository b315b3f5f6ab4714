"""Servers: how each is, what is kept until when, how its machine does; pairing with a new one, capturing now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from lastro.app.permissions import Right
from lastro.app.requests import Capture, ServerAdd, ServerState
from lastro.app.requests.health import HealthOfServer, HealthReply, Level, ServerHealth
from lastro.domain.reference import Reference
from lastro.domain.telemetry import SECOND, Sample
from lastro.errors import NotFoundError, UsageError
from lastro.faces.console.addresses import escaped, history_address, unescaped
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.sparklines import HEIGHT, WIDTH, Curve, curve
from lastro.faces.translation import gettext as _
from lastro.faces.wording import health_words, plain
from lastro.faces.wording.shell import command
from lastro.messages import N_

CARDS: Final = 60
"""Servers on one page."""
SAMPLES: Final = 240
_ROWS: Final = 24
_MINUTE_GAP_NS: Final = 5 * 60 * SECOND
TONES: Final[Mapping[str, str]] = {
    Level.GOOD: "good",
    Level.WARNING: "wait",
    Level.BAD: "bad",
    Level.UNKNOWN: "plain",
}


class Measured(NamedTuple):
    """One measure of a machine over the last day. ``now``: its newest value as text; ``range``: between which it went."""

    name: str
    now: str
    range: str
    curve: Curve | None


def servers(asked: Asked) -> Answer:
    """All servers as cards."""
    reply = _health(asked)
    page = asked.count("page", 0, 10_000)
    shown = reply.servers[page * CARDS : (page + 1) * CARDS]
    values = {
        **_words(),
        "servers": shown,
        "measured": {one.id: measured(one)[:2] for one in shown},
        "keeper": reply.keeper,
        "page": page,
        "more": len(reply.servers) > (page + 1) * CARDS,
        "count": len(reply.servers),
        "address": f"/servers?{urlencode({'page': page})}" if page else "/servers",
        "command": command("lastro", "server", "health"),
    }
    return Page(template="servers.html", values=values, part="rows" if asked.part == "rows" else "")


def add(asked: Asked) -> Answer:
    """Pair with a node by its join token."""
    token = "".join(asked.text("token").split())
    if not token:
        raise UsageError(
            N_("There is no token in the form."),
            hint=N_("'lastro node pair' on the server prints one; it is good once and for 15 minutes."),
        )
    added = asked.visit.call("server.add", ServerAdd(token=token, name=asked.text("name").strip()))
    assert isinstance(added, ServerState)
    return Redirect(to=f"/servers/{quote(added.name, safe='')}", said="paired")


def server(asked: Asked) -> Answer:
    """One server."""
    name = asked.parameters["server"]
    reply = _health(asked, name)
    one = reply.servers[0]
    values = {
        **_words(),
        "server": one,
        "measured": measured(one),
        "samples": _rows(one.minutes or one.recent),
        "fingerprint": one.device.split("-"),
        "history": {root.path: history_address(one.name, root.path) for root in one.roots},
        "fields": {root.path: escaped(root.path) for root in one.roots},
        "events": f"/events?{urlencode({'server': one.name})}",
        "command": command("lastro", "server", "health", one.name),
    }
    return Page(template="server.html", values=values, part="rows" if asked.part == "rows" else "")


def capture(asked: Asked) -> Answer:
    """Take a snapshot of a server, or of one of its roots, as a job."""
    one = _health(asked, asked.parameters["server"]).servers[0]
    path = unescaped(asked.text("path"))
    if path and path not in {root.path for root in one.roots}:
        raise NotFoundError(N_("{path} is not watched."), path=path)
    request = Capture(references=(Reference(server=one.name, path=path, at=None),))
    job = asked.visit.submit("capture", request, subject=plain.place(one.name, path) if path else one.name)
    return Redirect(to=f"/jobs/{job.number}", said="started")


def measured(one: HealthOfServer) -> list[Measured]:
    """What its node measured, as curves over the last day (over ten minutes while there is no more)."""
    samples = one.minutes if len(one.minutes) > 1 else one.recent
    if one.newest is None:
        return []
    whole = [*samples, one.newest] if not samples or samples[-1].time_ns < one.newest.time_ns else samples
    disks = [
        _measure(_("disk of {path}", path=disk.path), _disk_points(whole, disk.path), top=1000)
        for disk in one.newest.disks
    ]
    return [
        _measure(_("processors"), [(sample.time_ns, sample.cpu) for sample in whole], top=1000),
        _measure(_("memory"), [(sample.time_ns, sample.memory_share) for sample in whole], top=1000),
        *disks,
        _measure(_("load"), [(sample.time_ns, sample.load) for sample in whole]),
    ]


def _measure(name: str, points: Sequence[tuple[int, int]], *, top: int = 0) -> Measured:
    say = health_words.share if top else health_words.thousandths
    drawn = curve(points, top=top, gap_ns=_MINUTE_GAP_NS)
    values = [value for _time, value in points]
    between = _("between {least} and {most}", least=say(min(values)), most=say(max(values))) if drawn else ""
    return Measured(name=name, now=say(values[-1]) if values else "-", range=between, curve=drawn)


def _disk_points(samples: Sequence[Sample], path: str) -> list[tuple[int, int]]:
    found = ((sample.time_ns, sample.disk_of(path)) for sample in samples)
    return [(time, disk.used_share) for time, disk in found if disk is not None]


def _rows(samples: Sequence[Sample]) -> list[Sample]:
    """As many of them as a table shows, newest first."""
    step = max(1, len(samples) // _ROWS)
    return list(reversed(samples))[::step][:_ROWS]


def _health(asked: Asked, name: str = "") -> HealthReply:
    reply = asked.visit.call("server.health", ServerHealth(name=name, samples=SAMPLES))
    assert isinstance(reply, HealthReply)
    return reply


def _words() -> dict[str, object]:
    return {
        "tones": TONES,
        "level": health_words.level,
        "links": health_words.LINKS,
        "said": health_words.said,
        "share": health_words.share,
        "thousandths": health_words.thousandths,
        "box": f"0 0 {WIDTH} {HEIGHT}",
    }


WAYS = (
    Way(path="/servers", handler=servers, right=Right.LOOK),
    Way(path="/servers", handler=add, right=Right.ADMINISTER, methods=("POST",), dangerous=True),
    Way(path="/servers/{server}", handler=server, right=Right.LOOK),
    Way(path="/servers/{server}/capture", handler=capture, right=Right.OPERATE, methods=("POST",)),
)
