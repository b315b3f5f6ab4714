"""``lastro notify``."""

from __future__ import annotations

from typing import Any

from lastro.app.notifying.nouns import KIND_WORDS
from lastro.app.requests.notify import ChannelList, ChannelRemoved, ChannelState, ChannelTested
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording.notice_words import digest_word, kind_word


def channels(reply: ChannelList, request: Any, context: Context) -> None:
    """One channel a line."""
    del request
    if not reply.channels:
        context.terminal.note(_("Nobody is told of anything yet: lastro notify add NAME --url-stdin"))
        return
    for line in words.columns([_row(each, context) for each in reply.channels]):
        context.terminal.line(line)


def channel(reply: ChannelState, request: Any, context: Context) -> None:
    """One channel."""
    del request
    context.terminal.line(words.columns([_row(reply, context)])[0])


def removed(reply: ChannelRemoved, request: Any, context: Context) -> None:
    """It is gone."""
    del request
    context.terminal.line(_("{name} is told nothing any more.", name=reply.name))


def tested(reply: ChannelTested, request: Any, context: Context) -> None:
    """The service took it."""
    del request
    context.terminal.line(_("Sent to {name}.", name=reply.name))


def _row(state: ChannelState, context: Context) -> list[str]:
    everything = set(state.kinds) >= set(KIND_WORDS)
    parts = []
    if state.waiting:
        parts.append(ngettext("{count} waits", "{count} wait", state.waiting))
    if state.sent_ns:
        parts.append(_("arrived {age}", age=words.ago(state.sent_ns, context)))
    if state.failed_ns:
        parts.append(_("did not arrive {age}", age=words.ago(state.failed_ns, context)))
    return [
        context.terminal.style(printable(state.name), bold=True),
        printable(state.service),
        _("everything") if everything else ", ".join(map(kind_word, state.kinds)),
        digest_word(state.digest),
        ", ".join(parts),
    ]
