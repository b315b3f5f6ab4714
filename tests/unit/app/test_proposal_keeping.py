"""The keeper's operations on proposals, through their table, over a real log."""

from __future__ import annotations

import threading
from random import Random

import msgspec
import pytest

from lastro.app.event_feed import EventFeed
from lastro.app.requests.proposals import Allowed, Decide, Proposals, Propose, Revise, ShowProposal
from lastro.app.requests.runs import RecordRunState
from lastro.domain.entry import EntryType
from lastro.domain.policy import Enforcement
from lastro.domain.proposal import ChangeNote, Comment, Flag, Selection, Verdict
from lastro.domain.record import Actor
from lastro.domain.run import CheckResult, CheckVerdict, EndCause, RunEnforcement, RunFacts
from lastro.errors import ConfigError, ConflictError, DeniedError, NotFoundError, UsageError, WaitingError
from lastro.store.tree import TreeEntry
from tests.proposal_kit import ANA, BIA, CAIO, PROJECT, RUN_ID, Hall, human

MONTH_NS = 31 * 24 * 3600 * 1_000_000_000


@pytest.fixture
def hall(tmp_path):
    made = Hall(str(tmp_path), cache=f"{tmp_path}/inbox.sqlite")
    yield made
    made.close()


@pytest.fixture
def team(hall):
    """Ana is an owner, Bia and Caio approve."""
    hall.enrol(ANA, "owner")
    hall.enrol(BIA, by=ANA)
    hall.enrol(CAIO, by=ANA)
    return hall


# Recording


def test_a_proposal_is_what_its_snapshots_differ_by(hall):
    number = hall.propose({"a": b"two\n", "new/b": b"x\n"})
    shown = hall.show(number)
    assert [(file.path, file.kind) for file in shown.files] == [
        ("a", "changed"),
        ("new", "added"),
        ("new/b", "added"),
    ]
    assert shown.files[0].hunks[0].lines == ("-one", "+two")
    assert shown.state == "open"
    assert hall.events[-1].kind == "proposal"
    assert hall.events[-1].parameters["number"] == number


def test_proposing_twice_makes_one(hall):
    first = hall.propose({"a": b"two\n"}, identity=RUN_ID.format(7))
    assert hall.propose({"a": b"three\n"}, identity=RUN_ID.format(7)) == first


def test_what_the_digest_does_not_say_is_not_recorded(hall):
    before = hall.base({"a": b"one\n"})
    after = hall.layer(before, {"a": b"two\n"})
    other = hall.layer(before, {"a": b"evil\n"})
    digest = hall.changes(before, other).digest.hex()
    request = Propose(
        id=RUN_ID.format(1),
        kind="manual",
        target=PROJECT,
        before=before,
        after=after,
        change_digest=digest,
        purpose="",
    )
    with pytest.raises(ConflictError):
        hall.call("proposal.record", request)
    for wrong in (
        {"after": 0},
        {"after": 10**9},
        {"target": "/elsewhere"},
    ):
        with pytest.raises(NotFoundError):
            hall.call("proposal.record", msgspec.structs.replace(request, **wrong))
    for wrong in ({"kind": "x"}, {"risk": "x"}, {"id": "short"}, {"target": "srv"}):
        with pytest.raises(UsageError):
            hall.call("proposal.record", msgspec.structs.replace(request, **wrong))
    assert hall.inbox.proposals(now_ns=0) == []


def test_a_project_below_a_captured_root_is_seen_from_the_project(hall):
    before = hall.base({"app/a": b"one\n", "other": b"x"}, target="/srv")
    after = hall.layer(before, {"app/a": b"two\n", "other": b"y"}, target="/srv")
    digest = hall.changes(before, after).digest.hex()
    request = Propose(
        id=RUN_ID.format(1),
        kind="manual",
        target=PROJECT,
        before=before,
        after=after,
        change_digest=digest,
        purpose="",
    )
    number = hall.call("proposal.record", request).proposal
    assert [file.path for file in hall.show(number).files] == ["a"]
    pair = hall.pair(number)
    assert [(item.entry.path, item.tree_path) for item in pair.before] == [("a", "app/a")]


def test_a_link_to_what_is_not_changed_is_a_file_of_its_own(hall):
    before = hall.base({"a": b"one\n"})
    link = TreeEntry(type=EntryType.HARDLINK, name=b"z", link_target=b"a", mode=0o644)
    number = hall.propose({"z": link}, before=before)
    (item,) = hall.pair(number).after
    assert (item.entry.type, item.tree_path) == (EntryType.FILE, "a")
    group = hall.propose({"a": b"two\n", "z": link}, before=before)
    after = {item.entry.path: item for item in hall.pair(group).after}
    assert (after["z"].entry.type, after["z"].entry.link_target) == (EntryType.HARDLINK, "a")


def test_whatever_a_tool_said_can_be_recorded(hall):
    odd = CheckResult(
        name="t\udcff", command="make", verdict=CheckVerdict.FAILED, output="\ud800\udcff\x1b[31m"
    )
    number = hall.propose({"a": b"two\n"}, checks=(odd,))
    assert hall.show(number).checks[0].name == "t\ufffd"
    (summary,) = hall.call("proposal.list", Proposals()).proposals
    assert summary.failed_checks == 1


# Deciding


def test_an_approval_lets_it_be_applied(team):
    number = team.propose({"a": b"two\n"})
    assert team.approve(number, BIA).state == "approved"
    apply = team.apply(number)
    shown = team.show(number)
    assert (shown.state, shown.applies) == ("applied", (apply,))
    assert [passage.state for passage in shown.transitions] == [
        "open",
        "approved",
        "applying",
        "verifying",
        "applied",
    ]
    assert shown.decisions[0].counts and shown.decisions[0].signed
    assert team.audit().sound


def test_what_was_seen_must_be_what_stands(team):
    number = team.propose({"a": b"two\n"})
    seen = team.show(number)
    team.revise(number, {"a": b"three\n"})
    with pytest.raises(ConflictError):
        team.approve(number, BIA, shown=seen)
    assert team.state_of(number) == "open"
    assert team.inbox.proposal(number, now_ns=0).decisions == ()


@pytest.mark.parametrize("verdict", ["reject", "comment"])
def test_also_for_saying_no(team, verdict):
    number = team.propose({"a": b"two\n"})
    seen = team.show(number)
    team.revise(number, {"a": b"three\n"})
    request = Decide(proposal=number, revision=2, verdict=verdict, shown=seen.digest)
    for stale in (request, msgspec.structs.replace(request, revision=1)):
        with pytest.raises(ConflictError):
            team.call("proposal.decide", stale, BIA)


def test_a_policy_that_changed_is_something_else_to_see(team):
    number = team.propose({"a": b"two\n"})
    seen = team.show(number)
    team.policy('version = 1\n[[review]]\npaths = ["**"]\napprovals = 2\n')
    assert team.show(number).digest != seen.digest
    with pytest.raises(ConflictError):
        team.approve(number, BIA, shown=seen)
    assert team.approve(number, BIA).waiting == 1
    assert team.approve(number, CAIO).state == "approved"


def test_an_edit_lets_earlier_approvals_fall(team):
    number = team.propose({"server.key": b"x"})
    assert team.approve(number, BIA).waiting == 1
    team.revise(number, {"server.key": b"y"})
    shown = team.show(number)
    assert [decision.counts for decision in shown.decisions] == [False]
    assert team.approve(number, CAIO).waiting == 1
    assert team.approve(number, BIA).waiting == 0


def test_an_approval_does_not_come_back_with_what_it_was_for(team):
    number = team.propose({"server.key": b"x"})
    team.approve(number, BIA)
    team.revise(number, {"server.key": b"y"})
    team.revise(number, {"server.key": b"x"})
    assert team.approve(number, CAIO).waiting == 1


def test_approvals_of_different_parts_do_not_add_up(team):
    number = team.propose({"server.key": b"x", "client.key": b"y"})
    part = Selection(files=(b"server.key",))
    assert team.approve(number, BIA).waiting == 1
    assert team.approve(number, CAIO, selection=part).waiting == 1
    assert team.approve(number, CAIO).state == "approved"


def test_a_part_can_be_approved(team):
    number = team.propose({"a": b"two\n", "b": b"x\n"})
    part = Selection(files=(b"a",))
    assert team.approve(number, BIA, selection=part).state == "partly_approved"
    team.enter(number, "applying")
    team.enter(number, "approved")  # it could not be written; it stands as it was decided
    assert team.state_of(number) == "partly_approved"
    assert team.audit().sound


@pytest.mark.parametrize(
    "changed",
    [
        {"proposal": 99},
        {"revision": 2},
        {"digest": b"d" * 32},
        {"applies": b"a" * 32},
        {"verdict": Verdict.REJECT},
        {"time_ns": 0},
        {"expires_ns": 1},
        {"nonce": b""},
        {"key_id": "0" * 32},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_approval_is_for_exactly_one_thing(team, changed):
    number = team.propose({"a": b"two\n"})
    with pytest.raises((ConflictError, DeniedError)):
        team.approve(number, BIA, **changed)
    assert team.state_of(number) == "open"
    assert team.inbox.proposal(number, now_ns=0).decisions == ()


def test_a_forged_signature_decides_nothing(team):
    number = team.propose({"a": b"two\n"})
    good = team.approval(number, BIA)
    forged = msgspec.structs.replace(good, signature=bytes(64))
    with pytest.raises(DeniedError):
        team.approve(number, BIA, approval=forged)


def test_an_approval_is_used_once(team):
    number = team.propose({"server.key": b"x"})
    approval = team.approval(number, BIA)
    team.approve(number, BIA, approval=approval)
    with pytest.raises(DeniedError):
        team.approve(number, BIA, approval=approval)


def test_another_proposals_approval_counts_for_nothing(team):
    before = team.base({"a": b"one\n"})
    first, second = (team.propose({"a": b"two\n"}, before=before) for _ in range(2))
    with pytest.raises(ConflictError):
        team.approve(second, BIA, approval=team.approval(first, BIA))


def test_a_revoked_key_approves_nothing_and_its_approvals_fall(team):
    number, other = team.propose({"a": b"two\n"}), team.propose({"a": b"two\n"})
    team.approve(number, BIA)
    approval = team.approval(other, BIA)
    team.revoke(BIA, by=ANA)
    with pytest.raises(DeniedError):
        team.approve(other, BIA, approval=approval)
    with pytest.raises(WaitingError):
        team.enter(number, "applying")
    team.approve(number, CAIO)
    team.enter(number, "applying")
    assert team.audit().sound


def test_nobody_approves_what_they_asked_for(team):
    run = team.run("running", "collecting", "checking", actor=BIA)
    number = team.propose({"a": b"two\n"}, run=run, actor=BIA)
    with pytest.raises(DeniedError):
        team.approve(number, BIA)
    reply = team.call("proposal.allowed", Allowed(proposal=number), BIA)
    assert (reply.may, reply.reason, reply.path) == (False, "author", "a")
    assert team.call("proposal.allowed", Allowed(proposal=number), CAIO).may
    assert team.approve(number, CAIO).state == "approved"


def test_nobody_approves_what_they_edited(team):
    number = team.propose({"a": b"two\n"})
    team.revise(number, {"a": b"three\n"}, actor=BIA)
    with pytest.raises(DeniedError):
        team.approve(number, BIA)
    assert team.approve(number, CAIO).state == "approved"


def test_a_human_alone_may_and_it_is_said(hall):
    hall.enrol(ANA, "owner")
    number = hall.propose({"a": b"two\n"})
    reply = hall.call("proposal.allowed", Allowed(proposal=number))
    assert (reply.may, reply.single_user, reply.signer) == (True, True, "ana")
    assert hall.approve(number).single_user
    assert hall.show(number).decisions[0].single_user
    assert hall.audit().sound


def test_who_has_no_key_is_told(team):
    number = team.propose({"a": b"two\n"})
    stranger = human("davi", 1003)
    assert team.call("proposal.allowed", Allowed(proposal=number), stranger).reason == "no_key"
    with pytest.raises(DeniedError):
        team.say(number, "reject", stranger)
    with pytest.raises(DeniedError):
        team.say(number, "comment", stranger)


def test_a_viewer_has_no_say(team):
    davi = human("davi", 1003)
    team.enrol(davi, "viewer", by=ANA)
    number = team.propose({"a": b"two\n"})
    assert team.call("proposal.allowed", Allowed(proposal=number), davi).reason == "role"
    with pytest.raises(DeniedError):
        team.approve(number, davi)
    with pytest.raises(DeniedError):
        team.say(number, "reject", davi)


def test_nothing_is_approved_without_a_signature(team):
    number = team.propose({"a": b"two\n"})
    shown = team.show(number)
    request = Decide(proposal=number, revision=1, verdict="approve", shown=shown.digest)
    with pytest.raises(DeniedError):
        team.call("proposal.decide", request, BIA)


@pytest.mark.parametrize("kind", ["run", "keeper", "gateway"])
def test_only_humans_decide(team, kind):
    number = team.propose({"a": b"two\n"})
    actor = Actor(kind=kind, name="bia", uid=1001)
    for verdict in ("approve", "reject", "comment"):
        with pytest.raises(DeniedError):
            team.say(number, verdict, actor)
    with pytest.raises(DeniedError):
        team.enter(number, "held", actor)


def test_somebody_without_an_account_uses_anothers_desk(hall):
    maria = human("maria", -1)
    hall.enrol(maria, "owner")
    number, other = hall.propose({"a": b"two\n"}), hall.propose({"a": b"two\n"})
    reply = hall.call("proposal.allowed", Allowed(proposal=number), ANA)
    assert (reply.may, reply.signer) == (True, "maria")
    assert hall.approve(number, ANA, approval=hall.approval(number, maria)).state == "approved"
    hall.say(other, "reject", ANA)
    assert hall.audit().sound


def test_what_was_told_can_be_told_again(team):
    number = team.propose({"a": b"two\n"}, run=team.run("running", "collecting", "checking"))
    team.approve(number, BIA)
    feed = EventFeed()
    feed.attach(team.services)
    told = [(event.seq, event.kind) for event in team.events]
    assert told == [(event.seq, event.kind) for event in feed.replay(-1) if event.kind != "snapshot"][1:]
    assert [event.parameters["state"] for event in team.events if event.kind == "proposal"] == [
        "open",
        "approved",
    ]
    decision = next(event for event in team.events if event.kind == "decision")
    assert decision.parameters == {"proposal": number, "revision": 1, "verdict": "approve", "actor": "bia"}


def test_comments_go_back_to_the_agent(team):
    number = team.propose({"a": b"two\n"})
    reply = team.say(number, "comment", BIA, Comment(text="use three", path=b"a", lines=(1, 1)))
    assert reply.state == "changes_requested"
    assert team.show(number).decisions[0].comments[0].text == "use three"


def test_what_the_role_may_not_write_is_never_approved(team):
    run = team.run("running", "collecting", "checking")
    number = team.propose({"a": b"two\n", "etc": b"x\n"}, run=run)
    facts = RunFacts(
        cause=EndCause.EXITED,
        outside=(b"etc",),
        enforcement=RunEnforcement(view="copy", degraded=(Enforcement.NETWORK.value,)),
    )
    team.call("runs.state", RecordRunState(run=run, state="blocked", facts=facts))
    shown = team.show(number)
    assert shown.outside == ("etc",)
    assert shown.enforcement is not None and shown.enforcement.degraded == ("network",)
    assert team.call("proposal.allowed", Allowed(proposal=number), BIA).reason == "outside"
    with pytest.raises(DeniedError):
        team.approve(number, BIA)
    part = Selection(files=(b"a",))
    assert team.call("proposal.allowed", Allowed(proposal=number, selection=part), BIA).may
    team.revise(number, {"etc": None})
    assert team.show(number).outside == ()
    assert team.approve(number, CAIO).state == "approved"
    assert team.audit().sound


def test_the_keeper_takes_no_supervisors_word_for_what_a_role_may_write(team):
    run = team.run("running", "collecting", "checking", "finished")
    number = team.propose({"a": b"two\n", ".lastro/roles/mine.md": b"all of it\n"}, run=run)
    assert team.show(number).outside == (".lastro/roles", ".lastro/roles/mine.md")
    with pytest.raises(DeniedError):
        team.approve(number, BIA)
    assert team.approve(number, BIA, selection=Selection(files=(b"a",))).state == "partly_approved"
    assert team.audit().sound


def test_a_note_can_forbid_but_never_allow(team):
    run = team.run("running", "collecting", "checking")
    number = team.propose(
        {"a": b"two\n"}, run=run, notes=(ChangeNote(path=b"a", flags=(Flag.OUTSIDE_ROLE,)),)
    )
    assert team.show(number).outside == ("a",)


def test_what_an_agent_makes_of_the_policy_counts_for_nothing(team):
    text = b'version = 1\n[[review]]\npaths = ["**"]\napprovals = 2\n'
    files = {"a": b"one\n", ".lastro/policy.toml": text}
    number = team.propose({"a": b"two\n", ".lastro/policy.toml": b"version = 1\n"}, files=files)
    assert team.show(number).needed == 2


def test_a_policy_that_nobody_can_read_lets_nothing_through(team):
    link = TreeEntry(type=EntryType.SYMLINK, name=b"policy.toml", link_target=b"/dev/null")
    before = team.base({"a": b"one\n", ".lastro/policy.toml": link})
    with pytest.raises(ConfigError):
        team.propose({"a": b"two\n"}, before=before)


# Time


def test_an_undecided_proposal_ends_by_itself(team):
    number, seen = team.propose({"a": b"two\n"}), None
    seen = team.show(number)
    team.kit.clock.wall += MONTH_NS
    records = team.repository.head()
    assert team.show(number).state == "expired"
    assert team.call("proposal.list", Proposals()).proposals == ()
    assert team.repository.head() == records  # looking writes nothing
    with pytest.raises(DeniedError):
        team.approve(number, BIA, shown=seen)
    assert team.show(number).transitions[-1].state == "expired"
    with pytest.raises(DeniedError):
        team.approve(number, BIA, shown=seen)
    assert [passage.state for passage in team.show(number).transitions] == ["open", "expired"]
    assert team.audit().sound


def test_an_approved_proposal_that_nobody_applied_ends_too(team):
    number = team.propose({"a": b"two\n"})
    team.approve(number, BIA)
    team.kit.clock.wall += MONTH_NS
    with pytest.raises(DeniedError):
        team.enter(number, "applying")


def test_a_cool_down_is_waited_for(team):
    team.policy('version = 1\n[[review]]\npaths = ["**"]\napprovals = 1\ncool_down = "1h"\n')
    number = team.propose({"a": b"two\n"})
    assert team.call("proposal.allowed", Allowed(proposal=number), BIA).cool_down_s == 3600
    team.approve(number, BIA)
    with pytest.raises(WaitingError):
        team.enter(number, "applying")
    team.kit.clock.wall += 3600 * 1_000_000_000
    team.enter(number, "applying")
    assert team.audit().sound


# What builds on what


def test_rejecting_holds_what_builds_on_it(team):
    first = team.propose({"a": b"two\n"})
    after = team.show(first).after_seq
    second = team.propose({"a": b"three\n"}, before=after)
    other = team.propose({"a": b"four\n"})
    team.say(first, "reject", BIA)
    assert [team.state_of(number) for number in (first, second, other)] == ["rejected", "held", "open"]
    with pytest.raises(ConflictError):
        team.approve(second, BIA)
    team.enter(second, "open")  # a human looked, and lets it go on
    assert team.approve(second, BIA).state == "approved"
    assert team.audit().sound


def test_what_is_proposed_on_something_rejected_is_held_at_once(team):
    first = team.propose({"a": b"two\n"})
    team.say(first, "reject", BIA)
    second = team.propose({"a": b"three\n"}, before=team.show(first).after_seq)
    assert team.state_of(second) == "held"
    assert team.audit().sound


def test_undoing_holds_what_came_after_it_on_the_same_paths(team):
    first = team.propose({"a": b"two\n"})
    team.approve(first, BIA)
    team.apply(first)
    same = team.propose({"a": b"three\n"}, files={"a": b"two\n"})
    elsewhere = team.propose({"b": b"x\n"}, files={"a": b"two\n"})
    team.enter(first, "undone")
    assert [team.state_of(number) for number in (first, same, elsewhere)] == ["undone", "held", "open"]
    assert f"proposal-{first}" in team.show(same).transitions[-1].detail


# States


def test_no_state_comes_without_its_reason(team):
    number = team.propose({"a": b"two\n"})
    for state in ("approved", "partly_approved", "rejected", "changes_requested", "expired"):
        with pytest.raises(DeniedError):
            team.enter(number, state)
    for state in ("applying", "applied", "undone", "verifying"):
        with pytest.raises((ConflictError, WaitingError)):
            team.enter(number, state)
    with pytest.raises(UsageError):
        team.enter(number, "perfect")
    assert [passage.state for passage in team.show(number).transitions] == ["open"]


def test_an_apply_that_did_something_else_is_no_proof(team):
    number, other = team.propose({"a": b"two\n"}), team.propose({"a": b"two\n"})
    for each in (number, other):
        team.approve(each, BIA)
        team.enter(each, "applying")
    apply = team.record_apply(other)
    team.enter(number, "verifying", apply=apply)
    with pytest.raises(ConflictError):
        team.enter(number, "applied", apply=apply)


def test_a_revision_is_made_from_the_newest(team):
    number = team.propose({"a": b"two\n"})
    shown = team.show(number)
    team.revise(number, {"a": b"three\n"})
    stale = Revise(
        proposal=number,
        was=1,
        reason="edit",
        before=shown.before_seq,
        after=shown.after_seq,
        change_digest=shown.change_digest,
    )
    with pytest.raises(ConflictError):
        team.call("proposal.revise", stale)


# Looking


def test_the_inbox_is_sorted_by_risk_then_age(team):
    numbers = [
        team.propose({"a": b"%d\n" % count}, risk=risk)
        for count, risk in enumerate(("low", "high", "medium", "high"))
    ]
    shown = team.call("proposal.list", Proposals())
    assert [item.proposal for item in shown.proposals] == [numbers[1], numbers[3], numbers[2], numbers[0]]
    assert team.call("proposal.list", Proposals(limit=2)).more
    team.say(numbers[1], "reject", BIA)
    assert numbers[1] not in [item.proposal for item in team.call("proposal.list", Proposals()).proposals]
    assert numbers[1] in [item.proposal for item in team.call("proposal.list", Proposals(all=True)).proposals]
    assert [item.proposal for item in team.call("proposal.list", Proposals(state="rejected")).proposals] == [
        numbers[1]
    ]
    with pytest.raises(UsageError):
        team.call("proposal.list", Proposals(state="x"))


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("risk", lambda one: (("high", "medium", "low").index(one.risk), one.proposal)),
        ("newest", lambda one: -one.proposal),
        ("expiry", lambda one: (one.expires_ns, one.proposal)),
    ],
)
def test_the_inbox_is_sorted_as_is_wanted_and_paged_so(team, order, key):
    for count, risk in enumerate(("low", "high", "medium", "high", "low")):
        team.propose({"a": b"%d\n" % count}, risk=risk)
    whole = team.call("proposal.list", Proposals(order=order)).proposals
    assert len(whole) == 5
    assert list(whole) == sorted(whole, key=key)
    paged, after = [], 0
    while page := team.call("proposal.list", Proposals(order=order, after=after, limit=2)).proposals:
        paged += page
        after = page[-1].proposal
    assert paged == list(whole)
    with pytest.raises(UsageError, match="no such order"):
        team.call("proposal.list", Proposals(order="number; DROP TABLE proposal"))


def test_the_only_one_that_waits_needs_no_name(team):
    with pytest.raises(NotFoundError):
        team.call("proposal.show", ShowProposal())
    first = team.propose({"a": b"two\n"})
    assert team.call("proposal.show", ShowProposal()).proposal == first
    team.propose({"a": b"two\n"})
    with pytest.raises(UsageError):
        team.call("proposal.show", ShowProposal())


def test_names_and_files_choose_what_is_shown(team):
    number = team.propose({"a": b"two\n", "b": b"x\n", "bin": b"\0\1"})
    assert all(not file.hunks for file in team.show(number, names=True).files)
    (one,) = team.show(number, file=("b",)).files
    assert one.path == "b" and one.hunks
    binary = next(file for file in team.show(number).files if file.path == "bin")
    assert not binary.text and not binary.hunks
    assert (
        team.show(number).digest
        == team.show(number, names=True).digest
        == team.show(number, file=("b",)).digest
    )
    with pytest.raises(NotFoundError):
        team.show(number, file=("c",))


def test_a_rename_is_shown_as_one(team):
    number = team.propose({"a": None, "b": b"one\n"})
    (file,) = team.show(number).files
    assert (file.kind, file.path, file.old_path) == ("renamed", "b", "a")


# Races


def test_two_appliers_at_once_and_one_applies(team):
    number = team.propose({"a": b"two\n"})
    team.approve(number, BIA)
    outcomes = _at_once(lambda _: team.enter(number, "applying"), 8)
    assert sorted(kind.__name__ for kind in outcomes if kind) == ["ConflictError"] * 7


def test_deciders_at_once_leave_one_order(team):
    number = team.propose({"a": b"two\n"})
    shown = team.show(number)
    approvals = [team.approval(number, who) for who in (BIA, CAIO)]

    def decide(which):
        if which < 2:
            team.approve(number, (BIA, CAIO)[which], shown=shown, approval=approvals[which])
        else:
            team.say(number, "reject", BIA)

    outcomes = _at_once(decide, 3)
    assert team.state_of(number) == "rejected"
    assert all(kind in {None, ConflictError} for kind in outcomes)
    assert team.audit().sound


def test_proposing_at_once_makes_one(team):
    before = team.base({"a": b"one\n"})
    after = team.layer(before, {"a": b"two\n"})
    request = Propose(
        id=RUN_ID.format(5),
        kind="manual",
        target=PROJECT,
        before=before,
        after=after,
        change_digest=team.changes(before, after).digest.hex(),
        purpose="",
    )
    _at_once(lambda _: team.call("proposal.record", request), 6)
    assert len(team.inbox.proposals(now_ns=0)) == 1


def _at_once(act, count):
    """What came of doing it in ``count`` threads: the error's type, or ``None``."""
    start, outcomes = threading.Barrier(count), [None] * count

    def run(which):
        start.wait(30)
        try:
            act(which)
        except Exception as error:  # noqa: BLE001  it is what the test asks about
            outcomes[which] = type(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


@pytest.mark.slow
def test_no_order_of_looking_editing_and_approving_lets_an_old_sight_count(team):
    """1 000 random interleavings: two humans look, edit and approve; what an approval counted for is always what stood."""
    random = Random(7)
    number, sights = team.propose({"a": b"start\n"}), {}
    approvals = 0
    for step in range(1000):
        if team.state_of(number) not in {"open", "approved"}:
            break
        who = random.choice((BIA, CAIO))
        match random.choice(("look", "look", "edit", "approve")):
            case "look":
                sights[who] = team.show(number, names=True)
            case "edit":
                team.revise(number, {"a": b"%d\n" % step}, actor=ANA)
            case _ if who in sights:
                now = team.show(number, names=True).digest
                stale = sights[who].digest != now
                try:
                    team.approve(number, who, shown=sights[who])
                except ConflictError:
                    assert stale
                else:
                    assert not stale
                    approvals += 1
    whole = team.inbox.proposal(number, now_ns=0)
    assert approvals == len(whole.decisions) > 50
    for decision in whole.decisions:
        revision = next(one for one in whole.revisions if one.number == decision.revision)
        assert revision.seq < decision.seq
        assert not any(revision.seq < one.seq < decision.seq for one in whole.revisions)
