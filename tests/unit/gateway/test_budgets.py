"""Budgets: a model of interleaved calls in which no limit is ever exceeded, and what a refusal says."""

from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from lastro.gateway.budget_rules import DAY_NS
from lastro.gateway.budgets import DEFAULT_OUTPUT, LAG_NS, BudgetError, Budgets
from lastro.gateway.dialects.neutral import Dialect, Used
from lastro.gateway.keys import ANONYMOUS, GatewayKey, Limits
from lastro.gateway.priced_models import PriceTable
from lastro.gateway.prices import Prices
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind
from lastro.gateway.rates import FREE, Price, Rates
from lastro.gateway.route import Candidate
from lastro.gateway.settings import Budget, Scope

NOON = 20_000 * DAY_NS + DAY_NS // 2
RATES = {
    "cheap": Rates(input=Price(base=Decimal(1)), output=Price(base=Decimal(2))),
    "dear": Rates(input=Price(base=Decimal(3)), output=Price(base=Decimal(15))),
    "free": FREE,
}


class PriceList:
    """Fixed prices, in dollars for a million tokens; of other models nobody knows any."""

    def rates(self, _provider, model):
        return RATES.get(model)

    def cost(self, provider, model, used):
        rates = self.rates(provider, model)
        return rates.cost(used) if rates is not None else None


class Ledger:
    """Remembers as the real one does: what began, as reserved until it ended."""

    def __init__(self):
        self.rows = []

    def spent(self, scope, name, since_ns):
        sums = [0, 0, 0]
        for row in self.rows:
            key = row["key"]
            subject = {Scope.ALL: "", Scope.KEY: key.id, Scope.ROLE: key.role, Scope.RUN: key.run}[scope]
            if subject == name and row["time_ns"] >= since_ns:
                for place, amount in enumerate((row["cost"], row["tokens"], 1)):
                    sums[place] += amount
        return tuple(sums)


class Desk:
    """Budgets with everything around them in the hands of the test."""

    def __init__(self, *budgets, allow_unknown_prices=False):
        self.budgets = list(budgets)
        self.allow_unknown_prices = allow_unknown_prices
        self.now = NOON
        self.ledger = Ledger()
        self.open()

    def open(self):
        self.purse = Budgets(
            budgets=lambda: self.budgets,
            allow_unknown_prices=lambda: self.allow_unknown_prices,
            prices=PriceList(),
            spent=self.ledger.spent,
            wall_ns=lambda: self.now,
        )

    def reserve(self, key=ANONYMOUS, *models, input_tokens=100, output_tokens=100, facts=None, answers=1):
        candidates = [candidate(each, facts or ModelFacts()) for each in models or ("cheap",)]
        return self.purse.reserve(
            key, candidates, input_tokens=input_tokens, output_tokens=output_tokens, answers=answers
        )


def candidate(model, facts=None):
    provider = Provider(name="p", kind=ProviderKind.COMPATIBLE, base_url="http://127.0.0.1:1")
    return Candidate(provider=provider, model=model, facts=facts or ModelFacts(), dialect=Dialect.CHAT)


def key_of(name="k", **more):
    return GatewayKey(id=f"id-{name}", name=name, digest="", **more)


def budget(name="all", scope=Scope.ALL, *, per_day=False, names=(), **limits):
    return Budget(name=name, scope=scope, limits=Limits(**limits), names=names, per_day=per_day)


def test_the_worst_case_is_the_dearest_candidate_with_all_the_output_asked_for():
    hold = Desk().reserve(ANONYMOUS, "cheap", "dear", "free", input_tokens=1000, output_tokens=200)
    assert hold.cost == 1000 * 3 + 200 * 15
    assert hold.tokens == 1200


@pytest.mark.parametrize("output", [None, 500])
def test_each_answer_that_is_asked_for_is_set_aside(output):
    hold = Desk().reserve(input_tokens=10, output_tokens=output, facts=ModelFacts(output=500), answers=3)
    assert hold.tokens == 10 + 3 * 500
    assert hold.cost == 10 + 3 * 2 * 500


@pytest.mark.parametrize(
    ("facts", "output"),
    [
        (ModelFacts(output=500), 500),
        (ModelFacts(context=2048), 2048),
        (ModelFacts(context=1_000_000), DEFAULT_OUTPUT),
        (ModelFacts(), DEFAULT_OUTPUT),
    ],
)
def test_output_that_was_not_limited_is_the_models_most(facts, output):
    hold = Desk().reserve(ANONYMOUS, "cheap", input_tokens=10, output_tokens=None, facts=facts)
    assert hold.tokens == 10 + output
    assert hold.cost == 10 + 2 * output


def test_the_prices_of_the_package_are_understood():
    purse = Budgets(
        budgets=lambda: [budget(cost=1)],
        allow_unknown_prices=lambda: False,
        prices=Prices(PriceTable(version=0, providers=(), source=""), (), now_ns=lambda: NOON),
        spent=Ledger().spent,
        wall_ns=lambda: NOON,
    )
    local = Provider(name="offline", kind=ProviderKind.OFFLINE, base_url="http://127.0.0.1:1", local=True)
    offline = Candidate(provider=local, model="m", facts=ModelFacts(), dialect=Dialect.CHAT)
    assert purse.reserve(ANONYMOUS, [offline], input_tokens=5, output_tokens=5).cost == 0
    assert purse.cost(local, "m", Used(input=5, output=5)) == 0
    with pytest.raises(BudgetError):
        purse.reserve(ANONYMOUS, [candidate("m")], input_tokens=5, output_tokens=5)


def test_a_refusal_says_which_budget_what_is_spent_and_when_it_starts_anew():
    desk = Desk(budget("daily", cost=1_000_000, per_day=True))
    desk.reserve(input_tokens=400_000, output_tokens=0).settle(cost=250_000, tokens=400_000)
    desk.reserve(input_tokens=700_000, output_tokens=0)
    with pytest.raises(BudgetError) as caught:
        desk.reserve(input_tokens=50_000, output_tokens=1)
    error = caught.value
    assert str(error) == (
        "The budget daily allows 1.00 US dollars; 0.25 are spent, 0.70 are set aside for calls that are running, "
        "and this call may need 0.050002."
    )
    assert "2024-10-05T00:00:00Z" in error.hint_text
    assert error.parameters["renews_ns"] == (NOON // DAY_NS + 1) * DAY_NS
    assert {
        name: error.parameters[name] for name in ("budget", "unit", "limit", "spent", "held", "needed")
    } == {
        "budget": "daily",
        "unit": "cost",
        "limit": 1_000_000,
        "spent": 250_000,
        "held": 700_000,
        "needed": 50_002,
    }
    assert not error.retryable
    assert error.code == "budget"


def test_nothing_is_set_aside_for_a_call_that_was_refused():
    desk = Desk(budget("tokens", tokens=1000), budget("calls", Scope.KEY, requests=1))
    key = key_of()
    desk.reserve(key, input_tokens=100, output_tokens=0)
    for _ in range(5):
        with pytest.raises(BudgetError):
            desk.reserve(key, input_tokens=100, output_tokens=0)
    desk.reserve(key_of("other"), input_tokens=900, output_tokens=0)


def test_the_limit_itself_may_be_spent_and_not_one_more():
    desk = Desk(budget(tokens=200))
    desk.reserve(input_tokens=100, output_tokens=100)
    with pytest.raises(BudgetError):
        desk.reserve(input_tokens=1, output_tokens=0)


def test_what_was_not_needed_comes_back_once():
    desk = Desk(budget(tokens=1000))
    hold = desk.reserve(input_tokens=500, output_tokens=500)
    hold.settle(cost=10, tokens=300)
    hold.settle(cost=0, tokens=0)
    assert desk.purse.states(ANONYMOUS)[0].spent == (10, 300, 1)
    assert desk.purse.states(ANONYMOUS)[0].held == (0, 0, 0)
    desk.reserve(input_tokens=700, output_tokens=0)


def test_what_cost_more_than_its_worst_case_stands_against_the_next_call():
    desk = Desk(budget(cost=1000))
    desk.reserve(input_tokens=100, output_tokens=0).settle(cost=950, tokens=100)
    with pytest.raises(BudgetError):
        desk.reserve(input_tokens=51, output_tokens=0)


def test_an_unknown_cost_counts_as_what_was_set_aside():
    desk = Desk(budget(cost=1000))
    desk.reserve(input_tokens=600, output_tokens=0).settle(cost=None, tokens=5)
    with pytest.raises(BudgetError):
        desk.reserve(input_tokens=401, output_tokens=0)


def test_without_a_price_a_limit_of_money_lets_nothing_pass_and_others_do():
    desk = Desk(budget("money", cost=10**9))
    for models in (("unknown",), ("cheap", "unknown")):
        with pytest.raises(BudgetError) as caught:
            desk.reserve(ANONYMOUS, *models)
        assert "p/unknown" in str(caught.value)
        assert "prices.toml" in caught.value.hint_text
    desk.allow_unknown_prices = True
    assert desk.reserve(ANONYMOUS, "unknown").cost is None
    assert desk.reserve(ANONYMOUS, "cheap", "unknown").cost == 300
    tokens = Desk(budget("tokens", tokens=250, requests=9))
    assert tokens.reserve(ANONYMOUS, "unknown").cost is None
    with pytest.raises(BudgetError):
        tokens.reserve(ANONYMOUS, "unknown")


def test_each_scope_counts_its_own_subjects():
    desk = Desk(
        budget("role", Scope.ROLE, requests=2),
        budget("run", Scope.RUN, requests=1),
        budget("ci", Scope.KEY, requests=3, names=("ci-*",)),
    )
    coder = key_of("a", role="coder", run="run-1")
    desk.reserve(coder)
    with pytest.raises(BudgetError, match="budget run"):
        desk.reserve(coder)
    desk.reserve(key_of("b", role="coder", run="run-2"))
    with pytest.raises(BudgetError, match="budget role"):
        desk.reserve(key_of("c", role="coder", run="run-3"))
    for _ in range(10):
        desk.reserve(key_of("human"))
        desk.reserve()
    for _ in range(3):
        desk.reserve(key_of("ci-1"))
    with pytest.raises(BudgetError, match="budget ci"):
        desk.reserve(key_of("ci-1"))
    desk.reserve(key_of("ci-2"))


def test_a_key_has_limits_of_its_own_for_its_life_and_for_a_day():
    desk = Desk()
    key = key_of("mine", limits=Limits(requests=3), day_limits=Limits(requests=2))
    for _ in range(2):
        desk.reserve(key).settle(cost=1, tokens=1)
    with pytest.raises(BudgetError, match="mine") as caught:
        desk.reserve(key)
    assert caught.value.parameters["renews_ns"]
    desk.now += DAY_NS
    desk.reserve(key)
    with pytest.raises(BudgetError) as caught:
        desk.reserve(key)
    assert caught.value.parameters["renews_ns"] is None


def test_a_call_counts_to_the_day_in_which_it_was_reserved():
    desk = Desk(budget(requests=1, per_day=True))
    hold = desk.reserve()
    desk.now += DAY_NS
    hold.settle(cost=5, tokens=5)
    assert desk.purse.states(ANONYMOUS)[0].spent == (0, 0, 0)
    desk.reserve()
    with pytest.raises(BudgetError):
        desk.reserve()


def test_after_a_restart_the_ledger_says_what_is_spent():
    desk = Desk(budget(tokens=1000, per_day=True))
    desk.ledger.rows += [
        {"key": ANONYMOUS, "time_ns": NOON - DAY_NS, "cost": 0, "tokens": 10_000},
        {"key": ANONYMOUS, "time_ns": NOON - 5, "cost": 0, "tokens": 900},
    ]
    desk.open()
    with pytest.raises(BudgetError):
        desk.reserve(input_tokens=101, output_tokens=0)
    desk.reserve(input_tokens=100, output_tokens=0)


def test_a_budget_that_comes_while_calls_run_knows_of_them():
    desk = Desk()
    hold = desk.reserve(input_tokens=600, output_tokens=0)
    desk.reserve(input_tokens=300, output_tokens=0).settle(cost=300, tokens=300)
    desk.budgets.append(budget(tokens=1000))
    with pytest.raises(BudgetError):
        desk.reserve(input_tokens=101, output_tokens=0)
    hold.settle(cost=600, tokens=600)
    desk.reserve(input_tokens=100, output_tokens=0)


class Spending(RuleBasedStateMachine):
    """Calls come, end, are cut off by a crash, days and settings change; a plain list says what was spent."""

    holds = Bundle("holds")

    @initialize(cost=st.integers(500, 5000), tokens=st.integers(500, 5000), requests=st.integers(1, 12))
    def begin(self, cost, tokens, requests):
        self.keys = [
            key_of(
                "a", role="r", run="x", limits=Limits(requests=requests), day_limits=Limits(tokens=tokens)
            ),
            key_of("b", role="r", run="y"),
            ANONYMOUS,
        ]
        self.desk = Desk(
            budget("all", cost=3 * cost),
            budget("day", cost=cost, per_day=True),
            budget("role", Scope.ROLE, tokens=tokens),
            budget("run", Scope.RUN, requests=requests, per_day=True),
            budget("each", Scope.KEY, cost=cost),
        )
        self.running = []

    @rule(
        target=holds,
        key=st.integers(0, 2),
        models=st.lists(st.sampled_from(sorted(RATES)), min_size=1, max_size=2),
        tokens=st.tuples(st.integers(0, 300), st.integers(0, 100)),
    )
    def call(self, key, models, tokens):
        before = [self.desk.purse.states(each) for each in self.keys]
        try:
            hold = self.desk.reserve(self.keys[key], *models, input_tokens=tokens[0], output_tokens=tokens[1])
        except BudgetError as error:
            # Refused for a reason, and without a trace.
            parameters = error.parameters
            assert parameters["spent"] + parameters["held"] + parameters["needed"] > parameters["limit"]
            assert [self.desk.purse.states(each) for each in self.keys] == before
            return None
        row = {"key": self.keys[key], "time_ns": self.desk.now, "cost": hold.cost, "tokens": hold.tokens}
        self.desk.ledger.rows.append(row)
        self.running.append((hold, row))
        return hold

    @rule(hold=consumes(holds), part=st.floats(0, 1), known=st.booleans())
    def end(self, hold, part, known):
        for each, row in self.running:
            if each is hold:
                cost, tokens = int(row["cost"] * part), int(row["tokens"] * part)
                hold.settle(cost=cost if known else None, tokens=tokens)
                hold.settle(cost=0, tokens=0)
                row.update(cost=cost if known else row["cost"], tokens=tokens)
        self.running = [pair for pair in self.running if pair[0] is not hold]

    @rule(days=st.sampled_from([0.3, 1, 2.5]))
    def wait(self, days):
        self.desk.now += int(days * DAY_NS)

    @rule()
    def crash(self):
        """What ran is interrupted: it counts as reserved, and its holds are nobody's any more."""
        self.desk.open()
        self.running = []

    @invariant()
    def no_limit_is_exceeded(self):
        if not hasattr(self, "desk"):
            return
        for key in self.keys:
            for state in self.desk.purse.states(key):
                limits = (state.limits.cost, state.limits.tokens, state.limits.requests)
                since = self.desk.now - self.desk.now % DAY_NS if state.renews_ns else 0
                true = self.desk.ledger.spent(state.scope, state.subject, since)
                for limit, spent, held, real in zip(limits, state.spent, state.held, true, strict=True):
                    assert spent + held == real
                    assert held >= 0
                    assert limit is None or real <= limit

    @invariant()
    def what_is_held_is_what_runs(self):
        if hasattr(self, "desk") and not self.running:
            assert all(state.held == (0, 0, 0) for key in self.keys for state in self.desk.purse.states(key))


TestSpending = Spending.TestCase


def test_past_days_and_old_exchanges_are_forgotten():
    desk = Desk(budget(requests=10, per_day=True))
    for _ in range(50):
        desk.reserve().settle(cost=1, tokens=1)
        desk.now += DAY_NS + LAG_NS
    assert len(desk.purse._accounts) <= 2  # noqa: SLF001  nothing else shows it
    assert len(desk.purse._settled) <= 2  # noqa: SLF001


def test_a_busy_second_takes_no_more_room_than_a_quiet_one():
    desk = Desk(budget(requests=10_000))
    for _ in range(1000):
        desk.reserve().settle(cost=1, tokens=1)
        desk.now += 1_000_000
    assert len(desk.purse._settled) <= 2  # noqa: SLF001  nothing else shows it
    assert sum(hold.sums.requests for hold in desk.purse._settled) == 1000  # noqa: SLF001
