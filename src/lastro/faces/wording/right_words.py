"""Rights in words: what a human may be let do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.app.permissions import Right
from lastro.faces.translation import gettext as _
from lastro.messages import N_

_RIGHTS: Final[Mapping[str, tuple[str, str]]] = {
    Right.LOOK: (N_("look"), N_("See everything that is kept and asked: names, contents, proposals, runs.")),
    Right.DECIDE: (
        N_("decide"),
        N_("Approve, reject, comment and edit proposals, and take back what was applied."),
    ),
    Right.OPERATE: (N_("operate"), N_("Start and stop runs, capture, set a project up.")),
    Right.RESTORE: (N_("restore"), N_("Write something of the history to a live place.")),
    Right.AUDIT: (N_("audit"), N_("Verify the log and the repository.")),
    Right.ADMINISTER: (N_("administer"), N_("Users, servers, providers, keys, settings.")),
}


def right(code: str) -> str:
    """The word for a right."""
    return _(_RIGHTS[code][0]) if code in _RIGHTS else code


def explained(code: str) -> str:
    """What a right lets somebody do; empty for one that is not known."""
    return _(_RIGHTS[code][1]) if code in _RIGHTS else ""
