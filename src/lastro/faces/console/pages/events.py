"""Events: everything that happened, to be filtered. What is new waits behind a link: nothing moves under the reader's eyes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from msgspec.structs import replace

from lastro.app.encoding import encode
from lastro.app.failure import STATUS
from lastro.app.permissions import Right
from lastro.app.requests.happenings import Events, EventsCount, EventsReply, EventsSince
from lastro.domain.reference import AtTime
from lastro.errors import LastroError, UsageError
from lastro.faces.console.addresses import escaped, unescaped
from lastro.faces.console.asked import Answer, Asked, Download, Page, Way
from lastro.faces.console.happened import behind, rows_of
from lastro.faces.console.instants import instant_of
from lastro.faces.wording.history_words import KINDS
from lastro.faces.wording.shell import command
from lastro.messages import N_

PAGE_LENGTH: Final = 50
LONGEST_FILE: Final = 10_000
"""Events in one download."""
_SHEET: Final = 1_000
_TYPED: Final = ("kind", "actor", "server", "project", "subject", "since", "until")
"""Fields of the form, as the reader typed them; the address of every page of the list holds them."""


def events(asked: Asked) -> Answer:
    """A page of what happened."""
    typed = _typed(asked)
    problem: LastroError | None = None
    try:
        request = _request(asked, typed)
        if asked.part == "newer":
            return _newer(asked, request, typed)
        waits_for = behind(asked)
        reply = EventsReply(events=()) if waits_for else _asked_for(asked, request)
    except LastroError as error:  # what was typed stays in the form, beside what is wrong with it
        problem, request, reply, waits_for = error, Events(), EventsReply(events=()), 0
    values = {
        "rows": rows_of(reply.events, asked.zone),
        "behind": waits_for,
        "typed": typed,
        "problem": problem,
        "wrong": _wrong(problem, typed),
        "kinds": KINDS,
        "first": not request.before,
        "newest": address(typed),
        "older": address(typed, before=reply.events[-1].seq) if reply.more else "",
        "live": address(typed, after=reply.newest),
        "download": address(typed, page="/events.jsonl", before=request.before),
        "most": LONGEST_FILE,
        "command": command(*_words(request, typed)),
    }
    status = 200 if problem is None else STATUS.get(problem.code, 400)
    return Page(template="events.html", values=values, status=status)


def _wrong(problem: LastroError | None, typed: Mapping[str, str]) -> frozenset[str]:
    """The fields that a problem is about."""
    said = set(map(str, problem.parameters.values())) if problem else set()
    return frozenset(name for name in ("since", "until", "server") if typed[name] in said)


def _newer(asked: Asked, request: Events, typed: Mapping[str, str]) -> Page:
    """How much is new since the page was made: a link, and no more."""
    if behind(asked):
        return Page(template="events.html", values={"newest": address(typed)}, part="newer")
    count = asked.visit.step(
        Right.LOOK, "events.since", EventsSince(events=request, after=asked.count("after", 0, 2**62))
    )
    assert isinstance(count, EventsCount)
    return Page(template="events.html", values={"newer": count, "newest": address(typed)}, part="newer")


def download(asked: Asked) -> Answer:
    """The same as JSON, one line for each."""
    request = _request(asked, _typed(asked))
    lines: list[bytes] = []
    while len(lines) < LONGEST_FILE:
        reply = _asked_for(asked, replace(request, limit=min(_SHEET, LONGEST_FILE - len(lines))))
        lines += [encode(one) + b"\n" for one in reply.events]
        if not reply.more:
            break
        request = replace(request, before=reply.events[-1].seq)
    data = b"".join(lines)
    return Download(
        name="events.jsonl", size=len(data), blocks=lambda: iter([(0, data)]), media_type="application/jsonl"
    )


def _asked_for(asked: Asked, request: Events) -> EventsReply:
    reply = asked.visit.call("events", request)
    assert isinstance(reply, EventsReply)
    return reply


def _typed(asked: Asked) -> dict[str, str]:
    return {name: asked.text(name).strip() for name in _TYPED}


def _request(asked: Asked, typed: Mapping[str, str]) -> Events:
    """What the form asks for.

    Raises:
        UsageError: something in it means no instant, or no number.
    """
    return Events(
        kind=(typed["kind"],) if typed["kind"] else (),
        actor=typed["actor"],
        server=typed["server"],
        project=unescaped(typed["project"]),
        subject=typed["subject"],
        since=_instant(asked, typed["since"]),
        until=_instant(asked, typed["until"]),
        before=asked.count("before", 0, 2**62),
        limit=PAGE_LENGTH,
    )


def _instant(asked: Asked, text: str) -> int | None:
    at = instant_of(asked, text)
    if at is None:
        return None
    if not isinstance(at, AtTime):
        raise UsageError(
            N_("{text} is no instant."),
            hint=N_("Write 7d, 24h, 14:05, 2026-11-20 or 2026-11-20T14:05Z."),
            text=text,
        )
    return at.time_ns


def address(typed: Mapping[str, str], *, page: str = "/events", **more: int) -> str:
    """The page with these fields; what is empty is left out."""
    fields = {
        **{name: escaped(unescaped(text)) if name == "project" else text for name, text in typed.items()},
        **more,
    }
    query = urlencode({name: str(value) for name, value in fields.items() if value}, errors="replace")
    return f"{page}?{query}" if query else page


def _words(request: Events, typed: Mapping[str, str]) -> list[str]:
    """The command that asks for the same."""
    options = {**typed, "project": request.project, "before": str(request.before or "")}
    words = ["lastro", "events"]
    for name, value in options.items():
        if value:
            words += [f"--{name}", value]
    return words


WAYS = (
    Way(path="/events", handler=events, right=Right.LOOK),
    Way(path="/events.jsonl", handler=download, right=Right.LOOK),
)
