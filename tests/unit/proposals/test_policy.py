"""What the policy says of roles and paths, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.policy import BUILT_IN_ROLES, HumanRole, Policy, ReviewRule, Role, RunLimits
from lastro.errors import NotFoundError, UsageError
from lastro.proposals.globs import matches
from lastro.proposals.policy import (
    DEFAULT_POLICY,
    UNMATCHED,
    limits_within,
    may_make_directory,
    may_read,
    may_write,
    outside_role,
    policy_digest,
    review_of,
    reviewing,
    role_of,
    within,
)
from tests.unit.proposals.policies import limits, paths, policies, roles, rules

# Laws ---------------------------------------------------------------------------------------------------------------------------------


@given(roles("r"), paths)
def test_only_what_a_pattern_allows_is_allowed(role, path):
    for may, allow, deny in ((may_write, role.write, role.deny_write), (may_read, role.read, role.deny_read)):
        ruling = may(role, path)
        if ruling.allowed:
            assert any(matches(pattern, path) for pattern in allow)
            assert not any(matches(pattern, path) for pattern in deny)
        assert str(ruling.because)
        assert "{" not in str(ruling.because)


@given(roles("r"), paths, paths)
def test_a_directory_on_the_way_to_what_may_be_written_may_be_made(role, directory, below):
    if may_write(role, f"{directory}/{below}").allowed and not may_write(role, directory).allowed:
        denied = any(matches(pattern, directory) for pattern in role.deny_write)
        assert may_make_directory(role, directory).allowed or denied


@given(policies, paths)
def test_the_last_rule_that_matches_counts(policy, path):
    matching = [rule for rule in policy.review if any(matches(one, path) for one in rule.paths)]
    found = review_of(policy, path)
    expected = matching[-1] if matching else UNMATCHED
    assert found.approvals >= expected.approvals
    if found.approvals == expected.approvals and path.islower():
        assert found == expected or not matching


@given(policies, rules, paths)
def test_a_rule_for_other_names_changes_nothing(policy, rule, path):
    elsewhere = replace(rule, paths=("/elsewhere",))
    assert review_of(policy, path) == review_of(
        replace(policy, review=(elsewhere, *policy.review)), path
    ) or not any(matches(one, path) for each in policy.review for one in each.paths)


@given(policies, policies)
def test_two_policies_share_a_digest_only_if_they_are_the_same(one, other):
    assert (policy_digest(one) == policy_digest(other)) == (one == other)


@given(limits, st.dictionaries(st.sampled_from(["wall_s", "tokens", "money"]), st.integers(1, 6)))
def test_limits_are_within_what_is_allowed(allowed, asked):
    fits = all(within(value, getattr(allowed, name)) for name, value in asked.items())
    if not fits:
        with pytest.raises(UsageError):
            limits_within(allowed, asked)
        return
    found = limits_within(allowed, asked)
    for name in RunLimits.__struct_fields__:
        assert getattr(found, name) == asked.get(name, getattr(allowed, name))


# The built-in policy ------------------------------------------------------------------------------------------------------------------


def test_the_built_in_roles_are_there():
    assert tuple(role.name for role in DEFAULT_POLICY.roles) == BUILT_IN_ROLES
    assert role_of(DEFAULT_POLICY).name == "client-agent"
    with pytest.raises(NotFoundError, match="no role boss") as raised:
        role_of(DEFAULT_POLICY, "boss")
    assert "client-agent" in raised.value.hint_text


@pytest.mark.parametrize(
    ("role", "path", "read", "write"),
    [
        ("client-agent", "src/a.py", True, True),
        ("client-agent", ".env", False, True),
        ("client-agent", "deploy/.ENV", False, True),
        ("client-agent", "a/.ssh/id_rsa", False, True),
        ("client-agent", "tls/site.key", False, True),
        ("client-agent", ".lastro/policy.toml", True, False),
        ("client-agent", ".lastro/POLICY.toml", True, False),
        ("client-agent", ".lastro/roles/reviewer.md", True, False),
        ("client-agent", ".lastro/roles", True, False),
        ("client-agent", ".lastro/decisions/0001-a.md", True, True),
        ("client-agent", "x/.lastro/policy.toml", True, True),
        ("orchestrator", "src/a.py", True, False),
        ("orchestrator", "docs/a.md", True, True),
        ("orchestrator", ".lastro/threads/1/a.md", True, True),
        ("reviewer", "docs/a.md", True, False),
    ],
)
def test_what_the_built_in_roles_may(role, path, read, write):
    found = role_of(DEFAULT_POLICY, role)
    assert (may_read(found, path).allowed, may_write(found, path).allowed) == (read, write)


@pytest.mark.parametrize(
    ("path", "approvals"),
    [("src/a.py", 1), ("a/.env", 2), ("tls/site.PEM", 2), (".git/hooks/pre-commit", 1), ("config/id_rsa", 2)],
)
def test_what_wants_how_many_approvals(path, approvals):
    rule = review_of(DEFAULT_POLICY, path)
    assert rule.approvals == approvals
    assert set(rule.by) == {HumanRole.OWNER, HumanRole.APPROVER}
    assert rule.not_author


def test_without_rules_an_owner_has_to_approve():
    assert review_of(Policy(), "a") == UNMATCHED
    assert (UNMATCHED.approvals, UNMATCHED.by) == (1, (HumanRole.OWNER,))


def test_no_rule_lets_what_runs_later_pass_without_a_human():
    policy = Policy(review=(ReviewRule(paths=("**",), approvals=0),))
    assert review_of(policy, "docs/a.md").approvals == 0
    found = reviewing(policy, ".claude/settings.json")
    assert found.rule.approvals == 1
    assert "run later" in str(found.because)


def test_a_name_that_is_taken_for_the_same_is_reviewed_no_less():
    policy = Policy(
        review=(
            ReviewRule(paths=("**",)),
            ReviewRule(paths=("/keys",), approvals=2),
            ReviewRule(paths=("/docs",), approvals=0),
        )
    )
    assert review_of(policy, "Keys/a").approvals == 2
    assert review_of(policy, "Docs/a").approvals == 1


# What a role may change ---------------------------------------------------------------------------------------------------------------


def entry(kind=EntryType.FILE):
    return Entry(path="", type=kind, mode=0o755, uid=0, gid=0, mtime_ns=0)


def test_directories_on_the_way_are_within_the_role():
    role = Role(name="r", write=("/a/b/*.py",), deny_write=("/a/b/no.py",))
    directory = entry(EntryType.DIRECTORY)
    changes = [
        Change(path="a", before=None, after=directory),
        Change(path="a/b", before=None, after=directory),
        Change(path="a/b/x.py", before=None, after=entry()),
        Change(path="a/b/no.py", before=entry(), after=None),
        Change(path="a/c", before=None, after=directory),
        Change(path="b", before=directory, after=directory),
    ]
    assert outside_role(role, changes) == ("a/b/no.py", "a/c", "b")


def test_what_is_denied_is_denied_in_every_writing():
    role = Role(name="r", write=("**",), deny_write=("/ops",))
    assert not may_write(role, "OPS/a").allowed
    assert may_write(role, "x/ops").allowed


def test_a_directory_that_is_denied_is_not_made_on_the_way():
    assert may_make_directory(Role(name="r", write=("/a/b",)), "a").allowed
    assert not may_make_directory(Role(name="r", write=("/a/b",), deny_write=("/A",)), "a").allowed
    assert not may_make_directory(Role(name="r", write=("/.lastro/roles/x/y",)), ".lastro/roles/x").allowed


def test_a_link_in_place_of_a_directory_is_a_change_of_that_path():
    role = Role(name="r", write=("/a/b",))
    change = Change(path="a", before=entry(EntryType.DIRECTORY), after=entry(EntryType.SYMLINK))
    assert outside_role(role, [change]) == ("a",)
    assert outside_role(role, [Change(path="a", before=None, after=entry(EntryType.SYMLINK))]) == ("a",)


def test_what_is_asked_beyond_a_limit_is_refused_in_its_own_units():
    with pytest.raises(UsageError) as raised:
        limits_within(RunLimits(wall_s=3600), {"wall_s": 7200})
    assert str(raised.value) == "wall: 2h is more than the role allows."
    assert raised.value.hint_text.startswith("It allows 1h;")
