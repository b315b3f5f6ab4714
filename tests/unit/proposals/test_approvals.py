from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.policy import HumanRole, ReviewRule
from lastro.domain.proposal import Approval, Verdict
from lastro.domain.record import Actor
from lastro.errors import DeniedError
from lastro.proposals.approvals import (
    CLOCK_SKEW_NS,
    LONGEST_VALID_NS,
    Demand,
    Given,
    approval_statement,
    approver_statement,
    count_approvals,
    demands_of,
    is_single_user,
    key_id_of,
    sign_approval,
    sign_approver,
    standing,
    unsigned_approval,
    verify_approval,
    verify_approver,
    why_not,
)
from lastro.proposals.rows import ApproverRow
from tests.proposal_kit import ANA, BIA, approver_body, key_of

NOW = 1_800_000_000_000_000_000
_ANY_VALUE = {int: st.integers(0, 2**62), bytes: st.binary(max_size=40), str: st.text(max_size=8)}


def signed(name="ana", **changed):
    key = key_of(name)
    fields = {
        "key_id": key_id_of(key.public_key().public_bytes_raw()),
        "proposal": 9,
        "revision": 2,
        "verdict": Verdict.APPROVE,
        "digest": b"d" * 32,
        "applies": b"a" * 32,
        "nonce": b"n" * 16,
        "time_ns": NOW,
        "expires_ns": NOW + 60_000_000_000,
    }
    return sign_approval(key, unsigned_approval(**{**fields, **changed}))


def public(name="ana"):
    return key_of(name).public_key().public_bytes_raw()


def row(name, *roles, uid=-1, revoked=None, since=1):
    key = key_of(name).public_key().public_bytes_raw()
    return ApproverRow(
        key_id=key_id_of(key),
        name=name,
        uid=uid,
        roles=tuple(HumanRole(role) for role in roles or ("approver",)),
        public_key=key,
        since_seq=since,
        since_ns=0,
        signed_by="",
        revoked_seq=revoked,
    )


def test_a_signed_approval_is_verified():
    verify_approval(signed(), public(), NOW + 1)


@given(st.data())
def test_no_field_can_be_changed_after_signing(data):
    approval = signed()
    name = data.draw(st.sampled_from([field.name for field in msgspec.structs.fields(Approval)]))
    value = data.draw(_ANY_VALUE[type(getattr(approval, name))])
    if value == getattr(approval, name):
        return
    with pytest.raises(DeniedError):
        verify_approval(msgspec.structs.replace(approval, **{name: value}), public(), NOW + 1)


@given(st.data())
def test_every_field_but_the_signature_is_in_the_statement(data):
    approval = signed()
    name = data.draw(st.sampled_from([field.name for field in msgspec.structs.fields(Approval)]))
    value = data.draw(_ANY_VALUE[type(getattr(approval, name))])
    changed = msgspec.structs.replace(approval, **{name: value})
    same = name == "signature" or value == getattr(approval, name)
    assert (approval_statement(changed) == approval_statement(approval)) is same


def test_another_humans_key_verifies_nothing():
    with pytest.raises(DeniedError):
        verify_approval(signed("bia"), public("ana"), NOW + 1)
    with pytest.raises(DeniedError):
        verify_approval(signed("bia", key_id=key_id_of(public("ana"))), public("ana"), NOW + 1)


@pytest.mark.parametrize(
    ("now", "fields"),
    [
        (NOW + 60_000_000_000, {}),
        (NOW - CLOCK_SKEW_NS - 1, {}),
        (NOW + LONGEST_VALID_NS + 1, {"expires_ns": NOW + 10 * LONGEST_VALID_NS}),
        (NOW + 1, {"nonce": b"short"}),
    ],
    ids=["expired", "from the future", "kept back for long", "without a nonce"],
)
def test_an_approval_is_good_for_a_time(now, fields):
    with pytest.raises(DeniedError):
        verify_approval(signed(**fields), public(), now)


def test_an_owner_signs_for_a_key():
    owner = key_of("ana")
    body = sign_approver(owner, approver_body(BIA, ("approver",), owner))
    assert verify_approver(body, public("ana"))
    assert not verify_approver(body, public("bia"))
    for changed in ({"roles": ["owner"]}, {"uid": 7}, {"name": "x"}, {"change": "revoked"}):
        assert not verify_approver(msgspec.structs.replace(body, **changed), public("ana"))
    assert approver_statement(body) != approval_statement(signed())


# Counting

_HUMANS = ("ana", "bia", "caio", "davi")
_ROLE_SETS = st.sets(st.sampled_from(["owner", "approver", "operator", "viewer"]), min_size=1)


@st.composite
def cases(draw):
    rows = [row(name, *draw(_ROLE_SETS), uid=1000 + number) for number, name in enumerate(_HUMANS)]
    rows = rows[: draw(st.integers(1, len(rows)))]
    demands = [
        Demand(
            rule=ReviewRule(
                paths=(),
                approvals=draw(st.integers(0, 3)),
                by=tuple(map(HumanRole, sorted(draw(_ROLE_SETS)))),
                not_author=draw(st.booleans()),
            ),
            paths=(f"p{number}",),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    given = [
        Given(approver=draw(st.sampled_from(rows)), time_ns=number)
        for number in range(draw(st.integers(0, 5)))
    ]
    authors = draw(
        st.sets(st.sampled_from(rows).map(lambda one: Actor(kind="human", name=one.name, uid=one.uid)))
    )
    return rows, demands, given, authors


@given(cases())
def test_a_human_counts_once(case):
    rows, demands, given, authors = case
    once = count_approvals(demands, given, approvers=rows, authors=authors)
    twice = count_approvals(demands, given * 2, approvers=rows, authors=authors)
    assert once == twice
    assert once.given <= len({one.approver.name for one in given})


@given(cases())
def test_one_more_approval_never_makes_more_missing(case):
    rows, demands, given, authors = case
    missing = [
        count_approvals(demands, given[:count], approvers=rows, authors=authors).missing
        for count in range(len(given) + 1)
    ]
    assert missing == sorted(missing, reverse=True)


@given(cases())
def test_nothing_missing_means_that_every_rule_is_met(case):
    rows, demands, given, authors = case
    count = count_approvals(demands, given, approvers=rows, authors=authors)
    alone = is_single_user(rows)
    for demand in demands:
        rule = demand.rule
        good = {
            one.approver.name
            for one in given
            if set(one.approver.roles) & set(rule.by)
            and not (
                rule.not_author and not alone and any(one.approver.uid == author.uid for author in authors)
            )
        }
        if not count.missing:
            assert len(good) >= rule.approvals
        assert rule.approvals - len(good) <= count.missing


@given(cases())
def test_who_is_told_no_never_counts(case):
    rows, demands, _, authors = case
    for one in rows:
        reason, _ = why_not(one, demands, approvers=rows, authors=authors)
        count = count_approvals(demands, [Given(approver=one, time_ns=0)], approvers=rows, authors=authors)
        if reason:
            assert count.given == 0


def test_an_author_counts_only_where_nobody_else_could():
    demands = demands_of({"a": ReviewRule(paths=())})
    ana = row("ana", "owner", uid=1000)
    author = [Actor(kind="human", name="ana", uid=1000)]
    mine = [Given(approver=ana, time_ns=0)]
    alone = count_approvals(demands, mine, approvers=[ana], authors=author)
    assert (alone.missing, alone.single_user) == (0, True)
    two = count_approvals(demands, mine, approvers=[ana, row("bia", uid=1001)], authors=author)
    assert (two.missing, two.single_user) == (1, False)
    watched = count_approvals(demands, mine, approvers=[ana, row("bia", "auditor", uid=1001)], authors=author)
    assert watched.single_user


def test_two_keys_of_one_human_are_one_human():
    first, second = row("ana", uid=1000), row("ana-laptop", uid=1000)
    demands = demands_of({"a": ReviewRule(paths=(), approvals=2, not_author=False)})
    count = count_approvals(
        demands,
        [Given(approver=first, time_ns=0), Given(approver=second, time_ns=1)],
        approvers=[first, second],
        authors=(),
    )
    assert (count.given, count.missing) == (1, 1)
    assert is_single_user([first, second])


def test_two_needed_stay_two_for_a_human_alone():
    ana = row("ana", "owner", uid=1000)
    demands = demands_of({"server.key": ReviewRule(paths=(), approvals=2)})
    count = count_approvals(demands, [Given(approver=ana, time_ns=0)], approvers=[ana], authors=(ANA,))
    assert count.missing == 1


def test_a_cool_down_counts_from_the_last_approval_that_counts():
    ana = row("ana", "owner", uid=1)
    demands = demands_of({"a": ReviewRule(paths=(), cool_down_s=60, not_author=False)})
    count = count_approvals(demands, [Given(approver=ana, time_ns=NOW)], approvers=[ana], authors=())
    assert count.ready_ns == NOW + 60_000_000_000


def test_a_key_is_good_from_its_record_to_its_end():
    revoked = row("ana", revoked=9, since=3)
    assert standing([revoked]) == []
    assert [bool(standing([revoked], seq)) for seq in (3, 4, 9, 10)] == [False, True, True, False]
