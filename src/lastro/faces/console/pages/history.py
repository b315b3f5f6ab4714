"""History: every server and root, any path at any instant, and all its versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests import Log, LogItem, LogReply
from lastro.app.requests.listing import Cause, Causes, CausesReply, Listing, ListPlace
from lastro.app.requests.servers import ServerState, Status, StatusReply
from lastro.domain.entry import EntryType
from lastro.domain.ids import LOCAL
from lastro.domain.paths import is_within
from lastro.domain.reference import Reference
from lastro.errors import DamagedError, NotFoundError
from lastro.faces.console import addresses
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.history_pieces import WORDS
from lastro.faces.console.instants import place_asked, reference_of, with_instant
from lastro.faces.console.previews import Preview, preview_of
from lastro.faces.console.properties import properties_of
from lastro.faces.wording.shell import command
from lastro.messages import N_

PAGE_LENGTH: Final = 200
"""Names of a directory on a page."""
WINDOW: Final = 50
"""Versions on a page, which the slider moves over."""
LATELY: Final = 20


class Moment(NamedTuple):
    """A version of a file, a snapshot that changed a directory, or an apply: what happened, why, and where it is looked at."""

    item: LogItem
    cause: Cause | None
    at: str
    here: bool


def overview(asked: Asked) -> Answer:
    """Servers, roots, and what happened last."""
    values = {
        "servers": _servers(asked),
        "moments": _moments(asked, Log(limit=LATELY), "")[0],
        "command": command("lastro", "log"),
    }
    return _page("history.html", values)


def server(asked: Asked) -> Answer:
    """The roots of one server; the only one at once."""
    name = asked.parameters["server"]
    states = [state for state in _servers(asked) if name in {state.name, state.id}]
    if not states:
        raise NotFoundError(
            N_("There is no server called {name}."),
            hint=N_("The history page lists all there are."),
            name=name,
        )
    if len(states[0].roots) == 1:
        return Redirect(to=addresses.history_address(states[0].name, states[0].roots[0].path))
    values = {
        "servers": states,
        "moments": (),
        "command": command("lastro", "server", "show", states[0].name),
    }
    return _page("history.html", values)


def place(asked: Asked) -> Answer:
    """A path at an instant: what it was, what was in it, and every version of it."""
    name, path = place_asked(asked)
    at = asked.text("when") or asked.text("at")
    reference = reference_of(asked, name, path, at)
    listing = _listed(asked, reference)
    found = listing if isinstance(listing, Listing) else None
    shown_at = f"snap-{found.snapshot}" if found else at
    before = asked.count("before", 0, 2**62)
    moments, more = _moments(
        asked,
        Log(reference=reference_of(asked, name, path, ""), limit=WINDOW, before=before),
        _standing(found),
    )
    if found is None and not moments and not before:
        assert isinstance(listing, Exception)
        raise listing
    values = {
        "server": found.server if found else name,
        "path": path,
        "at": at,
        "shown_at": shown_at,
        "found": found,
        "problem": None if found else listing,
        "is_directory": found is not None and found.itself.entry.type is EntryType.DIRECTORY,
        "properties": properties_of(None, found.itself.entry) if found else (),
        "preview": _preview(asked, found, name, path),
        "crumbs": _crumbs(name, path),
        "root": _root_of(asked, found, name, path),
        "deleted": asked.ticked("deleted"),
        "after": asked.text("after"),
        "moments": moments,
        "position": next(
            (len(moments) - 1 - n for n, one in enumerate(moments) if one.here), len(moments) - 1
        ),
        "before": before,
        "older_from": moments[-1].item.seq if more and moments else 0,
        "command": command("lastro", "ls" if found else "log", with_instant(name, path, at if found else "")),
        "commands": _commands(name, path, shown_at, found),
    }
    return _page("history_place.html", values)


def _page(template: str, values: dict[str, Any]) -> Page:
    return Page(template=template, values={**values, **WORDS})


def _servers(asked: Asked) -> Sequence[ServerState]:
    status = asked.visit.call("status", Status())
    assert isinstance(status, StatusReply)
    return status.servers


def _listed(asked: Asked, reference: Reference) -> Listing | NotFoundError | DamagedError:
    """What stood there, or why that cannot be shown: its other versions still can."""
    request = ListPlace(
        reference=reference,
        deleted=asked.ticked("deleted"),
        after=addresses.unescaped(asked.text("after")),
        limit=PAGE_LENGTH,
    )
    try:
        reply = asked.visit.call("ls", request)
    except (NotFoundError, DamagedError) as error:
        return error
    assert isinstance(reply, Listing)
    return reply


def _preview(asked: Asked, found: Listing | None, server_name: str, path: str) -> Preview | None:
    if found is None or found.itself.entry.type not in {EntryType.FILE, EntryType.HARDLINK}:
        return None
    return preview_of(asked, reference_of(asked, server_name, path, f"snap-{found.snapshot}"))


def _standing(found: Listing | None) -> str:
    """The snapshot whose change stands at the instant that is shown."""
    return f"snap-{found.standing}" if found and found.standing else ""


def _moments(asked: Asked, request: Log, here: str) -> tuple[list[Moment], bool]:
    """What happened, newest first, with what each change came from, and whether there is more."""
    try:
        reply = asked.visit.call("log", request)
    except NotFoundError:
        return [], False
    assert isinstance(reply, LogReply)
    changes = [item for item in reply.items if item.kind != "apply"]
    caused = asked.visit.step(Right.LOOK, "causes", Causes(seqs=tuple(item.seq for item in changes)))
    assert isinstance(caused, CausesReply)
    by_seq = {item.seq: cause for item, cause in zip(changes, caused.causes, strict=True)}
    said = {cause.apply for cause in caused.causes}
    moments = [
        Moment(
            item,
            by_seq.get(item.seq),
            _instant_of(item),
            f"snap-{item.number}" == here and item.kind != "apply",
        )
        for item in reply.items
        if item.kind != "apply" or item.number not in said
    ]
    return moments, reply.more


def _instant_of(item: LogItem) -> str:
    if item.kind == "apply":
        return f"apply-{item.number}"
    return f"snap-{item.number}"


def _crumbs(server_name: str, path: str) -> list[tuple[str, str]]:
    """``(name, path)`` of each directory above, from the top."""
    parts = path.strip("/").split("/") if path.strip("/") else []
    return [(server_name, ""), *((part, "/" + "/".join(parts[: n + 1])) for n, part in enumerate(parts))]


def _root_of(asked: Asked, found: Listing | None, server_name: str, path: str) -> str:
    """The captured root that holds the path; above it there is nothing to show."""
    if found is not None:
        return found.target
    roots = [
        root.path
        for state in _servers(asked)
        if server_name in {state.name, state.id}
        for root in state.roots
        if is_within(path, root.path)
    ]
    return max(roots, key=len, default="/")


def _commands(server_name: str, path: str, at: str, found: Listing | None) -> tuple[str, ...]:
    """The command lines for the rest of what the page offers."""
    whole = with_instant(server_name, path, at)
    lines: list[str] = []
    if found is not None:
        lines.append(command("lastro", "log", with_instant(server_name, path, "")))
        reading = "tar" if found.itself.entry.type is EntryType.DIRECTORY else "cat"
        lines += [command("lastro", reading, whole)]
        extra = () if server_name == LOCAL else ("--to", ".")
        lines += [command("lastro", "restore", whole, *extra)]
    return tuple(lines)


WAYS = (
    Way(path="/history", handler=overview, right=Right.LOOK),
    Way(path="/history/{server}", handler=server, right=Right.LOOK),
    Way(path="/history/{server}/{path:path}", handler=place, right=Right.LOOK),
)
