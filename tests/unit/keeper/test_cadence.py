"""Laws of the cadence, with a clock and costs that the test gives: nothing is forgotten, nothing is spent that is not there."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lastro.keeper.cadence import SECOND, Cadence, CadenceRules

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
DAY = 24 * HOUR
RULES = CadenceRules()
MILLISECOND = SECOND // 1000


@dataclass
class Keeper:
    """What a keeper does with a cadence: waits until something is due, captures, is told of changes at any time, also meanwhile."""

    rules: CadenceRules = RULES
    start_ns: int = 0
    now_ns: int = 0
    captures: list[tuple[int, int, frozenset[str]]] = field(default_factory=list)
    """``(began, ended, paths)``"""

    def __post_init__(self):
        self.now_ns = self.start_ns
        self.cadence = Cadence(self.rules, self.start_ns)

    def follow(self, changes, *, cost=lambda _: 0):
        """Live through ``changes``, ``(time, path)`` in order of time, until nothing is pending. ``cost(n)``: of the n-th capture."""
        waiting = list(reversed(changes))
        while True:
            due = self.cadence.next_due_ns(self.now_ns)
            if waiting and (due is None or waiting[-1][0] <= due):
                self.now_ns = max(self.now_ns, waiting[-1][0])
                self._tell(waiting)
            elif due is None:
                return self
            else:
                self.now_ns = due
                self._capture(waiting, cost(len(self.captures)))

    def _tell(self, waiting):
        while waiting and waiting[-1][0] <= self.now_ns:
            told, path = waiting.pop()
            self.cadence.changed(path, told)

    def _capture(self, waiting, cost):
        began, paths = self.now_ns, self.cadence.due(self.now_ns)
        assert paths
        self.now_ns += cost
        self._tell(waiting)
        self.cadence.captured(paths, self.now_ns, cost)
        self.captures.append((began, self.now_ns, frozenset(paths)))

    def ends_of(self, path):
        return [ended for _, ended, paths in self.captures if path in paths]


def never_resting(period, *, days, cost=0, rules=RULES):
    """The captures of a path that changes every ``period``, over so many days; jumps from due to due."""
    cadence, now, ends = Cadence(rules, 0), 0, []
    while now < days * DAY:
        cadence.changed("a", now)
        due = cadence.next_due_ns(now)
        assert cadence.due(due) == ["a"]
        cadence.captured(["a"], due + cost, cost)
        ends.append(due + cost)
        now = -(-(due + cost + 1) // period) * period
    return ends


def most_in_a_day(ends):
    """The most of these instants that any 24 hours hold, both ends counted."""
    most = first = 0
    for last, end in enumerate(ends):
        while end - ends[first] > DAY:
            first += 1
        most = max(most, last - first + 1)
    return most


# One path -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "period",
    [SECOND // 2, SECOND, 7 * SECOND, 30 * SECOND, 61 * SECOND, 5 * MINUTE, 14 * MINUTE, 17 * MINUTE, HOUR],
)
def test_a_path_that_changes_all_week_makes_at_most_a_hundred_captures_in_any_day_and_is_seen_evenly(period):
    ends = never_resting(period, days=7)
    assert most_in_a_day(ends) <= RULES.a_day
    longest = max(period, RULES.longest_ns, RULES.spread_ns) + period + RULES.debounce_ns
    assert max(later - earlier for earlier, later in pairwise(ends)) <= longest
    assert DAY * 7 - ends[-1] <= longest


def test_the_hundred_are_all_there_to_be_used():
    assert most_in_a_day(never_resting(SECOND, days=7)) > 90


def test_a_path_that_never_rests_backs_off_from_two_seconds_to_a_quarter_of_an_hour():
    ends = never_resting(SECOND, days=1)
    steps = [round((later - earlier) / SECOND) for earlier, later in pairwise(ends)]
    assert steps[:9] == [3, 4, 8, 16, 32, 64, 128, 256, 512]
    assert steps[9:20] == [900] * 11


@given(st.integers(0, 10**15), st.integers(0, 100))
def test_a_change_after_quiet_is_due_after_the_debounce_and_not_before(start, quiet_minutes):
    keeper = Keeper(start_ns=start)
    changed = start + quiet_minutes * MINUTE
    keeper.follow([(changed, "a"), (changed + SECOND, "a"), (changed + HOUR, "a")])
    assert [began for began, _, _ in keeper.captures] == [
        changed + RULES.debounce_ns,
        changed + HOUR + RULES.debounce_ns,
    ]


def test_a_burst_ends_in_a_capture_of_its_end_and_rest_makes_quick_again():
    burst = [(second * SECOND, "a") for second in range(60)]
    keeper = Keeper().follow([*burst, (HOUR, "a"), (HOUR + SECOND, "a")])
    assert [began / SECOND for began, _, _ in keeper.captures] == [2, 4, 8, 16, 32, 64, 3602]
    keeper = Keeper().follow([*burst, (HOUR, "a"), (HOUR + 3 * SECOND, "a")])
    assert [began / SECOND for began, _, _ in keeper.captures][-2:] == [3602, 3605]


def test_saving_every_few_minutes_for_hours_is_captured_each_time():
    saves = [(number * 5 * MINUTE, "a") for number in range(36)]
    keeper = Keeper().follow(saves)
    assert [began - RULES.debounce_ns for began, _, _ in keeper.captures] == [told for told, _ in saves]


def test_what_is_told_during_a_capture_is_captured_again():
    keeper = Keeper().follow(
        [(0, "a"), (3 * SECOND, "a")], cost=lambda number: 5 * SECOND if number == 0 else 0
    )
    assert keeper.captures[0][:2] == (2 * SECOND, 7 * SECOND)
    assert len(keeper.captures) == 2


def test_how_old_the_oldest_uncaptured_change_is():
    cadence = Cadence(RULES, 0)
    cadence.changed("a", 5)
    cadence.changed("a", 9)
    cadence.changed("b", 7)
    assert cadence.pending_keys() == {"a": 5, "b": 7}
    cadence.captured(["a"], 3 * SECOND, 0)
    assert cadence.pending_keys() == {"b": 7}


# Many paths ---------------------------------------------------------------------------------------------------------------------------

gaps = st.sampled_from(
    [0, 1, MILLISECOND, SECOND, 3 * SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 5 * HOUR]
)
costs = st.lists(st.sampled_from([0, 1, MILLISECOND, SECOND, 9 * SECOND, 5 * MINUTE]), min_size=1, max_size=8)


@st.composite
def lives(draw):
    """Changes of a few paths, and what captures cost."""
    now, changes = draw(st.integers(0, DAY)), []
    for gap, path in draw(st.lists(st.tuples(gaps, st.sampled_from("abc")), min_size=1, max_size=60)):
        now += gap
        changes.append((now, path))
    cost = draw(costs)
    return changes, lambda number: cost[number % len(cost)]


def lived(life):
    changes, cost = life
    return Keeper().follow(changes, cost=cost), changes


@given(lives())
def test_every_change_is_captured(life):
    keeper, changes = lived(life)
    for told, path in changes:
        assert any(path in paths and began >= told for began, _, paths in keeper.captures)
    assert keeper.cadence.pending_keys() == {}


@given(lives())
def test_no_capture_begins_while_more_is_spent_than_five_percent_and_the_reserve_in_any_time(life):
    keeper, _ = lived(life)
    for number, (since, _, _) in enumerate(keeper.captures):
        spent = 0
        for began, ended, _ in keeper.captures[number:]:
            assert spent <= RULES.share * (began - since) + RULES.reserve_ns + len(keeper.captures)
            spent += ended - began


@given(lives())
def test_nothing_is_captured_before_its_debounce_nor_without_a_change(life):
    keeper, changes = lived(life)
    for path in "abc":
        told = [time for time, changed in changes if changed == path]
        covered = -1
        for began, ended, paths in keeper.captures:
            if path in paths:
                uncovered = [time for time in told if covered <= time <= began]
                assert uncovered
                assert min(uncovered) + RULES.debounce_ns <= began
                covered = ended if not [time for time in told if began <= time <= ended] else began


@given(lives())
def test_without_costs_no_change_waits_longer_than_the_longest_interval(life):
    changes, _ = life
    keeper = Keeper().follow(changes)
    longest = max(RULES.longest_ns, RULES.spread_ns) + RULES.debounce_ns
    for told, path in changes:
        assert (
            min(began for began, _, paths in keeper.captures if path in paths and began >= told)
            <= told + longest
        )


@pytest.mark.parametrize(("cost", "waits"), [(9 * SECOND, 0), (10 * SECOND, 0), (11 * SECOND, 20 * SECOND)])
def test_a_capture_within_the_reserve_holds_nothing_up_and_a_dearer_one_is_earned_first(cost, waits):
    changes = [(HOUR, "a"), (HOUR + RULES.debounce_ns + cost, "b")]
    keeper = Keeper().follow(changes, cost=lambda _: cost)
    (_, ended, _), (began, _, _) = keeper.captures
    assert began == ended + max(RULES.debounce_ns, waits)


def test_a_dear_path_cannot_spend_the_whole_day():
    keeper = Keeper().follow([(number * 10 * SECOND, "a") for number in range(8640)], cost=lambda _: MINUTE)
    spent = sum(ended - began for began, ended, _ in keeper.captures)
    assert 0.04 * DAY < spent <= 0.05 * keeper.now_ns + RULES.reserve_ns + MINUTE
    assert keeper.captures[0][0] == RULES.debounce_ns


def test_busy_and_quiet_paths_share_the_budget_and_none_starves():
    busy = [(second * 20 * SECOND, f"busy-{number}") for second in range(4320) for number in range(5)]
    quiet = [(number * HOUR, f"quiet-{number}") for number in range(1, 24)]
    keeper = Keeper().follow(sorted(busy + quiet), cost=lambda _: 2 * SECOND)
    for number in range(5):
        ends = keeper.ends_of(f"busy-{number}")
        assert len(ends) > 70
        assert most_in_a_day(ends) <= RULES.a_day
    for told, path in quiet:
        (ended,) = keeper.ends_of(path)
        assert ended - told <= RULES.debounce_ns + 2 * SECOND + MINUTE


# Memory -------------------------------------------------------------------------------------------------------------------------------


class Path:
    """A path that can be seen to be forgotten."""


def test_paths_that_rest_are_forgotten_when_there_are_too_many():
    cadence, remembered = Cadence(RULES, 0), weakref.WeakSet()
    most = 0
    for number in range(300):
        paths = [Path() for _ in range(200)]
        now = number * MINUTE
        for path in paths:
            remembered.add(path)
            cadence.changed(path, now)
        cadence.captured(cadence.due(now + 2 * SECOND), now + 2 * SECOND, 0)
        del paths, path
        most = max(most, len(remembered))
    assert most <= 10_200


def test_what_is_pending_or_does_not_rest_is_never_forgotten():
    cadence, now, ends = Cadence(RULES, 0), 0, []
    cadence.changed("pending", 0)
    for number in range(60):
        crowd = [f"{number}/{other}" for other in range(400)]
        for path in crowd:
            cadence.changed(path, now)
        while now < (number + 1) * 30 * SECOND:
            cadence.changed("busy", now)
            due = [path for path in cadence.due(now) if path != "pending"]
            cadence.captured(due, now, 0)
            if "busy" in due:
                ends.append(now)
            now += SECOND
    assert "pending" in cadence.due(now)
    assert cadence.pending_keys()["pending"] == 0
    steps = [(later - earlier) // SECOND for earlier, later in pairwise(ends)]
    assert steps == [2, 4, 8, 16, 32, 64, 128, 256, 512]


# Against a model ----------------------------------------------------------------------------------------------------------------------


class CadenceMachine(RuleBasedStateMachine):
    """Any calls in any order, against what must be pending and what was spent."""

    @initialize(start=st.integers(0, 10**12))
    def begin(self, start):
        self.start = self.now = start
        self.cadence = Cadence(RULES, start)
        self.told = {}
        self.spent = 0

    @rule(path=st.sampled_from("abcd"))
    def change(self, path):
        self.cadence.changed(path, self.now)
        self.told.setdefault(path, []).append(self.now)

    @rule(gap=gaps)
    def wait(self, gap):
        self.now += gap

    @precondition(lambda self: self.told)
    @rule(cost=st.sampled_from([0, MILLISECOND, SECOND, MINUTE]), meanwhile=st.sets(st.sampled_from("abcd")))
    def capture(self, cost, meanwhile):
        """Wait until something is due, and capture it, while other changes are told."""
        self.now = began = self.cadence.next_due_ns(self.now)
        due = self.cadence.due(self.now)
        assert self.spent <= RULES.share * (self.now - self.start) + RULES.reserve_ns + MILLISECOND
        self.now += cost // 2
        for path in sorted(meanwhile):
            self.change(path)
        self.now = began + cost
        self.cadence.captured(due, self.now, cost)
        self.spent += cost
        self.cover(due, began)

    @rule(path=st.sampled_from("abcd"))
    def capture_unasked(self, path):
        """As when somebody asks for a capture of what is not due, or of what nobody said has changed."""
        self.cadence.captured([path], self.now, 0)
        self.cover([path], self.now)

    def cover(self, paths, began):
        """A capture covers what was told before it began; what was told in its first instant may be later."""
        for path in paths:
            left = [told for told in self.told.pop(path, []) if told >= began]
            if left:
                self.told[path] = left

    @invariant()
    def what_is_pending_is_known(self):
        """For how long, to the latest change that a capture may have missed."""
        pending = self.cadence.pending_keys()
        assert pending.keys() == self.told.keys()
        assert all(self.told[path][0] <= since <= self.told[path][-1] for path, since in pending.items())

    @invariant()
    def something_is_due_exactly_from_the_next_due_on(self):
        due = self.cadence.next_due_ns(self.now)
        assert (due is None) == (not self.told)
        if due is None:
            assert self.cadence.due(self.now + DAY) == []
            return
        assert due >= self.now
        assert self.cadence.due(due)
        assert due == self.now or not self.cadence.due(due - 1)
        assert set(self.cadence.due(due)) <= self.told.keys()
        assert set(self.cadence.due(due + 100 * DAY)) == self.told.keys()

    @invariant()
    def asking_changes_nothing(self):
        first = self.cadence.next_due_ns(self.now), self.cadence.due(self.now)
        assert (self.cadence.next_due_ns(self.now), self.cadence.due(self.now)) == first


TestCadence = CadenceMachine.TestCase
