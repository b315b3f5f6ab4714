"""Names of proposals and of parts of them, as people type them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lastro.app.requests.proposals import ProposalReply
from lastro.domain.paths import is_within, relative_to, to_bytes
from lastro.domain.proposal import ChosenHunks, Selection
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_


def selection_of(shown: ProposalReply, files: Sequence[str], hunks: Sequence[str]) -> Selection:
    """The part of ``shown`` that ``--file`` and ``--hunk`` name: paths as shown, or as seen from the current directory.

    Raises:
        NotFoundError: the proposal does not change such a path.
        UsageError: a hunk is not written ``FILE:N``.
    """
    chosen: dict[bytes, set[int]] = {}
    for hunk in hunks:
        name, _colon, number = hunk.rpartition(":")
        if not name or not number.isascii() or not number.isdigit() or int(number) == 0:
            raise UsageError(
                N_("{text} does not name a hunk."),
                hint=N_("Write FILE:N, as 'lastro proposal show' numbers them."),
                text=hunk,
            )
        path = to_bytes(path_in(shown, name))
        chosen.setdefault(path, set()).add(int(number))
    return Selection(
        files=tuple(dict.fromkeys(to_bytes(path) for file in files for path in paths_in(shown, file))),
        hunks=tuple(
            ChosenHunks(path=path, numbers=tuple(sorted(numbers))) for path, numbers in chosen.items()
        ),
    )


def paths_in(shown: ProposalReply, text: str) -> tuple[str, ...]:
    """The changed paths at and below what ``text`` names: a file, or a directory with all that changes in it.

    A renamed file is one thing by either of its names, as it is shown: half of a rename would be a copy, or a loss.

    Raises:
        NotFoundError: nothing changes there.
    """
    files = [(file.old_path, file.path) if file.old_path else (file.path,) for file in shown.files]
    for place in _places(shown, text):
        found = [file for file in files if any(is_within(path, place) for path in file)]
        if found:
            return tuple(path for file in found for path in file)
    raise _not_there(shown, text)


def path_in(shown: ProposalReply, text: str) -> str:
    """The changed path that ``text`` names.

    Raises:
        NotFoundError: the proposal does not change such a path.
    """
    paths = {file.path for file in shown.files} | {file.old_path for file in shown.files if file.old_path}
    for place in _places(shown, text):
        if place in paths:
            return place
    raise _not_there(shown, text)


def _places(shown: ProposalReply, text: str) -> tuple[str, ...]:
    """What a typed path may mean, relative to the target: as it is shown, or as seen from the current directory."""
    typed = text.removeprefix("./").rstrip("/")
    shown_so = (typed,) if typed not in {"", "."} else ()
    try:
        absolute = os.path.abspath(text)
    except FileNotFoundError:  # the current directory is gone
        return shown_so
    here = (relative_to(absolute, shown.target),) if is_within(absolute, shown.target) else ()
    return (*shown_so, *here)


def _not_there(shown: ProposalReply, text: str) -> NotFoundError:
    return NotFoundError(
        N_("proposal-{number} does not change {path}."),
        hint=N_("See 'lastro proposal show proposal-{number} --names'."),
        number=shown.proposal,
        path=text,
    )
