"""Policies drawn for laws: patterns and paths from so small an alphabet that they meet all the time."""

from __future__ import annotations

from hypothesis import strategies as st

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
from lastro.proposals.globs import problem_with
from lastro.proposals.narrowing import Narrowing, RoleNarrowing

NAMES = ("server-agent", "client-agent", "extra")

patterns = (
    st.lists(
        st.sampled_from(["a", "b", "*", "**", "a*", "?", "[ab]", "A", "Makefile"]), min_size=1, max_size=3
    )
    .map("/".join)
    .filter(lambda pattern: not problem_with(pattern))
)
pattern_lists = st.lists(patterns, max_size=3).map(tuple)
paths = st.lists(
    st.sampled_from(["a", "b", "ab", "A", "B", "Makefile", ".lastro"]), min_size=1, max_size=4
).map("/".join)
hosts = st.lists(st.sampled_from(["a.org:443", "b.org:80"]), max_size=2, unique=True).map(tuple)
limit = st.one_of(st.none(), st.integers(1, 5))
numbers = {
    "wall_s": limit,
    "memory": limit,
    "processes": limit,
    "processors": st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.5])),
    "disk": limit,
    "files": limit,
    "tokens": limit,
    "money": limit,
}
limits = st.builds(RunLimits, **numbers)
actions = st.sampled_from(ActionRule)
rules = st.builds(
    ReviewRule,
    paths=st.lists(patterns, min_size=1, max_size=2).map(tuple),
    approvals=st.integers(0, 3),
    by=st.lists(st.sampled_from(HumanRole), min_size=1, max_size=3, unique=True).map(tuple),
    not_author=st.booleans(),
    cool_down_s=st.sampled_from([0, 60, 90]),
)


def roles(name):
    return st.builds(
        Role,
        name=st.just(name),
        read=pattern_lists,
        deny_read=pattern_lists,
        write=pattern_lists,
        deny_write=pattern_lists,
        execute=st.lists(patterns.map("/{}".format), max_size=2).map(tuple),
        network=st.sampled_from(NetworkMode),
        hosts=hosts,
        package=actions,
        service=actions,
        sql=actions,
        command=actions,
        limits=limits,
    )


enforcements = st.lists(st.sampled_from(Enforcement), max_size=3, unique=True).map(tuple)
policies = st.builds(
    Policy,
    roles=st.tuples(*map(roles, NAMES)),
    review=st.lists(rules, max_size=4).map(tuple),
    forbid_degraded=enforcements,
    expires_s=st.integers(1, 5),
)


def _maybe(strategy):
    return st.one_of(st.none(), strategy)


caps = st.fixed_dictionaries({}, optional=numbers)
some_of_every = {
    "deny_read": pattern_lists,
    "deny_write": pattern_lists,
    "network": _maybe(st.sampled_from(NetworkMode)),
    **dict.fromkeys(("package", "service", "sql", "command"), _maybe(actions)),
    "limits": caps,
}
role_narrowings = st.builds(
    RoleNarrowing,
    read=_maybe(pattern_lists),
    write=_maybe(pattern_lists),
    execute=_maybe(st.lists(patterns.map("/{}".format), max_size=2).map(tuple)),
    hosts=_maybe(hosts),
    **some_of_every,
)
narrowings = st.builds(
    Narrowing,
    every_role=st.builds(RoleNarrowing, **some_of_every),
    roles=st.dictionaries(st.sampled_from(NAMES), role_narrowings, max_size=2),
    review=st.lists(rules, max_size=2).map(tuple),
    forbid_degraded=enforcements,
    expires_s=_maybe(st.integers(1, 5)),
)


@st.composite
def modest_narrowings(draw, policy):
    """Narrowings of ``policy`` that mostly pass: what they name is taken from it."""
    taken = {}
    for role in policy.roles:
        if not draw(st.booleans()):
            continue
        fields = {}
        for name in ("read", "write"):
            wide = getattr(role, name)
            if wide and draw(st.booleans()):
                fields[name] = tuple(draw(st.lists(st.sampled_from(wide).flatmap(_within), max_size=2)))
        lower = {
            name: value
            for name, value in draw(caps).items()
            if getattr(role.limits, name) is None
            or (value is not None and value <= getattr(role.limits, name))
        }
        taken[role.name] = RoleNarrowing(
            **fields,
            deny_read=draw(pattern_lists),
            deny_write=draw(pattern_lists),
            hosts=role.hosts[:1] if draw(st.booleans()) else None,
            network=NetworkMode.NONE if draw(st.booleans()) else None,
            sql=ActionRule.DENY if draw(st.booleans()) else None,
            limits=lower,
        )
    return Narrowing(
        every_role=draw(st.builds(RoleNarrowing, **some_of_every)),
        roles=taken,
        review=tuple(draw(st.lists(rules, max_size=2))),
        forbid_degraded=draw(enforcements),
        expires_s=policy.expires_s if draw(st.booleans()) else None,
    )


def _within(wide):
    """``wide`` itself, or something below it."""
    if "/" not in wide:
        return st.just(wide)
    return st.sampled_from(["", "/a", "/b", "/*"]).map(lambda end: f"{wide}{end}")
