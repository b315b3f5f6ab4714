"""The inbox: what waits for a human, by risk and age."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from lastro.app.permissions import Right
from lastro.app.requests.proposals import Proposals, ProposalsReply
from lastro.domain.proposal import ProposalState, Risk
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.wording.shell import command
from lastro.messages import N_

PAGE_LENGTH: Final = 50
_ORDERS: Final = {
    "risk": N_("by risk, then age"),
    "newest": N_("newest first"),
    "expiry": N_("what expires next first"),
}
_OPTIONS: Final = ("project", "state", "risk", "agent", "actor", "text")


def start(_asked: Asked) -> Answer:
    """The console begins with what waits."""
    return Redirect(to="/inbox")


def inbox(asked: Asked) -> Answer:
    """A page of proposals."""
    request = Proposals(
        all=asked.text("show") == "all",
        project=asked.text("project").strip(),
        state=asked.text("state"),
        risk=asked.text("risk"),
        agent=asked.text("agent").strip(),
        actor=asked.somebody.principal.actor.name if asked.ticked("mine") else "",
        text=asked.text("text").strip(),
        order=asked.text("order", "risk"),
        after=asked.count("after", 0, 10**15),
        limit=PAGE_LENGTH,
    )
    reply = asked.visit.call("proposal.list", request)
    assert isinstance(reply, ProposalsReply)
    values = {
        "reply": reply,
        "chosen": request,
        "mine": asked.ticked("mine"),
        "filtered": any(getattr(request, name) for name in _OPTIONS),
        "states": tuple(ProposalState),
        "risks": tuple(Risk),
        "orders": _ORDERS,
        "address": lambda **changed: _address(asked, changed),
        "command": _command(request),
    }
    return Page(template="inbox.html", values=values, part="rows" if asked.part == "rows" else "")


def _address(asked: Asked, changed: dict[str, Any]) -> str:
    """This page with some fields of its query ``changed``."""
    known = ("show", "mine", "order", *_OPTIONS)
    query = {name: asked.text(name) for name in known} | changed
    given = {name: value for name, value in query.items() if value}
    return "/inbox" + (f"?{urlencode(given, errors='surrogateescape')}" if given else "")


def _command(request: Proposals) -> str:
    chosen = [
        word for name in _OPTIONS if getattr(request, name) for word in (f"--{name}", getattr(request, name))
    ]
    chosen += ["--order", request.order] if request.order != "risk" else []
    return command("lastro", "proposal", "list", *(["--all"] if request.all else []), *chosen)


WAYS = (
    Way(path="/", handler=start, right=Right.LOOK),
    Way(path="/inbox", handler=inbox, right=Right.LOOK),
)
