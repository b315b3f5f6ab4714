"""``lastro gateway routes`` and ``lastro gateway env``."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests.gateway import EnvironmentReply, RouteExplained, RouteList
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import sentence
from lastro.faces.wording.shell import command
from lastro.messages import N_

REASONS: Final = {
    "chosen": N_("may answer"),
    "unknown_provider": N_("its provider is not configured"),
    "disabled": N_("its provider is disabled"),
    "circuit_open": N_("left alone after failures"),
    "full": N_("has as many calls as it may"),
    "context": N_("the conversation is too long for it"),
    "tools": N_("calls no tools"),
    "images": N_("sees no pictures"),
    "no_key": N_("its provider's key is not there"),
    "not_pulled": N_("its weights are not here"),
    "network_down": N_("the network is down"),
    "not_allowed": N_("this key may not use it"),
}


def explained(reply: RouteExplained, request: Any, context: Context) -> None:
    """The route, and how each model fared."""
    words.warn_of(reply.problems, context)
    terminal = context.terminal
    for passed in reply.passed:
        name, _separator, condition = passed.partition(": ")
        terminal.line(
            _(
                "route {name} is not taken: {condition} does not hold",
                name=printable(name),
                condition=printable(condition),
            )
        )
    terminal.line(
        terminal.style(
            _("route {name}, for {kind}", name=printable(reply.route), kind=printable(reply.kind)), bold=True
        )
    )
    rows = []
    for choice in reply.choices:
        place = f"{choice.place}." if choice.place else "-"
        reason = _(REASONS[choice.reason]) if choice.reason in REASONS else printable(choice.reason)
        if choice.degraded:
            reason = _("stands in, because the network is down")
        detail = f"({printable(choice.detail)})" if choice.detail else ""
        rows.append(
            [place, printable(choice.model), printable(choice.dialect), f"{reason} {detail}".rstrip()]
        )
    for line in words.columns(rows) if rows else [_("no model may answer")]:
        terminal.line(f"  {line}")
    if not reply.choices:
        terminal.note(
            _(
                "No model is known. 'lastro gateway providers test' asks providers for theirs, 'lastro gateway models pull' brings one."
            )
        )
    settings = [
        _("secrets are replaced") if reply.redaction else _("secrets are sent as they are"),
        _("recorded") if reply.recording else _("not recorded"),
        _("origin in the answer too") if reply.origin == "explicit" else _("origin in headers"),
    ]
    terminal.line(f"  {', '.join(settings)}")
    if not reply.live:
        terminal.note(_("No gateway runs, so failures of providers are not looked at."))
    del request


def routes(reply: RouteList, request: Any, context: Context) -> None:
    """The routes in their order."""
    rows = [
        [
            context.terminal.style(printable(route.name), bold=True),
            printable(route.match) or _("everything else"),
            ", ".join(map(printable, route.models)) or _("all there are"),
        ]
        for route in reply.routes
    ]
    for line in words.columns(rows):
        context.terminal.line(line)
    context.terminal.note(_("They stand in {path}.", path=printable(reply.path)))
    if reply.problem:
        context.terminal.warn(words.warning(printable(reply.problem), context))
    del request


def environment(reply: EnvironmentReply, request: Any, context: Context) -> None:
    """Variables as a shell takes them, then files, then how to call the tool."""
    terminal = context.terminal
    for name, value in reply.variables.items():
        terminal.line(f"export {name}={command(value)}")
    for file in reply.files:
        if file.written:
            terminal.note(_("written: {path}", path=printable(file.path)))
            if file.backup:
                terminal.note(_("what was there: {path}", path=printable(file.backup)))
            continue
        terminal.line(f"# {printable(file.path)}")
        for line in file.content.splitlines():
            terminal.line(printable(line))
    for note in reply.notes:
        terminal.note(sentence(note.msgid, note.parameters))
    if reply.command:
        terminal.note(_("Call it so: {command}", command=printable(reply.command)))
    if any(not file.written for file in reply.files):
        terminal.note(_("--write puts it there, with a copy of what was."))
    del request
