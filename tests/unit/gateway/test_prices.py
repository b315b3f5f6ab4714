"""Our sums are the price data's own, for every model of it; unknown is never 0; the owner's word wins."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache

import msgspec
import pytest
from genai_prices import Usage
from genai_prices.data import providers as data
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import ConfigError, DamagedError
from lastro.gateway.dialects.neutral import Used
from lastro.gateway.price_overrides import PriceOverride
from lastro.gateway.price_table import build_table, load_price_table, utc_clock
from lastro.gateway.priced_models import EMPTY_TABLE, Clause, Period, PriceTable
from lastro.gateway.prices import Prices
from lastro.gateway.provider import Provider, ProviderKind
from lastro.gateway.rates import FREE, Price, Rates

NOW = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
COUNTS = st.integers(0, 3_000_000)
INSTANTS = st.datetimes(datetime(2023, 1, 1), datetime(2027, 12, 31))  # noqa: DTZ001  hypothesis wants them naive


@cache
def table():
    return PriceTable.decode(msgspec.json.encode(build_table()))


@cache
def prices():
    return Prices(table(), (), now_ns=lambda: NOW)


def provider(identifier, **more):
    return Provider(
        **{"name": "p", "kind": ProviderKind.COMPATIBLE, "base_url": "", "price_provider": identifier, **more}
    )


def theirs(holder, model, used, when):
    usage = Usage(
        input_tokens=used.input,
        output_tokens=used.output,
        cache_read_tokens=used.cache_read,
        cache_write_tokens=used.cache_write,
        output_reasoning_tokens=used.reasoning,
    )
    return model.calc_price(usage, holder, genai_request_timestamp=when).total_price * 1_000_000


@st.composite
def uses(draw):
    read, write, plain = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    reasoning, output = draw(COUNTS), draw(COUNTS)
    return Used(
        input=read + write + plain,
        output=output + reasoning,
        cache_read=read,
        cache_write=write,
        reasoning=reasoning,
    )


ALL = [(holder, model) for holder in data for model in holder.models]


def test_every_model_of_the_data_is_found_and_costs_what_the_data_says():
    """One use, every model; the law below varies the use."""
    used = Used(input=300_000, output=2_000, cache_read=100_000, cache_write=50_000, reasoning=500)
    when = datetime.fromtimestamp(NOW / 1e9, tz=UTC)
    known = 0
    for holder, model in ALL:
        found = holder.find_model(model.id, all_providers=data)
        ours = prices().cost(provider(holder.id), model.id, used)
        if found is None:
            assert ours is None
            continue
        rates = prices().rates(provider(holder.id), model.id)
        if rates is None or rates.input is None or rates.output is None:
            assert ours is None
            continue
        known += 1
        expected = theirs(holder, found, used, when)
        assert expected <= ours < expected + 1, (holder.id, model.id)
    assert known > 2_000


def test_a_provider_that_offers_the_models_of_another_has_its_prices():
    used, found = Used(input=1000, output=1000), 0
    for holder in data:
        for other in data:
            if other.id in (holder.fallback_model_providers or ()):
                for model in other.models:
                    theirs_ = holder.find_model(model.id, all_providers=data)
                    cost = prices().cost(provider(holder.id), model.id, used)
                    if theirs_ is not None and cost is not None and theirs_ not in holder.models:
                        found += 1
                        expected = theirs(holder, theirs_, used, datetime.fromtimestamp(NOW / 1e9, tz=UTC))
                        assert expected <= cost < expected + 1
    assert found > 50


@given(st.sampled_from(ALL), uses(), INSTANTS)
def test_costs_are_the_data_s_own_for_any_use_at_any_time(place, used, when):
    holder, named = place
    model = holder.find_model(named.id, all_providers=data)
    when = when.replace(tzinfo=UTC)
    ours = Prices(table(), (), now_ns=lambda: int(when.timestamp()) * SECOND)
    cost = ours.cost(provider(holder.id), named.id, used)
    if cost is None:
        rates = ours.rates(provider(holder.id), named.id)
        assert model is None or rates is None or rates.input is None or rates.output is None
    else:
        expected = theirs(holder, model, used, when)
        assert expected <= cost < expected + 1


@given(st.sampled_from(ALL), uses())
def test_no_call_costs_more_than_its_worst_case(place, used):
    holder, model = place
    rates = prices().rates(provider(holder.id), model.id)
    if rates is not None and (cost := rates.cost(used)) is not None:
        assert cost <= rates.worst(used.input, used.output)


@given(uses(), st.integers(1, 10))
def test_the_worst_case_never_shrinks_with_more_tokens(used, more):
    rates = prices().rates(provider("anthropic"), "claude-sonnet-4-5")
    assert rates.worst(used.input, used.output) <= rates.worst(used.input + more, used.output + more)


def test_what_is_unknown_is_none():
    openai = provider("openai")
    assert prices().rates(openai, "no-such-model-at-all") is None
    assert prices().cost(openai, "no-such-model-at-all", Used(input=1, output=1)) is None
    assert prices().cost(provider("no-such-provider"), "gpt-5", Used(input=1, output=1)) is None
    assert prices().facts(openai, "no-such-model-at-all") is None
    assert prices().cost(openai, "gpt-5", Used(input=1)) is None
    assert prices().cost(openai, "gpt-5", Used(output=1)) is None
    assert Rates(input=Price(base=Decimal(1))).cost(Used(input=1, output=1)) is None
    assert Rates(input=Price(base=Decimal(1))).worst(1, 1) is None
    assert Rates().worst(0, 0) is None
    assert Prices(EMPTY_TABLE, (), now_ns=lambda: NOW).rates(openai, "gpt-5") is None


def test_a_model_without_any_price_is_unknown_and_a_free_one_free():
    assert prices().cost(provider("github-copilot"), "gpt-4.1", Used(input=9, output=9)) is None
    free = next(
        m.id
        for p in data
        if p.id == "openrouter"
        for m in p.models
        if m.id.endswith(":free") and not vars(m.prices)
    )
    assert prices().cost(provider("openrouter"), free, Used(input=9, output=9)) == 0


def test_local_models_cost_nothing_whatever_they_are_called():
    for local in (
        provider("openai", local=True),
        Provider(name="offline", kind=ProviderKind.OFFLINE, base_url=""),
    ):
        assert prices().rates(local, "gpt-5") is FREE
        assert prices().cost(local, "gpt-5", Used()) == 0


def test_the_kind_decides_or_the_address():
    used = Used(input=1_000_000, output=1_000_000)
    kind = Provider(name="mine", kind=ProviderKind.OPENAI, base_url="https://proxy.example")
    address = Provider(name="mine", kind=ProviderKind.COMPATIBLE, base_url="https://api.openai.com/v1")
    assert prices().cost(kind, "gpt-5", used) == prices().cost(address, "gpt-5", used) == 11_250_000
    stranger = Provider(name="mine", kind=ProviderKind.COMPATIBLE, base_url="https://example.com")
    assert prices().cost(stranger, "gpt-5", used) is None


def test_names_are_found_in_capitals_and_with_brokers_dates():
    openai = provider("OpenAI ")
    assert prices().rates(openai, "GPT-5-2025-08-07") == prices().rates(openai, "gpt-5-20250807") is not None
    assert prices().rates(openai, "gpt-5-20259999") != 0


def test_costs_are_rounded_up_once():
    rates = Rates(input=Price(base=Decimal("0.4")), output=Price(base=Decimal("0.4")))
    assert rates.cost(Used(input=1, output=1)) == 1
    assert rates.cost(Used(input=2, output=1)) == 2
    assert rates.cost(Used(input=0, output=0)) == 0


def test_cached_tokens_have_their_own_price_or_the_full_one():
    ten, one = Price(base=Decimal(10)), Price(base=Decimal(1))
    used = Used(input=100, output=0, cache_read=40)
    assert Rates(input=ten, output=ten, cache_read=one).cost(used) == 640
    assert Rates(input=ten, output=ten).cost(used) == 1000


def test_a_tier_holds_for_the_whole_call():
    price = Price(base=Decimal(1), tiers=((100, Decimal(2)), (200, Decimal(3))))
    assert [price.at(n) for n in (0, 100, 101, 200, 201)] == [1, 1, 2, 2, 3]


def test_an_override_wins_by_name_or_by_id_and_says_sizes():
    override = PriceOverride(
        provider="mine", model="gpt-*", input=Decimal(7), output=Decimal(7), context=5, most_output=6
    )
    ours = Prices(table(), (override,), now_ns=lambda: NOW)
    mine = Provider(name="mine", kind=ProviderKind.OPENAI, base_url="")
    assert ours.cost(mine, "gpt-5", Used(input=1, output=1)) == 14
    assert ours.cost(msgspec.structs.replace(mine, local=True), "gpt-5", Used(input=1, output=1)) == 14
    assert ours.cost(msgspec.structs.replace(mine, name="x"), "gpt-5", Used(input=1, output=1)) == 12
    facts = ours.facts(mine, "gpt-5")
    assert (facts.context, facts.output) == (5, 6)
    sizes = Prices(table(), (PriceOverride(provider="openai", model="*", context=5),), now_ns=lambda: NOW)
    assert sizes.cost(mine, "gpt-5", Used(input=1, output=1)) == 12
    assert sizes.facts(mine, "gpt-5").context == 5
    assert prices().facts(mine, "gpt-5").context == 400_000


def test_periods_by_date_and_by_hour():
    def at(*clock):
        return datetime(2026, 1, *clock)  # noqa: DTZ001  as the module compares them

    rates = Rates()
    assert Period(rates=rates, since=at(5).date()).holds(at(5))
    assert not Period(rates=rates, since=at(5).date()).holds(at(4, 23))
    night = Period(rates=rates, start=at(1, 22).time(), end=at(1, 6).time())
    assert [night.holds(at(1, hour)) for hour in (21, 22, 23, 0, 5, 6)] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    day = Period(rates=rates, start=at(1, 6).time(), end=at(1, 22).time())
    assert [day.holds(at(1, hour)) for hour in (5, 6, 21, 22)] == [False, True, True, False]


def test_hours_of_other_zones_are_compared_in_utc():
    assert utc_clock(time(1, 30, tzinfo=timezone(timedelta(hours=2)))) == time(23, 30)
    assert utc_clock(time(1, 30)) == time(1, 30)
    assert utc_clock(None) is None


def test_clauses():
    parts = (Clause("starts", "a"), Clause("ends", "z"))
    assert Clause("and", "", parts).holds("abz") and not Clause("and", "", parts).holds("ab")
    assert Clause("or", "", parts).holds("ab") and not Clause("or", "", parts).holds("b")
    assert Clause("regex", "b+").holds("abbz") and Clause("contains", "bb").holds("abbz")
    assert not Clause("equals", "abb").holds("abbz")


def test_the_table_is_made_once_and_again_when_it_is_damaged_or_old(tmp_path):
    cache_directory = str(tmp_path / "cache")
    first = load_price_table(cache_directory)
    (path,) = (tmp_path / "cache").iterdir()
    made = path.stat().st_mtime_ns
    assert load_price_table(cache_directory) == first
    assert path.stat().st_mtime_ns == made
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-10])
    (tmp_path / "cache" / "prices-0-old.json").touch()
    assert load_price_table(cache_directory) == first
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [path.name]


def test_a_table_that_cannot_be_made_says_why(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_price_table(str(tmp_path), python="/bin/false")
    assert "lastro[gateway]" in caught.value.hint_text
    with pytest.raises(DamagedError):
        PriceTable.decode(b"{}")
    with pytest.raises(DamagedError):
        PriceTable.decode(msgspec.json.encode(msgspec.structs.replace(EMPTY_TABLE, version=99)))


def test_reading_prices_imports_nothing_heavy():
    code = (
        "import sys; import lastro.gateway.prices, lastro.gateway.price_table, lastro.gateway.tokens, "
        "lastro.gateway.offline.engine; "
        "print([m for m in ('genai_prices', 'pydantic', 'httpx', 'xllamacpp', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
