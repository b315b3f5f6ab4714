"""``lastro init``, ``lastro repo check``, ``lastro repo stats``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests import Check, CheckReply, Initialized, RepositoryStatistics
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain


def initialized(reply: Initialized, request: Any, context: Context) -> None:
    """Where everything is, and what to do with the recovery kit."""
    rows = [
        [_("repository"), printable(reply.path)],
        [_("key file"), printable(reply.key_file)],
        [_("recovery kit"), printable(reply.recovery_kit)],
    ]
    for line in words.columns(rows):
        context.terminal.line(line)
    context.terminal.note(
        _(
            "Print the recovery kit or move it to another machine: whoever has it can read everything,"
            " and without it and the key file nobody can."
        )
    )
    del request


def checked(reply: CheckReply, request: Check, context: Context) -> None:
    """What was looked at, and what was found."""
    terminal = context.terminal
    looked = [
        ngettext("{count} record", "{count} records", reply.records),
        ngettext("{count} pack", "{count} packs", reply.packs),
        ngettext("{count} chunk", "{count} chunks", reply.chunks),
        plain.size(reply.bytes),
    ]
    for finding in reply.findings:
        terminal.line(f"{finding.code}  {printable(finding.object)}  {printable(finding.detail)}".rstrip())
        for path in finding.paths:
            terminal.line(f"    {printable(path)}")
        if finding.snapshots:
            terminal.line("    " + " ".join(plain.snapshot(number) for number in finding.snapshots))
    if reply.sound:
        terminal.line(terminal.style(_("sound"), fg="green", bold=True) + ": " + ", ".join(looked))
        if not request.read_data:
            terminal.note(_("The structure was checked; --read-data also reads and verifies every byte."))
    else:
        terminal.line(terminal.style(_("damaged"), fg="red", bold=True) + ": " + ", ".join(looked))


def statistics(reply: RepositoryStatistics, request: Any, context: Context) -> None:
    """Sizes, one per line."""
    rows = [
        [_("repository"), reply.repository],
        [_("place"), printable(reply.path)],
        [_("size"), plain.size(reply.bytes)],
        [_("snapshots"), str(reply.snapshots)],
        [_("records"), str(reply.records)],
        [_("packs"), str(reply.packs)],
        [_("chunks"), str(reply.chunks)],
    ]
    for line in words.columns(rows):
        context.terminal.line(line)
    del request
