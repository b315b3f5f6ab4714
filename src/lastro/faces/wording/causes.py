"""What a change came from, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.app.requests.listing import Cause
from lastro.domain.paths import printable
from lastro.faces.translation import gettext as _
from lastro.messages import N_

CAUSES: Final[Mapping[str, str]] = {
    "first": N_("there when first looked"),
    "restore": N_("restored"),
    "undo": N_("undone"),
    "proposal": N_("approved"),
    "unknown": N_("not through Lastro"),
}


def cause_text(cause: Cause) -> str:
    """``approved, proposal-9 of run-42, by ana``; without links."""
    parts = [_(CAUSES[cause.kind]) if cause.kind in CAUSES else printable(cause.kind)]
    if cause.proposal and cause.run:
        parts.append(_("{proposal} of {run}", proposal=f"proposal-{cause.proposal}", run=f"run-{cause.run}"))
    elif cause.proposal:
        parts.append(f"proposal-{cause.proposal}")
    elif cause.apply:
        parts.append(f"apply-{cause.apply}")
    if cause.actor:
        parts.append(_("by {name}", name=printable(cause.actor)))
    return ", ".join(parts)
