"""Comments on a proposal: kept one by one while somebody reads, and sent back to the agent all at once."""

from __future__ import annotations

from typing import Final

from lastro.app.permissions import Right
from lastro.app.requests.proposals import CommentProposal
from lastro.app.requests.reviewing import AddDraft, RemoveDraft
from lastro.domain.paths import to_bytes
from lastro.domain.proposal import Comment
from lastro.errors import UsageError
from lastro.faces.console.asked import Answer, Asked, Redirect, Way
from lastro.faces.console.carrying import subject_of
from lastro.faces.console.pages.review import drafts_of, place_of, shown_of, stale
from lastro.messages import N_

_LAST_LINE: Final = 10**9


def keep(asked: Asked) -> Answer:
    """Keep a comment on a file, or on lines of it."""
    shown = shown_of(asked)
    old = stale(asked, shown)
    if old is not None:
        return old
    place = place_of(asked, shown)
    first = asked.count("first", 0, _LAST_LINE)
    last = asked.count("last", 0, _LAST_LINE) or first
    draft = AddDraft(
        proposal=shown.proposal,
        text=_text(asked.text("text")),
        path=to_bytes(shown.files[place].path),
        lines=(first or last, last) if first or last else None,
    )
    asked.visit.step(Right.DECIDE, "proposal.drafts.add", draft)
    return Redirect(to=f"/proposals/{shown.proposal}?said=kept#file-{place}")


def _text(text: str) -> str:
    """What a browser sent, with line ends as everywhere else."""
    return text.replace("\r\n", "\n").strip()


def forget(asked: Asked) -> Answer:
    """Forget a comment that was kept."""
    number = asked.number("proposal")
    asked.visit.step(
        Right.DECIDE, "proposal.drafts.remove", RemoveDraft(proposal=number, id=asked.text("draft"))
    )
    return Redirect(to=f"/proposals/{number}", said="forgotten")


def send(asked: Asked) -> Answer:
    """Send back the comments that are ticked, and what was said about the whole."""
    shown = shown_of(asked)
    old = stale(asked, shown)
    if old is not None:
        return old
    ticked = frozenset(asked.texts("draft"))
    placed = tuple(
        Comment(text=draft.text, path=draft.path, lines=draft.lines)
        for draft in drafts_of(asked, shown).drafts
        if draft.id in ticked
    )
    message = _text(asked.text("message"))
    if not placed and not message:
        raise UsageError(
            N_("What shall be different?"),
            hint=N_("Tick comments that you kept, or write one about the whole."),
        )
    subject = subject_of(shown.proposal)
    request = CommentProposal(
        proposal=subject,
        message=(message,) if message else (),
        placed=placed,
        run=bool(shown.run) and asked.ticked("run"),
        agent=asked.text("agent"),
        digest=shown.digest,
    )
    if request.run:
        job = asked.visit.submit("proposal.comment", request, subject=subject)
        return Redirect(to=f"/jobs/{job.number}", said="sent_back")
    asked.visit.ask("proposal.comment", request, subject=subject)
    return Redirect(to=f"/proposals/{shown.proposal}", said="sent_back")


WAYS = (
    Way(path="/proposals/{proposal}/drafts", handler=keep, right=Right.DECIDE, methods=("POST",)),
    Way(path="/proposals/{proposal}/drafts/remove", handler=forget, right=Right.DECIDE, methods=("POST",)),
    Way(path="/proposals/{proposal}/comment", handler=send, right=Right.DECIDE, methods=("POST",)),
)
