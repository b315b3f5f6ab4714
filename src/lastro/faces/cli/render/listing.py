"""``lastro ls``: one line per name: its mode, owner, size, last change, and what that came from."""

from __future__ import annotations

from lastro.app.requests.listing import ListedEntry, Listing, ListPlace
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.wording import plain
from lastro.faces.wording.causes import cause_text


def listing(reply: Listing, _request: ListPlace, context: Context) -> None:
    """See the module."""
    terminal = context.terminal
    terminal.note(
        _(
            "{place} as {name} of {time} has it:",
            place=plain.place(reply.server, reply.path),
            name=plain.snapshot(reply.snapshot),
            time=words.moment(reply.time_ns, context),
        )
    )
    is_directory = reply.itself.entry.type is EntryType.DIRECTORY
    items = reply.items if is_directory else (reply.itself,)
    if not items:
        terminal.note(_("Nothing is in it."))
        return
    rows = [_row(item, "" if is_directory else reply.path, context) for item in items]
    for item, line in zip(items, words.columns(rows, right=frozenset({2})), strict=True):
        terminal.line(terminal.style(line, fg="red") if item.deleted else line)
    if reply.more:
        last = printable(reply.items[-1].entry.path)
        terminal.note(_("There is more: --after {name} shows it.", name=last))


def _row(item: ListedEntry, path: str, context: Context) -> list[str]:
    entry = item.entry
    changed = words.moment(item.changed_ns, context) if item.changed_ns else "-"
    cause = cause_text(item.cause) if item.cause else "-"
    if item.deleted:
        return [_("deleted"), "-", _size(entry), changed, cause, printable(entry.path)]
    return [
        f"{plain.entry_type(entry.type.value)} {entry.mode:04o}",
        plain.owner(entry),
        _size(entry),
        changed,
        cause,
        _name(entry, path),
    ]


def _size(entry: Entry) -> str:
    return plain.size(entry.size) if entry.type is EntryType.FILE else "-"


def _name(entry: Entry, path: str) -> str:
    name = printable(path or entry.path)
    if entry.link_target is not None:
        return f"{name} -> {printable(entry.link_target)}"
    return f"{name}/" if entry.type is EntryType.DIRECTORY else name
