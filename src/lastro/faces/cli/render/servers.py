"""Servers and their roots, for ``lastro server`` and ``lastro status``."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests import RootState, ServerList, ServerState
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.instants import duration
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.messages import N_

LINKS: Final = {
    "connected": (N_("connected"), "green"),
    "connecting": (N_("connecting"), "yellow"),
    "unreachable": (N_("unreachable"), "red"),
    "none": (N_("no node"), None),
    "unknown": (N_("not known while no keeper runs"), None),
}


def servers(reply: ServerList, request: Any, context: Context) -> None:
    """All servers."""
    if not reply.servers:
        context.terminal.note(
            _("No server yet. 'lastro node pair' on a server prints a token for 'lastro server add'.")
        )
    for state in reply.servers:
        server(state, request, context)


def server(state: ServerState, request: Any, context: Context) -> None:
    """One server with its roots."""
    terminal = context.terminal
    word, color = LINKS.get(state.link, (state.link, None))
    parts = [terminal.style(printable(state.name), bold=True), terminal.style(_(word), fg=color)]
    if state.address:
        parts.append(printable(state.address))
    if state.problem:
        parts.append(terminal.style(printable(state.problem), fg="red"))
    terminal.line("  ".join(parts))
    rows = [_root(root, context) for root in state.roots]
    for line in words.columns(rows) if rows else []:
        terminal.line(f"  {line}")
    del request


def _root(root: RootState, context: Context) -> list[str]:
    if not root.last_snapshot:
        return [printable(root.path), "", "", _("not captured yet")]
    numbers = f"{ngettext('{count} file', '{count} files', root.files)}, {words.size(root.bytes)}"
    last = _("{name}, {age}", name=words.snapshot(root.last_snapshot), age=words.ago(root.last_ns, context))
    return [printable(root.path), numbers, last, _state(root, context)]


def _state(root: RootState, context: Context) -> str:
    parts = []
    if not root.watched:
        parts.append(_("not watched"))
    elif root.pending:
        parts.append(
            _(
                "{changes} not kept yet, for {duration}",
                changes=ngettext("{count} change", "{count} changes", root.pending),
                duration=duration(root.rpo_ns),
            )
        )
    elif root.checked_ns:
        parts.append(_("up to date, checked {age}", age=words.ago(root.checked_ns, context)))
    if root.warnings:
        parts.append(ngettext("{count} warning", "{count} warnings", root.warnings))
    return ", ".join(parts)
