"""What people are told through their channels, as text: a title, a line or more, and where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lastro.app.notifying.nouns import KIND_WORDS, Notice, NoticeKind
from lastro.faces.translation import ENGLISH, has_language, ngettext, sentence, speaking
from lastro.faces.translation import gettext as _
from lastro.faces.wording import review_words
from lastro.faces.wording.instants import duration
from lastro.messages import N_

DIGESTS: Final[Mapping[str, str]] = {
    "at_once": N_("all at once"),
    "hourly": N_("hourly digest"),
    "daily": N_("daily digest"),
    "never": N_("urgent things only"),
}
MOST_LINES: Final = 30
"""Notices that one message tells of; of the rest it says how many."""


def compose(notices: Sequence[Notice], *, language: str, address: str) -> tuple[str, str]:
    """Title and body for one or more notices. ``address``: scheme, host and port of the console; without one there are no links."""
    with speaking(language if has_language(language) else ENGLISH):
        if len(notices) == 1:
            return _title(notices[0]), "\n".join(_lines(notices[0], address))
        title = ngettext("Lastro: {count} thing to know", "Lastro: {count} things to know", len(notices))
        lines = [line for notice in notices[:MOST_LINES] for line in _lines(notice, address)]
        if len(notices) > MOST_LINES:
            left = len(notices) - MOST_LINES
            lines.append(ngettext("and {count} more", "and {count} more", left))
        return title, "\n".join(lines)


def kind_word(kind: str) -> str:
    """What a kind of notice is about."""
    return _(KIND_WORDS.get(kind, kind))


def digest_word(digest: str) -> str:
    """When what is not urgent is told."""
    return _(DIGESTS.get(digest, digest))


def _title(notice: Notice) -> str:
    if notice.kind is NoticeKind.TEST:
        return _("Lastro: a test")
    if notice.after:
        return _("Lastro: well again")
    return _("Lastro: {what}", what=kind_word(notice.kind.value))


def _lines(notice: Notice, address: str) -> list[str]:
    lines = [sentence(notice.msgid, _parameters(notice.parameters))]
    if risk := notice.parameters.get("risk"):
        lines.append(_(review_words.RISKS[risk][0]) if risk in review_words.RISKS else risk)
    if address:
        lines.append(f"{address}{notice.path}")
    return lines


def _parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Lengths in words; everything else as it is."""
    words = dict(parameters)
    length = words.get("length_ns", "")
    if length.isdigit():
        words["length"] = duration(int(length))
    return words
