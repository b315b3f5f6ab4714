"""What a page says after something was done: codes in the address, sentences here. So no link makes a page say anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.faces.translation import gettext as _
from lastro.messages import N_

_NOTICES: Final[Mapping[str, str]] = {
    "approved": N_("Approved and applied. It can be undone from here, at any time."),
    "waiting": N_("Your approval is recorded; others still have to give theirs."),
    "rejected": N_("Rejected. Its content stays in the history."),
    "sent_back": N_("Sent back with your comments."),
    "edited": N_("A new revision stands. Earlier approvals were for another content, and fell."),
    "kept": N_("The comment is kept here until you send it."),
    "forgotten": N_("Forgotten."),
    "unchanged": N_("Nothing was changed, so the revision stays."),
    "nothing_left": N_("Nothing of it is left to be taken back."),
    "undone": N_("Taken back. That can be undone, too."),
    "restored": N_("Restored. A snapshot of what was there before was taken, so this can be undone."),
    "saved": N_("Saved."),
    "paired": N_("Paired. Everything that changes on it is kept from now on."),
    "removed": N_("Removed."),
    "enrolled": N_("They may sign in now."),
    "passkey_added": N_("The passkey is yours now: it signs in and approves."),
    "signed_out": N_("Signed out."),
    "tested": N_("Sent. It should arrive in a moment."),
    "started": N_("Started."),
    "job_cancelled": N_("It ends as soon as it can; what it did stays."),
    "job_over": N_("It was over already."),
    "stopping": N_("It is being ended; its work is kept."),
}


def notice_of(code: str) -> str:
    """The sentence for a code; empty for one that is none."""
    return _(_NOTICES[code]) if code in _NOTICES else ""
