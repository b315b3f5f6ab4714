"""When a changed path is captured. A pure function of (changes, measured cost, clock readings).

A change after quiet is due after ``debounce``; a path that keeps changing is captured less and less often, its interval doubling from
2 s to 15 minutes, and back to the shortest once it has rested.

    path          change seen                         captured at t                                rested
    quiet         pending, due now + debounce         busy, interval = 2 s                         -
    pending       stays (due does not move)           busy, interval doubles if it was busy        -
    busy          pending, due last + interval        -                                            quiet after 2 x interval

Two allowances bound it all. Each path may be captured 100 times in any 24 hours: 28 times as fast as the table lets it, and once more
every 20 minutes, so that a path that changes all day, with rests or without, is still seen evenly. And captures of changes may spend 5 %
of elapsed time, with a small reserve, so that one expensive capture after quiet is not punished: none begins while more is spent.

What always holds: a change that was told is pending until a capture that began after it has ended; ``due`` answers something exactly
from ``next_due_ns`` on. What is remembered of captured paths is at most 10 000 of them, or twice those that do not rest: beyond that, paths
that rest are forgotten, and start afresh.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

SECOND: Final = 1_000_000_000
_DAY: Final = 24 * 3600 * SECOND
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CadenceRules:
    """Durations in nanoseconds; ``share`` of elapsed time that captures may cost; ``reserve_ns`` that may be saved up."""

    debounce_ns: int = 2 * SECOND
    shortest_ns: int = 2 * SECOND
    longest_ns: int = 15 * 60 * SECOND
    share: float = 0.05
    reserve_ns: int = 10 * SECOND
    a_day: int = 100
    """A path makes at most this many captures in any 24 hours."""
    at_once: int = 28
    """So many of them need not be spread over the day; fewer than ``a_day``."""

    @property
    def spread_ns(self) -> int:
        """How far apart captures of a path are that has used up ``at_once``."""
        return -(-_DAY // (self.a_day - self.at_once))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """Changes that are not captured yet: when the first and the latest was told, and when they are due."""

    first_ns: int
    latest_ns: int
    due_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rhythm:
    """A path that was captured. ``whole_ns``: when its allowance will be whole again, each capture taking ``spread_ns`` from it."""

    captured_ns: int
    interval_ns: int
    whole_ns: int

    def rested(self, now_ns: int) -> bool:
        """Whether a change now comes after quiet."""
        return now_ns - self.captured_ns > 2 * self.interval_ns


Key = TypeVar("Key", bound=Hashable)


class Cadence(Generic[Key]):
    """Decides, never acts: told of changes and captures with clock readings, answers what is due and when to look again."""

    def __init__(self, rules: CadenceRules, now_ns: int) -> None:
        self._rules = rules
        self._pending: dict[Key, _Pending] = {}
        self._rhythms: dict[Key, _Rhythm] = {}
        self._forget_above = _REMEMBERED
        self._paid_ns = now_ns  # when everything spent will have been earned

    def changed(self, key: Key, now_ns: int) -> None:
        """A path changed, as was told at ``now_ns``."""
        pending = self._pending.get(key)
        if pending is None:
            pending = _Pending(first_ns=now_ns, latest_ns=now_ns, due_ns=self._due_ns(key, now_ns))
        self._pending[key] = replace(pending, latest_ns=now_ns)

    def due(self, now_ns: int) -> list[Key]:
        """The paths to capture now, together; empty while the budget is spent."""
        if now_ns < self._affordable_ns():
            return []
        return [key for key, pending in self._pending.items() if pending.due_ns <= now_ns]

    def captured(self, keys: Iterable[Key], now_ns: int, cost_ns: int) -> None:
        """These paths were captured until ``now_ns``, which took ``cost_ns``. What was told of them meanwhile stays to be captured."""
        self._paid_ns = max(self._paid_ns, now_ns) + int(cost_ns / self._rules.share)
        for key in keys:
            pending = self._pending.pop(key, None)
            self._rhythms[key] = self._next_rhythm(key, pending.first_ns if pending else now_ns, now_ns)
            if pending is not None and pending.latest_ns >= now_ns - cost_ns:
                self.changed(key, pending.latest_ns)
        self._forget(now_ns)

    def next_due_ns(self, now_ns: int) -> int | None:
        """When ``due`` answers something if nothing else happens, ``now_ns`` if it does already; ``None`` while nothing is pending."""
        if not self._pending:
            return None
        return max(now_ns, self._affordable_ns(), min(pending.due_ns for pending in self._pending.values()))

    def pending_keys(self) -> dict[Key, int]:
        """The paths that have changed and are not captured yet, with when their first change was told: now minus that is the RPO."""
        return {key: pending.first_ns for key, pending in self._pending.items()}

    def _due_ns(self, key: Key, now_ns: int) -> int:
        due, rhythm = now_ns + self._rules.debounce_ns, self._rhythms.get(key)
        if rhythm is None:
            return due
        if not rhythm.rested(now_ns):
            due = max(due, rhythm.captured_ns + rhythm.interval_ns)
        return max(due, rhythm.whole_ns - (self._rules.at_once - 1) * self._rules.spread_ns)

    def _next_rhythm(self, key: Key, changed_ns: int, now_ns: int) -> _Rhythm:
        rules, rhythm = self._rules, self._rhythms.get(key)
        if rhythm is None:
            return _Rhythm(
                captured_ns=now_ns, interval_ns=rules.shortest_ns, whole_ns=now_ns + rules.spread_ns
            )
        longer = min(rhythm.interval_ns * 2, rules.longest_ns)
        return _Rhythm(
            captured_ns=now_ns,
            interval_ns=rules.shortest_ns if rhythm.rested(changed_ns) else longer,
            whole_ns=max(rhythm.whole_ns, now_ns) + rules.spread_ns,
        )

    def _affordable_ns(self) -> int:
        """From when on no more is spent than was earned and saved."""
        return self._paid_ns - int(self._rules.reserve_ns / self._rules.share)

    def _forget(self, now_ns: int) -> None:
        """Let go of what rests, when twice as much is remembered as was left the last time: so each path is looked at once or twice."""
        if len(self._rhythms) <= self._forget_above:
            return
        self._rhythms = {
            key: rhythm
            for key, rhythm in self._rhythms.items()
            if key in self._pending or not rhythm.rested(now_ns)
        }
        self._forget_above = max(_REMEMBERED, 2 * len(self._rhythms))
