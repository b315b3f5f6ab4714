"""Usage equals what a plain list says; savings are told with what is unknown beside them."""

from __future__ import annotations

import datetime
from collections import Counter
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.gateway.dialects.neutral import Used
from lastro.gateway.exchange import Exchange, ExchangeOutcome
from lastro.gateway.exchange_records import draft_exchange
from lastro.gateway.exchanges import Only
from lastro.gateway.ledger import Ledger
from lastro.gateway.savings import SavingKind, measure_savings
from lastro.gateway.usage import By, Latency, Money, Usage, nearest_rank, report_usage
from tests.exchange_kit import ACTOR, DAY, T0, any_exchange, begin, finish
from tests.store_kit import Kit


def ledger_of(repository, exchanges):
    with repository.begin() as made:
        made.commit(*[draft_exchange(made, each, None, bodies_lost=False, actor=ACTOR) for each in exchanges])
    ledger = Ledger(repository, None)
    ledger.refresh()
    return ledger


NAMES = {
    By.ALL: lambda _: "",
    By.PROVIDER: lambda each: each.ended.provider,
    By.MODEL: lambda each: each.ended.provider and f"{each.ended.provider}/{each.ended.model}",
    By.KEY: lambda each: each.began.key_name or each.began.key,
    By.ROLE: lambda each: each.began.role,
    By.RUN: lambda each: each.began.run,
    By.KIND: lambda each: each.began.kind,
    By.ROUTE: lambda each: each.began.route,
    By.DAY: lambda each: datetime.datetime.fromtimestamp(each.began.time_ns // 10**9, datetime.UTC).strftime(
        "%Y-%m-%d"
    ),
}


def check_row(row: Usage, meant):
    called = [each for each in meant if each.ended.outcome is not ExchangeOutcome.REFUSED]
    assert row.exchanges == len(meant)
    for name in ("input", "output", "cache_read", "cache_write"):
        assert getattr(row.tokens, name) == sum(getattr(each.ended.used, name) or 0 for each in meant)
    assert row.tokens.unknown == sum(
        each.ended.used.input is None and each.ended.used.output is None for each in called
    )
    assert row.cost == Money(
        known=sum(each.ended.cost or 0 for each in meant),
        unknown=sum(each.ended.cost is None for each in called),
    )
    answered = [each.ended.duration_ns for each in meant if each.ended.outcome is ExchangeOutcome.ANSWERED]
    assert row.duration == latency(answered)
    assert row.first_byte == latency(
        [each.ended.first_byte_ns for each in meant if each.ended.first_byte_ns is not None]
    )
    assert row.outcomes == Counter(each.ended.outcome.value for each in meant)
    assert row.attempts == Counter(attempt.outcome.value for each in meant for attempt in each.ended.attempts)
    assert row.failovers == sum(len(each.ended.attempts) > 1 for each in meant)
    assert row.degraded == sum(each.ended.degraded for each in meant)


def latency(values):
    if not values:
        return Latency()
    values = sorted(values)
    half, most = values[ceil(len(values) / 2) - 1], values[ceil(len(values) * 0.95) - 1]
    return Latency(count=len(values), p50=half, p95=most)


@given(st.data(), st.integers(0, 8), st.sampled_from(By), st.none() | st.integers(0, 3))
@settings(deadline=None)
def test_a_report_is_what_a_plain_list_says(data, count, by, since):
    exchanges = [data.draw(any_exchange(number)) for number in range(count)]
    only = Only(since_ns=None if since is None else T0 + since * DAY)
    with Kit().create() as repository:
        ledger = ledger_of(repository, exchanges)
        report = report_usage(ledger, by=by, only=only)
        ledger.close()
    meant = [each for each in exchanges if only.since_ns is None or each.began.time_ns >= only.since_ns]
    groups = {}
    for each in meant:
        groups.setdefault(NAMES[by](each), []).append(each)
    assert [row.name for row in report.rows] == sorted(groups)
    for row in report.rows:
        check_row(row, groups[row.name])
    check_row(report.total, meant)


@given(st.lists(st.integers(0, 100), min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_value_that_was_measured(values, share):
    values.sort()
    found = nearest_rank(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


# Savings --------------------------------------------------------------------------------------------------------------------------------

PRICES = {("p", "m"): (10, 20, 1, 12), ("q", "big"): (30, 60, 3, 36)}


def price(provider, model, used):
    """Millionths of a dollar a token: input, output, cached, written to the cache."""
    rates = PRICES.get((provider, model))
    if rates is None or used.input is None or used.output is None:
        return None
    read, write = used.cache_read or 0, used.cache_write or 0
    return (
        (used.input - read - write) * rates[0] + used.output * rates[1] + read * rates[2] + write * rates[3]
    )


@pytest.fixture
def savings():
    def measure(*exchanges, paid=("q", "big"), routes=None):
        with Kit().create() as repository:
            ledger = ledger_of(repository, exchanges)
            lines = measure_savings(
                ledger,
                price=price,
                local={"offline"},
                paid=paid,
                candidates=lambda route: (routes or {}).get(route, []),
            )
            ledger.close()
        assert all(str(line.assumption) for line in lines)
        return {line.kind: (line.saved, line.exchanges, line.unknown) for line in lines}

    return measure


def done(number, used, **fields):
    return Exchange(began=begin(number), ended=finish(number, used=used, **fields))


def test_cached_tokens_save_what_plain_input_would_have_cost_more(savings):
    found = savings(
        done(1, Used(input=100, output=10, cache_read=40)),
        done(2, Used(input=100, output=10, cache_write=50)),
        done(3, Used(input=100, output=10)),
        done(4, Used(input=100, output=10, cache_read=9), model="unknown"),
    )
    assert found[SavingKind.PROMPT_CACHE] == (40 * 9 - 50 * 2, 2, 1)


def test_an_offline_answer_saves_what_the_paid_model_would_have_cost(savings):
    offline = {"provider": "offline", "model": "small", "cost": 0}
    one = done(1, Used(input=100, output=10), **offline)
    two = done(2, Used(input=None, output=10), **offline)
    failed = done(3, Used(input=100, output=10), outcome=ExchangeOutcome.FAILED, **offline)
    assert savings(one, two, failed)[SavingKind.OFFLINE] == (100 * 30 + 10 * 60, 1, 1)
    assert SavingKind.OFFLINE not in savings(one, paid=None)
    assert savings(one, paid=("nobody", "x"))[SavingKind.OFFLINE] == (0, 0, 1)


def test_a_cheaper_model_saves_against_the_dearest_of_its_route(savings):
    used = Used(input=100, output=10)
    routes = {"default": [("p", "m"), ("q", "big")]}
    assert savings(done(1, used), routes=routes)[SavingKind.CHEAPER_MODEL] == (100 * 20 + 10 * 40, 1, 0)
    assert savings(done(1, used))[SavingKind.CHEAPER_MODEL] == (0, 0, 0)
    routes["default"].append(("new", "unpriced"))
    assert savings(done(1, used), routes=routes)[SavingKind.CHEAPER_MODEL] == (0, 0, 1)
