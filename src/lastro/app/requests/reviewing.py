"""What steps of a review in a page are asked and answer: a text that was edited there, and comments that are not sent yet."""

from __future__ import annotations

from msgspec import Struct


class Rewrite(Struct, frozen=True, kw_only=True):
    """Make a new revision in which the file ``path`` holds ``content``. ``shown``: digest (hex) of what its author saw."""

    proposal: int
    shown: str
    path: str
    content: bytes


class Draft(Struct, frozen=True, kw_only=True):
    """A comment that is not sent yet. ``path`` (raw bytes) and 1-based ``lines`` of the new version where it is about a place.

    ``quoted``: digest (hex) of those lines as they were. ``outdated``: they are others now, or nothing changes there any more.
    """

    id: str
    text: str
    time_ns: int
    revision: int
    path: bytes = b""
    lines: tuple[int, int] | None = None
    quoted: str = ""
    outdated: bool = False


class ListDrafts(Struct, frozen=True, kw_only=True):
    """The asking human's drafts on a proposal."""

    proposal: int


class AddDraft(Struct, frozen=True, kw_only=True):
    """Keep a comment until it is sent."""

    proposal: int
    text: str
    path: bytes = b""
    lines: tuple[int, int] | None = None


class RemoveDraft(Struct, frozen=True, kw_only=True):
    """Forget a draft; nothing happens where it is gone already."""

    proposal: int
    id: str


class DraftsReply(Struct, frozen=True, kw_only=True):
    """Oldest first."""

    drafts: tuple[Draft, ...]
