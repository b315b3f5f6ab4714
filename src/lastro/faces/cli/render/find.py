"""``lastro find``: every path that matched, with the command that brings it back."""

from __future__ import annotations

from lastro.app.requests import Find, FindReply, FoundItem
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain


def found(reply: FindReply, request: Find, context: Context) -> None:
    """See the module."""
    terminal = context.terminal
    if not reply.items:
        terminal.note(_("Nothing is called {name}.", name=request.name))
        return
    for item in reply.items:
        place = plain.place(item.server, item.path)
        if item.deleted_ns is not None:
            place = terminal.style(place, fg="red")
        terminal.line(f"{place}  {_described(item, context)}")
        terminal.line(f"    {plain.restore_command(item.server, item.path, item.snapshot)}")
    if reply.more:
        terminal.note(_("There is more: --limit {limit} shows it.", limit=request.limit * 10))


def _described(item: FoundItem, context: Context) -> str:
    parts = [plain.entry_type(item.type)]
    if item.type == "file":
        parts.append(plain.size(item.size))
    parts.append(ngettext("{count} version", "{count} versions", item.versions))
    if item.deleted_ns is None:
        parts.append(_("last change {age}", age=words.ago(item.time_ns, context)))
    else:
        parts.append(_("deleted {age}", age=words.ago(item.deleted_ns, context)))
    return ", ".join(parts)
