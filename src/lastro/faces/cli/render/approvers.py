"""``lastro approver`` and ``lastro audit``."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.policy import ApproverItem, ApproversReply, AuditReply
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext, sentence
from lastro.faces.wording import review_words


def approvers(reply: ApproversReply, request: Any, context: Context) -> None:
    """One key a line."""
    if not reply.approvers:
        context.terminal.note(_("Nobody can approve yet. Make your key: lastro approver add"))
        return
    for line in words.columns([_row(one, context) for one in reply.approvers]):
        context.terminal.line(line)
    del request


def _row(one: ApproverItem, context: Context) -> list[str]:
    state = _("revoked {age}", age=words.ago(one.revoked_ns, context)) if one.revoked_ns else _("valid")
    return [
        printable(one.name),
        one.key_id,
        review_words.roles(one.roles),
        state,
        _("passkey") if one.alg == "webauthn" else _("key on this machine") if one.here else "",
    ]


def audited(reply: AuditReply, request: Any, context: Context) -> None:
    """What was verified, and what is not right."""
    terminal = context.terminal
    for finding in reply.findings:
        said = sentence(finding.sentence.msgid, finding.sentence.parameters)
        terminal.line(words.warning(_("record {seq}: {what}", seq=finding.seq, what=said), context))
    parts = [
        ngettext("{count} record", "{count} records", reply.records),
        ngettext("{count} run", "{count} runs", reply.runs),
        ngettext("{count} proposal", "{count} proposals", reply.proposals),
        ngettext("{count} decision", "{count} decisions", reply.decisions),
        ngettext("{count} signed approval", "{count} signed approvals", reply.approvals),
        ngettext("{count} apply", "{count} applies", reply.applies),
    ]
    terminal.line(", ".join(parts))
    if reply.sound:
        terminal.line(terminal.style(_("Everything is as it was signed."), fg="green"))
    else:
        count = len(reply.findings)
        terminal.line(terminal.style(ngettext("{count} finding", "{count} findings", count), fg="red"))
    terminal.note(_("Newest record: {head}", head=reply.head))
    del request
