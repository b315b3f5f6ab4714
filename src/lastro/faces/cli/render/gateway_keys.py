"""``lastro gateway keys``."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests.gateway import KeyAdded, KeyList, KeyState
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.wording import gateway_words
from lastro.messages import N_

STATES: Final = {
    "valid": (N_("valid"), "green"),
    "expired": (N_("expired"), "yellow"),
    "revoked": (N_("revoked"), "red"),
}


def keys(reply: KeyList, request: Any, context: Context) -> None:
    """One key a line."""
    if not reply.keys:
        context.terminal.note(_("No key yet. Give one out: lastro gateway keys add NAME"))
        return
    for line in words.columns([_row(key, context) for key in reply.keys]):
        context.terminal.line(line)
    del request


def key(reply: KeyState, request: Any, context: Context) -> None:
    """One key."""
    context.terminal.line(words.columns([_row(reply, context)])[0])
    del request


def added(reply: KeyAdded, request: Any, context: Context) -> None:
    """A new key: its text alone on standard output."""
    context.terminal.line(reply.text)
    context.terminal.note(words.columns([_row(reply.key, context)])[0])
    context.terminal.note(_("This is the only time that the key is shown."))
    del request


def _row(key: KeyState, context: Context) -> list[str]:
    word, color = STATES[key.state]
    limits = []
    if key.cost_limit is not None:
        limits.append(_("at most {money}", money=gateway_words.money(key.cost_limit)))
    if key.day_cost_limit is not None:
        limits.append(_("at most {money} a day", money=gateway_words.money(key.day_cost_limit)))
    if key.token_limit is not None:
        limits.append(_("at most {tokens} tokens", tokens=gateway_words.tokens(key.token_limit)))
    if key.models:
        limits.append(", ".join(map(printable, key.models)))
    if key.expires_ns is not None:
        limits.append(_("until {time}", time=words.moment(key.expires_ns, context)))
    return [
        key.id,
        printable(key.name),
        context.terminal.style(_(word), fg=color),
        printable(key.role or key.run),
        "; ".join(limits),
    ]
