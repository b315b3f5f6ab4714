"""Signing in the keeper's process: by whom, what exactly, and what does not."""

from __future__ import annotations

import os

import msgspec
import pytest

from lastro.app.operations.approvers import body_about
from lastro.app.permissions import Right
from lastro.app.requests import Undo
from lastro.app.requests.policy import Approvers, VerifyAudit
from lastro.app.requests.proposals import ApproveProposal, ShowProposal, UndoProposal
from lastro.app.signing_desk import (
    accept_assertion,
    decide,
    may,
    prepare,
    prepare_change,
    record_change,
    sign_unlocked,
    sign_with_password,
)
from lastro.app.unlocked import GUESSES, UNLOCKED_NS, Unlocked
from lastro.domain.proposal import Selection
from lastro.errors import (
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    UsageError,
    WaitingError,
    WrongKeyError,
)
from tests.console_kit import console_over
from tests.decision_kit import PASSPHRASE, Office
from tests.passkey_kit import Authenticator
from tests.signing_kit import enrol_passkey, visit_of

HERE = "localhost"
UID = os.geteuid()


class Scene:
    """A proposal of somebody else's, and the console's keeper."""

    def __init__(self, office, kit, number):
        self.office, self.kit, self.number = office, kit, number
        with_owner = next(key for key in kit.services.inbox.approvers() if "owner" in key.roles)
        self.owner = with_owner.name
        self.visit = visit_of(kit, self.owner, uid=UID)

    def shown(self, number=0):
        return self.visit.call("proposal.show", ShowProposal(proposal=f"proposal-{number or self.number}"))

    def plan(self, number=0):
        request = ApproveProposal(proposal=f"proposal-{number or self.number}", plan=True)
        return self.visit.ask("proposal.approve", request)

    def prepared(self, visit=None, **fields):
        return prepare(visit or self.visit, self.shown(), Selection(), host=HERE, **fields)


def scene(tmp_path, *, others=(), risk="low"):
    office = Office.made(str(tmp_path), {"a": b"one\n"})
    with office.desk() as desk:
        for name, roles in others:
            office.enrol(desk, name, roles)
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"}, risk=risk)
    return office, number


@pytest.fixture
def one(tmp_path):
    """An owner alone, who proposed it too."""
    office, number = scene(tmp_path)
    with console_over(office) as kit:
        yield Scene(office, kit, number)


def carried_out(scene, approval, plan, number=0):
    decide(scene.visit, scene.shown(number), Selection(), approval)
    request = ApproveProposal(proposal=f"proposal-{number or scene.number}", approved=plan.acceptance)
    return scene.visit.ask("proposal.approve", request)


def test_a_password_signs_and_the_job_applies_without_a_secret(one):
    plan = one.plan()
    to_sign = one.prepared()
    assert to_sign.single_user and not to_sign.missing and not to_sign.passkeys
    approval = sign_with_password(one.visit, to_sign, PASSPHRASE)
    done = carried_out(one, approval, plan)
    assert done.done and one.office.read("a") == b"two\n"
    assert all(PASSPHRASE.encode() not in job.order.request for job in one.kit.jobs.done)
    assert one.visit.call("audit.verify", VerifyAudit()).sound


def test_a_passkey_signs(tmp_path):
    authenticator = Authenticator()
    office, number = scene(tmp_path)
    with office.desk() as desk:
        enrol_passkey(office, desk, authenticator, desk.actor.name, uid=UID)
    with console_over(office) as kit:
        act = Scene(office, kit, number)
        plan, to_sign = act.plan(), act.prepared()
        (signer,) = to_sign.passkeys
        assert signer.credential == authenticator.credential and to_sign.password
        approval = accept_assertion(to_sign, signer.key_id, authenticator.sign(signer.challenge))
        assert carried_out(act, approval, plan).done
        assert act.visit.call("audit.verify", VerifyAudit()).sound


def test_what_comes_back_with_its_ticket_is_the_same_thing(one):
    shown = one.prepared()
    again = one.prepared(ticket=shown.ticket)
    assert [signer.statement for signer in shown.signers] == [signer.statement for signer in again.signers]
    assert one.prepared().ticket != shown.ticket


@pytest.mark.parametrize(
    "ticket",
    ["x", ".", "1.", f"1.{'0' * 32}", f"9{'0' * 18}.{'0' * 32}", f"-5.{'0' * 32}", f"5.{'g' * 32}", "\x1b"],
)
def test_a_ticket_that_is_none(one, ticket):
    with pytest.raises(UsageError):
        one.prepared(ticket=ticket)


def test_an_approval_is_used_once(one):
    approval = sign_with_password(one.visit, one.prepared(), PASSPHRASE)
    decide(one.visit, one.shown(), Selection(), approval)
    with pytest.raises((DeniedError, ConflictError)):
        decide(one.visit, one.shown(), Selection(), approval)


def test_it_is_for_what_was_shown(one):
    to_sign, shown = one.prepared(), one.shown()
    approval = sign_with_password(one.visit, to_sign, PASSPHRASE)
    with pytest.raises(ConflictError):
        decide(one.visit, msgspec.structs.replace(shown, digest="00" * 32), Selection(), approval)
    chosen = Selection(files=(b"a",))
    decide(one.visit, shown, chosen, approval)  # the whole of it, by its name: the same change set


def test_another_keys_assertion_signs_nothing(tmp_path):
    authenticator = Authenticator()
    office, number = scene(tmp_path)
    with office.desk() as desk:
        enrol_passkey(office, desk, authenticator, desk.actor.name, uid=UID)
    with console_over(office) as kit:
        to_sign = Scene(office, kit, number).prepared()
        (signer,) = to_sign.passkeys
        with pytest.raises(DeniedError):
            accept_assertion(to_sign, signer.key_id, Authenticator(seed=2).sign(signer.challenge))
        with pytest.raises(DeniedError):
            accept_assertion(to_sign, to_sign.password.key_id, authenticator.sign(signer.challenge))
        with pytest.raises(NotFoundError):
            accept_assertion(to_sign, "0" * 32, authenticator.sign(signer.challenge))


def test_a_passkey_of_another_console_is_not_asked_for(tmp_path):
    office, number = scene(tmp_path)
    with office.desk() as desk:
        enrol_passkey(office, desk, Authenticator(host="other.example"), desk.actor.name, uid=UID)
    with console_over(office) as kit:
        assert not Scene(office, kit, number).prepared().passkeys


# Who may not --------------------------------------------------------------------------------------------------------------------------


def test_nobody_signs_with_somebody_elses_key(tmp_path):
    office, number = scene(tmp_path, others=(("bia", ("approver",)),))
    with console_over(office) as kit:
        act = Scene(office, kit, number)
        stranger = visit_of(kit, "caio", "approver")
        with pytest.raises(DeniedError):
            act.prepared(stranger)
        assert may(stranger, number, Selection()).reason == "no_key"
        to_sign = act.prepared(visit_of(kit, "bia", "approver"))
        assert [signer.unsigned.key_id for signer in to_sign.signers] == [
            key.key_id for key in kit.services.inbox.approvers() if key.name == "bia"
        ]


def test_the_author_waits_for_somebody_else(tmp_path):
    office, number = scene(tmp_path, others=(("bia", ("approver",)),))
    with console_over(office) as kit:
        act = Scene(office, kit, number)
        with pytest.raises(WaitingError):
            act.prepared()
        assert may(act.visit, number, Selection()).reason == "author"
        bia = visit_of(kit, "bia", "approver")
        assert not act.prepared(bia).single_user
        assert may(bia, number, Selection()).may


def test_a_viewer_may_not(tmp_path):
    office, number = scene(tmp_path, others=(("bia", ("approver",)), ("vera", ("viewer",))))
    with console_over(office) as kit:
        act = Scene(office, kit, number)
        with pytest.raises(DeniedError):
            act.prepared(visit_of(kit, "vera", "viewer"))
        with pytest.raises(WaitingError):  # whatever rights a session said: the key has none
            act.prepared(visit_of(kit, "vera", "owner"))


# Passphrases --------------------------------------------------------------------------------------------------------------------------


def test_a_wrong_passphrase_signs_nothing_and_cannot_be_tried_for_ever(one):
    to_sign = one.prepared()
    with pytest.raises(UsageError):
        sign_with_password(one.visit, to_sign, "")
    for _ in range(GUESSES):
        with pytest.raises(WrongKeyError):
            sign_with_password(one.visit, to_sign, "something else")
    with pytest.raises(LimitError):
        sign_with_password(one.visit, to_sign, PASSPHRASE)


def test_a_key_stays_unlocked_for_one_session_and_low_risk(one):
    to_sign = one.prepared()
    assert sign_unlocked(one.visit, to_sign, "session-1") is None
    sign_with_password(one.visit, to_sign, PASSPHRASE, unlocked_for="session-1")
    assert sign_unlocked(one.visit, one.prepared(), "session-2") is None
    approval = sign_unlocked(one.visit, one.prepared(), "session-1")
    decide(one.visit, one.shown(), Selection(), approval)
    one.kit.services.unlocked.forget("session-1")
    assert sign_unlocked(one.visit, one.prepared(), "session-1") is None


@pytest.mark.parametrize("risk", ["medium", "high"])
def test_a_key_never_stays_unlocked_for_more_than_low_risk(tmp_path, risk):
    office, number = scene(tmp_path, risk=risk)
    with console_over(office) as kit:
        act = Scene(office, kit, number)
        sign_with_password(act.visit, act.prepared(), PASSPHRASE, unlocked_for="session-1")
        assert kit.services.unlocked.key("session-1", kit.services.clock.wall_ns()) is None
        kit.services.unlocked.keep(
            "session-1", act.prepared().password.key_id, object(), kit.services.clock.wall_ns()
        )
        assert sign_unlocked(act.visit, act.prepared(), "session-1") is None


def test_a_key_is_locked_again_after_its_time():
    unlocked = Unlocked()
    unlocked.keep("session-1", "key", object(), 1_000)
    assert unlocked.key("session-1", 1_000 + UNLOCKED_NS - 1).until_ns == 1_000 + UNLOCKED_NS
    assert unlocked.key("session-1", 1_000 + UNLOCKED_NS) is None
    assert unlocked.key("session-1", 1_000) is None


def test_guesses_are_forgotten_after_a_while():
    unlocked = Unlocked()
    for _ in range(GUESSES):
        unlocked.guessed_wrong("key", 0)
    with pytest.raises(LimitError):
        unlocked.refuse_guessing("key", UNLOCKED_NS - 1)
    unlocked.refuse_guessing("another", 0)
    unlocked.refuse_guessing("key", UNLOCKED_NS)


# Other acts ---------------------------------------------------------------------------------------------------------------------------


def test_roles_are_signed_here_too(tmp_path):
    office, number = scene(tmp_path, others=(("bia", ("approver",)),))
    with console_over(office) as kit:
        act = Scene(office, kit, number)
        listed = act.visit.call("approver.list", Approvers()).approvers
        bia = next(key for key in listed if key.name == "bia")
        body = body_about(bia, "roles", ["viewer"])
        to_sign = prepare_change(act.visit, body, host=HERE)
        again = prepare_change(act.visit, body, host=HERE, ticket=to_sign.ticket)
        assert to_sign.password.statement == again.password.statement
        reply = record_change(act.visit, Right.ADMINISTER, sign_with_password(act.visit, again, PASSPHRASE))
        assert next(key for key in reply.approvers if key.name == "bia").roles == ("viewer",)
        with pytest.raises(DeniedError):
            prepare_change(visit_of(kit, "bia", "owner"), body, host=HERE)
        signed = sign_with_password(act.visit, prepare_change(act.visit, body, host=HERE), PASSPHRASE)
        with pytest.raises(DeniedError):
            record_change(visit_of(kit, "bia", "viewer"), Right.ADMINISTER, signed)


def test_an_undo_is_proposed_signed_and_carried_out(one):
    carried_out(one, sign_with_password(one.visit, one.prepared(), PASSPHRASE), one.plan())
    request = UndoProposal(proposal=f"proposal-{one.number}", plan=True)
    planned = one.visit.ask("proposal.undo", request)
    assert planned.asks and one.office.read("a") == b"two\n"
    proposed = one.visit.ask(
        "proposal.undo", msgspec.structs.replace(request, plan=False, approved=planned.acceptance)
    )
    assert proposed.proposal != one.number and proposed.undoes == one.number and not proposed.done
    assert one.office.read("a") == b"two\n"
    shown = one.shown(proposed.proposal)
    to_sign = prepare(one.visit, shown, Selection(), host=HERE)
    approval = sign_with_password(one.visit, to_sign, PASSPHRASE)
    done = carried_out(one, approval, proposed, proposed.proposal)
    assert done.done and one.office.read("a") == b"one\n"
    assert one.shown().state == "undone"
    assert one.visit.call("audit.verify", VerifyAudit()).sound


def test_an_undo_that_changed_meanwhile_is_not_proposed(one):
    carried_out(one, sign_with_password(one.visit, one.prepared(), PASSPHRASE), one.plan())
    request = UndoProposal(proposal=f"proposal-{one.number}", approved="00" * 32)
    with pytest.raises(ConflictError):
        one.visit.ask("proposal.undo", request)
    assert one.shown().state == "applied"


def test_undo_at_the_terminal_is_as_it_was(tmp_path):
    office, number = scene(tmp_path)
    with office.desk() as desk:
        office.approve(desk, number)
        assert office.undo(desk, f"proposal-{number}").done
        assert office.read("a") == b"one\n"
    assert Undo(apply="proposal-1").approved == ""
