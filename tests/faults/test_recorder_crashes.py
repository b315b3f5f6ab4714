"""A power cut at every write of the recorder: what was committed or synced is there afterwards, once, and the rest is no damage."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from lastro.gateway.exchange import ExchangeOutcome
from lastro.gateway.exchange_records import decrypted_exchanges
from lastro.store.check import Severity, check
from tests.exchange_kit import Desk, begin, bodies, finish, name_of
from tests.faults.recording import RecordingSystem, crash_states, materialize
from tests.faults.scratch import scratch_directory
from tests.store_kit import Kit, StillClock

MOST_STATES = 150


def scenario(desk, system):
    """Two processes, one after the other; marks say what was acknowledged: ``begun N`` is synced, ``kept N`` is committed."""
    with desk.open(interval_s=60, system=system) as (_, _, recorder):
        recorder.begin(begin(0))
        for number in (1, 2):
            recorder.begin(begin(number))
            recorder.end(finish(number), bodies(f"ask {number}"))
            assert recorder.flush()
            system.mark(("begun", 0))
            system.mark(("kept", number))
        recorder.begin(begin(3))
        assert recorder.flush()
        system.mark(("begun", 3))
        recorder.end(finish(3), None)
        recorder.begin(begin(4))
    system.mark(("kept", 3))
    with desk.open(interval_s=60, system=system) as (_, _, recorder):
        for number in (0, 4):
            system.mark(("kept", number))
        recorder.begin(begin(5))
        recorder.end(finish(5), bodies())
        assert recorder.flush()
        system.mark(("kept", 5))


@pytest.mark.slow
def test_a_power_cut_at_any_write_loses_and_doubles_nothing():
    with scratch_directory() as place, scratch_directory() as other:
        os.makedirs(f"{place}/spool", mode=0o700)
        desk = Desk(place)
        with desk.open():
            pass
        system = RecordingSystem(place)
        desk.disk = system
        scenario(desk, system)
        states = list(crash_states(system.recording(), seed=1))
        assert len(states) > 50
        chosen = random.Random(1).sample(states, min(MOST_STATES, len(states)))
        for number, state in enumerate([*chosen, states[-1]]):
            target = f"{other}/{number}"
            os.mkdir(target)
            materialize(state, target)
            again = Desk(target)
            again.kit = Kit(
                backend=again.backend(), clock=StillClock(wall=1_900_000_000_000_000_000), seed=number
            )
            again.kit.secret = desk.kit.secret
            with again.open(interval_s=60) as (repository, _, _):
                found = list(decrypted_exchanges(repository))
                damage = [item for item in check(repository) if item.severity is Severity.DAMAGE]
            counts = Counter(recorded.began.id for recorded, _ in found)
            outcomes = {recorded.began.id: recorded.ended.outcome for recorded, _ in found}
            assert set(counts.values()) <= {1}
            assert damage == []
            for what, exchange in state.marks:
                assert name_of(exchange) in counts, (what, exchange, state.point)
                if what == "kept" and exchange in (1, 2, 3, 5):
                    assert outcomes[name_of(exchange)] is ExchangeOutcome.ANSWERED
            assert all("path" not in report.parameters for report in again.reports), again.reports
