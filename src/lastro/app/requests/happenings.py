"""What the operation ``events`` is asked and answers: everything that happened, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct, field

from lastro.app.operation import parameter
from lastro.messages import N_


class Events(Struct, frozen=True, kw_only=True):
    """Everything that happened, newest first."""

    kind: Annotated[
        tuple[str, ...],
        parameter(
            N_(
                "Only these: snapshot, apply, run, proposal, decision, approver, server, key, repository (may be repeated)."
            ),
            metavar="KIND",
        ),
    ] = ()
    actor: Annotated[str, parameter(N_("Only what this one did: a name, or keeper."), metavar="NAME")] = ""
    server: Annotated[str, parameter(N_("Only on this server."), metavar="SERVER")] = ""
    project: Annotated[
        str, parameter(N_("Only at and below this directory: its absolute path."), metavar="DIR")
    ] = ""
    subject: Annotated[
        str, parameter(N_("Only about this, and what belongs to it: run-42, proposal-9."), metavar="WHAT")
    ] = ""
    since: Annotated[
        int | None,
        parameter(N_("Not before this instant: 7d, 14:05, 2026-11-20."), cli="instant", metavar="WHEN"),
    ] = None
    until: Annotated[
        int | None,
        parameter(N_("Not after this instant: 7d, 14:05, 2026-11-20."), cli="instant", metavar="WHEN"),
    ] = None
    before: Annotated[
        int,
        parameter(
            N_("Only what is older than the record with this number (0: from the newest on)."), metavar="SEQ"
        ),
    ] = 0
    limit: Annotated[int, parameter(N_("Show at most this many."), short="-n", least=0)] = 50


class Happened(Struct, frozen=True, kw_only=True):
    """One thing that happened: a record. ``kind`` and ``parameters`` are as an event's, so that a face says both alike.

    ``server``: its name. ``path``: of the project or target. ``subject``: what it is about; ``also``: what that belongs to.
    """

    seq: int
    time_ns: int
    kind: str
    actor: str
    actor_kind: str
    server: str = ""
    path: str = ""
    subject: str = ""
    also: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


class EventsReply(Struct, frozen=True, kw_only=True):
    """Newest first. ``more``: there is older; the next page is asked for with the last one's ``seq`` as ``before``.

    ``newest``: ``seq`` of the newest record there is, whatever was asked for.
    """

    events: tuple[Happened, ...]
    more: bool = False
    newest: int = -1


class EventsSince(Struct, frozen=True, kw_only=True):
    """How much happened after the record ``after``, of what ``events`` asks for; counting ends at 1 000."""

    events: Events
    after: int


class EventsCount(Struct, frozen=True, kw_only=True):
    """See ``EventsSince``. ``more``: there is more than was counted."""

    count: int
    more: bool = False


class EventsBehind(Struct, frozen=True, kw_only=True):
    """How many records are not prepared to be looked through yet; from now on they are being prepared beside everything else."""


class AuditHead(Struct, frozen=True, kw_only=True):
    """The newest record, for a witness: whoever keeps its id sees later whether anything before it was changed."""


class HeadReply(Struct, frozen=True, kw_only=True):
    """``id``: hex. ``seq`` -1: nothing was recorded yet."""

    seq: int
    id: str
