"""The menu: every page that stands for itself, in the order people want them."""

from __future__ import annotations

from typing import Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests.proposals import Proposals, ProposalsReply
from lastro.faces.console.asked import Asked
from lastro.faces.translation import gettext as _
from lastro.messages import N_


class Item(NamedTuple):
    """An entry. ``here``: it leads to what is shown. ``waiting``: how much waits there (0: nothing is said)."""

    path: str
    word: str
    here: bool
    waiting: int


_ITEMS: Final = (
    ("/inbox", N_("Inbox"), Right.LOOK),
    ("/history", N_("History"), Right.LOOK),
    ("/runs", N_("Runs"), Right.LOOK),
    ("/servers", N_("Servers"), Right.LOOK),
    ("/gateway", N_("Gateway"), Right.LOOK),
    ("/jobs", N_("Jobs"), Right.LOOK),
    ("/events", N_("Events"), Right.LOOK),
    ("/audit", N_("Audit"), Right.LOOK),
    ("/users", N_("Users"), Right.LOOK),
    ("/settings", N_("Settings"), Right.LOOK),
)


_BELOW: Final = {
    "/inbox": ("/proposals",),
    "/history": ("/compare", "/differences", "/restore", "/search"),
    "/users": ("/rights",),
}
"""Entry → pages that belong to it and have a path of their own."""


def menu_of(asked: Asked, *, counted: bool = True) -> list[Item]:
    """The menu of who asks; empty before signing in. ``counted``: say how much waits, which asks the keeper."""
    if asked.visitor is None:
        return []
    return [
        Item(path, _(word), _is_here(asked.path, path), _count(asked, path) if counted else 0)
        for path, word, right in _ITEMS
        if asked.visitor.may(right)
    ]


def _is_here(asked_path: str, path: str) -> bool:
    """Whether the page at ``asked_path`` belongs to the entry ``path``."""
    return any(
        asked_path == place or asked_path.startswith(f"{place}/") for place in (path, *_BELOW.get(path, ()))
    )


def _count(asked: Asked, path: str) -> int:
    """Proposals that wait for a human."""
    if path != "/inbox" or asked.part:
        return 0
    reply = asked.visit.call("proposal.list", Proposals(limit=1))
    assert isinstance(reply, ProposalsReply)
    return reply.open
