"""``lastro diff``: git-like; what is no content is said in words.

Hunks show every control character as such, so the content of a file cannot steer the terminal.
"""

from __future__ import annotations

from typing import Final

from lastro.app.requests import Diff, Difference, FileDifference, SideOfDiff
from lastro.domain.changes import ChangeKind
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.changes import SIGNS, in_words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain

_COLORS: Final = {"+": "green", "-": "red", "@": "cyan"}


def difference(reply: Difference, request: Diff, context: Context) -> None:
    """See the module."""
    terminal = context.terminal
    terminal.note(_("from  {side}", side=_side(reply.before, context)))
    terminal.note(_("to    {side}", side=_side(reply.after, context)))
    if not reply.files:
        terminal.note(_("No difference."))
        return
    for file in reply.files:
        _file(file, context)
    terminal.note(ngettext("{count} path differs.", "{count} paths differ.", len(reply.files)))
    del request


def _side(side: SideOfDiff, context: Context) -> str:
    place = plain.place(side.server, side.path)
    if side.live:
        return _("{place}, live", place=place)
    if not side.snapshot:
        return _("{place}, before its first snapshot", place=place)
    when, ago = words.moment(side.time_ns, context), words.ago(side.time_ns, context)
    return _(
        "{place}, {name} of {time} ({age})",
        place=place,
        name=plain.snapshot(side.snapshot),
        time=when,
        age=ago,
    )


def _file(file: FileDifference, context: Context) -> None:
    terminal = context.terminal
    sign, color = SIGNS[ChangeKind(file.kind)]
    path = printable(file.path) or "."
    said = in_words(file.before, file.after)
    terminal.line(terminal.style(f"{sign} {path}", fg=color, bold=True) + (f"  ({said})" if said else ""))
    if file.binary and file.kind == ChangeKind.CHANGED:
        terminal.line(_("  The content is not text, or too long to show."))
    for line in file.patch.split("\n")[: -1 if file.patch.endswith("\n") else None] if file.patch else ():
        terminal.line(terminal.style(visible(line), fg=_COLORS.get(line[:1])))


def visible(line: str) -> str:
    """A line of a file with its control characters shown; tabs stay."""
    return "\t".join(printable(part) for part in line.split("\t"))
