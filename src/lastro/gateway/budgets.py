"""Budgets: a call whose worst case does not fit is refused before it is made.

What always holds: what is spent and what is set aside together stay within every limit that applies, in whatever order calls come and go,
as long as no call costs more than its worst case (the input as estimated, all of it newly cached, at the dearest candidate's prices, with
the whole output that was asked for). What costs more all the same, and the price of attempts that failed, is counted when the call is
settled, and stands against the next one. An exchange belongs to the day (UTC) in which it was reserved, also when it ends in the next one.
Unknown is never free: without a price, a limit of money lets nothing pass unless ``allow_unknown_prices`` says so.

Everything runs on one event loop and nothing here waits, so a reservation is one step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from lastro.errors import DeniedError
from lastro.gateway.budget_rules import DAY_NS, Rule, rules_for, subject_of
from lastro.gateway.budget_sentences import Standing, no_price, too_much
from lastro.gateway.dialects.neutral import Used
from lastro.gateway.keys import GatewayKey, Limits
from lastro.gateway.provider import Provider
from lastro.gateway.rates import Rates
from lastro.gateway.route import Candidate
from lastro.gateway.settings import Budget, Scope

DEFAULT_OUTPUT: Final = 32_768
"""Tokens of output that are set aside where neither the request nor what is known of the model limits them."""
LAG_NS: Final = 60 * 1_000_000_000
"""How long after its end an exchange may be missing from the ledger's sums. Counting one twice errs on the safe side."""
_TOGETHER_NS: Final = 1_000_000_000
"""What ends within a second is remembered as one, so that a busy minute takes no more room than a quiet one."""


class BudgetError(DeniedError):
    """The call would exceed a budget, or nobody knows whether it would. Trying again does not help before ``renews_ns``.

    Parameters: ``budget`` (its name, or the key's), ``scope``, ``subject``, ``unit`` (``cost``, ``tokens``, ``requests``), and ``limit``,
    ``spent``, ``held`` (set aside for calls that are running), ``needed``: integers, money in millionths of a dollar; ``renews_ns``: when
    it starts anew, ``None`` for never. Where a price is unknown: ``budget``, ``unit``, ``model``.
    """

    code = "budget"


class Sums(NamedTuple):
    """Money in millionths of a dollar (what is known of it), tokens, exchanges."""

    cost: int = 0
    tokens: int = 0
    requests: int = 0


class PriceList(Protocol):
    """What ``prices.Prices`` can do, as far as budgets need it."""

    def rates(self, provider: Provider, model: str) -> Rates | None:
        """What it charges now; ``None`` where nobody knows."""
        ...

    def cost(self, provider: Provider, model: str, used: Used) -> int | None:
        """What this use costs, in millionths of a dollar; ``None`` where nobody knows."""
        ...


class BudgetState(Struct, frozen=True, kw_only=True):
    """How one budget stands, for people. Money in millionths of a dollar."""

    name: str
    scope: Scope
    subject: str
    limits: Limits
    spent: Sums
    held: Sums
    renews_ns: int | None


@dataclass(slots=True, eq=False)
class _Account:
    """What one subject spent since an instant, and what is set aside for its running calls."""

    spent: list[int]
    held: list[int] = field(default_factory=lambda: [0, 0, 0])


class BudgetHold:
    """Implements ``collaborators.Hold``."""

    def __init__(self, *, cost: int | None, tokens: int, reserved_ns: int, key: GatewayKey) -> None:
        self.cost = cost
        self.tokens = tokens
        self.key = key
        self.reserved_ns = reserved_ns
        self.settled_ns: int | None = None
        self.sums = Sums(cost or 0, tokens, 1)
        """What stands against the accounts for it: the worst case, once it is settled what was spent."""
        self._purse: Budgets | None = None
        self._accounts: tuple[_Account, ...] = ()

    def place(self, purse: Budgets, accounts: tuple[_Account, ...]) -> None:
        """Set it aside in ``accounts``."""
        self._purse, self._accounts = purse, accounts
        for account in accounts:
            for place, amount in enumerate(self.sums):
                account.held[place] += amount

    def settle(self, *, cost: int | None, tokens: int) -> None:
        """See ``collaborators.Hold``. An unknown cost counts as what was set aside, for nobody knows that it was less."""
        if self._purse is None:
            return
        spent = Sums((self.cost or 0) if cost is None else cost, tokens, 1)
        for account in self._accounts:
            for place, amount in enumerate(self.sums):
                account.held[place] -= amount
                account.spent[place] += spent[place]
        self.sums = spent
        purse, self._purse, self._accounts = self._purse, None, ()
        purse.settled(self)


class Budgets:
    """Implements ``collaborators.Purse``.

    ``budgets`` and ``allow_unknown_prices`` read the current settings; ``spent`` is the ledger's sum (money, tokens, exchanges) for
    one subject (id of a key, name of a role or run, empty for ``ALL``) of what began at or after an instant, in which exchanges that were
    interrupted count as reserved; ``wall_ns`` gives nanoseconds since 1970, UTC.
    """

    def __init__(
        self,
        *,
        budgets: Callable[[], Sequence[Budget]],
        allow_unknown_prices: Callable[[], bool],
        prices: PriceList,
        spent: Callable[[Scope, str, int], tuple[int, int, int]],
        wall_ns: Callable[[], int],
    ) -> None:
        self._budgets = budgets
        self._allow_unknown_prices = allow_unknown_prices
        self._prices = prices
        self._spent = spent
        self._wall_ns = wall_ns
        self._accounts: dict[tuple[Scope, str, int], _Account] = {}
        self._running: set[BudgetHold] = set()
        self._settled: deque[BudgetHold] = deque()
        self._day = 0

    def reserve(
        self,
        key: GatewayKey,
        candidates: Sequence[Candidate],
        *,
        input_tokens: int,
        output_tokens: int | None,
        answers: int = 1,
    ) -> BudgetHold:
        """See ``collaborators.Purse``.

        Raises:
            BudgetError: it would exceed a budget, or a price is unknown where a limit of money applies; nothing was set aside.
        """
        now = self._wall_ns()
        self._forget(now)
        cost, unknown = self._worst_cost(candidates, input_tokens, output_tokens, answers)
        outputs = (_output(each, output_tokens) * answers for each in candidates)
        tokens = input_tokens + max(outputs, default=0)
        hold = BudgetHold(cost=cost, tokens=tokens, reserved_ns=now, key=key)
        rules = list(rules_for(key, self._budgets(), now))
        if unknown is not None and not self._allow_unknown_prices():
            for rule in rules:
                if rule.limits.cost is not None:
                    raise self._unknown(rule, unknown)
        accounts = []
        for rule in rules:
            account = self._account(rule)
            self._check(rule, account, hold.sums)
            if account not in accounts:
                accounts.append(account)
        hold.place(self, tuple(accounts))
        self._running.add(hold)
        return hold

    def cost(self, provider: Provider, model: str, used: Used) -> int | None:
        """See ``collaborators.Purse``."""
        return self._prices.cost(provider, model, used)

    def states(self, key: GatewayKey) -> list[BudgetState]:
        """How each limit that applies to ``key`` stands now."""
        now = self._wall_ns()
        self._forget(now)
        return [
            BudgetState(
                name=rule.name,
                scope=rule.scope,
                subject=rule.subject,
                limits=rule.limits,
                spent=Sums(*account.spent),
                held=Sums(*account.held),
                renews_ns=rule.renews_ns,
            )
            for rule in rules_for(key, self._budgets(), now)
            for account in (self._account(rule),)
        ]

    def settled(self, hold: BudgetHold) -> None:
        """A hold has been settled; it may be missing from the ledger for a while."""
        now = hold.settled_ns = self._wall_ns()
        self._running.discard(hold)
        last = self._settled[-1] if self._settled else None
        if last is not None and _are_alike(last, hold, now):
            last.sums = Sums(*(one + other for one, other in zip(last.sums, hold.sums, strict=True)))
        else:
            self._settled.append(hold)

    def _account(self, rule: Rule) -> _Account:
        name = (rule.scope, rule.subject, rule.since_ns)
        account = self._accounts.get(name)
        if account is None:
            account = _Account(spent=list(self._spent(rule.scope, rule.subject, rule.since_ns)))
            # A limit that came with new settings: what the ledger may not know yet counts too.
            for hold in (*self._running, *self._settled):
                if hold.reserved_ns >= rule.since_ns and subject_of(rule.scope, hold.key) == rule.subject:
                    for place, amount in enumerate(hold.sums):
                        account.spent[place] += amount
            self._accounts[name] = account
        return account

    def _forget(self, now: int) -> None:
        """Let go of what no decision needs any more: past days, and exchanges that the ledger knows by now."""
        while self._settled and now - (self._settled[0].settled_ns or 0) > LAG_NS:
            self._settled.popleft()
        today = now - now % DAY_NS
        if today != self._day:
            self._day = today
            # Not only the past: a clock that was set back must not find the account of a day that it has not reached. A hold knows its own.
            self._accounts = {
                name: account for name, account in self._accounts.items() if name[2] in (0, today)
            }

    def _worst_cost(
        self, candidates: Sequence[Candidate], input_tokens: int, output_tokens: int | None, answers: int
    ) -> tuple[int | None, Candidate | None]:
        """The dearest worst case that is known, and a candidate whose price is not."""
        known: list[int] = []
        unknown = None
        for candidate in candidates:
            rates = self._prices.rates(candidate.provider, candidate.model)
            worst = (
                rates.worst(input_tokens, _output(candidate, output_tokens) * answers)
                if rates is not None
                else None
            )
            if worst is None:
                unknown = unknown or candidate
            else:
                known.append(worst)
        return max(known, default=None), unknown

    @staticmethod
    def _check(rule: Rule, account: _Account, needed: Sums) -> None:
        limits = (rule.limits.cost, rule.limits.tokens, rule.limits.requests)
        for unit, limit, spent, held, more in zip(
            Sums._fields, limits, account.spent, account.held, needed, strict=True
        ):
            if limit is not None and spent + held + more > limit:
                raise too_much(
                    BudgetError,
                    Standing(
                        budget=rule.name,
                        scope=rule.scope,
                        subject=rule.subject,
                        unit=unit,
                        limit=limit,
                        spent=spent,
                        held=held,
                        needed=more,
                        renews_ns=rule.renews_ns,
                    ),
                )

    @staticmethod
    def _unknown(rule: Rule, candidate: Candidate) -> BudgetError:
        return no_price(BudgetError, budget=rule.name, model=candidate.name)


def _are_alike(last: BudgetHold, hold: BudgetHold, now: int) -> bool:
    """Whether two settled holds may be kept as one: the same key's, of the same day, within a second."""
    return (
        last.key is hold.key
        and last.reserved_ns // DAY_NS == hold.reserved_ns // DAY_NS
        and 0 <= now - (last.settled_ns or 0) < _TOGETHER_NS
    )


def _output(candidate: Candidate, asked: int | None) -> int:
    if asked is not None:
        return asked
    return candidate.facts.output or min(DEFAULT_OUTPUT, candidate.facts.context or DEFAULT_OUTPUT)
