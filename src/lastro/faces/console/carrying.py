"""Plans and decisions asked for from pages: the job that plans, the signature, the job that carries out what was signed.

What always holds: what is carried out is the plan that was shown, by its acceptance; a plan is only shown to, and answered by, who asked
for it; and a passphrase stands in no job.
"""

from __future__ import annotations

from typing import Final

import msgspec

from lastro.app.encoding import decode
from lastro.app.operations.proposal.naming import selection_of
from lastro.app.requests.proposals import ApproveProposal, Decided, ProposalReply
from lastro.app.signing_desk import ToSign, decide, prepare
from lastro.app.visiting import PATIENCE_S
from lastro.domain.job import FINAL_JOB_STATES, Job
from lastro.domain.proposal import Approval, ProposalState, Selection
from lastro.errors import NotFoundError
from lastro.faces.console.asked import Asked
from lastro.faces.console.signing import host_of, signed_in
from lastro.messages import N_

APPROVE: Final = "proposal.approve"
UNDO: Final = "proposal.undo"
_DECIDED: Final = frozenset({ProposalState.APPROVED, ProposalState.PARTLY_APPROVED})


def subject_of(number: int) -> str:
    """What jobs about a proposal are about."""
    return f"proposal-{number}"


def waited(asked: Asked, job: Job, *, patience_s: float = PATIENCE_S) -> Job:
    """The job, once it is over or the patience is."""
    return asked.visit.jobs.find(job.number, until_over_s=patience_s)[0]


def is_over(job: Job) -> bool:
    """Whether nothing will come of it any more."""
    return job.state in FINAL_JOB_STATES


def plan(asked: Asked, request: ApproveProposal) -> Job:
    """The job that plans what ``request`` would write now, once it is over or the patience is."""
    job = asked.visit.submit(
        APPROVE, msgspec.structs.replace(request, plan=True, approved=""), subject=request.proposal
    )
    return waited(asked, job)


def plan_named(asked: Asked, number: int, job: int) -> Job:
    """The job ``job``, which is a plan of the visitor's for the proposal ``number``.

    Raises:
        NotFoundError: it is none.
    """
    found = asked.visit.jobs.find(job)[0]
    order = found.order
    if (
        order.operation not in {APPROVE, UNDO}
        or order.subject != subject_of(number)
        or order.asker != asked.visit.principal.actor
    ):
        raise NotFoundError(
            N_("There is no such plan of yours."), hint=N_("Choose again on the page of the proposal.")
        )
    return found


def request_of(job: Job) -> ApproveProposal:
    """What the plan was asked for."""
    return decode(job.order.request, ApproveProposal)


def wants_signature(shown: ProposalReply) -> bool:
    """Whether it is not decided yet."""
    return shown.state not in _DECIDED


def to_sign_for(
    asked: Asked, shown: ProposalReply, request: ApproveProposal, *, ticket: str = ""
) -> ToSign[Approval]:
    """What the visitor has to sign for ``request``.

    Raises:
        DeniedError: the policy forbids it, or they have no key.
        WaitingError: somebody else has to.
    """
    return prepare(asked.visit, shown, _selection(shown, request), host=host_of(asked), ticket=ticket)


def signed(asked: Asked, shown: ProposalReply, request: ApproveProposal) -> int:
    """Have the visitor's approval recorded, signed as the form says; how many are still missing.

    Raises:
        WrongKeyError: the passphrase is wrong.
        DeniedError: the policy forbids it, or the signature does not hold.
        ConflictError: what was shown is not what stands now.
    """
    to_sign = to_sign_for(asked, shown, request, ticket=asked.text("ticket"))
    approval = signed_in(asked, to_sign) if to_sign.signers else None
    return decide(asked.visit, shown, _selection(shown, request), approval).waiting


def unlocked_until(asked: Asked, to_sign: ToSign[Approval] | None) -> int:
    """Until when (ns) this session keeps the key unlocked that would sign; 0 where it does not."""
    services = asked.visit.services
    held = services.unlocked.key(asked.somebody.session.id, services.clock.wall_ns())
    if held is None or to_sign is None or to_sign.password is None:
        return 0
    return held.until_ns if held.key_id == to_sign.password.key_id else 0


def carry_out(asked: Asked, request: ApproveProposal, planned: Decided) -> Job:
    """The job that applies what was planned and approved, once it is over or the patience is."""
    final = msgspec.structs.replace(request, plan=False, approved=planned.acceptance)
    return waited(asked, asked.visit.submit(APPROVE, final, subject=request.proposal))


def _selection(shown: ProposalReply, request: ApproveProposal) -> Selection:
    return selection_of(shown, request.file, request.hunk)
