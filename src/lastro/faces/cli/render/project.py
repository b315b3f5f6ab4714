"""``lastro project``: what was made, and what was there."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.policy import ProjectMade
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.translation import gettext as _


def made(reply: ProjectMade, request: Any, context: Context) -> None:
    """One line for each file."""
    terminal = context.terminal
    mark = terminal.style("+", fg="green")
    for path in reply.made:
        terminal.line(f"{mark} {printable(path)}")
    for path in reply.kept:
        terminal.line(f"  {printable(path)}  {terminal.style(_('is there, and stays'), dim=True)}")
    if reply.plan:
        terminal.note(_("Nothing was written; this is only the plan."))
    elif reply.made:
        terminal.note(_("They are yours to change. 'lastro policy check' says whether they are sound."))
    del request
