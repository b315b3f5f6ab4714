"""A project's own file narrows the keeper's policy, and can do nothing else. Pure.

What always holds: whatever ``narrow`` gives, no role may write, read, reach, spend or do more in it than before, and no path wants fewer
approvals or other people for them. Whatever in a file would widen is one of its ``widenings``; they are refused, never dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from lastro.domain.policy import (
    ActionRule,
    Enforcement,
    HumanRole,
    NetworkMode,
    Policy,
    ReviewRule,
    Role,
    RunLimits,
)
from lastro.errors import ConfigError
from lastro.messages import N_
from lastro.proposals.globs import covers, may_overlap
from lastro.proposals.policy import (
    NETWORKS,
    UNMATCHED,
    stricter_network,
    together,
    within,
    written_limit,
)

ACTIONS: Final = ("package", "service", "sql", "command")
_ALLOWING: Final = ("read", "write", "execute")
_DENYING: Final = ("deny_read", "deny_write")


class RoleNarrowing(Struct, frozen=True, kw_only=True):
    """What a project takes from a role. ``None``: nothing said. ``limits``: fields of ``RunLimits``."""

    read: tuple[str, ...] | None = None
    deny_read: tuple[str, ...] = ()
    write: tuple[str, ...] | None = None
    deny_write: tuple[str, ...] = ()
    execute: tuple[str, ...] | None = None
    network: NetworkMode | None = None
    hosts: tuple[str, ...] | None = None
    package: ActionRule | None = None
    service: ActionRule | None = None
    sql: ActionRule | None = None
    command: ActionRule | None = None
    limits: Mapping[str, int | float | None] = {}


class Narrowing(Struct, frozen=True, kw_only=True):
    """What a project's ``.lastro/policy.toml`` says. ``every_role`` has caps: they are no widening where a role has less already."""

    every_role: RoleNarrowing = RoleNarrowing()
    roles: Mapping[str, RoleNarrowing] = {}
    review: tuple[ReviewRule, ...] = ()
    forbid_degraded: tuple[Enforcement, ...] = ()
    expires_s: int | None = None


class Widening(Struct, frozen=True, kw_only=True):
    """Something in a narrowing that would give more. ``place``: where, as keys of the file. ``msgid`` has ``{where}`` and ``{key}`` too."""

    place: tuple[str | int, ...]
    msgid: str
    hint: str
    parameters: Mapping[str, str] = {}


def narrow(policy: Policy, narrowing: Narrowing, *, origin: str = "") -> Policy:
    """The policy with what the project takes from it. ``origin``: the file, for errors.

    Raises:
        ConfigError: something in it would widen the policy.
    """
    for widening in widenings(policy, narrowing):
        raise ConfigError(
            widening.msgid,
            hint=widening.hint,
            where=origin,
            key=".".join(map(str, widening.place)),
            **widening.parameters,
        )
    return msgspec.structs.replace(
        policy,
        roles=tuple(
            _narrowed(role, narrowing.roles.get(role.name, RoleNarrowing()), narrowing.every_role)
            for role in policy.roles
        ),
        project_review=(*policy.project_review, *narrowing.review),
        forbid_degraded=_joined(policy.forbid_degraded, narrowing.forbid_degraded),
        expires_s=policy.expires_s if narrowing.expires_s is None else narrowing.expires_s,
    )


def widenings(policy: Policy, narrowing: Narrowing) -> Iterator[Widening]:
    """Everything in it that would widen the policy."""
    roles = {role.name: role for role in policy.roles}
    for name, taken in narrowing.roles.items():
        if name not in roles:
            yield Widening(
                place=("roles", name),
                msgid=N_("{where}: {key}: the policy has no role {role}, and a project cannot add one."),
                hint=N_("It has these: {roles}"),
                parameters={"role": name, "roles": ", ".join(roles)},
            )
            continue
        yield from _role_widenings(roles[name], taken, ("roles", name))
    for number, rule in enumerate(narrowing.review):
        yield from _review_widenings(policy, rule, ("review", number))
    if narrowing.expires_s is not None and narrowing.expires_s > policy.expires_s:
        yield _more(("expires",), written_limit("wall_s", policy.expires_s))


def _role_widenings(role: Role, taken: RoleNarrowing, place: tuple[str | int, ...]) -> Iterator[Widening]:
    for name in _ALLOWING:
        yield from _glob_widenings(role, name, getattr(taken, name), (*place, name))
    if taken.network is not None and NETWORKS.index(taken.network) > NETWORKS.index(role.network):
        yield _more((*place, "network"), role.network)
    for number, host in enumerate(taken.hosts or ()):
        if host not in role.hosts:
            yield _more((*place, "hosts", number), ", ".join(role.hosts) or "none")
    for name in ACTIONS:
        if getattr(taken, name) is ActionRule.PROPOSE and getattr(role, name) is ActionRule.DENY:
            yield _more((*place, name), ActionRule.DENY)
    for name, value in taken.limits.items():
        most = getattr(role.limits, name)
        if not within(value, most):
            yield _more((*place, "limits", name.removesuffix("_s")), written_limit(name, most))


def _glob_widenings(
    role: Role, name: str, patterns: Sequence[str] | None, place: tuple[str | int, ...]
) -> Iterator[Widening]:
    """Every pattern has to lie in one that the role has, visibly. An empty ``execute`` means any program, so it is the widest."""
    allowed: tuple[str, ...] = getattr(role, name)
    if patterns is None or (name == "execute" and not allowed):
        return
    if name == "execute" and not patterns:
        yield _more(place, ", ".join(allowed))
    for number, pattern in enumerate(patterns):
        if not any(covers(wide, pattern) for wide in allowed):
            yield Widening(
                place=(*place, number),
                msgid=N_("{where}: {key}: {pattern} is not within what the role may: {allowed}"),
                hint=N_(
                    "A project's file can only narrow the policy; name something below one of these, or deny the rest."
                ),
                parameters={"pattern": pattern, "allowed": ", ".join(allowed) or "none"},
            )


def _review_widenings(policy: Policy, rule: ReviewRule, place: tuple[str | int, ...]) -> Iterator[Widening]:
    """Somebody has to be left who satisfies this rule and those of the keeper for the same paths."""
    for other in (*policy.review, *(() if _everywhere(policy) else (UNMATCHED,))):
        met = not other.paths or any(may_overlap(one, two) for one in rule.paths for two in other.paths)
        if met and not together(rule, other).by:
            yield Widening(
                place=(*place, "by"),
                msgid=N_(
                    "{where}: {key}: the keeper's policy wants approvals by {by} for some of these paths."
                ),
                hint=N_("Name at least one of these roles too, so that somebody can satisfy both."),
                parameters={"by": ", ".join(other.by)},
            )
            return


def _everywhere(policy: Policy) -> bool:
    return any(covers(pattern, "**") for rule in policy.review for pattern in rule.paths)


def _more(place: tuple[str | int, ...], most: str) -> Widening:
    return Widening(
        place=place,
        msgid=N_("{where}: {key}: this is more than the keeper's policy allows: {most}"),
        hint=N_(
            "A project's file can only narrow the policy; change policy.toml of the keeper to allow more."
        ),
        parameters={"most": most},
    )


# Narrowing what has changed since ---------------------------------------------------------------------------------------------------------


def without_widenings(policy: Policy, narrowing: Narrowing) -> Narrowing:
    """What is left of a narrowing when all is taken out that would widen the policy: for a file that was sound when it was recorded, and a
    policy that has become narrower since. What the file denies, caps and demands stays.
    """
    roles = {role.name: role for role in policy.roles}
    return Narrowing(
        every_role=narrowing.every_role,
        roles={
            name: _without(roles[name], taken) for name, taken in narrowing.roles.items() if name in roles
        },
        review=tuple(
            msgspec.structs.replace(rule, by=tuple(HumanRole))
            if any(_review_widenings(policy, rule, ()))
            else rule
            for rule in narrowing.review
        ),
        forbid_degraded=narrowing.forbid_degraded,
        expires_s=None if narrowing.expires_s is None else min(narrowing.expires_s, policy.expires_s),
    )


def _without(role: Role, taken: RoleNarrowing) -> RoleNarrowing:
    fields: dict[str, Any] = {}
    for name in _ALLOWING:
        fields[name] = _covered(getattr(role, name), getattr(taken, name), name)
    for name in ACTIONS:
        denied = getattr(taken, name) is ActionRule.DENY
        fields[name] = ActionRule.DENY if denied else None
    return msgspec.structs.replace(
        taken,
        **fields,
        network=stricter_network(role.network, taken.network or role.network),
        hosts=None if taken.hosts is None else tuple(host for host in taken.hosts if host in role.hosts),
        limits={
            name: value for name, value in taken.limits.items() if within(value, getattr(role.limits, name))
        },
    )


def _covered(allowed: Sequence[str], patterns: tuple[str, ...] | None, name: str) -> tuple[str, ...] | None:
    """Those of ``patterns`` that lie in ``allowed``. No programs at all would mean any, so then the role's own stay."""
    if patterns is None or (name == "execute" and not allowed):
        return patterns
    left = tuple(pattern for pattern in patterns if any(covers(wide, pattern) for wide in allowed))
    return None if name == "execute" and not left else left


# Taking ---------------------------------------------------------------------------------------------------------------------------------


def _narrowed(role: Role, taken: RoleNarrowing, every: RoleNarrowing) -> Role:
    fields: dict[str, Any] = {}
    for name in _ALLOWING:
        said = getattr(taken, name)
        fields[name] = getattr(role, name) if said is None else said
    for name in _DENYING:
        fields[name] = _joined(getattr(role, name), getattr(taken, name), getattr(every, name))
    for name in ACTIONS:
        denied = ActionRule.DENY in (getattr(role, name), getattr(taken, name), getattr(every, name))
        fields[name] = ActionRule.DENY if denied else getattr(role, name)
    network = stricter_network(role.network, taken.network or role.network)
    return msgspec.structs.replace(
        role,
        **fields,
        network=stricter_network(network, every.network or network),
        hosts=role.hosts if taken.hosts is None else taken.hosts,
        limits=_lower(_lower(role.limits, taken.limits), every.limits),
    )


def _lower(limits: RunLimits, caps: Mapping[str, int | float | None]) -> RunLimits:
    lower = {name: cap for name, cap in caps.items() if within(cap, getattr(limits, name))}
    return msgspec.structs.replace(limits, **lower)


def _joined(first: tuple[Any, ...], *others: Sequence[Any]) -> tuple[Any, ...]:
    """``first`` as it is, and what others add to it."""
    added = dict.fromkeys(one for other in others for one in other)
    return (*first, *(one for one in added if one not in first))
