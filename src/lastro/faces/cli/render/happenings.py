"""``lastro events``: newest first, one line for each thing that happened. ``lastro audit head``: the newest record."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.happenings import Events, EventsReply, HeadReply
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.events import TerminalSpeaker
from lastro.faces.translation import gettext as _
from lastro.faces.wording.events import said_of


def events(reply: EventsReply, request: Events, context: Context) -> None:
    """See the module."""
    terminal, speaker = context.terminal, TerminalSpeaker(context)
    if not reply.events:
        terminal.note(_("Nothing of that has happened."))
        return
    heads = words.columns(
        [[words.moment(one.time_ns, context), f"{printable(one.actor)} "] for one in reply.events]
    )
    width = max(map(words.width_of, heads))
    for one, head in zip(reply.events, heads, strict=True):
        text = " ".join(said_of(one.kind, one.parameters, speaker).split("\n"))
        terminal.line(f"{head}{' ' * (width - words.width_of(head))}  {text}".rstrip())
    if reply.more:
        terminal.note(_("There is older: --before {seq} shows it.", seq=reply.events[-1].seq))
    del request


def head(reply: HeadReply, request: Any, context: Context) -> None:
    """The newest record and its id."""
    if reply.seq < 0:
        context.terminal.note(_("Nothing has been recorded yet."))
        return
    context.terminal.line(f"{reply.seq}  {reply.id}")
    context.terminal.note(_("Keep this elsewhere: nothing up to this record can be changed unnoticed then."))
    del request
