"""What a human says about a proposal: approve (and apply), reject, send back with comments, bring up to date."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.proposal.carrying import Answer, decide_and_apply
from lastro.app.operations.proposal.editing import edit
from lastro.app.operations.proposal.naming import path_in, selection_of
from lastro.app.operations.proposal.preparing import changed_since, show
from lastro.app.operations.proposal.undoing import mark_undone, propose_undo
from lastro.app.requests.proposals import (
    ApproveProposal,
    CommentProposal,
    Decide,
    Decided,
    DecisionRecorded,
    Edited,
    EditProposal,
    ProposalReply,
    RebaseProposal,
    RejectedOrCommented,
    RejectProposal,
    UndoProposal,
)
from lastro.app.requests.runs import RunReply
from lastro.domain.paths import from_bytes, printable, to_bytes
from lastro.domain.proposal import Comment, Verdict
from lastro.errors import UsageError
from lastro.messages import N_

_PLACE: Final = re.compile(
    r"(?P<path>.+?):(?P<first>[1-9]\d*)(?:-(?P<last>[1-9]\d*))?:(?P<text>.*)", re.DOTALL
)


def approve(desk: Desk, request: ApproveProposal) -> Decided:
    """Approve a proposal, or part of it, and apply it here."""
    shown = show(desk, request.proposal)
    selection = selection_of(shown, request.file, request.hunk)
    _check_sending(shown, request)
    answer = Answer(
        accepted=request.approved,
        approver=request.approver,
        passphrase=request.passphrase,
        only_plan=request.plan,
    )
    decided = decide_and_apply(desk, shown, selection, answer)
    if decided.done and decided.undoes:
        mark_undone(desk, decided.undoes, by=decided.apply)
    if decided.done and request.rest and (decided.rest or request.agent):
        told = _about_the_rest(request.rest, decided)
        sent = _again(desk, shown.proposal, told, kind="comment", agent=request.agent)
        return msgspec.structs.replace(decided, sent_back=sent.run)
    return decided


def _check_sending(shown: ProposalReply, request: ApproveProposal) -> None:
    """Refuse what could not be sent to an agent before anything is decided."""
    if request.rest and not shown.run:
        raise UsageError(
            N_("No agent made proposal-{number}, so none can be sent back."),
            hint=N_("Approve it without --rest."),
            number=shown.proposal,
        )
    if request.agent and not request.rest:
        raise UsageError(N_("What shall the agent do?"), hint=N_("Say it with --rest TEXT."))
    _check_agent(request.agent)


def _check_agent(name: str) -> None:
    if name:
        from lastro.agents.adapters.registry import asked_of  # noqa: PLC0415  most decisions name no agent

        asked_of(name, "")


def _about_the_rest(text: str, decided: Decided) -> str:
    """What the agent is told of a partial approval, or of a whole one after which somebody else goes on."""
    if not decided.rest:
        return f"{text}\n\nThe earlier proposal was accepted, and applied.\n"
    rest = "\n".join(f"- {printable(path)}" for path in decided.rest)
    return f"{text}\n\nOf your earlier proposal these paths were not accepted:\n{rest}\nThe others were applied.\n"


def reject(desk: Desk, request: RejectProposal) -> RejectedOrCommented:
    """Reject a proposal."""
    shown = show(desk, request.proposal)
    if request.digest and request.digest != shown.digest:
        raise changed_since(shown.proposal)
    comments = (Comment(text=request.reason),) if request.reason else ()
    recorded = _decide(desk, shown, Verdict.REJECT, comments)
    return RejectedOrCommented(proposal=shown.proposal, revision=shown.revision, state=recorded.state)


def comment(desk: Desk, request: CommentProposal) -> RejectedOrCommented:
    """Send the agent back with comments; it runs again."""
    shown = show(desk, request.proposal)
    if request.digest and request.digest != shown.digest:
        raise changed_since(shown.proposal)
    comments = tuple(Comment(text=text) for text in request.message if text.strip())
    comments += tuple(_placed(shown, text) for text in request.at)
    comments += tuple(_of(shown, one) for one in request.placed if one.text.strip())
    if not comments:
        raise UsageError(
            N_("What shall be different?"),
            hint=N_("Say it with -m TEXT, or at a place with --at FILE:LINE:TEXT."),
        )
    if request.run and not shown.run:
        raise UsageError(
            N_("No agent made proposal-{number}, so none can be sent back."),
            hint=N_(
                "Only record the comment with --no-run, or edit it: lastro proposal edit proposal-{number}"
            ),
            number=shown.proposal,
        )
    _check_agent(request.agent)
    recorded = _decide(desk, shown, Verdict.COMMENT, comments)
    reply = RejectedOrCommented(proposal=shown.proposal, revision=shown.revision, state=recorded.state)
    if not request.run:
        return reply
    again = _again(desk, shown.proposal, _prompt(comments), kind="comment", agent=request.agent)
    return msgspec.structs.replace(reply, run=again.run, new_proposal=again.proposal)


def rebase(desk: Desk, request: RebaseProposal) -> RejectedOrCommented:
    """Have the agent bring its work onto what is live now."""
    shown = show(desk, request.proposal)
    if not shown.run:
        raise UsageError(
            N_("No agent made proposal-{number}, so none can bring it up to date."),
            hint=N_("Ask for it again: 'lastro undo' for an undo, or make the change by hand."),
            number=shown.proposal,
        )
    again = _again(desk, shown.proposal, "", kind="rebase")
    return RejectedOrCommented(
        proposal=shown.proposal,
        revision=shown.revision,
        state=shown.state,
        run=again.run,
        new_proposal=again.proposal,
    )


def _decide(
    desk: Desk, shown: ProposalReply, verdict: Verdict, comments: tuple[Comment, ...]
) -> DecisionRecorded:
    reply = desk.caller.call(
        "proposal.decide",
        Decide(
            proposal=shown.proposal,
            revision=shown.revision,
            verdict=verdict,
            shown=shown.digest,
            comments=comments,
        ),
    )
    assert isinstance(reply, DecisionRecorded)
    return reply


def _placed(shown: ProposalReply, text: str) -> Comment:
    found = _PLACE.fullmatch(text)
    first = int(found["first"]) if found else 0
    last = int(found["last"] or first) if found else 0
    if found is None or not found["text"].strip() or last < first:
        raise UsageError(
            N_("{text} is no comment about a place."),
            hint=N_("Write FILE:LINE:TEXT, or FILE:FIRST-LAST:TEXT."),
            text=text,
        )
    return Comment(text=found["text"], path=to_bytes(path_in(shown, found["path"])), lines=(first, last))


def _of(shown: ProposalReply, comment: Comment) -> Comment:
    """The comment, whose place is one of ``shown``."""
    if comment.path:
        path_in(shown, from_bytes(comment.path))
    return comment


def _prompt(comments: tuple[Comment, ...]) -> str:
    """What the agent is told: every comment, with its place."""
    lines = ["A human looked at what you proposed and asks for changes:", ""]
    for one in comments:
        place = ""
        if one.path:
            where = f", lines {one.lines[0]} to {one.lines[1]}" if one.lines is not None else ""
            place = f"{printable(from_bytes(one.path))}{where}: "
        lines.append(f"- {place}{one.text}")
    return "\n".join(lines) + "\n"


def _again(desk: Desk, number: int, prompt: str, *, kind: str, agent: str = "") -> RunReply:
    from lastro.app.runs.again import again  # noqa: PLC0415  a decision alone needs no jail

    return again(desk, proposal=number, prompt=prompt, kind=kind, agent=agent)


OPERATIONS = (
    Operation(
        name="proposal.approve",
        request=ApproveProposal,
        reply=Decided,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=approve,
        summary=N_("Approve a proposal, or some files or hunks of it, and apply it here."),
        details=N_(
            "Shows what would be written to what is live now: where that changed meanwhile, texts are merged; what cannot be merged is a"
            " conflict, and then nothing is applied. The approval is signed with your approver key and names the digest of exactly what"
            " was shown. 'lastro undo' takes it back at any later time."
        ),
    ),
    Operation(
        name="proposal.reject",
        request=RejectProposal,
        reply=RejectedOrCommented,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=reject,
        summary=N_("Reject a proposal; its content stays in the history."),
    ),
    Operation(
        name="proposal.comment",
        request=CommentProposal,
        reply=RejectedOrCommented,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=comment,
        summary=N_("Send the agent back with comments; it runs again."),
    ),
    Operation(
        name="proposal.rebase",
        request=RebaseProposal,
        reply=RejectedOrCommented,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=rebase,
        summary=N_("Have the agent bring its work onto what is live now."),
    ),
    Operation(
        name="proposal.undo",
        request=UndoProposal,
        reply=Decided,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=propose_undo,
        summary=N_("Propose to take a proposal, or some files or hunks of it, back."),
        details=N_(
            "The undo waits in the inbox, to be decided on like any other proposal. 'lastro undo' proposes and approves it in one go."
        ),
    ),
    Operation(
        name="proposal.edit",
        request=EditProposal,
        reply=Edited,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=edit,
        summary=N_("Edit what is proposed, and make a new revision of it."),
        details=N_("Earlier approvals fall: they were for another content."),
    ),
)
