"""``lastro log``: newest first, one line per version, snapshot or apply."""

from __future__ import annotations

from lastro.app.requests import Log, LogItem, LogReply
from lastro.domain.paths import is_within, printable, relative_to
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain
from lastro.faces.wording.history_words import APPLIES, OPERATIONS, OUTCOMES, REASONS


def log(reply: LogReply, request: Log, context: Context) -> None:
    """See the module."""
    terminal = context.terminal
    if not reply.items:
        terminal.note(_nothing(reply, request))
        return
    rows = [_row(item, reply.path, context) for item in reply.items]
    named = len({item.path for item in reply.items}) > 1 or not reply.path
    if not named:
        rows = [[row[0], row[1], row[2], row[4], row[5]] for row in rows]
        terminal.note(plain.place(reply.items[0].server, reply.path))
    lines = words.columns(rows)
    for item, line in zip(reply.items, lines, strict=True):
        terminal.line(_colored(item, words.shortened(line, terminal.width), context))
    if reply.more:
        terminal.note(_("There is more: --limit {limit} shows it.", limit=request.limit * 10))


def _nothing(reply: LogReply, request: Log) -> str:
    if request.reference is None:
        return _("Nothing has been kept yet.")
    place = plain.place(request.reference.server, reply.path)
    if request.reference.at is not None:
        return _("Nothing of {place} had been kept by then.", place=place)
    return _("Nothing of {place} has ever been kept.", place=place)


def _row(item: LogItem, base: str, context: Context) -> list[str]:
    name = plain.apply(item.number) if item.kind == "apply" else plain.snapshot(item.number)
    when, ago = words.moment(item.time_ns, context), words.ago(item.time_ns, context)
    where = plain.place(item.server, item.path)
    if item.kind == "version":
        return [name, when, ago, where, _(OPERATIONS[item.operation][0]), _version_text(item)]
    if item.kind == "apply":
        return [
            name,
            when,
            ago,
            where,
            _(APPLIES[item.reason]) if item.reason in APPLIES else item.reason,
            _apply_text(item, base),
        ]
    return [
        name,
        when,
        ago,
        where,
        f"+{item.added} ~{item.changed} -{item.removed}",
        _snapshot_text(item, base),
    ]


def _version_text(item: LogItem) -> str:
    parts = []
    if item.operation != "removed" and item.size is not None:
        parts.append(plain.size(item.size))
    if item.digest and item.operation != "removed":
        parts.append(item.digest[:12])
    if item.torn:
        parts.append(_("changed while it was read"))
    return "  ".join(parts)


def _snapshot_text(item: LogItem, base: str) -> str:
    total = item.added + item.changed + item.removed
    parts = [_paths(item, total, base)] if item.paths and item.reason != "first" else []
    if item.reason in REASONS:
        parts.append(f"({_(REASONS[item.reason])})")
    if item.warnings:
        parts.append(ngettext("{count} warning", "{count} warnings", item.warnings))
    return "  ".join(part for part in parts if part)


def _apply_text(item: LogItem, base: str) -> str:
    parts = [_paths(item, item.changed, base)]
    if item.operation in OUTCOMES:
        parts.append(_(OUTCOMES[item.operation]))
    return "  ".join(part for part in parts if part)


def _paths(item: LogItem, total: int, base: str) -> str:
    """The first few paths, as seen from where one looks."""
    start = base or item.path
    names = [relative_to(path, start) or "." if is_within(path, start) else path for path in item.paths]
    shown = ", ".join(printable(name) for name in names)
    more = total - len(names)
    return f"{shown} {ngettext('and {count} more', 'and {count} more', more)}" if more > 0 else shown


def _colored(item: LogItem, line: str, context: Context) -> str:
    name, space, rest = line.partition(" ")
    color = "magenta" if item.kind == "apply" else "yellow"
    if item.kind == "version" and item.operation == "removed":
        rest = context.terminal.style(rest, fg="red")
    return context.terminal.style(name, fg=color) + space + rest
