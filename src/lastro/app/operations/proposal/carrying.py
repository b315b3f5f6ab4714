"""From a decision to a changed destination: settle with what is live, ask, sign, apply, record.

What always holds: what was shown is what is applied. An answer names the digest of the proposal as shown and of what would be written now;
if either is another by then, nothing is done. One process at a time carries out one proposal; one that died in the middle is found by its
record (``applying``), and finished or taken up again by whoever approves next.

A path of which nobody knows what the agent started from (``Flag.BASE_UNCERTAIN``) may lack what a human wrote meanwhile, although nothing
conflicts: it is only written for who chose it by its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from lastro.app.desk import Desk
from lastro.app.operations.applying import carry_plan, finish_unfinished, refuse_stuck
from lastro.app.operations.proposal import signing
from lastro.app.operations.proposal.commits import bring_commits
from lastro.app.operations.proposal.preparing import Prepared, changed_since, prepare, show, sides_of
from lastro.app.operations.proposal.sides import WrittenContent
from lastro.app.requests import Plan
from lastro.app.requests.proposals import (
    Decided,
    ProposalReply,
    RecordProposalState,
)
from lastro.domain.changes import ChangeSet
from lastro.domain.paths import from_bytes
from lastro.domain.proposal import Flag, ProposalState, Selection
from lastro.errors import LockedError, UsageError, WaitingError
from lastro.messages import N_
from lastro.proposals.selecting import select
from lastro.proposals.settling import Settlement

_DECIDED = frozenset({ProposalState.APPROVED, ProposalState.PARTLY_APPROVED})
_UNDER_WAY = frozenset({ProposalState.APPLYING, ProposalState.VERIFYING})
_DECIDABLE = frozenset({ProposalState.OPEN, ProposalState.CONFLICT, *_DECIDED})
"""What was in conflict is settled anew: what is live may have changed back, or another part is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A human's answer to a plan: its ``acceptance``, and who signs. ``only_plan``: there is none, it is only to be seen."""

    accepted: str
    approver: str
    passphrase: str
    only_plan: bool


def decide_and_apply(desk: Desk, shown: ProposalReply, selection: Selection, answer: Answer) -> Decided:
    """Show what approving ``selection`` would write; with the answer, sign it, have it recorded and write it.

    Raises:
        ConflictError: the proposal, or what is live, is not what was shown.
        WaitingError: somebody else has to approve.
        DeniedError: the policy forbids it.
        UsageError: it is decided already.
    """
    with carrying(desk, shown.proposal):
        stuck = finish_unfinished(desk)
        refuse_stuck(stuck, shown.target)
        now = _as_it_stands(desk, shown)
        if now.state == ProposalState.APPLIED and shown.state in _UNDER_WAY:
            return _taken_over(desk, now)
        shown = now
        if shown.state not in _DECIDABLE:
            raise _over(shown)
        if shown.state in _DECIDED:
            selection = _approved_selection(shown, selection)
        prepared = prepare(desk, sides_of(desk, shown), selection)
        if prepared.conflicts:
            return _in_conflict(desk, shown, prepared, record=not answer.only_plan)
        if uncertain := _uncertain(shown, selection, prepared):
            nothing = _decided(shown, prepared, _no_plan(shown, prepared))
            return msgspec.structs.replace(nothing, conflicts=uncertain, uncertain=uncertain)
        return _answered(desk, shown, selection, prepared, answer)


def _taken_over(desk: Desk, shown: ProposalReply) -> Decided:
    """What to say where nothing is left to be asked: a process that died had applied it, which is concluded now."""
    sides = sides_of(desk, shown)
    selected = select(sides.changes, _approved_selection(shown, Selection()), sides)
    prepared = Prepared(sides=sides, selected=selected, settlement=Settlement(changes=selected.changes))
    plan = prepared.plan(snapshot=shown.before, time_ns=shown.time_ns)
    apply = shown.applies[-1] if shown.applies else 0
    return msgspec.structs.replace(_decided(shown, prepared, plan), done=True, apply=apply)


def _as_it_stands(desk: Desk, shown: ProposalReply) -> ProposalReply:
    """The proposal now that this process alone carries it out, if it still is what was shown; only its state may be another.

    Raises:
        ConflictError: it is not.
    """
    now = taken_up(desk, show(desk, f"proposal-{shown.proposal}"))
    if now.digest != shown.digest:
        raise changed_since(shown.proposal)
    return now


def _uncertain(shown: ProposalReply, selection: Selection, prepared: Prepared) -> tuple[str, ...]:
    """What would be written although nobody knows what its author started from, and nobody chose it by name."""
    named = {from_bytes(path) for path in (*selection.files, *(chosen.path for chosen in selection.hunks))}
    flagged = {
        path
        for file in shown.files
        if Flag.BASE_UNCERTAIN.value in file.flags
        for path in (file.path, file.old_path)
    }
    return tuple(
        change.path for change in prepared.settlement.changes.changes if change.path in flagged - named
    )


def _answered(
    desk: Desk, shown: ProposalReply, selection: Selection, prepared: Prepared, answer: Answer
) -> Decided:
    undecided = shown.state not in _DECIDED
    may = signing.allowed(desk, shown, selection, answer.approver) if undecided else None
    plan = prepared.plan(snapshot=shown.before, time_ns=shown.time_ns)
    acceptance = prepared.acceptance(shown.digest)
    planned = msgspec.structs.replace(
        _decided(shown, prepared, plan),
        acceptance=acceptance,
        asks=True,
        signs=may.key_id if may else "",
        signer=may.signer if may else "",
        single_user=may is not None and may.single_user,
    )
    if answer.only_plan or not answer.accepted:
        return planned
    if answer.accepted != acceptance:
        raise changed_since(shown.proposal)
    if may is not None:
        signature = signing.Signature(
            key_id=may.key_id, passphrase=answer.passphrase, nonce=secrets.token_bytes(16)
        )
        # Without a key where the policy asks for nobody's approval.
        applies = prepared.selected.changes.digest
        approval = signing.sign(desk, shown, applies, signature) if may.key_id else None
        if shown.state == ProposalState.CONFLICT:  # it is none any more
            transition(desk, shown.proposal, ProposalState.OPEN)
        recorded = signing.approve(desk, shown, selection, approval)
        if recorded.waiting:
            return msgspec.structs.replace(
                planned, asks=False, waiting=recorded.waiting, state=recorded.state
            )
    return _carry_out(desk, shown, prepared, planned)


def _carry_out(desk: Desk, shown: ProposalReply, prepared: Prepared, planned: Decided) -> Decided:
    """Apply what is approved, and record each state it goes through."""
    transition(desk, shown.proposal, ProposalState.APPLYING, applies=prepared.selected.changes.digest.hex())
    if not planned.plan.changes.changes:  # everything is live already
        return _finished(desk, shown, msgspec.structs.replace(planned, asks=False, done=True))
    content = WrittenContent(desk.caller, prepared.sides.after_items, prepared.written)
    try:
        done = carry_plan(desk, planned.plan, content, of=shown.proposal)
    except BaseException:
        # A third party was faster, the disk is full, or somebody is impatient. What was approved can be applied later, unless it was.
        refuse_stuck(finish_unfinished(desk), shown.target)
        taken_up(desk, show(desk, f"proposal-{shown.proposal}"))
        raise
    applied = msgspec.structs.replace(
        planned,
        asks=False,
        done=True,
        apply=done.apply,
        outcome=done.outcome,
        before=done.before,
        after=done.after,
        notes=done.notes,
    )
    return _finished(desk, shown, applied)


def _finished(desk: Desk, shown: ProposalReply, applied: Decided) -> Decided:
    transition(desk, shown.proposal, ProposalState.VERIFYING, apply=applied.apply)
    left_out = (
        "partial" if applied.outcome == "partial" else ""
    )  # somebody was faster with a path, or it may not be changed
    transition(desk, shown.proposal, ProposalState.APPLIED, apply=applied.apply, detail=left_out)
    notes = applied.notes
    if shown.run and not applied.rest:
        notes += bring_commits(desk, shown.run, shown.target)
    return msgspec.structs.replace(applied, state=ProposalState.APPLIED.value, notes=notes)


def transition(
    desk: Desk, number: int, state: ProposalState, *, apply: int = 0, applies: str = "", detail: str = ""
) -> None:
    """Record that a proposal is in another state."""
    desk.caller.call(
        "proposal.state",
        RecordProposalState(
            proposal=number, state=state.value, apply=apply or None, applies=applies, detail=detail
        ),
    )


def _in_conflict(desk: Desk, shown: ProposalReply, prepared: Prepared, *, record: bool) -> Decided:
    if record and shown.state != ProposalState.CONFLICT:
        transition(desk, shown.proposal, ProposalState.CONFLICT, detail=prepared.conflicts[0])
    return msgspec.structs.replace(
        _decided(shown, prepared, _no_plan(shown, prepared)),
        state=ProposalState.CONFLICT.value if record else shown.state,
        conflicts=prepared.conflicts,
    )


def _no_plan(shown: ProposalReply, prepared: Prepared) -> Plan:
    """What is done where something is in the way: nothing."""
    plan = prepared.plan(snapshot=shown.before, time_ns=shown.time_ns)
    nothing = ChangeSet()
    return msgspec.structs.replace(plan, changes=nothing, digest=nothing.digest.hex())


def _decided(shown: ProposalReply, prepared: Prepared, plan: Plan) -> Decided:
    """What would be done, before anything is."""
    return Decided(
        plan=plan,
        done=False,
        proposal=shown.proposal,
        revision=shown.revision,
        state=shown.state,
        undoes=shown.of,
        merged=prepared.settlement.merged,
        settled=prepared.settlement.skipped,
        rest=prepared.selected.rest,
        brought=prepared.selected.brought,
    )


def _approved_selection(shown: ProposalReply, asked: Selection) -> Selection:
    """What was approved before and is still to be applied.

    Raises:
        UsageError: something else is asked now.
    """
    counted = [one for one in shown.decisions if one.counts and one.verdict == "approve"]
    approved = counted[-1].selection if counted else Selection()
    if not asked.whole and asked != approved:
        raise UsageError(
            N_("Another part of proposal-{number} is approved already and waits to be applied."),
            hint=N_("Apply that first: lastro proposal approve proposal-{number}"),
            number=shown.proposal,
        )
    return approved


def taken_up(desk: Desk, shown: ProposalReply) -> ProposalReply:
    """``shown``, once what a process left that died while it applied it is concluded. Its apply is recorded by now if it got that far.

    For who holds it alone (``carrying``), after ``finish_unfinished``.
    """
    if shown.state not in _UNDER_WAY:
        return shown
    apply = shown.applies[-1] if shown.applies else 0
    if shown.state == ProposalState.APPLYING and not apply:
        transition(desk, shown.proposal, ProposalState.APPROVED)  # or partly: as it was decided
    else:
        if shown.state == ProposalState.APPLYING:
            transition(desk, shown.proposal, ProposalState.VERIFYING, apply=apply)
        transition(desk, shown.proposal, ProposalState.APPLIED, apply=apply)
    return show(desk, f"proposal-{shown.proposal}")


def _over(shown: ProposalReply) -> UsageError | WaitingError:
    hints = {
        ProposalState.APPLIED: N_("Take it back with: lastro undo proposal-{number}"),
        ProposalState.HELD: N_(
            "It builds on something that was rejected or undone; reject it, or send it back with a comment."
        ),
    }
    return UsageError(
        N_("proposal-{number} cannot be approved: it is {state}."),
        hint=hints.get(ProposalState(shown.state), N_("See 'lastro proposal list'.")),
        number=shown.proposal,
        state=shown.state,
    )


@contextlib.contextmanager
def carrying(desk: Desk, number: int) -> Iterator[None]:
    """This process alone carries out the proposal.

    Raises:
        LockedError: another one does.
    """
    directory = f"{desk.places.state}/proposals"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with open(f"{directory}/{number}", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                N_("Somebody is deciding on proposal-{number} right now."),
                hint=N_("Try again in a moment."),
                number=number,
            ) from error
        yield
