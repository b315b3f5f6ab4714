"""Everything that happened, to be filtered: ``events``, out of the catalogue. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.happenings import (
    Events,
    EventsBehind,
    EventsCount,
    EventsReply,
    EventsSince,
    Happened,
)
from lastro.app.services import Services
from lastro.catalogue.happenings import Happening, Wanted, parameters_of
from lastro.domain.paths import from_bytes
from lastro.errors import NotFoundError
from lastro.messages import N_

MOST: Final = 1000
"""In one answer."""


def events(services: Services, request: Events) -> EventsReply:
    """A page of what happened."""
    limit = min(max(1, request.limit), MOST)
    catalogue = services.catalogue()
    found = catalogue.find(_wanted(services, request), limit=limit + 1)
    return EventsReply(
        events=tuple(_happened(services, found[:limit])),
        more=len(found) > limit,
        newest=services.repository.head()[0],
    )


def events_since(services: Services, request: EventsSince) -> EventsCount:
    """How much happened since."""
    wanted = _wanted(services, request.events, after=request.after)
    count = services.catalogue().count(wanted, most=MOST + 1)
    return EventsCount(count=min(count, MOST), more=count > MOST)


def events_behind(services: Services, request: EventsBehind) -> EventsCount:
    """How many records ``events`` would first have to prepare, so that whoever cannot wait for that need not ask it."""
    del request
    catalogue = services.catalogue()
    behind = catalogue.behind()
    if behind:
        catalogue.catch_up()
    return EventsCount(count=behind)


def _wanted(services: Services, request: Events, *, after: int | None = None) -> Wanted:
    return Wanted(
        kinds=request.kind,
        actor=request.actor,
        server=_server_id(services, request.server),
        project=request.project,
        subject=request.subject,
        since_ns=request.since or 0,
        until_ns=request.until or 0,
        before=max(0, request.before),
        after=after,
    )


def _server_id(services: Services, name: str) -> str:
    """A server's id by its name.

    Raises:
        NotFoundError: there is no such server.
    """
    return services.timeline.server(name).id if name else ""


def _happened(services: Services, found: Sequence[Happening]) -> list[Happened]:
    names = {server.id: server.name for server in services.timeline.servers()}
    files = _files(services, found)
    return [_one(services, row, names, files) for row in found]


def _one(services: Services, row: Happening, names: Mapping[Any, str], files: Mapping[int, int]) -> Happened:
    parameters = parameters_of(row)
    server = names.get(row.server, row.server)
    if row.kind == "snapshot":
        parameters = {**parameters, "server": server, "paths": _paths(services, row)}
    elif row.kind == "proposal" and parameters.get("number") in files:
        parameters["files"] = files[parameters["number"]]
    return Happened(
        seq=row.seq,
        time_ns=row.time_ns,
        kind=row.kind,
        actor=row.actor or row.actor_kind,
        actor_kind=row.actor_kind,
        server=server,
        path=from_bytes(row.path),
        subject=row.subject,
        also=row.also,
        parameters=parameters,
    )


def _paths(services: Services, row: Happening) -> list[str]:
    """A few of the paths that a snapshot changed."""
    try:
        return list(services.timeline.changes_of(row.seq).paths)
    except NotFoundError:  # its record is damaged for those who read trees
        return []


def _files(services: Services, found: Sequence[Happening]) -> Mapping[int, int]:
    """How many paths each proposal among them changes, now."""
    numbers = {parameters_of(row).get("number", 0) for row in found if row.kind == "proposal"}
    return services.inbox.files_of(numbers)


OPERATIONS = (
    Operation(
        name="events",
        request=Events,
        reply=EventsReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=events,
        summary=N_("Everything that happened: who did what, when and to what."),
        details=N_(
            "Newest first. What is older: --before, with the number that the last line of a page names."
        ),
    ),
    Operation(
        name="events.behind",
        request=EventsBehind,
        reply=EventsCount,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=events_behind,
        summary=N_("How much of what happened is not prepared to be looked through."),
        internal=True,
    ),
    Operation(
        name="events.since",
        request=EventsSince,
        reply=EventsCount,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=events_since,
        summary=N_("How much happened after a record."),
        internal=True,
    ),
)
