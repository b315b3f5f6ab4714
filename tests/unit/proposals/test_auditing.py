"""An honest keeper's log is sound; whatever a dishonest one writes into it that can be seen is named at its record."""

from __future__ import annotations

import msgspec
import pytest

from lastro.app.requests.runs import RecordRunState
from lastro.domain.policy import Policy
from lastro.domain.proposal import Selection, Verdict
from lastro.domain.record import (
    ApproverBody,
    DecisionBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    RecordKind,
    RunBody,
    RunStateBody,
    ServerBody,
)
from lastro.domain.run import EndCause, RunFacts
from lastro.proposals.approvals import sign_approver
from lastro.proposals.policy import DEFAULT_POLICY, policy_digest
from lastro.proposals.rows import NIL, pack
from tests.proposal_kit import ANA, BIA, CAIO, PROJECT, RUN_ID, Hall, approver_body, key_of

MONTH_NS = 31 * 24 * 3600 * 1_000_000_000


@pytest.fixture
def hall(tmp_path):
    made = Hall(str(tmp_path))
    made.enrol(ANA, "owner")
    made.enrol(BIA, by=ANA)
    made.enrol(CAIO, by=ANA)
    yield made
    made.close()


def decided(hall, number, who=BIA, *, approval=None, unsigned=False, **changed):
    """A decision as a dishonest keeper appends it: nothing was checked."""
    shown = hall.show(number, names=True)
    fields = {
        "approval": NIL if unsigned else pack(approval or hall.approval(number, who)),
        "comments": [],
        "policy": pack(DEFAULT_POLICY),
        "policy_digest": policy_digest(DEFAULT_POLICY),
        "proposal": number,
        "revision": shown.revision,
        "selection": pack(Selection()),
        "shown": bytes.fromhex(shown.digest),
        "single_user": False,
        "verdict": "approve",
    }
    return hall.append(RecordKind.DECISION, DecisionBody(**{**fields, **changed}), who).seq


def entered(hall, number, state, **fields):
    body = ProposalStateBody(proposal=number, state=state, **{"apply": None, "detail": b"", **fields})
    return hall.append(RecordKind.PROPOSAL_STATE, body).seq


def found(hall):
    """``seq`` → what was found there."""
    reply = hall.audit()
    assert reply.sound is not bool(reply.findings)
    said = {}
    for finding in reply.findings:
        said.setdefault(finding.seq, []).append(finding.sentence.msgid.format(**finding.sentence.parameters))
    return said


def test_an_honest_log_is_sound(hall):
    run = hall.run("running", "collecting", "checking")
    first = hall.propose({"a": b"two\n", "server.key": b"x"}, run=run)
    facts = RunFacts(cause=EndCause.EXITED)
    hall.call("runs.state", RecordRunState(run=run, state="finished", facts=facts))
    hall.approve(first, BIA)
    hall.revise(first, {"a": b"three\n"})
    hall.approve(first, BIA)
    hall.approve(first, CAIO)
    hall.apply(first)
    hall.enter(first, "undone")
    hall.say(hall.propose({"a": b"two\n"}), "reject", BIA)
    hall.say(hall.propose({"a": b"two\n"}), "comment", BIA)
    hall.revoke(BIA, by=ANA)
    reply = hall.audit()
    assert reply.sound, reply.findings
    assert (reply.runs, reply.proposals, reply.decisions, reply.approvals, reply.applies) == (1, 3, 5, 3, 1)
    assert reply.head == hall.repository.head()[1].hex()


def test_what_the_kit_forges_would_be_sound_if_it_were_true(hall):
    number = hall.propose({"a": b"two\n"})
    decided(hall, number)
    entered(hall, number, "approved")
    assert found(hall) == {}


def test_a_signature_that_does_not_hold(hall):
    number = hall.propose({"a": b"two\n"})
    seq = decided(
        hall, number, approval=msgspec.structs.replace(hall.approval(number, BIA), signature=bytes(64))
    )
    assert "does not hold" in found(hall)[seq][0]


def test_an_approval_by_a_key_that_was_revoked(hall):
    number = hall.propose({"a": b"two\n"})
    approval = hall.approval(number, BIA)
    hall.revoke(BIA, by=ANA)
    seq = decided(hall, number, approval=approval)
    assert "not good then" in found(hall)[seq][0]


def test_a_key_that_is_revoked_later_was_good(hall):
    number = hall.propose({"a": b"two\n"})
    decided(hall, number)
    entered(hall, number, "approved")
    hall.revoke(BIA, by=ANA)
    assert found(hall) == {}


def test_an_approval_that_was_used_twice(hall):
    number = hall.propose({"server.key": b"x"})
    approval = hall.approval(number, BIA)
    decided(hall, number, approval=approval)
    seq = decided(hall, number, approval=approval)
    assert "twice" in found(hall)[seq][0]


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": b"d" * 32},
        {"applies": b"a" * 32},
        {"proposal": 7},
        {"revision": 3},
        {"verdict": Verdict.REJECT},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_approval_for_something_else(hall, changed):
    number = hall.propose({"a": b"two\n"})
    seq = decided(hall, number, approval=hall.approval(number, BIA, **changed))
    assert "something else" in found(hall)[seq][0]


def test_a_decision_on_what_was_not_shown(hall):
    number = hall.propose({"a": b"two\n"})
    seq = decided(hall, number, shown=b"s" * 32)
    assert "than what was shown" in found(hall)[seq][0]


def test_a_decision_on_an_older_revision(hall):
    number = hall.propose({"a": b"two\n"})
    approval = hall.approval(number, BIA)
    hall.revise(number, {"a": b"three\n"})
    seq = decided(hall, number, approval=approval, revision=1)
    assert "did not stand" in found(hall)[seq][0]


def test_an_approval_by_the_author(hall):
    number = hall.propose({"a": b"two\n"}, actor=BIA)
    seq = decided(hall, number, BIA)
    assert "no right" in found(hall)[seq][0]


def test_a_human_alone_who_does_not_say_so(tmp_path):
    hall = Hall(str(tmp_path))
    hall.enrol(ANA, "owner")
    number = hall.propose({"a": b"two\n"})
    seq = decided(hall, number, ANA)
    assert "does not say so" in found(hall)[seq][0]
    hall.close()


def test_an_approval_without_a_signature(hall):
    number = hall.propose({"a": b"two\n"})
    seq = decided(hall, number, unsigned=True)
    assert "without a signature" in found(hall)[seq][0]


def test_a_decision_after_its_time(hall):
    number = hall.propose({"a": b"two\n"})
    hall.kit.clock.wall += MONTH_NS
    seq = decided(hall, number)
    assert "after its time" in found(hall)[seq][0]


def test_a_policy_that_is_not_the_one_it_names(hall):
    number = hall.propose({"a": b"two\n"})
    seq = decided(hall, number, policy=pack(Policy()))
    assert "not the one it names" in found(hall)[seq][0]


def test_a_policy_that_nobody_knows(hall):
    number = hall.propose({"a": b"two\n"})
    seq = decided(hall, number, policy=NIL, policy_digest=b"p" * 32)
    assert "does not hold" in found(hall)[seq][0]


def test_an_approval_of_what_the_role_may_not_write(hall):
    run = hall.run("running", "collecting", "checking")
    number = hall.propose({"etc": b"x"}, run=run)
    facts = RunFacts(cause=EndCause.EXITED, outside=(b"etc",))
    hall.call("runs.state", RecordRunState(run=run, state="blocked", facts=facts))
    seq = decided(hall, number)
    assert "may not write" in found(hall)[seq][0]


def test_approved_by_nobody(hall):
    number = hall.propose({"a": b"two\n"})
    seq = entered(hall, number, "approved")
    assert "by nobody" in found(hall)[seq][0]


def test_approved_by_too_few(hall):
    number = hall.propose({"server.key": b"x"})
    decided(hall, number)
    seq = entered(hall, number, "approved")
    assert "lacked 1" in found(hall)[seq][0]


def test_approved_for_an_older_revision(hall):
    number = hall.propose({"a": b"two\n"})
    hall.approve(number, BIA)
    hall.revise(number, {"a": b"three\n"})
    seq = entered(hall, number, "approved")
    assert "by nobody" in found(hall)[seq][0]


def test_applied_after_the_key_was_revoked(hall):
    number = hall.propose({"a": b"two\n"})
    hall.approve(number, BIA)
    hall.revoke(BIA, by=ANA)
    seq = entered(hall, number, "applying")
    assert "lacked 1" in found(hall)[seq][0]


def test_applied_too_soon(hall):
    hall.policy('version = 1\n[[review]]\npaths = ["**"]\napprovals = 1\ncool_down = "1h"\n')
    number = hall.propose({"a": b"two\n"})
    hall.approve(number, BIA)
    seq = entered(hall, number, "applying")
    assert "sooner" in found(hall)[seq][0]


def test_rejected_by_nobody(hall):
    number = hall.propose({"a": b"two\n"})
    seq = entered(hall, number, "rejected")
    assert "by nobody" in found(hall)[seq][0]


def test_expired_before_its_time(hall):
    number = hall.propose({"a": b"two\n"})
    seq = entered(hall, number, "expired")
    assert "before its time" in found(hall)[seq][0]


@pytest.mark.parametrize("state", ["applied", "undone", "verifying", "rolled_back"])
def test_a_transition_that_cannot_be(hall, state):
    number = hall.propose({"a": b"two\n"})
    seq = entered(hall, number, state)
    assert "cannot be" in found(hall)[seq][0]
    assert hall.state_of(number) == "open"


def test_an_apply_that_nobody_approved(hall):
    number = hall.propose({"a": b"two\n"})
    hall.record_apply(number)
    ((said,),) = found(hall).values()
    assert "not approved" in said


def test_an_apply_that_wrote_something_else(hall):
    number = hall.propose({"a": b"two\n"})
    hall.approve(number, BIA)
    hall.enter(number, "applying")
    hall.record_apply(number, paths=["a", "etc/passwd"])
    ((said,),) = found(hall).values()
    assert "etc/passwd" in said


def test_a_run_that_went_where_it_cannot(hall):
    run = hall.run("running")
    body = RunStateBody(after=None, before=None, facts=NIL, run=run, state="finished")
    seq = hall.append(RecordKind.RUN_STATE, body).seq
    nowhere = hall.append(RecordKind.RUN_STATE, msgspec.structs.replace(body, run=99)).seq
    assert set(found(hall)) == {seq, nowhere}
    assert hall.inbox.run(run).run.state == "running"


def test_two_runs_with_one_id(hall):
    hall.run(identity=RUN_ID.format(1))
    body = RunBody(
        agent="x",
        command=[],
        id=RUN_ID.format(1),
        leases=[],
        policy_digest=b"",
        project=b"/srv",
        purpose="",
        rebases=None,
        resumes=None,
        role="",
    )
    seq = hall.append(RecordKind.RUN, body).seq
    assert "id that another has" in found(hall)[seq][0]


def test_a_proposal_that_its_snapshots_do_not_hold(hall):
    before = hall.base({"a": b"one\n"})
    after = hall.layer(before, {"a": b"two\n"})
    body = ProposalBody(
        after=after,
        before=before,
        change_digest=b"c" * 32,
        checks=[],
        expires_ns=hall.now + MONTH_NS,
        id=RUN_ID.format(3),
        kind="manual",
        notes=[],
        of=None,
        policy_digest=b"",
        purpose="",
        risk="low",
        run=None,
        target=PROJECT.encode(),
    )
    seqs = {hall.append(RecordKind.PROPOSAL, body).seq}
    seqs.add(hall.append(RecordKind.PROPOSAL, msgspec.structs.replace(body, id="x", after=0)).seq)
    said = found(hall)
    assert set(said) == seqs
    assert "do not differ" in said[min(seqs)][0]


def test_a_revision_out_of_turn(hall):
    number = hall.propose({"a": b"two\n"})
    shown = hall.show(number)
    body = ProposalRevisionBody(
        after=shown.after_seq,
        before=shown.before_seq,
        change_digest=bytes.fromhex(shown.change_digest),
        checks=[],
        notes=[],
        proposal=number,
        reason="edit",
        revision=3,
        risk="low",
    )
    seq = hall.append(RecordKind.PROPOSAL_REVISION, body).seq
    assert "cannot have had" in found(hall)[seq][0]


def enrolment(name, signer, **changed):
    actor = msgspec.structs.replace(CAIO, name=name, uid=1009)
    body = approver_body(actor, ("owner",), key_of(signer))
    return sign_approver(key_of(signer), msgspec.structs.replace(body, **changed))


@pytest.mark.parametrize(
    "body",
    [
        enrolment("eva", "eva"),
        enrolment("eva", "bia"),
        msgspec.structs.replace(enrolment("eva", "ana"), roles=["owner", "approver"]),
        enrolment("eva", "ana", key_id="0" * 32),
        enrolment("bia", "ana"),
        enrolment("eva", "ana", change="invited"),
    ],
    ids=[
        "by itself",
        "by no owner",
        "changed after signing",
        "under another name",
        "twice",
        "in no known way",
    ],
)
def test_a_key_that_no_owner_enrolled(hall, body: ApproverBody):
    seq = hall.append(RecordKind.APPROVER, body).seq
    assert "without the signature" in found(hall)[seq][0]


def test_a_key_that_no_owner_revoked(hall):
    body = approver_body(CAIO, ("approver",), key_of("bia"))
    body = sign_approver(key_of("bia"), msgspec.structs.replace(body, change="revoked"))
    seq = hall.append(RecordKind.APPROVER, body).seq
    assert "revoked without" in found(hall)[seq][0]


@pytest.mark.parametrize(
    "kind",
    [
        RecordKind.RUN,
        RecordKind.RUN_STATE,
        RecordKind.PROPOSAL,
        RecordKind.PROPOSAL_REVISION,
        RecordKind.PROPOSAL_STATE,
        RecordKind.DECISION,
        RecordKind.APPROVER,
    ],
)
def test_what_cannot_be_understood_is_named_and_stops_nothing(hall, kind):
    odd = ServerBody(address="", certificate=b"", device="", name="odd")
    seq = hall.append(kind, odd).seq
    number = hall.propose({"a": b"two\n"})
    assert hall.show(number).state == "open"
    assert "impossible" in found(hall)[seq][0]


def test_kinds_of_a_later_version_are_no_finding(hall):
    hall.append("something-new", ServerBody(address="", certificate=b"", device="", name=""))
    assert found(hall) == {}
