"""``lastro policy``: whether it is sound, what it says, and why."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.policy import Explanation, PolicyReply, ShowPolicy
from lastro.app.requests.sentence import Sentence
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext, sentence
from lastro.proposals.policy_text import policy_text


def policy(reply: PolicyReply, request: Any, context: Context) -> None:
    """The policy as a file would say it (``policy show``), or that its files are sound (``policy check``)."""
    terminal = context.terminal
    if isinstance(request, ShowPolicy):
        for path in reply.files:
            terminal.line(f"# {printable(path)}")
        for line in policy_text(reply.policy).splitlines():
            terminal.line(printable(line))  # patterns may hold anything
        return
    if not reply.files:
        terminal.line(_("No policy file: the built-in policy holds."))
    for path in reply.files:
        terminal.line(f"{terminal.style('✓', fg='green')} {printable(path)}")
    roles = ", ".join(role.name for role in reply.policy.roles)
    terminal.line(_("Roles: {roles}", roles=roles))
    terminal.line(_("Digest of the policy in force: {digest}", digest=reply.digest))


def explanation(reply: Explanation, request: Any, context: Context) -> None:
    """One line for each question, each with the rule that answers it."""
    terminal = context.terminal
    terminal.line(_("{path}, for the role {role}", path=reply.path or ".", role=reply.role.name))
    _answer(
        _("it may be read") if reply.read else _("it may not be read"),
        reply.read,
        reply.read_because,
        context,
    )
    _answer(
        _("it may be written") if reply.write else _("it may not be written"),
        reply.write,
        reply.write_because,
        context,
    )
    who = ", ".join(reply.by) or _("nobody")
    needed = (
        ngettext("{count} approval, by {who}", "{count} approvals, by {who}", reply.approvals, who=who)
        if reply.approvals
        else _("no approval needed")
    )
    if reply.approvals and reply.not_author:
        needed = _("{needed}, not by its author", needed=needed)
    _answer(needed, None, reply.review_because, context)
    if reply.executed_later:
        terminal.line(
            f"  {terminal.style('!', fg='yellow')} {_('it is run later by itself: never approved without a human')}"
        )
    del request


def _answer(text: str, good: bool | None, because: Sentence, context: Context) -> None:  # noqa: FBT001  an answer
    terminal = context.terminal
    mark, color = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", None)}[good]
    reason = terminal.style(sentence(because.msgid, because.parameters), dim=True)
    terminal.line(f"  {terminal.style(mark, fg=color)} {text}  {reason}")
