"""Servers and their roots, for ``lastro server`` and ``lastro status``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests import RootState, ServerList, ServerState
from lastro.app.requests.health import Finding, HealthReply, RootHealth
from lastro.domain.paths import printable
from lastro.domain.telemetry import Sample
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import health_words, plain
from lastro.faces.wording.instants import duration


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
    word, color = health_words.LINKS.get(state.link, (state.link, None))
    parts = [terminal.style(printable(state.name), bold=True), terminal.style(_(word), fg=color)]
    if state.address:
        parts.append(printable(state.address))
    if state.problem:
        parts.append(terminal.style(printable(state.problem), fg="red"))
    terminal.line("  ".join(parts))
    rows = [_root(root, context) for root in state.roots]
    for line in words.columns(rows) if rows else []:
        terminal.line(f"  {line}")
    for finding in filter(health_words.adds_to_list, state.findings):
        _say(finding, context)
    del request


def health(reply: HealthReply, request: Any, context: Context) -> None:
    """How servers are: what is kept until when, what is wrong, and how the machine does."""
    del request
    terminal = context.terminal
    if not reply.servers:
        terminal.note(
            _("No server yet. 'lastro node pair' on a server prints a token for 'lastro server add'.")
        )
    for one in reply.servers:
        word, color = health_words.LEVELS[one.level]
        link, link_color = health_words.LINKS.get(one.link, (one.link, None))
        parts = [terminal.style(printable(one.name), bold=True), terminal.style(_(word), fg=color)]
        terminal.line("  ".join([*parts, terminal.style(_(link), fg=link_color)]))
        for line in words.columns([_rows_of_root(root, context) for root in one.roots]) if one.roots else []:
            terminal.line(f"  {line}")
        if one.newest is not None:
            terminal.line(f"  {machine(one.newest, context)}")
        for finding in one.findings:
            _say(finding, context)
    if reply.keeper is not None:
        use = reply.keeper
        terminal.note(
            _(
                "The keeper uses {cpu} of a processor and {memory}; {free} are free where its repository lies.",
                cpu=health_words.share(use.cpu),
                memory=plain.size(use.memory),
                free=plain.size(use.disk.free),
            )
        )


def machine(sample: Sample, context: Context) -> str:
    """One measurement."""
    parts = [
        _("processors {share}", share=health_words.share(sample.cpu)),
        _("load {load}", load=health_words.thousandths(sample.load)),
        _(
            "memory {share} of {size}",
            share=health_words.share(sample.memory_share),
            size=plain.size(sample.memory_total),
        ),
        _(
            "the node {share} and {memory}",
            share=health_words.share(sample.own_cpu),
            memory=plain.size(sample.own_memory),
        ),
        words.ago(sample.time_ns, context),
    ]
    return " · ".join(parts)


def _rows_of_root(root: RootHealth, context: Context) -> list[str]:
    if not root.watched:
        kept = _("not watched")
    elif not root.good_ns:
        kept = _("not captured yet")
    else:
        kept = _("all kept until {age}", age=words.ago(root.good_ns, context))
    disk = root.disk
    room = (
        _("{free} of {total} free", free=plain.size(disk.free), total=plain.size(disk.total)) if disk else ""
    )
    full = _("full in {length}", length=duration(root.full_in_ns)) if root.full_in_ns is not None else ""
    return [printable(root.path), kept, room, full]


def _say(finding: Finding, context: Context) -> None:
    terminal, color = context.terminal, health_words.LEVELS[finding.level][1]
    terminal.line(f"  {terminal.style('!', fg=color, bold=True)} {health_words.said(finding.said)}")


def _root(root: RootState, context: Context) -> list[str]:
    if not root.last_snapshot:
        return [printable(root.path), "", "", _("not captured yet")]
    numbers = f"{ngettext('{count} file', '{count} files', root.files)}, {plain.size(root.bytes)}"
    last = _("{name}, {age}", name=plain.snapshot(root.last_snapshot), age=words.ago(root.last_ns, context))
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
