"""The review of a proposal: who asked for what, how it was made and checked, what it changes, and the decision."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlencode

from lastro.agents.adapters.registry import AGENTS
from lastro.app.caller import Bytes
from lastro.app.operations.proposal.signing import refusal
from lastro.app.permissions import Right
from lastro.app.requests.proposals import AllowedReply, ProposalReply, ShowProposal
from lastro.app.requests.reviewing import DraftsReply, ListDrafts
from lastro.app.signing_desk import may
from lastro.domain.paths import from_bytes, name_of, printable
from lastro.domain.proposal import ProposalState, Selection
from lastro.domain.run import failed_checks
from lastro.errors import LastroError, NotFoundError
from lastro.faces.console.asked import Answer, Asked, Download, Page, Way
from lastro.faces.console.choosing import changed_since, marks_of
from lastro.faces.console.contents import Sides
from lastro.faces.console.file_cards import AT_ONCE, PAGE_FILES, Cards
from lastro.faces.console.images import HEAD, LARGEST_IMAGE, media_type
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import review_words
from lastro.faces.wording.review_words import ROLES
from lastro.faces.wording.shell import command
from lastro.messages import N_
from lastro.proposals.rows import REVISABLE

_S = ProposalState
DECIDABLE: Final = frozenset({_S.OPEN, _S.CONFLICT, _S.APPROVED, _S.PARTLY_APPROVED})
"""What can be approved, or applied after all."""
REFUSABLE: Final = frozenset({*DECIDABLE, _S.HELD, _S.CHANGES_REQUESTED})
UNDOABLE: Final = frozenset({_S.APPLIED})


_REASONS: Final = {
    "edit": N_("edited by a human"),
    "rebase": N_("brought up to date"),
    "run": N_("run again"),
}
_VERDICTS: Final = {"approve": N_("approved"), "reject": N_("rejected"), "comment": N_("sent back")}


def review(asked: Asked) -> Answer:
    """A proposal as a human decides on it."""
    shown = shown_of(asked)
    return review_page(asked, shown)


def shown_of(asked: Asked) -> ProposalReply:
    """The proposal of the route, without its hunks."""
    number = asked.number("proposal")
    reply = asked.visit.call("proposal.show", ShowProposal(proposal=f"proposal-{number}", names=True))
    assert isinstance(reply, ProposalReply)
    return reply


def stale(
    asked: Asked, shown: ProposalReply, states: Collection[str] = frozenset(ProposalState)
) -> Answer | None:
    """What to answer to a form that names another digest than what stands, or that comes too late (it has to be in one of
    ``states``): how it is now, and what is new in its differences (409).
    """
    if asked.text("digest") == shown.digest and shown.state in states:
        return None
    return review_page(asked, shown, status=409)


def review_page(asked: Asked, shown: ProposalReply, *, status: int = 200) -> Page:
    """The page; with status 409 it says what changed since the form was made that ``asked`` brings."""
    if asked.part == "state" and asked.method == "GET":
        return Page(template="review.html", values={"shown": shown, "choosing": False}, part="state")
    news = changed_since(asked.text("seen"), shown) if status != 200 else frozenset()
    split = _is_split(asked)
    step = asked.count("step", 0, 10**9) if status == 200 else 0
    matching = [place for place, file in enumerate(shown.files) if not step or step in file.steps]
    if news:  # first what is new
        matching.sort(key=lambda place: shown.files[place].path not in news)
    begin = asked.count("from", 0, len(shown.files)) if status == 200 else 0
    places = matching[begin : begin + PAGE_FILES]
    cards = Cards(asked, shown, split=split, news=news).of(places, loaded=frozenset(places[:AT_ONCE]))
    may_now, drafts = _may(asked, shown), drafts_of(asked, shown)
    values: dict[str, Any] = {
        "shown": shown,
        "cards": cards,
        "begin": begin,
        "matching": len(matching),
        "next": begin + PAGE_FILES if begin + PAGE_FILES < len(matching) else 0,
        "others": len(shown.files) - len(places),
        "page_length": PAGE_FILES,
        "step": step,
        "split": split,
        "marks": marks_of(shown),
        "news": news,
        "other_state": status == 409 and asked.text("digest") == shown.digest,
        "seen_revision": asked.count("revision", 0, 10**9),
        **may_now,
        "choosing": may_now["may_approve"] or may_now["may_undo"],
        "drafts": drafts,
        "drafts_at": {
            path: [draft for draft in drafts.drafts if from_bytes(draft.path) == path]
            for path in {from_bytes(draft.path) for draft in drafts.drafts if draft.path}
        },
        "reasons": reasons_of(shown),
        "by": list(
            dict.fromkeys(_(ROLES[role]) for file in shown.files for role in file.by if role in ROLES)
        ),
        "reason_word": lambda code: _(_REASONS[code]) if code in _REASONS else printable(code),
        "verdict_word": lambda code: _(_VERDICTS[code]) if code in _VERDICTS else printable(code),
        "link": lambda **changed: _link(asked, shown, step=step, split=split, changed=changed),
        "agents": [name for name in AGENTS if name != shown.agent],
        "command": command("lastro", "proposal", "show", f"proposal-{shown.proposal}"),
    }
    return Page(template="review.html", values=values, status=status)


def reasons_of(shown: ProposalReply) -> list[str]:
    """Why to look closely, in words: what is known of its files, and what did not pass."""
    flags = dict.fromkeys(flag for file in shown.files for flag in file.flags)
    reasons = [review_words.flags([flag]) for flag in flags]
    failed = failed_checks(shown.checks)
    if failed:
        reasons.append(ngettext("{count} check failed", "{count} checks failed", failed))
    if shown.enforcement is not None and shown.enforcement.degraded:
        reasons.append(_("not all limits were enforced"))
    return reasons


def _is_split(asked: Asked) -> bool:
    view = asked.text("view")
    if view:
        return view == "split"
    return asked.visitor is not None and asked.visitor.preferences.side_by_side


def _link(asked: Asked, shown: ProposalReply, *, step: int, split: bool, changed: dict[str, Any]) -> str:
    """The address of this page with something of it ``changed``."""
    query = {
        "step": step or "",
        "view": "split" if split else "unified" if asked.text("view") else "",
        **changed,
    }
    given = {name: value for name, value in query.items() if value}
    return f"/proposals/{shown.proposal}" + (f"?{urlencode(given)}" if given else "")


def drafts_of(asked: Asked, shown: ProposalReply) -> DraftsReply:
    """The visitor's comments that are not sent; none for who may not decide."""
    if not asked.somebody.may(Right.DECIDE):
        return DraftsReply(drafts=())
    reply = asked.visit.step(Right.DECIDE, "proposal.drafts", ListDrafts(proposal=shown.proposal))
    assert isinstance(reply, DraftsReply)
    return reply


def _may(asked: Asked, shown: ProposalReply) -> dict[str, Any]:
    """What the visitor may do now, and why not."""
    decides = asked.somebody.may(Right.DECIDE)
    allowed: AllowedReply | None = None
    refused: LastroError | None = None
    if decides and shown.state in DECIDABLE:
        try:
            allowed = may(asked.visit, shown.proposal, Selection())
            if not allowed.may:
                refused = refusal(allowed, shown.proposal)
        except LastroError as error:
            refused = error
    return {
        "decides": decides,
        "may_approve": decides and shown.state in DECIDABLE,
        "may_refuse": decides and shown.state in REFUSABLE,
        "may_edit": decides and shown.state in REVISABLE,
        "may_undo": decides and shown.state in UNDOABLE and bool(shown.applies),
        "allowed": allowed,
        "refused": refused,
    }


# One file -----------------------------------------------------------------------------------------------------------------------------


def place_of(asked: Asked, shown: ProposalReply) -> int:
    """The file that the route, or the field ``file``, names by its place.

    Raises:
        NotFoundError: there is none.
    """
    text = asked.parameters.get("place") or asked.text("file")
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(shown.files):
        return int(text)
    raise NotFoundError(
        N_("The proposal has no such file."), hint=N_("It may have another revision by now: open it again.")
    )


def file(asked: Asked) -> Answer:
    """One file: for a script its differences alone, else a page."""
    shown = shown_of(asked)
    old = stale(asked, shown) if asked.text("digest") else None
    if old is not None:
        return old
    place = place_of(asked, shown)
    everything = asked.ticked("all")
    cards = Cards(asked, shown, split=_is_split(asked))
    may_now = _may(asked, shown)
    values = {
        "shown": shown,
        "card": cards.of([place], loaded={place}, everything=everything)[0],
        "split": _is_split(asked),
        "may_refuse": may_now["may_refuse"],
        "choosing": bool(asked.part) and (may_now["may_approve"] or may_now["may_undo"]),
        "command": command(
            "lastro", "proposal", "show", f"proposal-{shown.proposal}", "--file", shown.files[place].path
        ),
    }
    return Page(template="review_file.html", values=values, part="body" if asked.part else "")


def content(asked: Asked) -> Answer:
    """The bytes of one side: an image to be shown, anything else to be kept."""
    shown = shown_of(asked)
    one = shown.files[place_of(asked, shown)]
    side = asked.parameters["side"]
    entry = {"before": one.before, "after": one.after}.get(side)
    if entry is None:
        raise NotFoundError(N_("There is nothing on this side."))
    sides = Sides(asked, shown.proposal)
    kind = media_type(sides.head(side, entry.path, HEAD)) if entry.size <= LARGEST_IMAGE else ""
    found: Bytes = sides.open(side, entry.path)
    return Download(
        name=name_of(entry.path) or "content",
        size=found.size,
        blocks=lambda: found.blocks,
        media_type=kind or "application/octet-stream",
        inline=bool(kind),
    )


WAYS = (
    Way(path="/proposals/{proposal}", handler=review, right=Right.LOOK),
    Way(path="/proposals/{proposal}/files/{place}", handler=file, right=Right.LOOK),
    Way(path="/proposals/{proposal}/files/{place}/{side}", handler=content, right=Right.LOOK),
)
