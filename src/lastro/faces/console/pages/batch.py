"""One decision on several proposals: each is shown, each is decided by itself, and the first that is not what was shown ends it.

What always holds: what was done before it ended is said, proposal by proposal; and what is of high risk is approved by itself alone, on its
own page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests.proposals import ApproveProposal, ProposalReply, RejectProposal, ShowProposal
from lastro.domain.proposal import Risk
from lastro.errors import ConflictError, LastroError, UsageError
from lastro.faces.console import carrying
from lastro.faces.console.asked import Answer, Asked, Page, Way
from lastro.faces.console.file_cards import Card, Cards
from lastro.faces.console.pages.review import DECIDABLE, REFUSABLE
from lastro.messages import N_

MOST: Final = 20
"""Proposals of one decision."""
_FILES: Final = 10
"""Files of each whose differences stand in the page; it says where there are more."""


class Shown(NamedTuple):
    """A proposal in the page."""

    shown: ProposalReply
    cards: list[Card]
    left: int
    approvable: bool
    rejectable: bool


class Done(NamedTuple):
    """What became of one. ``said``: ``approved``, ``waiting``, ``rejected``, ``started`` (``job``), or what ended it (``error``)."""

    proposal: int
    said: str
    job: int = 0
    error: LastroError | None = None


def batch(asked: Asked) -> Answer:
    """What was chosen in the inbox, with all that changes."""
    numbers = _numbers(asked.texts("proposal"))
    shown = [_shown(asked, number) for number in numbers]
    values = {"all_shown": shown, "split": False, "choosing": False}
    return Page(template="inbox_batch.html", values=values)


def _numbers(texts: tuple[str, ...]) -> list[int]:
    """Numbers of proposals.

    Raises:
        UsageError: none, too many, or none of that kind.
    """
    numbers = list(dict.fromkeys(texts))
    if not numbers:
        raise UsageError(N_("Nothing is chosen."), hint=N_("Tick proposals in the inbox first."))
    if len(numbers) > MOST or not all(
        text.isascii() and text.isdigit() and 0 < len(text) < 16 for text in numbers
    ):
        raise UsageError(N_("At most {count} proposals are decided on at once."), count=MOST)
    return [int(text) for text in numbers]


def _reply(asked: Asked, number: int) -> ProposalReply:
    reply = asked.visit.call("proposal.show", ShowProposal(proposal=f"proposal-{number}", names=True))
    assert isinstance(reply, ProposalReply)
    return reply


def _shown(asked: Asked, number: int) -> Shown:
    shown = _reply(asked, number)
    places = range(min(_FILES, len(shown.files)))
    cards = Cards(asked, shown, split=False).of(places, loaded=frozenset(places))
    return Shown(
        shown=shown,
        cards=cards,
        left=len(shown.files) - len(cards),
        approvable=shown.state in DECIDABLE and shown.risk != Risk.HIGH,
        rejectable=shown.state in REFUSABLE,
    )


def reject(asked: Asked) -> Answer:
    """Reject them one after the other."""

    def one(shown: ProposalReply) -> Done:
        request = RejectProposal(
            proposal=f"proposal-{shown.proposal}", reason=asked.text("reason").strip(), digest=shown.digest
        )
        asked.visit.call("proposal.reject", request)
        return Done(shown.proposal, "rejected")

    return _each(asked, one)


def approve(asked: Asked) -> Answer:
    """Sign and apply them one after the other."""

    def one(shown: ProposalReply) -> Done:
        if shown.risk == Risk.HIGH:
            raise ConflictError(
                N_("proposal-{number} is of high risk: decide on it by itself."), number=shown.proposal
            )
        request = ApproveProposal(proposal=f"proposal-{shown.proposal}")
        planned: Any = asked.visit.reply_of(carrying.plan(asked, request))
        if not planned.asks or planned.merged or planned.conflicts:
            raise ConflictError(
                N_("What is live changed under proposal-{number}; look at what would be written now."),
                hint=N_("Decide on it by itself."),
                number=shown.proposal,
            )
        if carrying.wants_signature(shown) and carrying.signed(asked, shown, request):
            return Done(shown.proposal, "waiting")
        job = carrying.carry_out(asked, request, planned)
        if carrying.is_over(job):
            asked.visit.reply_of(job)
            return Done(shown.proposal, "approved")
        return Done(shown.proposal, "started", job=job.number)

    return _each(asked, one)


def _each(asked: Asked, one: Callable[[ProposalReply], Done]) -> Answer:
    """Do ``one`` with each proposal that the form names with its digest, until one cannot be."""
    named = [text.partition(":") for text in dict.fromkeys(asked.texts("one"))]
    numbers = _numbers(tuple(number for number, _, _ in named))
    done: list[Done] = []
    for number, (_, _, digest) in zip(numbers, named, strict=True):
        try:
            shown = _reply(asked, number)
            if shown.digest != digest:
                raise ConflictError(
                    N_("proposal-{number} changed since it was shown; nothing was done."), number=number
                )
            done.append(one(shown))
        except LastroError as error:
            done.append(Done(number, "", error=error))
            break
    stopped = done[-1].error is not None
    values = {"done": done, "left": numbers[len(done) :], "stopped": stopped}
    return Page(template="inbox_done.html", values=values, status=409 if stopped else 200)


WAYS = (
    Way(path="/inbox/batch", handler=batch, right=Right.DECIDE),
    Way(path="/inbox/batch/reject", handler=reject, right=Right.DECIDE, methods=("POST",)),
    Way(path="/inbox/batch/approve", handler=approve, right=Right.DECIDE, methods=("POST",)),
)
