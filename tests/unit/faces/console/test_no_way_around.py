"""Ways around an approval that a program or a role without it might try: jobs asked for by themselves, and history written back."""

from __future__ import annotations

import pytest

from lastro.app.permissions import Principal, rights_of
from lastro.app.requests import Restore
from lastro.app.requests.proposals import ApproveProposal, ShowProposal
from lastro.app.visiting import Visit
from lastro.app.wiring import person
from lastro.domain.ids import LOCAL
from lastro.domain.record import Actor
from lastro.domain.reference import AtId, Reference
from lastro.errors import DeniedError, LastroError
from tests.console_kit import console_over
from tests.decision_kit import Office

PROPOSED = 2
"""The number of the snapshot that holds what is proposed: the first is the project as it is."""


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


def visit_of(kit, *roles, how="token"):
    principal = Principal(
        actor=Actor(kind="human", name=person().name, uid=person().uid), rights=rights_of(roles), how=how
    )
    return Visit(kit.services, kit.jobs, principal)


@pytest.mark.parametrize("role", ["owner", "approver"])
def test_what_nobody_signed_is_not_applied_by_asking_for_the_job(office, role):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"})
    with console_over(office) as kit:
        visit = visit_of(kit, role)
        request = ApproveProposal(proposal=f"proposal-{number}")
        planned = visit.reply_of(visit.submit("proposal.approve", request_of(request, plan=True)))
        assert planned.asks
        with pytest.raises(LastroError):
            visit.reply_of(visit.submit("proposal.approve", request_of(request, approved=planned.acceptance)))
        with pytest.raises(DeniedError):
            visit.submit("proposal.approve", request_of(request, approved=planned.acceptance, passphrase="x"))
        assert office.state(kit.desk, number) == "open"
    assert office.read("a") == b"one\n"


@pytest.mark.parametrize("role", ["operator", "auditor", "viewer"])
def test_who_may_not_decide_cannot_ask_for_the_job(office, role):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"})
    with console_over(office) as kit:
        for operation in ("proposal.approve", "proposal.undo", "proposal.rebase"):
            with pytest.raises(DeniedError):
                visit_of(kit, role).submit(operation, ApproveProposal(proposal=f"proposal-{number}"))
        assert kit.jobs.done == []


@pytest.mark.parametrize("to", ["", "elsewhere"])
@pytest.mark.parametrize("role", ["owner", "operator"])
def test_what_is_proposed_is_not_restored(office, tmp_path, role, to):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"})
        known = desk.caller.call("proposal.show", ShowProposal(proposal=f"proposal-{number}"))
    assert known.after != known.before
    with console_over(office) as kit:
        visit = visit_of(kit, role)
        for path in (office.root, f"{office.root}/a"):
            reference = Reference(
                server=LOCAL, path=path, at=AtId(kind="snap", number=PROPOSED, before=False)
            )
            request = Restore(reference=reference, to=str(tmp_path / to) if to else "", plan=True)
            with pytest.raises(DeniedError):
                visit.reply_of(visit.submit("restore", request))
    assert office.read("a") == b"one\n"


def request_of(request, **changed):
    return type(request)(
        **{name: changed.get(name, getattr(request, name)) for name in request.__struct_fields__}
    )
