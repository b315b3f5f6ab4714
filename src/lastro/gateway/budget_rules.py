"""Which limits apply to a call: those of configuration and those of its key, each with whose spending it counts and since when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from lastro.gateway.keys import GatewayKey, Limits
from lastro.gateway.settings import Budget, Scope

DAY_NS: Final = 86_400 * 1_000_000_000


class Rule(NamedTuple):
    """One limit that applies to a call."""

    name: str
    scope: Scope
    subject: str
    since_ns: int
    limits: Limits

    @property
    def renews_ns(self) -> int | None:
        """When it starts anew; ``None`` for never."""
        return self.since_ns + DAY_NS if self.since_ns else None


def rules_for(key: GatewayKey, budgets: Sequence[Budget], now: int) -> Iterator[Rule]:
    """The limits that apply to a call with ``key``: those of ``budgets``, then the key's own. ``now``: nanoseconds since 1970, UTC."""
    today = now - now % DAY_NS
    for budget in budgets:
        subject = subject_of(budget.scope, key)
        if subject is None or not _named(budget, key):
            continue
        yield Rule(budget.name, budget.scope, subject, today if budget.per_day else 0, budget.limits)
    if key.id:
        for limits, since in ((key.limits, 0), (key.day_limits, today)):
            if limits != Limits():
                yield Rule(key.name, Scope.KEY, key.id, since, limits)


def subject_of(scope: Scope, key: GatewayKey) -> str | None:
    """Whose account of ``scope`` a call with ``key`` counts to; ``None``: nobody's. Calls without a key are one subject together."""
    match scope:
        case Scope.ALL:
            return ""
        case Scope.KEY:
            return key.id
        case Scope.ROLE:
            return key.role or None
        case Scope.RUN:
            return key.run or None


def _named(budget: Budget, key: GatewayKey) -> bool:
    name = {Scope.ALL: "", Scope.KEY: key.name, Scope.ROLE: key.role, Scope.RUN: key.run}[budget.scope]
    return (
        not budget.names or budget.scope is Scope.ALL or any(fnmatchcase(name, glob) for glob in budget.names)
    )
