"""What a human ticked in a review, as the names that an approval takes.

A page names files by their place in the list that its digest stands for, and hunks as ``PLACE:NUMBER``: any bytes may be in a path, and not
in a form. What always holds: what was ticked is chosen, and nothing else that the page showed; what it did not show (files of other
pages, hunks beyond a part) is chosen exactly where its box says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from lastro.app.encoding import encode
from lastro.app.requests.proposals import ProposalReply, ShownFile
from lastro.domain.paths import is_within
from lastro.domain.proposal import Flag
from lastro.errors import UsageError
from lastro.faces.console.asked import Asked
from lastro.messages import N_

_MARK: Final = 12


class Choice(NamedTuple):
    """Names for ``ApproveProposal`` or ``Undo``. Both empty: everything."""

    files: tuple[str, ...]
    hunks: tuple[str, ...]


def uncertain(file: ShownFile) -> bool:
    """Whether nobody knows what its author started from, so that it has to be chosen by name."""
    return Flag.BASE_UNCERTAIN.value in file.flags


def choice_of(asked: Asked, shown: ProposalReply) -> Choice:
    """What was ticked.

    Raises:
        UsageError: nothing was, or the form names what is not there.
    """
    there = _numbers(asked.texts("there"), len(shown.files))
    ticked = _numbers(asked.texts("file"), len(shown.files)) & there
    if asked.ticked("others"):
        ticked |= {
            place for place, file in enumerate(shown.files) if place not in there and not uncertain(file)
        }
    partly = _partly(asked, len(shown.files))
    whole, hunks = [], []
    for place in sorted(ticked):
        numbers = partly.get(place)
        if numbers is None:
            whole.append(place)
        else:
            hunks += [f"{shown.files[place].path}:{number}" for number in numbers]
    if not whole and not hunks:
        raise UsageError(
            N_("Nothing is chosen."), hint=N_("Tick what shall be applied, or reject the proposal.")
        )
    if len(whole) == len(shown.files) and not any(map(uncertain, shown.files)):
        return Choice((), ())
    names = _names(shown, set(whole), everything=len(whole) == len(shown.files))
    if not names and not hunks:
        raise UsageError(
            N_("A directory alone cannot be chosen while nothing in it is."),
            hint=N_("Tick what lies in it, too."),
        )
    return Choice(names, tuple(hunks))


def _names(shown: ProposalReply, whole: set[int], *, everything: bool) -> tuple[str, ...]:
    """The chosen paths. A directory's name stands for all that changes in it, so it is left out unless all of that is chosen: a new one
    comes along with what lies in it.
    """
    if everything:
        return tuple(file.path or shown.target for file in shown.files)
    others = [file.path for place, file in enumerate(shown.files) if place not in whole]
    return tuple(
        shown.files[place].path
        for place in sorted(whole)
        if not any(is_within(other, shown.files[place].path) for other in others)
    )


def _numbers(texts: Sequence[str], below: int) -> set[int]:
    """Places in the list; several may stand in one field, with commas.

    Raises:
        UsageError: there is no such place.
    """
    words = [word for text in texts for word in text.split(",") if word]
    if any(
        not (word.isascii() and word.isdigit() and len(word) < 10) or int(word) >= below for word in words
    ):
        raise _odd()
    return {int(word) for word in words}


def _partly(asked: Asked, files: int) -> Mapping[int, list[int]]:
    """Of files whose hunks were shown and not all ticked: the chosen ones. ``part``: ``PLACE:SHOWN:ALL``; ``hunk``: ``PLACE:NUMBER``."""
    ticked: dict[int, set[int]] = {}
    for text in asked.texts("hunk"):
        place, number = _parsed(text, 2)
        ticked.setdefault(place, set()).add(number)
    partly: dict[int, list[int]] = {}
    for text in asked.texts("part"):
        place, shown, total = _parsed(text, 3)
        if place >= files or shown > total or total > 1_000_000:
            raise _odd()
        chosen = {number for number in ticked.get(place, set()) if 0 < number <= shown}
        if len(chosen) < shown:
            partly[place] = sorted(chosen | set(range(shown + 1, total + 1)))
    return partly


def _parsed(text: str, count: int) -> tuple[int, ...]:
    words = text.split(":")
    if len(words) != count or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise _odd()
    return tuple(map(int, words))


def _odd() -> UsageError:
    return UsageError(N_("This form was not made by this page."), hint=N_("Open the page again."))


# What changed since -------------------------------------------------------------------------------------------------------------------


def marks_of(shown: ProposalReply) -> str:
    """A short mark of each file, for the form: what a page showed can be told from what stands now."""
    return ",".join(_mark(file) for file in shown.files)


def changed_since(seen: str, shown: ProposalReply) -> frozenset[str]:
    """The paths that are not as ``seen`` (``marks_of`` of what was shown) says."""
    known = frozenset(seen.split(","))
    return frozenset(file.path for file in shown.files if _mark(file) not in known)


def _mark(file: ShownFile) -> str:
    return blake3(encode([file.path, file.old_path, file.before, file.after])).hexdigest()[:_MARK]
