"""Carries out one operation for a person or a program: run it, show the reply, and say with the exit code how it went."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.app.caller import Bytes
from lastro.app.operation import Operation
from lastro.app.requests import CaptureReply, CheckReply, Restoration
from lastro.app.requests.policy import Approvers, ApproversReply
from lastro.app.requests.proposals import Decided
from lastro.domain.paths import printable
from lastro.domain.snapshot import WarningKind
from lastro.errors import (
    ConflictError,
    DamagedError,
    DeniedError,
    LastroError,
    PartialError,
    UsageError,
    WaitingError,
)
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import render
from lastro.faces.cli.session import Session, open_session
from lastro.faces.translation import gettext as _
from lastro.messages import N_

_LOST: Final = frozenset({WarningKind.TORN, WarningKind.UNREADABLE})

_NOT_GOOD: Final[Mapping[str, Callable[[Any], int]]] = {
    "Diagnosis": lambda reply: 0 if reply.good else LastroError.exit_code,
    "ProviderState": lambda reply: 0 if reply.problem is None else PartialError.exit_code,
    "ProviderList": lambda reply: PartialError.exit_code if reply.failed else 0,
    "AuditReply": lambda reply: 0 if reply.sound else DamagedError.exit_code,
    # A proposal is well, also of a run that was stopped; so is nothing changed at all.
    "RunReply": lambda reply: (
        DeniedError.exit_code
        if reply.state == "blocked"
        else int(reply.state == "failed" and not reply.proposal)
    ),
}
"""Exit code by the name of the reply's type: their modules are loaded by their own commands alone."""


_FINE: Final = frozenset({"in_place", "commits", "edited_since"})
"""Notes on what was done exactly as wanted."""


def perform(operation: Operation[Any, Any], request: Struct, context: Context, *, yes: bool = False) -> int:
    """Run ``operation`` and show its reply; returns the exit code. ``yes``: what asks, asks nothing."""
    with open_session(context) as session:
        try:
            if hasattr(request, "approved") and not getattr(request, "plan", False):
                return _ask_and_perform(operation, request, context, session, yes=yes)
            if context.terminal.interactive and hasattr(request, "passphrase"):
                request = _with_passphrases(request, context, session)
            return _show(operation, request, session.run(operation, request), context)
        finally:
            _warn_of_damage(session, context)


def _warn_of_damage(session: Session, context: Context) -> None:
    """Say that what was shown may lack something: the repository could not be read whole. The check itself and the status say more."""
    objects = ", ".join(map(printable, session.desk.caller.damage()))
    if objects:
        context.terminal.warn(
            _("The repository is damaged in {objects}. See 'lastro repo check --read-data'.", objects=objects)
        )


def exit_code(reply: object) -> int:
    """How it went, as an exit code: partial when something could not be kept or put back, findings when something is damaged."""
    if isinstance(reply, CheckReply) and not reply.sound:
        return DamagedError.exit_code
    if judge := _NOT_GOOD.get(type(reply).__name__):
        return judge(reply)
    if isinstance(reply, CaptureReply):
        warnings = (warning for snapshot in reply.snapshots for warning in snapshot.warnings)
        return PartialError.exit_code if any(warning.kind in _LOST for warning in warnings) else 0
    return _restored(reply) if isinstance(reply, Restoration) else 0


def _restored(reply: Restoration) -> int:
    if reply.outcome in {"conflict", "rolled_back"} or (isinstance(reply, Decided) and reply.conflicts):
        return ConflictError.exit_code
    if isinstance(reply, Decided) and reply.waiting:
        return WaitingError.exit_code
    left_out = reply.done and any(warning.code == "not_stored" for warning in reply.plan.warnings)
    partial = left_out or reply.outcome == "partial" or any(note.kind not in _FINE for note in reply.notes)
    return PartialError.exit_code if partial else 0


def _ask_and_perform(
    operation: Operation[Any, Any], request: Any, context: Context, session: Session, *, yes: bool
) -> int:
    """Plan, show, ask, and do exactly what was shown: what was accepted is named by its digest."""
    planned: Restoration = session.run(operation, replace(request, plan=True))
    if isinstance(planned, Decided) and planned.conflicts:
        planned = session.run(
            operation, request
        )  # nothing can be applied, and that is recorded; or it can by now
    if not _asks(planned):
        return _show(operation, request, planned, context)
    if not (context.terminal.json or (yes and context.terminal.quiet)):
        render(planned, request, context)
    if not yes:
        _ask(context)
    accepted = getattr(planned, "acceptance", "") or planned.plan.digest
    answer = replace(request, plan=False, approved=accepted)
    if getattr(planned, "signs", "") and not request.passphrase and context.terminal.interactive:
        answer = replace(answer, passphrase=context.terminal.secret(_("Passphrase of your approver key: ")))
    return _show(operation, request, session.run(operation, answer), context)


def _with_passphrases(request: Any, context: Context, session: Session) -> Any:
    """``request`` with what a person types unseen: a new passphrase twice, and that of the owner who signs for it.

    Raises:
        UsageError: the two are not the same.
    """
    typed: dict[str, str] = {}
    is_new = hasattr(request, "owner_passphrase")
    if not request.passphrase:
        typed["passphrase"] = context.terminal.secret(_("Passphrase of the approver key: "))
        if is_new and context.terminal.secret(_("Once more: ")) != typed["passphrase"]:
            raise UsageError(N_("The two passphrases are not the same."), hint=N_("Try again."))
    if is_new and not request.owner_passphrase:
        known = session.desk.caller.call("approver.list", Approvers())
        assert isinstance(known, ApproversReply)
        if any(not one.revoked_ns for one in known.approvers):
            typed["owner_passphrase"] = context.terminal.secret(
                _("Passphrase of the owner who signs for it: ")
            )
    return replace(request, **typed)


def _asks(planned: Restoration) -> bool:
    """Whether an answer is wanted: there is something to change, or a decision to sign."""
    return planned.asks if isinstance(planned, Decided) else bool(planned.plan.changes.changes)


def _ask(context: Context) -> None:
    """Return if the person says yes.

    Raises:
        UsageError: there is nobody to ask.
        DeniedError: the answer was not yes.
    """
    if not context.terminal.interactive:
        raise UsageError(
            N_("Nobody is here to say yes, so nothing was done."),
            hint=N_("Add --yes to do it, or --plan to only see it."),
        )
    if not context.terminal.ask(_("Do it?")):
        raise DeniedError(N_("Nothing was done."))


def _show(operation: Operation[Any, Any], request: Struct, reply: Any, context: Context) -> int:
    terminal = context.terminal
    code = exit_code(reply)
    if isinstance(reply, Bytes):
        return _pour(reply, context)
    if terminal.json:
        terminal.object(
            "result", {"ok": code == 0, "operation": operation.name, "exit_code": code, "reply": reply}
        )
    else:
        render(reply, request, context)
    return code


def _pour(reply: Bytes, context: Context) -> int:
    """A reply that is bytes: as they are, or as JSON items of base64 with offsets, where gaps are zeros."""
    terminal = context.terminal
    position = 0
    for offset, data in reply.blocks:
        if terminal.json:
            terminal.object("item", {"offset": offset, "data": base64.b64encode(data).decode("ascii")})
            continue
        terminal.write_zeros(offset - position)
        terminal.write(data)
        position = offset + len(data)
    if terminal.json:
        content = {"size": reply.size, "digest": reply.digest.hex()}
        terminal.object("result", {"ok": True, "exit_code": 0, "reply": content})
    else:
        terminal.write_zeros(reply.size - position)
    return 0
