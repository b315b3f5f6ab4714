"""One proposal as a human decides on it, and its two sides for who carries it out. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lastro.app.numbers import proposal_named
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.proposal.cases import case_of
from lastro.app.operations.proposal.listing import approvals_given, counts, list_proposals
from lastro.app.requests.history import RecordedEntry
from lastro.app.requests.proposals import (
    ProposalPair,
    ProposalPairReply,
    ProposalReply,
    Proposals,
    ProposalsReply,
    ShownDecision,
    ShownFile,
    ShownHunk,
    ShownRevision,
    ShownTransition,
    ShowProposal,
)
from lastro.app.services import Services
from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.proposal import ChangeNote
from lastro.errors import NotFoundError
from lastro.messages import N_
from lastro.proposals.approvals import needed_by
from lastro.proposals.case import Case
from lastro.proposals.hunks import Hunk, hunks_of
from lastro.proposals.pair import Side, content_of, recorded
from lastro.proposals.renames import find_renames
from lastro.proposals.rows import Decision


def show_proposal(services: Services, request: ShowProposal) -> ProposalReply:
    """One proposal, as a human decides on it."""
    case = case_of(services, proposal_named(services, request.proposal))
    row, revision = case.proposal, case.revision
    run = case.run
    facts = run.facts if run else None
    return ProposalReply(
        proposal=row.number,
        revision=row.revision,
        state=row.state.value,
        kind=row.kind.value,
        risk=row.risk.value,
        target=row.target,
        purpose=row.purpose,
        actor=row.actor.name or row.actor.kind,
        time_ns=row.time_ns,
        expires_ns=row.expires_ns,
        run=row.run or 0,
        of=row.of or 0,
        before=case.pair.before.number,
        after=case.pair.after.number,
        before_seq=revision.before,
        after_seq=revision.after,
        policy_digest=case.policy_digest.hex(),
        change_digest=revision.change_digest.hex(),
        digest=case.shown.hex(),
        files=tuple(_files(services, case, request)),
        checks=revision.checks,
        decisions=tuple(_decision(decision, case) for decision in case.whole.decisions),
        transitions=tuple(
            ShownTransition(
                state=passage.state.value,
                time_ns=passage.time_ns,
                apply=passage.apply or 0,
                detail=passage.detail,
            )
            for passage in case.whole.passages
        ),
        approvals=approvals_given(services, case.whole),
        needed=needed_by(case.demands),
        agent=run.run.agent if run else "",
        role=run.run.role if run else "",
        steps=facts.steps if facts else (),
        enforcement=facts.enforcement if facts else None,
        usage=facts.usage if facts else None,
        last_words=facts.last_words if facts else "",
        outside=case.outside,
        applies=case.whole.applies,
        revisions=tuple(
            ShownRevision(
                number=one.number,
                time_ns=one.time_ns,
                actor=one.actor.name or one.actor.kind,
                reason=one.reason,
                paths=len(one.paths),
            )
            for one in case.whole.revisions
        ),
    )


def _decision(decision: Decision, case: Case) -> ShownDecision:
    good = {approver.key_id: approver.human for approver in case.approvers}
    return ShownDecision(
        time_ns=decision.time_ns,
        actor=decision.actor.name or decision.actor.kind,
        verdict=decision.verdict.value,
        revision=decision.revision,
        signed=decision.approval is not None,
        counts=counts(decision, case.whole, good),
        single_user=decision.single_user,
        key_id=decision.approval.key_id if decision.approval else "",
        signer=_signer(decision, case),
        selection=decision.selection,
        comments=decision.comments,
    )


def _signer(decision: Decision, case: Case) -> str:
    """Whose key signed it; empty where none did, or it is revoked by now."""
    key = decision.approval.key_id if decision.approval else ""
    return next((approver.name for approver in case.approvers if approver.key_id == key), "")


def _files(services: Services, case: Case, request: ShowProposal) -> Iterator[ShownFile]:
    """Every changed path, or only those that were asked for. A renamed file stands at its new path, and there alone."""
    changes = {change.path: change for change in case.changes.changes}
    renames = find_renames(case.changes.changes)
    gone = set(renames.values())
    wanted = _wanted(request.file, changes)
    notes = {from_bytes(note.path): note for note in case.revision.notes}
    for change in case.changes.changes:
        old = renames.get(change.path, "")
        if change.path in gone or (wanted and not wanted & {change.path, old}):
            continue
        before = changes[old].before if old else change.before
        note = _note_of(change.path, [notes[path] for path in (change.path, old) if path in notes])
        yield _file(services, case, change, before=before, old=old, note=note, names=request.names)


def _note_of(path: str, notes: list[ChangeNote]) -> ChangeNote | None:
    """What is known of a file; of a renamed one, what is known of both its paths."""
    if len(notes) < 2:
        return notes[0] if notes else None
    flags = tuple(dict.fromkeys(flag for note in notes for flag in note.flags))
    steps = tuple(sorted({step for note in notes for step in note.steps}))
    return ChangeNote(path=to_bytes(path), flags=flags, steps=steps)


def _wanted(files: tuple[str, ...], changes: Mapping[str, Change]) -> set[str]:
    for path in files:
        if path not in changes:
            raise NotFoundError(
                N_("The proposal does not change {path}."),
                hint=N_("See 'lastro proposal show --names'; paths are relative to the project."),
                path=path,
            )
    return set(files)


def _file(
    services: Services,
    case: Case,
    change: Change,
    *,
    before: Entry | None,
    old: str,
    note: ChangeNote | None,
    names: bool,
) -> ShownFile:
    rule = case.rules[change.path]
    hunks = () if names or old else _hunks(services, case, change)
    return ShownFile(
        path=change.path,
        kind="renamed" if old else change.kind.value,
        old_path=old,
        fields=change.fields,
        before=before,
        after=change.after,
        text=hunks is not None and _has_content(change),
        hunks=tuple(_shown(hunk) for hunk in hunks or ()),
        flags=tuple(flag.value for flag in note.flags) if note else (),
        steps=note.steps if note else (),
        needed=rule.approvals,
        by=tuple(role.value for role in rule.by),
    )


def _has_content(change: Change) -> bool:
    """Whether there is content that differs."""
    sides = [
        side for side in (change.before, change.after) if side is not None and side.type is EntryType.FILE
    ]
    return bool(sides) and (len(sides) == 1 or sides[0].digest != sides[1].digest)


def _hunks(services: Services, case: Case, change: Change) -> tuple[Hunk, ...] | None:
    """The hunks of a change; ``None`` where it is no text on both sides. What is not there, or no file, has no lines."""
    if not _has_content(change):
        return ()
    before = _text(services, case.pair.before, change.before)
    after = _text(services, case.pair.after, change.after)
    return None if before is None or after is None else hunks_of(before, after)


def _text(services: Services, side: Side, entry: Entry | None) -> bytes | None:
    if entry is None or entry.type is not EntryType.FILE:
        return b""
    return content_of(services.repository, side, entry.path)


def _shown(hunk: Hunk) -> ShownHunk:
    return ShownHunk(
        number=hunk.number,
        before_line=hunk.before_line,
        before_count=hunk.before_count,
        after_line=hunk.after_line,
        after_count=hunk.after_count,
        lines=tuple(from_bytes(line) for line in hunk.lines),
    )


# Both sides ---------------------------------------------------------------------------------------------------------------------------


def pair_of(services: Services, request: ProposalPair) -> ProposalPairReply:
    """Both sides of a proposal, with where their content is."""
    case = case_of(services, request.proposal)
    row = case.proposal
    return ProposalPairReply(
        proposal=row.number,
        revision=row.revision,
        state=row.state.value,
        target=row.target,
        before_seq=case.revision.before,
        after_seq=case.revision.after,
        before=tuple(_side(services, case.pair.before, [change.before for change in case.changes.changes])),
        after=tuple(_side(services, case.pair.after, [change.after for change in case.changes.changes])),
        shown=case.shown.hex(),
        run=row.run or 0,
        of=row.of or 0,
    )


def _side(services: Services, side: Side, entries: list[Entry | None]) -> Iterator[RecordedEntry]:
    there = [entry for entry in entries if entry is not None]
    for found in recorded(services.repository, side, there):
        yield RecordedEntry(entry=found.entry, seq=side.seq, tree_path=found.tree_path)


OPERATIONS = (
    Operation(
        name="proposal.list",
        request=Proposals,
        reply=ProposalsReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_proposals,
        summary=N_("What waits for a human to decide, by risk and age."),
    ),
    Operation(
        name="proposal.show",
        request=ShowProposal,
        reply=ProposalReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show_proposal,
        summary=N_("One proposal: what would change, how it was checked, who has to approve."),
    ),
    Operation(
        name="proposal.pair",
        request=ProposalPair,
        reply=ProposalPairReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=pair_of,
        summary=N_("Both sides of a proposal, with where their content is."),
        internal=True,
    ),
)
