"""``lastro login``, ``invite``, ``session`` and ``token``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.accounts import OneTimeLink, SessionsReply, TokenAdded, TokenItem, TokensReply
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.wording.account_words import MEANS, browser_name


def link(reply: OneTimeLink, request: Any, context: Context) -> None:
    """The address alone on standard output."""
    context.terminal.line(reply.url)
    context.terminal.note(
        _("Open it in a browser. It is good once, until {time}.", time=words.moment(reply.ends_ns, context))
    )
    del request


def sessions(reply: SessionsReply, request: Any, context: Context) -> None:
    """One browser a line."""
    if not reply.sessions:
        context.terminal.note(_("No browser is signed in. Sign in: lastro login"))
    rows = [
        [
            one.id,
            printable(one.human),
            _(MEANS.get(one.means, one.means)),
            printable(one.address),
            printable(browser_name(one.browser)),
            words.ago(one.seen_ns, context),
        ]
        for one in reply.sessions
    ]
    for line in words.columns(rows):
        context.terminal.line(line)
    del request


def tokens(reply: TokensReply, request: Any, context: Context) -> None:
    """One token a line."""
    if not reply.tokens:
        context.terminal.note(_("No token yet. Make one: lastro token add LABEL"))
    for line in words.columns([_row(one, context) for one in reply.tokens]):
        context.terminal.line(line)
    del request


def token_added(reply: TokenAdded, request: Any, context: Context) -> None:
    """A new token: its secret alone on standard output."""
    context.terminal.line(reply.secret)
    context.terminal.note(words.columns([_row(reply.token, context)])[0])
    context.terminal.note(_("This is the only time that the token is shown."))
    del request


def _row(one: TokenItem, context: Context) -> list[str]:
    return [
        one.id,
        printable(one.human),
        printable(one.label),
        ", ".join(map(printable, one.scopes)),
        _("until {time}", time=words.moment(one.ends_ns, context)) if one.ends_ns else _("does not end"),
        _("used {age}", age=words.ago(one.used_ns, context)) if one.used_ns else _("never used"),
    ]
