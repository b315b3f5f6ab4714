"""What happened, as rows of a page: the sentence that the command line says too, and where to look at what it is about."""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests.happenings import EventsBehind, EventsCount, Happened
from lastro.domain.ids import LOCAL
from lastro.domain.paths import printable
from lastro.faces.console.addresses import history_address
from lastro.faces.console.asked import Asked
from lastro.faces.translation import gettext as _
from lastro.faces.wording.events import said_of
from lastro.faces.wording.history_words import KINDS
from lastro.faces.wording.speaker import PlainSpeaker

_SUBJECT: Final = re.compile(r"(run|proposal)-([1-9][0-9]{0,17})\Z")
_PAGES: Final = {"run": "/runs", "proposal": "/proposals"}


SOON: Final = 1_000
"""Records that are prepared to be looked through while a page is waited for: a fraction of a second."""


class Link(NamedTuple):
    """``text`` may lead to a page (``to``); empty: there is none."""

    text: str
    to: str


class Row(NamedTuple):
    """One thing that happened. ``about``: what it is about, then what that belongs to."""

    happened: Happened
    kind: str
    text: str
    about: tuple[Link, ...]


def behind(asked: Asked) -> int:
    """How many records have to be prepared before there is something to show; 0 where that is not worth a word."""
    count = asked.visit.step(Right.LOOK, "events.behind", EventsBehind())
    assert isinstance(count, EventsCount)
    return count.count if count.count > SOON else 0


def rows_of(events: tuple[Happened, ...], zone: tzinfo) -> list[Row]:
    """The rows of a page, in the order of ``events``."""
    speaker = PlainSpeaker(zone=zone)
    return [
        Row(
            one,
            _(KINDS[one.kind]) if one.kind in KINDS else printable(one.kind),
            " ".join(said_of(one.kind, one.parameters, speaker).split("\n")),
            tuple(_about(one)),
        )
        for one in events
    ]


def _about(one: Happened) -> list[Link]:
    links = [
        Link(subject, address_of(subject)) for subject in (one.subject, one.also) if _SUBJECT.match(subject)
    ]
    if one.kind == "snapshot" and one.path.startswith("/"):
        links.append(Link(one.subject, history_address(one.server or LOCAL, one.path, at=one.subject)))
    elif one.kind == "apply":
        links.append(Link(one.subject, history_address(one.server or LOCAL, one.path)))
    elif one.kind == "server":
        links.append(Link(str(one.parameters.get("name", "")), "/servers"))
    elif one.kind == "approver":
        links.append(Link(str(one.parameters.get("name", "")), "/users"))
    return links


def address_of(subject: str) -> str:
    """The page of a run or proposal; empty for anything else."""
    found = _SUBJECT.match(subject)
    return f"{_PAGES[found[1]]}/{found[2]}" if found else ""
