"""``Desk``: what CALLER operations work with. They run in the process of whoever asked, with that user's rights and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lastro.app.caller import Caller
from lastro.app.events import Event
from lastro.app.places import Places
from lastro.apply.destination import Destination
from lastro.capture.source import Source
from lastro.domain.clock import Clock
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything a CALLER operation may touch."""

    places: Places
    caller: Caller
    clock: Clock
    actor: Actor
    local_source: Callable[[str], Source]
    """A source over one directory of this machine, with the caller's rights."""
    destination: Callable[[str], Destination]
    """A directory of this machine to apply to, with the caller's rights."""
    report: Report = silent
    tell: Callable[[Event], None] = lambda _: None
    """Takes what happens while an operation goes on, for whoever watches it: quick, never raises, from any thread."""
    ticket: str = ""
    """Of the job that is carried out at this desk: what shows the keeper on whose behalf."""
    records: bool = True
    """Whether what is done here is captured and recorded. Not inside a run: its own two snapshots hold all that happens in it."""
