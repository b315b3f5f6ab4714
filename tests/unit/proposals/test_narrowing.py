"""A project's file never widens the policy: whatever it says, it is refused or leaves everybody with no more than before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.policy import ActionRule, NetworkMode, Policy, ReviewRule, Role, RunLimits
from lastro.errors import ConfigError
from lastro.proposals.globs import first_match
from lastro.proposals.narrowing import ACTIONS, Narrowing, RoleNarrowing, narrow, widenings, without_widenings
from lastro.proposals.policy import (
    DEFAULT_POLICY,
    NETWORKS,
    may_make_directory,
    may_read,
    may_write,
    review_of,
    role_of,
    within,
)
from tests.unit.proposals.policies import modest_narrowings, narrowings, paths, policies, rules


def assert_no_wider(before: Policy, after: Policy, path: str) -> None:
    assert [role.name for role in after.roles] == [role.name for role in before.roles]
    assert after.default_role == before.default_role
    assert set(after.forbid_degraded) >= set(before.forbid_degraded)
    assert after.expires_s <= before.expires_s
    for old, new in zip(before.roles, after.roles, strict=True):
        for may in (may_write, may_read, may_make_directory):
            assert not may(new, path).allowed or may(old, path).allowed
        assert NETWORKS.index(new.network) <= NETWORKS.index(old.network)
        assert set(new.hosts) <= set(old.hosts)
        assert not old.execute or new.execute
        for name in ACTIONS:
            assert getattr(new, name) is ActionRule.DENY or getattr(old, name) is ActionRule.PROPOSE
        for name in RunLimits.__struct_fields__:
            assert within(getattr(new.limits, name), getattr(old.limits, name))
    old_rule, new_rule = review_of(before, path), review_of(after, path)
    assert new_rule.approvals >= old_rule.approvals
    assert set(new_rule.by) <= set(old_rule.by)
    assert new_rule.not_author or not old_rule.not_author
    assert new_rule.cool_down_s >= old_rule.cool_down_s


def narrowed(policy, narrowing):
    try:
        return narrow(policy, narrowing)
    except ConfigError:
        assert list(widenings(policy, narrowing))
        return policy


@given(policies, narrowings, paths)
def test_anything_at_all_is_refused_or_no_wider(policy, narrowing, path):
    assert_no_wider(policy, narrowed(policy, narrowing), path)


@given(policies.flatmap(lambda policy: st.tuples(st.just(policy), modest_narrowings(policy))), paths)
def test_what_passes_is_no_wider(drawn, path):
    policy, narrowing = drawn
    assert_no_wider(policy, narrowed(policy, narrowing), path)


@given(policies.flatmap(lambda policy: st.tuples(st.just(policy), modest_narrowings(policy))))
def test_what_is_taken_from_the_policy_itself_passes(drawn):
    policy, narrowing = drawn
    modest = replace(narrowing, review=())
    assert list(widenings(policy, modest)) == []


@given(policies, narrowings, paths)
def test_what_is_left_without_widenings_narrows_as_far_as_it_can(policy, narrowing, path):
    left = without_widenings(policy, narrowing)
    after = narrow(policy, left)
    assert_no_wider(policy, after, path)
    if not list(widenings(policy, narrowing)):
        assert after == narrow(policy, narrowing)
    for role in after.roles:
        taken = narrowing.roles.get(role.name, RoleNarrowing())
        if first_match((*taken.deny_write, *narrowing.every_role.deny_write), path, loose=True):
            assert not may_write(role, path).allowed
        if taken.write is not None and not first_match(taken.write, path):
            assert not may_write(role, path).allowed
    for rule in narrowing.review:
        if rule is narrowing.review[-1] and first_match(rule.paths, path):
            assert review_of(after, path).approvals >= rule.approvals


@given(policies)
def test_nothing_said_changes_nothing(policy):
    assert narrow(policy, Narrowing()) == policy


@given(policies.flatmap(lambda policy: st.tuples(st.just(policy), modest_narrowings(policy))), paths)
def test_what_a_project_takes_is_gone(drawn, path):
    policy, narrowing = drawn[0], replace(drawn[1], review=())
    for role in narrow(policy, narrowing).roles:
        taken, every = narrowing.roles.get(role.name, RoleNarrowing()), narrowing.every_role
        if first_match((*taken.deny_write, *every.deny_write), path, loose=True):
            assert not may_write(role, path).allowed
        if first_match((*taken.deny_read, *every.deny_read), path, loose=True):
            assert not may_read(role, path).allowed
        if taken.write is not None and not first_match(taken.write, path):
            assert not may_write(role, path).allowed
        for caps in (taken.limits, every.limits):
            for name, cap in caps.items():
                assert within(getattr(role.limits, name), cap)
        assert every.sql is not ActionRule.DENY or role.sql is ActionRule.DENY
        assert every.network is None or NETWORKS.index(role.network) <= NETWORKS.index(every.network)


@given(policies, rules, paths)
def test_a_rule_of_the_project_counts_beside_those_of_the_keeper(policy, rule, path):
    try:
        after = narrow(policy, Narrowing(review=(rule,)))
    except ConfigError:
        return
    if first_match(rule.paths, path):
        found = review_of(after, path)
        assert found.approvals >= rule.approvals
        assert set(found.by) <= set(rule.by)
        assert found.cool_down_s >= rule.cool_down_s


def refused(narrowing, policy=DEFAULT_POLICY):
    with pytest.raises(ConfigError) as raised:
        narrow(policy, narrowing, origin="p.toml")
    assert raised.value.hint
    return str(raised.value)


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (RoleNarrowing(write=("src",)), "roles.reviewer.write.0"),
        (RoleNarrowing(network=NetworkMode.LISTED), "roles.reviewer.network"),
        (RoleNarrowing(hosts=("a.org:443",)), "roles.reviewer.hosts.0"),
        (RoleNarrowing(sql=ActionRule.PROPOSE), "roles.reviewer.sql"),
        (RoleNarrowing(limits={"wall_s": 7200}), "roles.reviewer.limits.wall"),
        (RoleNarrowing(limits={"memory": None}), "roles.reviewer.limits.memory"),
    ],
)
def test_each_widening_is_named(taken, said):
    assert refused(Narrowing(roles={"reviewer": taken})).startswith(f"p.toml: {said}: ")


def test_a_project_adds_no_role_and_no_time():
    assert "cannot add one" in refused(Narrowing(roles={"root": RoleNarrowing()}))
    assert "30d" in refused(Narrowing(expires_s=10**9))


def test_a_list_of_programs_cannot_become_any_program():
    policy = Policy(roles=(Role(name="r", execute=("/usr/bin/git",)),))
    for execute in ((), ("/usr/bin/*",), ("/bin/sh",)):
        refused(Narrowing(roles={"r": RoleNarrowing(execute=execute)}), policy)
    narrow(policy, Narrowing(roles={"r": RoleNarrowing(execute=("/usr/bin/git",))}))


def test_caps_for_every_role_leave_the_less_that_a_role_has():
    after = narrow(
        DEFAULT_POLICY,
        Narrowing(
            every_role=RoleNarrowing(network=NetworkMode.GATEWAY, limits={"wall_s": 3600, "files": 10_000})
        ),
    )
    assert [role.limits.wall_s for role in after.roles] == [3600, 3600, 3600, 1800]
    assert role_of(after, "client-agent").limits.files == 10_000
    assert role_of(after, "reviewer").limits.files == 5_000


def test_a_cap_gives_no_network_to_who_has_none():
    policy = Policy(roles=(Role(name="r", network=NetworkMode.NONE),))
    after = narrow(policy, Narrowing(every_role=RoleNarrowing(network=NetworkMode.LISTED)))
    assert role_of(after, "r").network is NetworkMode.NONE


def test_no_program_left_of_a_list_is_not_any_program():
    policy = Policy(roles=(Role(name="r", execute=("/usr/bin/git",)),))
    left = without_widenings(policy, Narrowing(roles={"r": RoleNarrowing(execute=("/bin/sh",))}))
    assert role_of(narrow(policy, left), "r").execute == ("/usr/bin/git",)


def test_somebody_is_left_who_can_approve():
    stuck = ReviewRule(paths=("src",), by=("auditor",))
    assert "owner, approver" in refused(Narrowing(review=(stuck,)))
