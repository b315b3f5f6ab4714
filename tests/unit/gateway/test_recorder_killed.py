"""Killed at any instant, also while it settles what an earlier kill left: no exchange that began is lost, none is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest

from lastro.gateway.exchange import ExchangeOutcome
from lastro.gateway.exchange_records import decrypted_exchanges
from lastro.gateway.settings import Scope
from lastro.store.check import check
from tests.exchange_kit import Desk, bodies, name_of
from tests.faults.scratch import scratch_directory
from tests.unit.gateway.recording_process import read_secret

ROUNDS = 20


@pytest.mark.slow
@pytest.mark.system
def test_killed_at_any_instant_it_loses_and_doubles_nothing():
    with scratch_directory() as place:
        command = [sys.executable, "-m", "tests.unit.gateway.recording_process", place, str(ROUNDS)]
        ended = subprocess.run(
            [*command, str(random.randrange(10**6))], capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr
        with open(f"{place}/told", encoding="ascii") as file:
            told = [line.split() for line in file.read().splitlines()]
        began = {int(number) for what, number in told if what == "b"}
        finished = {int(number) for what, number in told if what == "e"}
        assert len(began) > 10 * ROUNDS and finished
        desk = Desk(place)
        desk.kit.secret = read_secret(place)
        with desk.open(ledger=f"{place}/ledger.sqlite") as (repository, ledger, _):
            found = list(decrypted_exchanges(repository))
            counts = Counter(recorded.began.id for recorded, _ in found)
            assert set(counts.values()) == {1}
            assert {name_of(number) for number in began} <= counts.keys()
            by_id = {recorded.began.id: (recorded, each) for recorded, each in found}
            for number in finished:
                recorded, each = by_id[name_of(number)]
                assert recorded.ended.outcome is ExchangeOutcome.ANSWERED
                assert each == (bodies(f"ask {number}") if number % 3 else None)
            for name in counts.keys() - {name_of(number) for number in finished}:
                # Its end may have been noted in the instant before it was told.
                outcome = by_id[name][0].ended.outcome
                assert outcome in {ExchangeOutcome.INTERRUPTED, ExchangeOutcome.ANSWERED}
            assert ledger.spent(Scope.ALL, "").requests == len(found)
            assert list(check(repository)) == []
        assert all("path" not in report.parameters for report in desk.reports)
