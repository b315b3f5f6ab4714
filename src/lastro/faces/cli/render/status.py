"""``lastro status``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests import StatusReply
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.servers import server
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain
from lastro.faces.wording.shell import quote


def status(reply: StatusReply, request: Any, context: Context) -> None:
    """How everything is; what to do where something is not."""
    terminal = context.terminal
    running = (
        terminal.style(_("running"), fg="green")
        if reply.keeper
        else terminal.style(_("not running"), fg="yellow")
    )
    kept = ngettext("{count} snapshot", "{count} snapshots", reply.snapshots)
    rows = [
        ["Lastro", printable(reply.version)],
        [_("home"), printable(reply.home)],
        [_("keeper"), running],
        [_("repository"), f"{kept}, {plain.size(reply.bytes)}"],
    ]
    for line in words.columns(rows):
        terminal.line(line)
    for state in reply.servers:
        terminal.line()
        server(state, request, context)
    if reply.damaged and reply.keeper:
        objects = ", ".join(map(printable, reply.damaged))
        terminal.warn(
            _("The repository is damaged in {objects}. See 'lastro repo check --read-data'.", objects=objects)
        )
    if reply.exposed_key:
        terminal.warn(_("Others may read the key file: chmod 600 {path}", path=quote(reply.exposed_key)))
    if not reply.keeper:
        terminal.note(
            _("Nothing is watched while no keeper runs. Start it with 'lastro up' or 'lastro keeper serve'.")
        )
    if reply.recovery_kit:
        terminal.note(
            _(
                "The recovery kit still lies in {path}. Print it or move it to another machine.",
                path=reply.recovery_kit,
            )
        )
