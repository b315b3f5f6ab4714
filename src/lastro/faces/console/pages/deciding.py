"""Decisions on a proposal: what was chosen is planned, the plan is shown and signed, and carried out. Also to reject it, and to undo."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from lastro.app.encoding import decode
from lastro.app.failure import Failure, error_of
from lastro.app.permissions import Right
from lastro.app.requests.proposals import (
    ApproveProposal,
    Decided,
    ProposalReply,
    RebaseProposal,
    RejectProposal,
    ShowProposal,
    UndoProposal,
)
from lastro.app.signing_desk import ToSign
from lastro.domain.job import Job, JobState
from lastro.domain.proposal import Approval
from lastro.errors import ConflictError, LastroError
from lastro.faces.console import carrying
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.choosing import choice_of, marks_of
from lastro.faces.console.pages.review import DECIDABLE, REFUSABLE, UNDOABLE, shown_of, stale
from lastro.faces.console.properties import summary
from lastro.faces.wording.shell import command

MOST_ROWS: Final = 500
"""Paths of a plan that its page lists."""


def choose(asked: Asked) -> Answer:
    """Plan what was ticked."""
    shown = shown_of(asked)
    old = stale(asked, shown, DECIDABLE)
    if old is not None:
        return old
    choice = choice_of(asked, shown)
    request = ApproveProposal(
        proposal=f"proposal-{shown.proposal}",
        file=choice.files,
        hunk=choice.hunks,
        rest=asked.text("rest").strip(),
        agent=asked.text("agent") if asked.text("rest").strip() else "",
    )
    job = carrying.plan(asked, request)
    return Redirect(to=f"/proposals/{shown.proposal}/plan/{job.number}")


def plan(asked: Asked) -> Answer:
    """What would be written now; to be signed."""
    shown = shown_of(asked)
    return plan_page(asked, shown, carrying.plan_named(asked, shown.proposal, asked.number("job")))


def plan_page(asked: Asked, shown: ProposalReply, job: Job, *, status: int = 200) -> Page:
    """The page of a plan. ``status`` 409: another was answered than stands now."""
    over = carrying.is_over(job)
    planned = asked.visit.reply_of(job) if over else None
    request = carrying.request_of(job)
    to_sign: ToSign[Approval] | None = None
    refused: LastroError | None = None
    if planned is not None and planned.asks and carrying.wants_signature(shown):
        try:
            to_sign = carrying.to_sign_for(asked, shown, request)
        except LastroError as error:
            refused = error
    values = {
        "shown": shown,
        "job": job,
        "planned": planned,
        "rows": _rows(planned) if planned is not None else (),
        "request": request,
        "to_sign": to_sign,
        "refused": refused,
        "until_ns": carrying.unlocked_until(asked, to_sign),
        "marks": marks_of(shown),
        "command": _command(shown, request),
    }
    part = "plan" if asked.part == "plan" else ""
    return Page(template="review_plan.html", values=values, status=status, part=part)


def _command(shown: ProposalReply, request: ApproveProposal) -> str:
    chosen = [word for path in request.file for word in ("--file", path)]
    chosen += [word for hunk in request.hunk for word in ("--hunk", hunk)]
    rest = ["--rest", request.rest] if request.rest else []
    rest += ["--agent", request.agent] if request.agent else []
    return command("lastro", "proposal", "approve", f"proposal-{shown.proposal}", *chosen, *rest)


def _rows(planned: Decided) -> list[tuple[str, str, str, bool, bool]]:
    """What happens to each path: kind, path, in words, merged, brought along."""
    merged, brought = frozenset(planned.merged), frozenset(planned.brought)
    return [
        (
            change.kind.value,
            change.path,
            summary(change.before, change.after),
            change.path in merged,
            change.path in brought,
        )
        for change in planned.plan.changes.changes[:MOST_ROWS]
    ]


def approve(asked: Asked) -> Answer:
    """Sign the plan that was shown, and have it carried out."""
    shown = shown_of(asked)
    old = stale(asked, shown, DECIDABLE)
    if old is not None:
        return old
    job = carrying.plan_named(asked, shown.proposal, asked.number("job"))
    planned: Any = asked.visit.reply_of(job)
    request = carrying.request_of(job)
    if not planned.asks or planned.acceptance != asked.text("acceptance"):
        return _planned_anew(asked, request)
    if carrying.wants_signature(shown) and carrying.signed(asked, shown, request):
        return Redirect(to=f"/proposals/{shown.proposal}", said="waiting")
    return _after(asked, shown, request, carrying.carry_out(asked, request, planned))


def _after(asked: Asked, shown: ProposalReply, request: ApproveProposal, done: Job) -> Answer:
    """Where to go on once what was approved is being carried out."""
    if not carrying.is_over(done):
        return Redirect(to=f"/jobs/{done.number}", said="started")
    if done.state is JobState.FAILED:
        error = error_of(decode(done.failure, Failure))
        if isinstance(error, ConflictError):  # what is live changed since the plan
            return _planned_anew(asked, request)
        raise error
    decided: Any = asked.visit.reply_of(done)
    if decided.conflicts:
        return Redirect(to=f"/proposals/{shown.proposal}/plan/{done.number}")
    return Redirect(to=f"/proposals/{shown.proposal}", said="approved" if decided.done else "waiting")


def _planned_anew(asked: Asked, request: ApproveProposal) -> Answer:
    """The plan as it is now, because what is live is not as it was in the one that was shown (409)."""
    job = carrying.plan(asked, request)
    return plan_page(asked, shown_of(asked), job, status=409)


def reject(asked: Asked) -> Answer:
    """Reject it."""
    shown = shown_of(asked)
    old = stale(asked, shown, REFUSABLE)
    if old is not None:
        return old
    request = RejectProposal(
        proposal=f"proposal-{shown.proposal}", reason=asked.text("reason").strip(), digest=shown.digest
    )
    asked.visit.call("proposal.reject", request)
    return Redirect(to=f"/proposals/{shown.proposal}", said="rejected")


def rebase(asked: Asked) -> Answer:
    """Have the agent bring its work onto what is live now."""
    shown = shown_of(asked)
    old = stale(asked, shown)
    if old is not None:
        return old
    subject = carrying.subject_of(shown.proposal)
    job = asked.visit.submit("proposal.rebase", RebaseProposal(proposal=subject), subject=subject)
    return Redirect(to=f"/jobs/{job.number}", said="started")


def undo(asked: Asked) -> Answer:
    """Propose to take back what was ticked, and go where that is signed: it is a proposal like any other."""
    shown = shown_of(asked)
    old = stale(asked, shown, UNDOABLE)
    if old is not None:
        return old
    choice = choice_of(asked, shown)
    subject = carrying.subject_of(shown.proposal)
    request = UndoProposal(proposal=subject, file=choice.files, hunk=choice.hunks, plan=True)
    job = carrying.waited(asked, asked.visit.submit(carrying.UNDO, request, subject=subject))
    planned: Any = asked.visit.reply_of(job)
    if planned.conflicts:
        return Redirect(to=f"/proposals/{shown.proposal}/plan/{job.number}")
    if not planned.asks:
        return Redirect(to=f"/proposals/{shown.proposal}", said="nothing_left")
    final = msgspec.structs.replace(request, plan=False, approved=planned.acceptance)
    recorded: Any = asked.visit.ask(carrying.UNDO, final, subject=subject)
    taken_back = asked.visit.call("proposal.show", ShowProposal(proposal=f"proposal-{recorded.proposal}"))
    job = carrying.plan(asked, ApproveProposal(proposal=f"proposal-{taken_back.proposal}"))
    return Redirect(to=f"/proposals/{taken_back.proposal}/plan/{job.number}")


WAYS = (
    Way(path="/proposals/{proposal}/choose", handler=choose, right=Right.DECIDE, methods=("POST",)),
    Way(path="/proposals/{proposal}/plan/{job}", handler=plan, right=Right.DECIDE),
    Way(path="/proposals/{proposal}/plan/{job}", handler=approve, right=Right.DECIDE, methods=("POST",)),
    Way(path="/proposals/{proposal}/reject", handler=reject, right=Right.DECIDE, methods=("POST",)),
    Way(path="/proposals/{proposal}/rebase", handler=rebase, right=Right.DECIDE, methods=("POST",)),
    Way(path="/proposals/{proposal}/undo", handler=undo, right=Right.DECIDE, methods=("POST",)),
)
