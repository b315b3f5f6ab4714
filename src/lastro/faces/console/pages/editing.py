"""Editing a proposed text in the page: what is saved becomes a new revision, which a human reviews like any other.

What always holds: nothing but what somebody changed is changed: line ends stay as the text has them, and a text that a page cannot carry
faithfully (no UTF-8, mixed line ends) is not edited here; what somebody wrote is given back where it cannot be saved.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests.proposals import Edited, ProposalReply
from lastro.app.requests.reviewing import Rewrite
from lastro.domain.entry import EntryType
from lastro.errors import ConflictError, UsageError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.contents import Sides
from lastro.faces.console.differences import visible
from lastro.faces.console.pages.review import place_of, shown_of
from lastro.faces.wording.shell import command
from lastro.messages import N_
from lastro.proposals.hunks import TEXT_LIMIT
from lastro.proposals.rows import REVISABLE

_FORM_LIMIT: Final = 4 * TEXT_LIMIT
"""Bytes of a form: a byte of the text may take three in it."""


class Text(NamedTuple):
    r"""A text with ``\n`` as its line end, and the line end it really has."""

    text: str
    line_end: str


def edit(asked: Asked) -> Answer:
    """The proposed text, to be changed."""
    shown = shown_of(asked)
    place = place_of(asked, shown)
    return _page(asked, shown, place, _after(asked, shown, place).text)


def save(asked: Asked) -> Answer:
    """Make a revision of what was written."""
    shown = shown_of(asked)
    place = place_of(asked, shown)
    written = asked.text("text").replace("\r\n", "\n")
    if asked.text("digest") != shown.digest:
        return _page(asked, shown, place, written, status=409)
    line_end = _after(asked, shown, place).line_end
    request = Rewrite(
        proposal=shown.proposal,
        shown=shown.digest,
        path=shown.files[place].path,
        content=written.replace("\n", line_end).encode("utf-8", "surrogateescape"),
    )
    try:
        reply = asked.visit.step(Right.DECIDE, "proposal.rewrite", request)
    except ConflictError:  # somebody was faster in this very moment
        return _page(asked, shown_of(asked), place, written, status=409)
    assert isinstance(reply, Edited)
    said = "edited" if reply.revision != shown.revision else "unchanged"
    return Redirect(to=f"/proposals/{shown.proposal}", said=said)


def _page(asked: Asked, shown: ProposalReply, place: int, text: str, *, status: int = 200) -> Page:
    """The editor. ``status`` 409: the proposal is another by now, and nothing was saved."""
    if shown.state not in REVISABLE:
        raise ConflictError(
            N_("proposal-{number} is {state}, so nothing of it can be edited any more."),
            hint=N_("See 'lastro proposal show proposal-{number}'."),
            number=shown.proposal,
            state=shown.state,
        )
    file = shown.files[place]
    before = file.before if file.before is not None and file.before.type is EntryType.FILE else None
    values = {
        "shown": shown,
        "place": place,
        "path": file.path,
        "text": text,
        "before": _of(asked, shown, "before", before.path if before is not None else ""),
        "odd": any(visible(line) != line for line in text.split("\n")),
        "command": command("lastro", "proposal", "edit", f"proposal-{shown.proposal}", "--file", file.path),
    }
    return Page(template="review_edit.html", values=values, status=status)


def _of(asked: Asked, shown: ProposalReply, side: str, path: str) -> str:
    """A text to compare with; empty where there is none that can be shown so."""
    sides = Sides(asked, shown.proposal)
    if not path or not sides.has(side, path):
        return ""
    found = _parsed(sides.head(side, path, TEXT_LIMIT))
    return found.text if found is not None else ""


def _after(asked: Asked, shown: ProposalReply, place: int) -> Text:
    """The proposed text.

    Raises:
        UsageError: it is none that can be edited in a page.
    """
    entry = shown.files[place].after
    found = None
    if entry is not None and entry.type is EntryType.FILE and entry.size <= TEXT_LIMIT:
        found = _parsed(Sides(asked, shown.proposal).whole("after", entry.path))
    if found is None:
        raise UsageError(
            N_("{path} cannot be edited in a page: it is no text in UTF-8 with one kind of line ends."),
            hint=N_("Edit it at a terminal: lastro proposal edit proposal-{number}"),
            path=shown.files[place].path,
            number=shown.proposal,
        )
    return found


def _parsed(content: bytes) -> Text | None:
    r"""The text, if all its lines end with ``\n``, or all with ``\r\n``; a page would make all of them one of these."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    if "\r" not in text:
        return Text(text, "\n")
    plain = text.replace("\r\n", "\n")
    both = plain.count("\n") == text.count("\r\n")
    return Text(plain, "\r\n") if "\r" not in plain and both else None


WAYS = (
    Way(path="/proposals/{proposal}/edit", handler=edit, right=Right.DECIDE),
    Way(
        path="/proposals/{proposal}/edit",
        handler=save,
        right=Right.DECIDE,
        methods=("POST",),
        limit=_FORM_LIMIT,
    ),
)
