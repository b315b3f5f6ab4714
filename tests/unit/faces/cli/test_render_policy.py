"""What people see of the policy, and of a project that is made."""

from __future__ import annotations

import os

import pytest

from lastro.proposals.policy import DEFAULT_POLICY
from lastro.proposals.policy_file import load_policy


@pytest.fixture
def project(tmp_path, lastro):
    assert lastro("init").code == 0
    path = os.path.realpath(tmp_path / "project")
    os.mkdir(path)
    return path


def test_a_project_is_made_and_its_policy_is_sound(lastro, project):
    plan = lastro("project", "init", project, "--plan")
    assert "+ AGENTS.md\n" in plan.out
    assert "only the plan" in plan.err
    assert lastro("project", "init", project).out == plan.out
    again = lastro("project", "init", project)
    assert "  AGENTS.md  is there, and stays\n" in again.out
    check = lastro("policy", "check", "--project", project)
    assert check.code == 0
    assert f"✓ {project}/.lastro/policy.toml\n" in check.out
    assert "Roles: server-agent, client-agent, orchestrator, reviewer\n" in check.out


def test_without_files_it_says_so(lastro, project):
    assert "the built-in policy holds" in lastro("policy", "check", "--project", project).out


def test_a_mistake_ends_with_2_and_its_place(lastro, project):
    os.mkdir(f"{project}/.lastro")
    with open(f"{project}/.lastro/policy.toml", "w", encoding="utf-8") as file:
        file.write("[roles.reviewer]\nwrite = ['src']\n")
    found = lastro("policy", "check", "--project", project)
    assert found.code == 2
    assert f"{project}/.lastro/policy.toml:2: roles.reviewer.write[0]: src is not within" in found.err


def test_what_is_shown_is_a_policy_file(lastro, project):
    assert load_policy(lastro("policy", "show", "--project", project).out, "shown") == DEFAULT_POLICY
    result = lastro("policy", "show", "--project", project, "--json").result
    assert result["reply"]["policy"]["default_role"] == "client-agent"


def test_an_answer_has_its_rule(lastro, project):
    found = lastro("policy", "explain", ".env", "--project", project).out
    assert found.splitlines() == [
        ".env, for the role client-agent",
        "  ✗ it may not be read  deny_read of client-agent has .env.",
        "  ✓ it may be written  write of client-agent has **.",
        "  · 2 approvals, by owner, approver, not by its author  The rule for .env asks for it.",
    ]
    hooks = lastro(
        "policy", "explain", ".claude/settings.json", "--role", "reviewer", "--project", project
    ).out
    assert "✗ it may not be written  Nothing in write of reviewer matches it." in hooks
    assert "! it is run later by itself: never approved without a human" in hooks


def test_a_hostile_name_steers_no_terminal(lastro, project):
    found = lastro("policy", "explain", "a\x1b[31m\n\u202eb", "--project", project).out
    assert "a\\x1b[31m\\x0a\\u202eb, for the role" in found
    assert "\x1b" not in found
