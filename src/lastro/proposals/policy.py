"""What the policy says about a role, a path, a change: pure answers, each with its reason.

What always holds: what no rule allows is denied, and what no rule of review matches wants an owner's approval. Deny lists win over allow
lists, and also hold for names that some file system takes for the same (``globs.fold``). Nobody's policy lets an agent write
``NEVER_WRITTEN``: what agents may do is for humans to say. A path that is run later by itself always wants a human, whatever a rule says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from blake3 import blake3

from lastro.domain.changes import Change
from lastro.domain.entry import EntryType
from lastro.domain.ids import Digest
from lastro.domain.policy import (
    ActionRule,
    HumanRole,
    NetworkMode,
    Policy,
    ReviewRule,
    Role,
    RunLimits,
)
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_, Message
from lastro.proposals.executed_later import executed_later
from lastro.proposals.globs import first_match, glob, matches
from lastro.proposals.values import written_bytes, written_money, written_seconds

_DIGEST_CONTEXT: Final = b"lastro-policy-0"

POLICY_FILE: Final = ".lastro/policy.toml"
"""Of a project: it narrows the keeper's policy."""

NEVER_WRITTEN: Final = (f"/{POLICY_FILE}", "/.lastro/roles")

SECRET_FILES: Final = (
    ".env",
    ".env.*",
    "*.env",
    ".envrc",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".ssh",
    ".gnupg",
    ".aws",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
)
"""Where keys, tokens and passwords usually lie. Agents are shown nothing of them, and changes of them want two people."""

_HOUR_S: Final = 3600
_TOKENS: Final = 20_000_000

DEFAULT_POLICY: Final = Policy(
    roles=(
        Role(
            name="server-agent",
            deny_read=SECRET_FILES,
            write=("**",),
            package=ActionRule.PROPOSE,
            service=ActionRule.PROPOSE,
            sql=ActionRule.PROPOSE,
            command=ActionRule.PROPOSE,
            limits=RunLimits(wall_s=_HOUR_S, tokens=_TOKENS),
        ),
        Role(
            name="client-agent",
            deny_read=SECRET_FILES,
            write=("**",),
            limits=RunLimits(wall_s=_HOUR_S, tokens=_TOKENS),
        ),
        Role(
            name="orchestrator",
            deny_read=SECRET_FILES,
            write=("/.lastro/threads", "/.lastro/contracts", "/.lastro/decisions", "/docs"),
            limits=RunLimits(
                wall_s=4 * _HOUR_S, memory=2 * 1024**3, disk=1024**3, files=5_000, tokens=_TOKENS
            ),
        ),
        Role(
            name="reviewer",
            deny_read=SECRET_FILES,
            limits=RunLimits(
                wall_s=_HOUR_S // 2, memory=2 * 1024**3, disk=1024**3, files=5_000, tokens=_TOKENS
            ),
        ),
    ),
    review=(
        ReviewRule(paths=("**",)),
        ReviewRule(paths=SECRET_FILES, approvals=2),
    ),
)
"""What holds where no ``policy.toml`` says otherwise."""

UNMATCHED: Final = ReviewRule(paths=(), by=(HumanRole.OWNER,))
"""What a path wants that no rule of review matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """An answer and its reason."""

    allowed: bool
    because: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewing:
    """What a path wants before it is applied, and why."""

    rule: ReviewRule
    because: Message


def policy_digest(policy: Policy) -> Digest:
    """BLAKE3-256 of the policy's canonical msgpack: what records and approvals name it by."""
    return Digest(blake3(_DIGEST_CONTEXT + msgspec.msgpack.encode(policy, order="sorted")).digest())


def role_of(policy: Policy, name: str = "") -> Role:
    """The role called ``name``; the default one without a name.

    Raises:
        NotFoundError: the policy has no such role.
    """
    name = name or policy.default_role
    for role in policy.roles:
        if role.name == name:
            return role
    raise NotFoundError(
        N_("The policy has no role {role}."),
        hint=N_("It has these: {roles}"),
        role=name,
        roles=", ".join(role.name for role in policy.roles),
    )


def may_write(role: Role, path: str) -> Ruling:
    """Whether the role may change what is at ``path``, relative to the project, in any way."""
    if never := first_match(NEVER_WRITTEN, path, loose=True):
        return Ruling(
            allowed=False,
            because=_because(N_("No agent may write {pattern}."), role, never.removeprefix("/")),
        )
    if denied := first_match(role.deny_write, path, loose=True):
        return Ruling(
            allowed=False, because=_because(N_("deny_write of {role} has {pattern}."), role, denied)
        )
    if allowed := first_match(role.write, path):
        return Ruling(allowed=True, because=_because(N_("write of {role} has {pattern}."), role, allowed))
    return Ruling(allowed=False, because=_because(N_("Nothing in write of {role} matches it."), role))


def may_make_directory(role: Role, path: str) -> Ruling:
    """Whether the role may make a directory at ``path``: where it may write, and on the way to where it may."""
    ruling = may_write(role, path)
    if ruling.allowed or first_match((*NEVER_WRITTEN, *role.deny_write), path, loose=True):
        return ruling
    for pattern in role.write:
        if glob(pattern).leads_to(path):
            return Ruling(
                allowed=True,
                because=_because(N_("It leads to what {pattern} in write of {role} has."), role, pattern),
            )
    return ruling


def outside_role(role: Role, changes: Iterable[Change]) -> tuple[str, ...]:
    """The paths among ``changes`` that the role may not change, in their order."""
    return tuple(change.path for change in changes if not _may_change(role, change).allowed)


def _may_change(role: Role, change: Change) -> Ruling:
    made = change.before is None and change.after is not None
    if made and change.after is not None and change.after.type == EntryType.DIRECTORY:
        return may_make_directory(role, change.path)
    return may_write(role, change.path)


def may_read(role: Role, path: str) -> Ruling:
    """Whether the role may see what is at ``path``, relative to the project."""
    if denied := first_match(role.deny_read, path, loose=True):
        return Ruling(allowed=False, because=_because(N_("deny_read of {role} has {pattern}."), role, denied))
    if allowed := first_match(role.read, path):
        return Ruling(allowed=True, because=_because(N_("read of {role} has {pattern}."), role, allowed))
    return Ruling(allowed=False, because=_because(N_("Nothing in read of {role} matches it."), role))


def _because(msgid: str, role: Role, pattern: str = "") -> Message:
    return Message(msgid=msgid, parameters={"role": role.name, "pattern": pattern})


# Review -------------------------------------------------------------------------------------------------------------------------------


def review_of(policy: Policy, path: str) -> ReviewRule:
    """Who has to approve a change of ``path``: all that the keeper's rules ask for it, and the project's on top."""
    return reviewing(policy, path).rule


def reviewing(policy: Policy, path: str) -> Reviewing:
    """As ``review_of``, with the reason."""
    found = _deciding(policy.review, path, otherwise=_NO_RULE)
    more = _deciding(policy.project_review, path, otherwise=_NOTHING_MORE)
    both = together(found.rule, more.rule)
    if both != found.rule:
        found = Reviewing(rule=both, because=more.because)
    if not found.rule.approvals and executed_later(path):
        return Reviewing(
            rule=msgspec.structs.replace(found.rule, approvals=1),
            because=Message(msgid=N_("It is run later by itself, which always wants a human.")),
        )
    return found


def together(one: ReviewRule, other: ReviewRule) -> ReviewRule:
    """What satisfies both rules. Nobody in ``by``: nobody can."""
    return ReviewRule(
        paths=one.paths,
        approvals=max(one.approvals, other.approvals),
        by=tuple(role for role in one.by if role in other.by),
        not_author=one.not_author or other.not_author,
        cool_down_s=max(one.cool_down_s, other.cool_down_s),
    )


_NO_RULE: Final = Reviewing(
    rule=UNMATCHED,
    because=Message(msgid=N_("No rule of review matches it, so an owner has to approve.")),
)
_NOTHING_MORE: Final = Reviewing(
    rule=ReviewRule(paths=(), approvals=0, by=tuple(HumanRole), not_author=False),
    because=Message(msgid=""),
)


def _deciding(rules: Sequence[ReviewRule], path: str, *, otherwise: Reviewing) -> Reviewing:
    """The last rule that matches. A later one for a name that is only taken for the same counts if it asks for more."""
    stricter: Reviewing | None = None
    for rule in reversed(rules):
        pattern = first_match(rule.paths, path) or first_match(rule.paths, path, loose=True)
        if pattern is None:
            continue
        said = Reviewing(
            rule=rule,
            because=Message(msgid=N_("The rule for {pattern} asks for it."), parameters={"pattern": pattern}),
        )
        if matches(pattern, path):
            otherwise = said
            break
        stricter = stricter or said
    return stricter if stricter and stricter.rule.approvals > otherwise.rule.approvals else otherwise


# Limits -------------------------------------------------------------------------------------------------------------------------------


def limits_within(allowed: RunLimits, asked: Mapping[str, float]) -> RunLimits:
    """``allowed`` with what was asked for (fields of ``RunLimits``) in place of it, which must not be more.

    Raises:
        UsageError: something is more.
    """
    for name, wanted in asked.items():
        most = getattr(allowed, name)
        if not within(wanted, most):
            raise UsageError(
                N_("{limit}: {wanted} is more than the role allows."),
                hint=N_("It allows {most}; the policy of the keeper says so."),
                limit=name.removesuffix("_s"),
                wanted=written_limit(name, wanted),
                most=written_limit(name, most),
            )
    return msgspec.structs.replace(allowed, **asked)


def within(value: float | None, most: float | None) -> bool:
    """Whether a limit is no more than another. ``None`` is no limit."""
    return most is None or (value is not None and value <= most)


def written_limit(name: str, value: float | None) -> str:
    """A limit as a policy writes it."""
    if value is None:
        return "none"
    if name == "wall_s":
        return written_seconds(int(value))
    if name in {"memory", "disk"}:
        return written_bytes(int(value))
    if name == "money":
        return written_money(int(value))
    return str(int(value)) if value == int(value) else f"{value:g}"


def stricter_network(one: NetworkMode, other: NetworkMode) -> NetworkMode:
    """The one that lets less out."""
    return min(one, other, key=NETWORKS.index)


NETWORKS: Final = (NetworkMode.NONE, NetworkMode.GATEWAY, NetworkMode.LISTED)
"""From nothing to most."""
