"""``lastro capture``: one line per snapshot, and what could not be kept as it was."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests import Captured, CaptureReply
from lastro.domain.paths import join
from lastro.domain.snapshot import SnapshotWarning, WarningKind
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain
from lastro.messages import N_

WARNINGS: Final = {
    WarningKind.TORN: N_("{path} changed while it was read: its content may mix two states"),
    WarningKind.UNREADABLE: N_("{path} could not be read ({detail}); what was known of it before stands"),
    WarningKind.EXCLUDED: N_("{path} is left out ({detail})"),
}
_SHOWN: Final = 20


def captured(reply: CaptureReply, request: Any, context: Context) -> None:
    """See the module."""
    for snapshot in reply.snapshots:
        context.terminal.line(_line(snapshot, context))
        for warning in snapshot.warnings[:_SHOWN]:
            context.terminal.warn(words.warning(warned(warning, snapshot.path), context))
        if len(snapshot.warnings) > _SHOWN:
            more = len(snapshot.warnings) - _SHOWN
            text = ngettext(
                "and {count} more warning; --json lists all",
                "and {count} more warnings; --json lists all",
                more,
            )
            context.terminal.warn(words.warning(text, context))
    del request


def warned(warning: SnapshotWarning, root: str) -> str:
    """A warning of a snapshot as a sentence."""
    return _(WARNINGS[warning.kind], path=join(root, warning.path), detail=warning.detail)


def _line(snapshot: Captured, context: Context) -> str:
    name = context.terminal.style(plain.snapshot(snapshot.snapshot), fg="yellow")
    place = plain.place(snapshot.server, snapshot.path)
    if snapshot.unchanged:
        return f"{name}  {place}  {_('nothing has changed since')}"
    numbers = snapshot.statistics
    files = ngettext("{count} file", "{count} files", numbers.files)
    changes = f"+{numbers.added} ~{numbers.changed} -{numbers.removed}"
    return f"{name}  {place}  {changes}  {files}, {plain.size(numbers.bytes)}"
