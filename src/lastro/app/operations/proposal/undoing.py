"""``lastro undo PROPOSAL|RUN``: what was applied is taken back, whole or in part, by a proposal with the same conflict checks.

What always holds: it can be done at any later time, for any proposal, and what an undo did can be taken back like anything else. Without
the answer nothing is recorded; with it a proposal is, and it is applied at once where the policy lets its asker approve it.
"""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
from blake3 import blake3

from lastro.app.desk import Desk
from lastro.app.operations.applying import finish_unfinished, refuse_stuck
from lastro.app.operations.capture import offer_paths
from lastro.app.operations.proposal.carrying import Answer, carrying, decide_and_apply, taken_up, transition
from lastro.app.operations.proposal.making import record_state
from lastro.app.operations.proposal.naming import selection_of
from lastro.app.operations.proposal.preparing import Prepared, by_path, changed_since, prepare, show, sides_of
from lastro.app.operations.proposal.sides import Sides, WrittenContent
from lastro.app.requests import ApplyPair, ApplyReply, RecordedEntry, Touched, TouchedReply, Undo
from lastro.app.requests.proposals import (
    Decided,
    ProposalReply,
    Proposals,
    ProposalsReply,
    Propose,
    Proposed,
    UndoProposal,
)
from lastro.app.requests.runs import RunDetail, ShowRun
from lastro.chunking.digest import digest_of
from lastro.domain.changes import ChangeSet
from lastro.domain.ids import LOCAL
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.proposal import ProposalKind, ProposalState, Selection
from lastro.domain.snapshot import Reason
from lastro.errors import UsageError, WaitingError
from lastro.messages import N_
from lastro.proposals.hunks import hunks_of, with_hunks


def undo_run(desk: Desk, request: Undo) -> Decided:
    """Take back what was applied of a run's proposal.

    Raises:
        UsageError: nothing of it was applied.
    """
    run = desk.caller.call("runs.show", ShowRun(run=request.apply))
    assert isinstance(run, RunDetail)
    if not run.proposal:
        raise UsageError(
            N_("run-{number} has no proposal, so nothing of it was applied."),
            hint=N_("See 'lastro runs show run-{number}'."),
            number=run.run,
        )
    return undo_proposal(desk, msgspec.structs.replace(request, apply=f"proposal-{run.proposal}"))


def undo_proposal(desk: Desk, request: Undo) -> Decided:
    """Take back what was applied of a proposal, or some files or hunks of it.

    Raises:
        UsageError: nothing of it was applied.
        WaitingError: somebody else has to approve; the proposal waits.
    """
    shown, selection, prepared, planned = _planned(desk, request.apply, request.file, request.hunk)
    if not planned.asks or request.plan or not request.approved:
        return planned
    if request.approved != planned.acceptance:
        raise changed_since(shown.proposal)
    number = _record(desk, shown, prepared, planned.acceptance)
    return _carried(desk, request, planned, number, whole=selection.whole)


def propose_undo(desk: Desk, request: UndoProposal) -> Decided:
    """Propose to take back what was applied of a proposal: the undo is recorded and waits to be decided on like any other.

    Raises:
        UsageError: nothing of it was applied.
    """
    shown, _, prepared, planned = _planned(desk, request.proposal, request.file, request.hunk)
    if not planned.asks or request.plan or not request.approved:
        return msgspec.structs.replace(planned, signs="")
    if request.approved != planned.acceptance:
        raise changed_since(shown.proposal)
    undo = show(desk, f"proposal-{_record(desk, shown, prepared, planned.acceptance)}")
    return msgspec.structs.replace(
        planned,
        proposal=undo.proposal,
        revision=undo.revision,
        state=undo.state,
        asks=False,
        signs="",
        waiting=max(1, undo.needed - undo.approvals),  # also where nobody has to sign, somebody has to decide
        acceptance=prepare(desk, sides_of(desk, undo), Selection()).acceptance(undo.digest),
    )


def _planned(
    desk: Desk, proposal: str, file: tuple[str, ...], hunk: tuple[str, ...]
) -> tuple[ProposalReply, Selection, Prepared, Decided]:
    """What taking a proposal back, or some of it, means now."""
    stuck = finish_unfinished(desk)
    shown = _concluded(desk, proposal)
    if _conclude_undoing(desk, shown):
        shown = show(desk, f"proposal-{shown.proposal}")
    applied = _applied(desk, shown)
    refuse_stuck(stuck, applied.destination)
    selection = selection_of(shown, file, hunk)
    prepared = _prepared(desk, _done(desk, applied), selection)
    plan = prepared.plan(snapshot=applied.before_snapshot, time_ns=applied.time_ns)
    uncertain = _uncertain(applied, prepared)
    conflicts = prepared.conflicts or uncertain
    planned = Decided(
        proposal=shown.proposal,
        revision=shown.revision,
        state=shown.state,
        plan=plan,
        done=not conflicts and not plan.changes.changes,
        asks=not conflicts and bool(plan.changes.changes),
        signs="any",
        undoes=shown.proposal,
        acceptance=prepared.acceptance(shown.digest),
        merged=prepared.settlement.merged,
        settled=prepared.settlement.skipped,
        conflicts=conflicts,
    )
    return shown, selection, prepared, planned


def _concluded(desk: Desk, text: str) -> ProposalReply:
    """The proposal that ``text`` names; what a process left that died while it applied it is concluded."""
    shown = show(desk, text)
    if shown.state not in {ProposalState.APPLYING, ProposalState.VERIFYING}:
        return shown
    with carrying(desk, shown.proposal):
        refuse_stuck(finish_unfinished(desk), shown.target)
        return taken_up(desk, show(desk, f"proposal-{shown.proposal}"))


def _conclude_undoing(desk: Desk, shown: ProposalReply) -> bool:
    """Conclude what a process left that died while it took ``shown`` back; whether there was anything."""
    found = False
    for state in (ProposalState.APPLYING, ProposalState.VERIFYING):
        listed = desk.caller.call(
            "proposal.list", Proposals(state=state.value, project=shown.target, limit=0)
        )
        assert isinstance(listed, ProposalsReply)
        for one in listed.proposals:
            undo = show(desk, f"proposal-{one.proposal}")
            if undo.of != shown.proposal or undo.kind != ProposalKind.UNDO:
                continue
            found = True
            concluded = _concluded(desk, f"proposal-{one.proposal}")
            if concluded.state == ProposalState.APPLIED:
                apply = concluded.applies[-1] if concluded.applies else 0
                mark_undone(desk, shown.proposal, by=apply)
    return found


def _done(desk: Desk, applied: ApplyReply) -> Sides:
    return Sides(
        caller=desk.caller,
        target=applied.destination,
        before_items=by_path(applied.before),
        after_items=by_path(applied.after),
    )


def _uncertain(applied: ApplyReply, prepared: Prepared) -> tuple[str, ...]:
    """What would be taken back although somebody else's change is in what is recorded as applied there."""
    edited = set(applied.edited)
    return tuple(change.path for change in prepared.settlement.changes.changes if change.path in edited)


def _applied(desk: Desk, shown: ProposalReply) -> ApplyReply:
    """The newest apply that carried the proposal out."""
    if not shown.applies:
        raise UsageError(
            N_("Nothing of proposal-{number} was applied, so there is nothing to take back."),
            hint=N_("See 'lastro proposal show proposal-{number}'."),
            number=shown.proposal,
        )
    reply = desk.caller.call("apply.show", ApplyPair(number=shown.applies[-1]))
    assert isinstance(reply, ApplyReply)
    if reply.server != LOCAL:
        raise UsageError(
            N_("apply-{number} changed {server}, which is another machine."),
            number=reply.number,
            server=reply.server,
        )
    return reply


def _prepared(desk: Desk, done: Sides, selection: Selection) -> Prepared:
    """What taking ``selection`` of ``done`` back means now. Hunks are numbered as they were applied."""
    backwards = done.inverse()
    if not selection.hunks:
        return prepare(desk, backwards, _there(selection, done))
    for chosen in selection.hunks:
        path = from_bytes(chosen.path)
        before, after = done.before(path), done.after(path)
        count = len(hunks_of(before, after) or ()) if before is not None and after is not None else 0
        if before is None or after is None or not set(chosen.numbers) <= set(range(1, count + 1)):
            raise UsageError(
                N_("{path} was applied in {count} hunks."),
                hint=N_("See them with 'lastro diff', or take the whole file back with --file {path}."),
                path=path,
                count=count,
            )
        rest = set(range(1, count + 1)) - set(chosen.numbers)
        content = with_hunks(before, after, rest)
        item = done.after_items[path]
        entry = msgspec.structs.replace(
            item.entry,
            size=len(content),
            digest=digest_of(content),
            mtime_ns=desk.clock.wall_ns(),
            holes=(),
        )
        backwards.written[path] = content
        backwards.after_items[path] = msgspec.structs.replace(item, entry=entry)
    files = tuple({*selection.files, *(chosen.path for chosen in selection.hunks)})
    return prepare(desk, backwards, _there(Selection(files=files), done))


def _there(selection: Selection, done: Sides) -> Selection:
    """``selection`` without paths that the apply had no need to touch."""
    if selection.whole:
        return selection
    touched = {change.path for change in done.changes.changes}
    files = tuple(path for path in selection.files if from_bytes(path) in touched)
    if not files:
        raise UsageError(N_("Applying it changed nothing there, so there is nothing to take back."))
    return Selection(files=files)


def _record(desk: Desk, shown: ProposalReply, prepared: Prepared, acceptance: str) -> int:
    """Record the undo as a proposal of its own; its number. The same one again, as long as it waits to be decided."""
    target, changes = prepared.sides.target, prepared.settlement.changes
    paths = [change.path for change in changes.changes]
    before = offer_paths(desk, target, paths, recursive=False, reason=Reason.APPLY)
    kept = _kept_contents(desk, target, before.seq, changes)
    content = WrittenContent(desk.caller, {**prepared.sides.after_items, **kept}, prepared.written)
    recorded = record_state(
        desk, target, before=before.seq, changes=changes.changes, content=content, reason=Reason.EDIT
    )
    proposed = Propose(
        id="",
        kind=ProposalKind.UNDO.value,
        target=target,
        before=before.seq,
        after=recorded.after,
        change_digest=changes.digest.hex(),
        purpose=f"undo proposal-{shown.proposal}",
        of=shown.proposal,
        risk=shown.risk,
    )
    for attempt in itertools.count():
        said = f"{desk.actor.kind}/{desk.actor.name}/{desk.actor.uid}/{acceptance}/{attempt}"
        identity = blake3(b"lastro-undo-0" + to_bytes(said)).hexdigest(length=16)
        reply = desk.caller.call("proposal.record", msgspec.structs.replace(proposed, id=identity))
        assert isinstance(reply, Proposed)
        if show(desk, f"proposal-{reply.proposal}").state in _WAITS:
            return reply.proposal
    raise AssertionError  # it counts for ever


def _kept_contents(desk: Desk, target: str, before: int, changes: ChangeSet) -> dict[str, RecordedEntry]:
    """Files that keep the content that the snapshot ``before`` has of them: only something else about them is taken back."""
    paths = tuple(
        change.path
        for change in changes.changes
        if change.before is not None
        and change.after is not None
        and change.before.digest == change.after.digest is not None
    )
    if not paths:
        return {}
    reply = desk.caller.call("apply.touched", Touched(seq=before, destination=target, paths=paths))
    assert isinstance(reply, TouchedReply)
    return by_path(reply.items)


_WAITS: Final = frozenset({ProposalState.OPEN, ProposalState.APPROVED})


def _carried(desk: Desk, request: Undo, asked: Decided, number: int, *, whole: bool) -> Decided:
    """Approve and apply the undo ``number``, if its asker may."""
    undo = show(desk, f"proposal-{number}")
    answer = Answer(accepted="", approver=request.approver, passphrase="", only_plan=True)
    try:
        planned = decide_and_apply(desk, undo, Selection(), answer)
    except WaitingError as error:
        raise WaitingError(
            N_("proposal-{number}, which takes proposal-{undone} back, waits for somebody else's approval."),
            hint=N_("They do it with: lastro proposal approve proposal-{number}"),
            number=number,
            undone=asked.proposal,
        ) from error
    if planned.asks and planned.plan.digest != asked.plan.digest:
        raise changed_since(asked.proposal)
    answer = Answer(
        accepted=planned.acceptance,
        approver=request.approver,
        passphrase=request.passphrase,
        only_plan=False,
    )
    decided = decide_and_apply(desk, undo, Selection(), answer)
    if decided.done:
        mark_undone(desk, asked.proposal, by=decided.apply, whole=whole)
    return msgspec.structs.replace(decided, merged=asked.merged, settled=asked.settled)


def mark_undone(desk: Desk, number: int, *, by: int, whole: bool = False) -> None:
    """Say of proposal ``number`` that it is undone, if nothing of it is left. ``by``: the apply that took it back; ``whole``: all of it."""
    shown = show(desk, f"proposal-{number}")
    if shown.state != ProposalState.APPLIED or not shown.applies:
        return
    if not whole:
        left = _prepared(desk, _done(desk, _applied(desk, shown)), Selection())
        whole = not left.conflicts and not left.settlement.changes.changes
    if whole:
        transition(desk, number, ProposalState.UNDONE, apply=by)
