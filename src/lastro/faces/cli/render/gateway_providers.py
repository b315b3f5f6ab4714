"""``lastro gateway providers`` and ``lastro gateway status``."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests.gateway import GatewayStatus, ProviderList, ProviderRemoved, ProviderState
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext, sentence
from lastro.faces.wording import gateway_words
from lastro.faces.wording.instants import duration
from lastro.messages import N_

KEYS: Final = {
    "none": N_("no key"),
    "environment": N_("key from the variable {where}"),
    "file": N_("key from the file {where}"),
    "command": N_("key from the command {where}"),
    "stored": N_("key stored here, encrypted"),
}

CIRCUITS: Final = {
    "closed": (N_("in use"), "green"),
    "open": (N_("left alone after failures"), "red"),
    "half_open": (N_("being tried again"), "yellow"),
}

TOOLS: Final = {"yes": N_("calls tools"), "no": N_("calls no tools"), "unknown": ""}


def providers(reply: ProviderList, request: Any, context: Context) -> None:
    """All providers."""
    words.warn_of(reply.problems, context)
    for state in reply.providers:
        provider(state, request, context)
    if all(state.kind == "offline" for state in reply.providers):
        context.terminal.note(
            _(
                "Only the offline model so far. Add a provider: lastro gateway providers add openai --key-stdin"
            )
        )


def provider(state: ProviderState, request: Any, context: Context) -> None:
    """One provider: where it is, its key, what a probe found."""
    terminal = context.terminal
    head = [terminal.style(printable(state.name), bold=True), printable(state.base_url)]
    if state.circuit in CIRCUITS:
        word, color = CIRCUITS[state.circuit]
        head.append(terminal.style(_(word), fg=color))
    if not state.enabled:
        head.append(_("disabled"))
    terminal.line("  ".join(filter(None, head)))
    if state.kind != "offline":
        terminal.line(f"  {_key(state, context)}")
    terminal.line(f"  {_known(state, context)}")
    if state.problem is not None:
        problem = sentence(state.problem.msgid, state.problem.parameters)
        terminal.line(f"  {terminal.style(problem, fg='red')}")
        if state.problem.hint:
            terminal.line(f"  {sentence(state.problem.hint, state.problem.parameters)}")
    for note in state.notes:
        terminal.line(f"  {sentence(note.msgid, note.parameters)}")
    del request


def _key(state: ProviderState, context: Context) -> str:
    key = _(KEYS[state.key], where=printable(state.key_where))
    return (
        context.terminal.style(_("{key}: not there", key=key), fg="red") if state.key_there is False else key
    )


def _known(state: ProviderState, context: Context) -> str:
    known = [_("speaks {dialects}", dialects=printable(", ".join(state.dialects)))]
    if state.models:
        known.append(ngettext("{count} model", "{count} models", state.models))
    if state.context:
        known.append(_("context up to {tokens}", tokens=gateway_words.tokens(state.context)))
    if TOOLS.get(state.tools):
        known.append(_(TOOLS[state.tools]))
    if state.probed_ns is not None:
        known.append(_("tested {age}", age=words.ago(state.probed_ns, context)))
    elif state.kind != "offline":
        known.append(_("not tested yet"))
    return ", ".join(known)


def removed(reply: ProviderRemoved, request: Any, context: Context) -> None:
    """A provider is gone."""
    context.terminal.line(_("{name} is configured no more.", name=printable(reply.name)))
    if reply.key_removed:
        context.terminal.line(_("Its stored key was removed too."))
    del request


def status(reply: GatewayStatus, request: Any, context: Context) -> None:
    """How the gateway is."""
    terminal = context.terminal
    if reply.running:
        word = terminal.style(_("running"), fg="green")
        up = _("for {duration}", duration=duration(reply.uptime_ns))
        terminal.line(f"{word}  {up}  {_('process {pid}', pid=reply.pid)}")
    else:
        terminal.line(terminal.style(_("not running"), fg="yellow"))
        terminal.note(_("Start it with 'lastro gateway serve', or 'lastro up'."))
    rows = [
        [_("address"), printable(reply.address)],
        [_("socket"), printable(reply.socket)],
        [_("providers"), str(reply.providers)],
        [_("models"), str(reply.models)],
        [_("offline models"), str(reply.offline_models)],
    ]
    if reply.running:
        rows.append([_("calls now"), str(reply.in_flight)])
    for name, state in sorted(reply.circuits.items()):
        if state != "closed":
            rows.append([printable(name), _(CIRCUITS[state][0]) if state in CIRCUITS else printable(state)])
    for line in words.columns(rows):
        terminal.line(line)
    if reply.problem:
        terminal.warn(words.warning(printable(reply.problem), context))
    del request
