"""``lastro gateway usage`` and ``lastro gateway exchanges``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.gateway import (
    ExchangeItem,
    ExchangeList,
    ExchangeShown,
    Replayed,
    Saving,
    UsageReply,
    UsageRow,
)
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext, sentence
from lastro.faces.wording.gateway_words import OUTCOMES, SAVINGS, money, span, sum_of, tokens


def usage(reply: UsageReply, request: Any, context: Context) -> None:
    """A line for each group, the sum, and what was saved."""
    words.warn_of(reply.problems, context)
    terminal = context.terminal
    if not reply.total.exchanges:
        terminal.line(_("Nothing was asked since {time}.", time=words.moment(reply.since_ns, context)))
        return
    head = [
        printable(_(reply.by)),
        _("exchanges"),
        _("errors"),
        _("tokens in"),
        _("of cache"),
        _("tokens out"),
        _("cost"),
        _("median"),
        _("95 %"),
    ]
    rows = [head, *(_usage_row(row) for row in reply.rows)]
    if len(reply.rows) > 1:
        rows.append(_usage_row(reply.total, name=_("all")))
    for number, line in enumerate(words.columns(rows, right=frozenset({1, 2, 3, 4, 5, 7, 8}))):
        terminal.line(terminal.style(line, bold=True) if number == 0 else line)
    if reply.total.failovers:
        count = reply.total.failovers
        terminal.line(
            ngettext(
                "{count} answer came from another than the first",
                "{count} answers came from others than the first",
                count,
            )
        )
    if reply.total.degraded:
        count = reply.total.degraded
        terminal.line(
            ngettext(
                "{count} answer is degraded: the network was down",
                "{count} answers are degraded: the network was down",
                count,
            )
        )
    if reply.total.estimated:
        count = reply.total.estimated
        terminal.line(
            ngettext(
                "tokens of {count} exchange are estimated", "tokens of {count} exchanges are estimated", count
            )
        )
    for saving in reply.savings:
        _saving(saving, context)
    terminal.note(_("Since {time}.", time=words.moment(reply.since_ns, context)))
    del request


def _saving(saving: Saving, context: Context) -> None:
    if not (saving.exchanges or saving.unknown):
        return
    what = _(SAVINGS[saving.code]) if saving.code in SAVINGS else printable(saving.code)
    amount = sum_of(saving.saved, saving.unknown)
    context.terminal.line(_("saved {money}: {what}", money=amount, what=what))
    context.terminal.line(f"    {sentence(saving.assumption.msgid, saving.assumption.parameters)}")


def _usage_row(row: UsageRow, *, name: str = "") -> list[str]:
    return [
        name or printable(row.name) or "-",
        str(row.exchanges),
        str(row.errors),
        tokens(row.input),
        tokens(row.cache_read),
        tokens(row.output),
        sum_of(row.cost, row.cost_unknown),
        span(row.median_ns),
        span(row.slow_ns),
    ]


def exchanges(reply: ExchangeList, request: Any, context: Context) -> None:
    """One exchange a line, the newest first."""
    if not reply.exchanges:
        context.terminal.note(_("No such exchange is recorded."))
        return
    for item in reply.exchanges:
        for line in _lines(item, context):
            context.terminal.line(line)
    if reply.more:
        context.terminal.note(_("There are more; --limit shows them."))
    del request


def _lines(item: ExchangeItem, context: Context) -> list[str]:
    word, color = OUTCOMES.get(item.outcome, (printable(item.outcome), None))
    who = f"{item.provider}/{item.model}" if item.provider else _("nobody")
    parts = [
        context.terminal.style(item.id, fg="yellow"),
        words.moment(item.time_ns, context),
        context.terminal.style(_(word), fg=color),
        printable(who),
    ]
    lines = ["  ".join(parts)]
    parts = [f"{tokens(item.input)} → {tokens(item.output)}", money(item.cost), span(item.duration_ns)]
    if len(item.attempts) > 1:
        parts.append(ngettext("{count} attempt", "{count} attempts", len(item.attempts)))
    if item.degraded:
        parts.append(_("degraded"))
    lines.append(f"    {'  '.join(parts)}")
    if item.snippet:
        lines.append(f"    {words.shortened(printable(item.snippet), context.terminal.width - 4)}")
    if item.error:
        lines.append(f"    {context.terminal.style(printable(item.error), fg='red')}")
    return lines


def shown(reply: ExchangeShown, request: Any, context: Context) -> None:
    """Everything about one exchange."""
    terminal, item = context.terminal, reply.exchange
    for line in _lines(item, context):
        terminal.line(line)
    for line in words.columns(_facts(item)):
        terminal.line(f"  {line}")
    attempts = [
        [
            f"{number}.",
            printable(f"{attempt.provider}/{attempt.model}"),
            printable(attempt.outcome),
            str(attempt.status or ""),
            span(attempt.duration_ns),
            money(attempt.cost),
            printable(attempt.detail),
        ]
        for number, attempt in enumerate(item.attempts, start=1)
    ]
    for line in words.columns(attempts) if attempts else []:
        terminal.line(f"  {line}")
    if not reply.recorded:
        lost = _("Its contents were lost when the gateway was killed.")
        terminal.note(lost if reply.lost else _("Its route records no contents."))
        return
    for title, text in (
        (_("Request"), reply.request),
        (_("As it was sent"), reply.sent),
        (_("Answer"), reply.answer),
    ):
        if text:
            terminal.line(terminal.style(title, bold=True))
        for line in text.splitlines():
            terminal.line(f"  {printable(line)}")
    del request


def _facts(item: ExchangeItem) -> list[list[str]]:
    rows = [
        [_("asked"), f"{printable(item.asked_model)} ({printable(item.dialect)})"],
        [_("route"), _("{route}, for {kind}", route=printable(item.route), kind=printable(item.kind))],
        [_("key"), printable(item.key) or _("none")],
    ]
    if item.run:
        rows.append([_("run"), _("{run}, step {step}", run=printable(item.run), step=item.step)])
    if item.redacted:
        rows.append([_("secrets replaced"), str(item.redacted)])
    if item.losses:
        rows.append([_("not expressed"), ", ".join(map(printable, item.losses))])
    return rows


def replayed(reply: Replayed, request: Any, context: Context) -> None:
    """The new answer; beside it, whether the old one was the same."""
    terminal = context.terminal
    asked = printable(f"{reply.provider}/{reply.model}")
    if reply.same_request:
        terminal.note(_("The recorded bytes were sent to {model} again.", model=asked))
    else:
        terminal.warn(_("What was sent to {model} differs from what is recorded.", model=asked))
    terminal.line(terminal.style(_("Answer now (status {status})", status=reply.status), bold=True))
    for line in reply.answer.splitlines():
        terminal.line(f"  {printable(line)}")
    if reply.same_answer:
        terminal.line(_("It is the recorded answer, byte for byte."))
        return
    terminal.line(terminal.style(_("Answer as recorded"), bold=True))
    for line in reply.recorded_answer.splitlines():
        terminal.line(f"  {printable(line)}")
    del request
