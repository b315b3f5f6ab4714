"""A policy as ``policy.toml`` would say it. Pure.

What always holds: ``load_policy`` reads what is written here as the same policy, but for a project's own rules of review, which stand in
comments, because they hold on top of the others and not among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from lastro.domain.policy import Policy, ReviewRule, Role, RunLimits
from lastro.proposals.narrowing import ACTIONS
from lastro.proposals.policy import DEFAULT_POLICY, written_limit
from lastro.proposals.policy_tables import NO_LIMIT
from lastro.proposals.values import written_seconds


def policy_text(policy: Policy) -> str:
    """The whole policy; of review only what is not built in, which stands before it anyway."""
    lines = [
        f"version = {policy.version}",
        f"default_role = {_quoted(policy.default_role)}",
        f"forbid_degraded = {_list(policy.forbid_degraded)}",
        f"expires = {_quoted(written_seconds(policy.expires_s))}",
    ]
    for role in policy.roles:
        lines += ["", *_role(role)]
    built_in = len(DEFAULT_POLICY.review)
    if policy.review[:built_in] != DEFAULT_POLICY.review:
        built_in = 0
    lines += ["", "# Built in; rules below win over them."] if built_in else []
    for rule in policy.review[:built_in]:
        lines += [f"# {line}" for line in _review(rule)]
    for rule in policy.review[built_in:]:
        lines += ["", *_review(rule)]
    if policy.project_review:
        lines += ["", "# From the project's own file, on top of what the others ask for."]
    for rule in policy.project_review:
        lines += [f"# {line}" for line in _review(rule)]
    return "\n".join(lines) + "\n"


def _role(role: Role) -> Iterator[str]:
    yield f"[roles.{role.name}]"
    for name in ("read", "deny_read", "write", "deny_write", "execute"):
        yield f"{name} = {_list(getattr(role, name))}"
    yield f"network = {_quoted(role.network)}"
    yield f"hosts = {_list(role.hosts)}"
    for name in ACTIONS:
        yield f"{name} = {_quoted(getattr(role, name))}"
    yield f"limits = {{{', '.join(_limits(role.limits))}}}"


def _limits(limits: RunLimits) -> Iterator[str]:
    for name in RunLimits.__struct_fields__:
        value = getattr(limits, name)
        written = written_limit(name, value)
        bare = value is not None and name in {"processes", "processors", "files", "tokens"}
        yield f"{name.removesuffix('_s')} = {written if bare and written != NO_LIMIT else _quoted(written)}"


def _review(rule: ReviewRule) -> Iterator[str]:
    yield "[[review]]"
    yield f"paths = {_list(rule.paths)}"
    yield f"approvals = {rule.approvals}"
    yield f"by = {_list(rule.by)}"
    yield f"not_author = {'true' if rule.not_author else 'false'}"
    if rule.cool_down_s:
        yield f"cool_down = {_quoted(written_seconds(rule.cool_down_s))}"


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _quoted(value: str) -> str:
    # JSON's escapes are TOML's; only DEL stands bare in JSON and may not in TOML.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
