"""Telemetry as a keeper hears and keeps it: over a real link, in bounded rings, lost without harm."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.ids import ServerId
from lastro.keeper import telemetry as kept
from lastro.keeper.telemetry import MINUTE_NS, MOST_MINUTES, MOST_RECENT, RECENT_NS, TelemetryRings
from tests.memory_source import MemorySource
from tests.protocol_nouns import sample_of
from tests.wire import ServedNode, linked

WEB = ServerId("web")
NOW = 1_800_000_000 * 10**9
DAY = 86_400 * 10**9


class Told:
    """A ``Telemetry`` that says what a test wants."""

    def __init__(self):
        self.roots = []

    def sample(self, roots):
        self.roots.append(list(roots))
        return sample_of(paths=roots)


def rings(path=None, now=NOW, repository="r"):
    return TelemetryRings(path, repository=repository, now_ns=now)


@pytest.fixture
def heard():
    class Heard:
        def __init__(self):
            self.samples, self.news = [], threading.Condition()

        def __call__(self, sample):
            with self.news:
                self.samples.append(sample)
                self.news.notify_all()

        def wait(self, count=1):
            with self.news:
                assert self.news.wait_for(lambda: len(self.samples) >= count, 20)

    return Heard()


def test_a_node_is_heard_over_its_link_and_again_after_a_cut(tmp_path, heard):
    told = Told()
    source = MemorySource({})
    with ServedNode(str(tmp_path), source, telemetry=told) as node, linked(node, on_sample=heard):
        heard.wait()
        assert told.roots[0] == [root.path for root in source.roots()]
        node.stop()
        node.start()
        heard.wait(2)
    assert heard.samples[0].disks and not node.failures


def test_a_node_without_telemetry_goes_on_without(tmp_path, heard):
    with ServedNode(str(tmp_path), MemorySource({})) as node, linked(node, on_sample=heard) as link:
        assert "telemetry" not in link.wait_connected(10).capabilities
    assert heard.samples == []
    assert not node.failures


def test_the_recent_ring_has_ten_minutes_and_the_other_a_mean_of_each():
    held = rings()
    for second in range(0, 3600, 5):
        held.add(WEB, sample_of(cpu=100 + second // 60 % 2 * 100), NOW + second * 10**9)
    recent, minutes = held.recent(WEB), held.minutes(WEB)
    assert recent[-1].time_ns - recent[0].time_ns <= RECENT_NS
    assert len(recent) >= 120
    assert len(minutes) == 59
    assert {sample.cpu for sample in minutes} == {100, 200}


@given(st.lists(st.integers(0, 10**15), max_size=50), st.integers(0, 10**6))
def test_memory_is_bounded_whatever_a_node_tells(steps, length):
    held, now = rings(), NOW
    for step in steps:
        now += step
        held.add(WEB, sample_of(paths=[f"/{number}" + "x" * (length % 9000) for number in range(64)]), now)
    assert len(held.recent(WEB)) <= MOST_RECENT and len(held.minutes(WEB)) <= MOST_MINUTES
    for sample in held.recent(WEB):
        assert sum(len(disk.path) for disk in sample.disks) <= kept.MOST_PATH_BYTES


def test_times_are_the_keepers_whatever_clock_a_node_has():
    held = rings()
    held.add(WEB, sample_of(time_ns=5), NOW)
    assert held.newest(WEB).time_ns == NOW


def test_minutes_outlive_a_restart_and_a_day_does_not(tmp_path):
    path = str(tmp_path / "telemetry.db")
    held = rings(path)
    for minute in range(3):
        held.add(WEB, sample_of(cpu=minute, paths=("/\udcff",)), NOW + minute * MINUTE_NS)
    held.write(NOW)
    held.close()
    again = rings(path, NOW + MINUTE_NS)
    assert [sample.cpu for sample in again.minutes(WEB)] == [0, 1]
    assert again.minutes(WEB)[0].disks[0].path == "/\udcff"
    again.close()
    assert rings(path, NOW + 2 * DAY).minutes(WEB) == ()


@pytest.mark.parametrize("content", [b"", b"no database", os.urandom(5000)])
def test_a_cache_that_cannot_be_read_is_begun_anew(tmp_path, content):
    path = tmp_path / "telemetry.db"
    path.write_bytes(content)
    held = rings(str(path))
    held.add(WEB, sample_of(), NOW)
    held.write(NOW)
    assert held.newest(WEB) is not None
    held.close()


def test_the_cache_of_another_repository_is_not_read(tmp_path):
    path = str(tmp_path / "telemetry.db")
    held = rings(path)
    for minute in range(3):
        held.add(WEB, sample_of(), NOW + minute * MINUTE_NS)
    held.write(NOW)
    held.close()
    assert rings(path, repository="another").minutes(WEB) == ()
