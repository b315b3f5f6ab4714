"""Progress of long work in words."""

from __future__ import annotations

from typing import Final

from lastro.domain.paths import printable
from lastro.domain.progress import Progress
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording.plain import size
from lastro.faces.wording.widths import shortened
from lastro.messages import N_

PHASES: Final = {
    "capture": N_("Capturing"),
    "trees": N_("Checking directories"),
    "packs": N_("Checking packs"),
}


def describe(progress: Progress) -> str:
    """``Reading: 120 of 2 000 files, 3.2 MB``, and what is being looked at."""
    phase = _(PHASES[progress.phase]) if progress.phase in PHASES else progress.phase
    if progress.total_files is None:
        files = ngettext("{count} file", "{count} files", progress.files)
    else:
        files = _("{done} of {total} files", done=progress.files, total=progress.total_files)
    amount = size(progress.bytes)
    if progress.total_bytes is not None:
        amount = _("{done} of {total}", done=amount, total=size(progress.total_bytes))
    path = f"  {shortened(printable(progress.path), 60)}" if progress.path else ""
    return f"{phase}: {files}, {amount}{path}"
