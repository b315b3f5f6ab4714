"""The vigil: silence is told once, and its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lastro.app.notifying.vigil import FIRST_NS, Vigil, Watched
from lastro.catalogue.database import open_file, open_memory
from lastro.domain.ids import ServerId
from tests.health_kit import DAY, HOUR, SECOND

WEB = ServerId("web")
NAMES = {WEB: "web-01"}
NOW = 1_800_000_000 * SECOND
PATH = "/srv/\udcff"


class Office:
    """A vigil, and what it told."""

    def __init__(self, engine=None, configured_ns=0):
        self.told = []
        self.configured_ns = configured_ns
        self.engine = engine or open_memory()
        self.vigil = self.again()

    def again(self):
        """The vigil of the next keeper."""
        self.vigil = Vigil(
            self.engine,
            tell=lambda key, event: self.told.append((key, event)),
            configured_ns=lambda: self.configured_ns,
        )
        return self.vigil

    @property
    def kinds(self):
        return [event.kind for _key, event in self.told]


def test_a_root_that_is_well_is_told_of_never():
    office = Office()
    for minute in range(600):
        now = NOW + minute * 60 * SECOND
        office.vigil.saw(WEB, {PATH: now}, now)
        office.vigil.look(NAMES, now)
    assert office.told == []


def test_what_is_missing_is_told_once_and_that_it_is_good_again():
    office = Office()
    office.vigil.saw(WEB, {PATH: NOW}, NOW)
    office.vigil.look(NAMES, NOW + HOUR)
    assert office.told == []
    for minute in range(1, 300):
        office.vigil.look(NAMES, NOW + HOUR + minute * 60 * SECOND)
    assert office.kinds == ["capture_missing"]
    assert office.told[0][1].parameters == {
        "server": "web-01",
        "path": PATH,
        "since_ns": NOW,
        "length_ns": HOUR + 60 * SECOND,
    }
    office.vigil.saw(WEB, {PATH: NOW + 7 * HOUR}, NOW + 7 * HOUR)
    office.vigil.look(NAMES, NOW + 7 * HOUR)
    office.vigil.look(NAMES, NOW + 7 * HOUR)
    assert office.kinds == ["capture_missing", "capture_good"]
    assert office.told[0][0] == office.told[1][0]


def test_a_keeper_that_comes_back_tells_what_it_missed_and_not_what_was_told(tmp_path):
    office = Office(open_file(str(tmp_path / "notices.db")))
    office.vigil.saw(WEB, {PATH: NOW}, NOW)
    office.vigil.look(NAMES, NOW)
    office.again().look(NAMES, NOW + 5 * DAY)
    assert office.kinds == ["capture_missing"]
    office.again().look(NAMES, NOW + 5 * DAY)
    assert office.kinds == ["capture_missing"]
    office.again().saw(WEB, {PATH: NOW + 5 * DAY}, NOW + 5 * DAY)
    office.vigil.look(NAMES, NOW + 5 * DAY)
    assert office.kinds == ["capture_missing", "capture_good"]


def test_what_was_told_is_written_after_it_was_told(tmp_path):
    office = Office(open_file(str(tmp_path / "notices.db")))
    office.vigil.saw(WEB, {PATH: NOW}, NOW)
    office.vigil.look(NAMES, NOW)

    def cannot(_key, _event):
        raise OSError("no room")

    broken = Vigil(office.engine, tell=cannot)
    with pytest.raises(OSError, match="no room"):
        broken.look(NAMES, NOW + DAY)
    office.again().look(NAMES, NOW + DAY)
    assert office.kinds == ["capture_missing"]


def test_a_first_capture_may_take_a_day():
    office = Office()
    office.vigil.saw(WEB, {PATH: 0}, NOW)
    office.vigil.look(NAMES, NOW + FIRST_NS)
    assert office.told == []
    office.vigil.look(NAMES, NOW + FIRST_NS + SECOND)
    assert office.kinds == ["capture_missing"]


def test_a_root_that_is_watched_no_longer_and_a_server_that_is_gone_are_forgotten():
    office = Office()
    office.vigil.saw(WEB, {PATH: NOW, "/b": NOW}, NOW)
    office.vigil.saw(WEB, {"/b": NOW}, NOW)
    assert set(office.vigil.roots(WEB)) == {"/b"}
    office.vigil.look({}, NOW + DAY)
    assert office.vigil.roots(WEB) == {} and office.told == []


def test_a_configured_limit_stands():
    office = Office(configured_ns=10 * SECOND)
    office.vigil.saw(WEB, {PATH: NOW}, NOW)
    office.vigil.look(NAMES, NOW + 11 * SECOND)
    assert office.kinds == ["capture_missing"]


def test_nights_become_a_rhythm():
    watched = Watched(good_ns=NOW)
    for night in range(1, 5):
        for seconds in range(0, 8 * 3600 + 1, 200):
            watched = watched.found_good(NOW + night * DAY + seconds * SECOND)
    assert watched.limit_ns(0) == 3 * 16 * HOUR


@given(st.lists(st.integers(0, 10**18), max_size=40))
def test_the_good_time_never_goes_back_and_pauses_are_bounded(times):
    watched = Watched(good_ns=NOW)
    for time in times:
        after = watched.found_good(time)
        assert after.good_ns >= watched.good_ns
        watched = after
    assert len(watched.pauses) <= 64


class Machine(RuleBasedStateMachine):
    """Against a plain model: a root that is late is missing, told once; keepers come and go in between."""

    def __init__(self):
        super().__init__()
        self.office = Office()
        self.now = NOW
        self.good = NOW
        self.missing = False
        self.expected = []
        self.office.vigil.saw(WEB, {PATH: NOW}, NOW)
        self.office.vigil.look(NAMES, NOW)

    @rule(hours=st.integers(0, 50))
    def time_passes(self, hours):
        self.now += hours * HOUR

    @rule()
    def seen_good(self):
        self.good = self.now
        self.office.vigil.saw(WEB, {PATH: self.now}, self.now)

    @rule()
    def seen_and_nobody_knows(self):
        self.office.vigil.saw(WEB, {PATH: 0}, self.now)

    @rule()
    def looked(self):
        limit = self.office.vigil.root(WEB, PATH).limit_ns(0)
        late = self.now - self.good > limit
        if late != self.missing:
            self.expected.append("capture_missing" if late else "capture_good")
            self.missing = late
        self.office.vigil.look(NAMES, self.now)

    @rule()
    def another_keeper(self):
        self.office.vigil.write(self.now, at_once=True)
        self.office.again()

    @invariant()
    def told_as_expected(self):
        assert self.office.kinds == self.expected


TestVigil = Machine.TestCase
