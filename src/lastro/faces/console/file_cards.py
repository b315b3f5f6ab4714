"""The files of a proposal as cards of a page: what changes of each, in the view that fits what it is.

What always holds: contents are read only for the cards that are loaded; a content that cannot be read takes nothing away from the others;
and every box that a card has stands for what the card says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from lastro.app.requests.proposals import ProposalReply, ShownFile, ShownHunk, ShowProposal
from lastro.domain.entry import Entry, EntryType
from lastro.faces.console import differences
from lastro.faces.console.asked import Asked
from lastro.faces.console.choosing import uncertain
from lastro.faces.console.contents import Sides
from lastro.faces.console.images import HEAD, LARGEST_IMAGE, format_name, hexadecimal, media_type
from lastro.faces.console.properties import Property, properties_of, summary
from lastro.faces.console.side_by_side import Pair, pairs_of

AT_ONCE: Final = 20
"""Files whose differences stand in the page from the beginning; those of others are fetched when they come into sight."""
PAGE_FILES: Final = 200
"""Files of one page."""


class HunkView(NamedTuple):
    """A hunk as it is shown: its rows one below the other, or in pairs."""

    number: int
    said: str
    rows: Sequence[differences.Row]
    pairs: Sequence[Pair]
    whole: bool


class Content(NamedTuple):
    """What is said of a content that is no text. ``image``: address of the image that it is; empty for none."""

    size: int
    digest: str
    format: str
    hexadecimal: str
    image: str


class Card(NamedTuple):
    """A file in a page. ``loaded``: its differences are here. ``left``: hunks that the page does not show yet. ``total``: all its hunks.

    ``chosen``: whether its box is ticked to begin with. ``news``: it is not as it was when the reader looked.
    """

    place: int
    file: ShownFile
    chosen: bool
    said: str
    news: bool = False
    loaded: bool = False
    hunks: tuple[HunkView, ...] = ()
    left: int = 0
    total: int = 0
    properties: tuple[Property, ...] = ()
    before: Content | None = None
    after: Content | None = None


class Cards:
    """Makes the cards of one proposal for one request. ``split``: differences side by side."""

    def __init__(
        self, asked: Asked, shown: ProposalReply, *, split: bool, news: Collection[str] = frozenset()
    ) -> None:
        self._asked = asked
        self._shown = shown
        self._split = split
        self._news = news

    @cached_property
    def _sides(self) -> Sides:
        return Sides(self._asked, self._shown.proposal)

    def of(self, places: Sequence[int], *, loaded: Collection[int], everything: bool = False) -> list[Card]:
        """The cards of the files at ``places``. ``everything``: however long they are."""
        wanted = [place for place in places if place in loaded]
        details = self._details(wanted) if wanted else {}
        return [
            self._loaded(place, details[self._shown.files[place].path], everything=everything)
            if place in loaded
            else self._bare(place)
            for place in places
        ]

    def _details(self, places: Sequence[int]) -> Mapping[str, ShownFile]:
        """The same files with their hunks."""
        request = ShowProposal(
            proposal=f"proposal-{self._shown.proposal}",
            file=tuple(self._shown.files[place].path for place in places),
        )
        reply = self._asked.visit.call("proposal.show", request)
        assert isinstance(reply, ProposalReply)
        return {file.path: file for file in reply.files}

    def _bare(self, place: int) -> Card:
        file = self._shown.files[place]
        return Card(
            place=place,
            file=file,
            chosen=not uncertain(file),
            said=summary(file.before, file.after),
            news=file.path in self._news,
        )

    def _loaded(self, place: int, file: ShownFile, *, everything: bool) -> Card:
        part = differences.Part(file.hunks, 0) if everything else differences.first_part(file.hunks)
        textual = file.text or file.kind == "renamed"
        return self._bare(place)._replace(
            file=file,
            loaded=True,
            hunks=tuple(self._hunk(hunk, everything=everything) for hunk in part.hunks),
            left=part.left,
            total=len(file.hunks),
            properties=tuple(properties_of(file.before, file.after)),
            before=None if textual else self._content(place, "before", file.before, file),
            after=None if textual else self._content(place, "after", file.after, file),
        )

    def _hunk(self, hunk: ShownHunk, *, everything: bool) -> HunkView:
        rows = differences.rows_of(hunk)
        shown = rows if everything else differences.cut(rows)
        return HunkView(
            number=hunk.number,
            said=differences.said(hunk),
            rows=() if self._split else shown,
            pairs=pairs_of(shown) if self._split else (),
            whole=shown == rows,
        )

    def _content(self, place: int, side: str, entry: Entry | None, file: ShownFile) -> Content | None:
        """What is said of one side, where it is a content that differs."""
        if entry is None or entry.type is not EntryType.FILE:
            return None
        if file.kind == "changed" and not {"digest", "type"} & set(file.fields):
            return None
        head = self._sides.head(side, entry.path, HEAD)
        is_image = media_type(head) and entry.size <= LARGEST_IMAGE
        return Content(
            size=entry.size,
            digest=entry.digest.hex() if entry.digest is not None else "",
            format=format_name(head),
            hexadecimal=hexadecimal(head),
            image=f"/proposals/{self._shown.proposal}/files/{place}/{side}" if is_image else "",
        )
