"""``lastro node init`` and ``lastro node roots``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests import NodeInitialized, Roots
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _


def initialized(reply: NodeInitialized, request: Any, context: Context) -> None:
    """The node, and what it watches."""
    rows = [
        [_("node"), printable(reply.name)],
        [_("device"), printable(reply.device)],
        [_("configuration"), printable(reply.config)],
        *([_("watches"), printable(root)] for root in reply.roots),
    ]
    for line in words.columns(rows):
        context.terminal.line(line)
    context.terminal.note(_("Next: 'lastro node serve', and 'lastro node pair' in another terminal."))
    del request


def roots(reply: Roots, request: Any, context: Context) -> None:
    """One root per line."""
    for root in reply.roots:
        context.terminal.line(printable(root))
    if not reply.roots:
        context.terminal.note(_("The node watches nothing. Add a directory: lastro node roots add DIRECTORY"))
    for path in reply.unchanged:
        context.terminal.note(_("{path} was already so.", path=path))
    for path in reply.nested:
        context.terminal.note(
            _("{path} lies in another root, so what is in it is captured twice.", path=path)
        )
    del request
