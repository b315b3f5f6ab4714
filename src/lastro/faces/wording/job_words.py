"""The words of jobs: names, states, phases, and how long one may still take."""

from __future__ import annotations

from typing import Final

from lastro.domain.paths import printable
from lastro.domain.progress import Progress
from lastro.faces.translation import gettext as _
from lastro.faces.wording.instants import duration
from lastro.faces.wording.progress_words import PHASES
from lastro.messages import N_

JOB_STATES: Final = {
    "queued": (N_("queued"), "yellow"),
    "running": (N_("running"), "cyan"),
    "done": (N_("done"), "green"),
    "failed": (N_("failed"), "red"),
    "cancelled": (N_("cancelled"), "yellow"),
    "interrupted": (N_("interrupted"), "red"),
}


def job(number: int) -> str:
    """The name of a job."""
    return f"job-{number}"


def phase(code: str) -> str:
    """What goes on, for a code of ``Progress.phase``."""
    return _(PHASES[code]) if code in PHASES else printable(code)


def percent(progress: Progress) -> int | None:
    """How far it is, by its bytes where it knows them all, else by its files; ``None`` where nobody knows."""
    for done, total in ((progress.bytes, progress.total_bytes), (progress.files, progress.total_files)):
        if total:
            return min(100, max(0, 100 * done // total))
    return None


def left(elapsed_ns: int, usual_ns: tuple[int, int]) -> str:
    """How long it may still take, as jobs of its kind took before; empty where nobody knows, or it takes longer than any did."""
    shortest, longest = (max(0, one - elapsed_ns) for one in usual_ns)
    if not longest:
        return ""
    least, most = duration(shortest), duration(longest)
    if least == most or not shortest:
        return _("at most {time} more", time=most)
    return _("{least} to {most} more", least=least, most=most)
