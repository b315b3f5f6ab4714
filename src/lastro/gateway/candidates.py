"""``Candidates``: who is asked next after a failure. Pure.

What always holds: nobody is asked twice but for a connection that was closed while it was idle (once); after a conversation was too long
only models with more context, or of unknown context, follow; with the network down those that stand in for it (``degraded``) are found
by routing once more, and one of them is asked even where the route's attempts are used up.
"""

from __future__ import annotations

from collections.abc import Callable

from lastro.errors import LastroError
from lastro.gateway.attempt import Failure
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.route import Candidate, Routed

_NETWORK_LOST = 2
"""So many providers beyond this network that could not be reached make asking a third one a waste of the client's time."""


class Candidates:
    """The rest of the candidates of one exchange. ``network_down`` is the circuits' view, ``reroute`` routes once more."""

    def __init__(
        self, routed: Routed, *, network_down: Callable[[], bool], reroute: Callable[[], Routed]
    ) -> None:
        self._rest = list(routed.candidates)
        self._limit = routed.route.attempts
        self._network_down = network_down
        self._reroute = reroute
        self._rerouted = False
        self._seen: set[str] = set()
        self._repeated: set[str] = set()
        self._unreached: set[str] = set()
        self._context = 0
        self._calls = 0
        self._current: Candidate | None = None

    def called(self) -> None:
        """A provider was really asked: that counts."""
        self._calls += 1

    def next(self, failure: Failure | None) -> Candidate | None:
        """Who is asked after ``failure`` (of the last one; ``None``: at the start, or it was passed over); ``None``: nobody."""
        current = self._current
        if failure is not None and current is not None:
            if not failure.elsewhere:
                return None
            if failure.same_again and current.name not in self._repeated and self._calls < self._limit:
                self._repeated.add(current.name)
                return current
            self._learn(failure, current)
        while self._rest and self._calls < self._limit:
            candidate = self._rest.pop(0)
            if self._may_answer(candidate):
                return self._take(candidate)
        return self._stand_in()

    def _learn(self, failure: Failure, candidate: Candidate) -> None:
        if failure.outcome is AttemptOutcome.CONTEXT:
            self._context = max(self._context, candidate.facts.context)
        if failure.outcome is AttemptOutcome.CONNECT and not candidate.provider.local:
            self._unreached.add(candidate.provider.name)

    def _may_answer(self, candidate: Candidate) -> bool:
        if candidate.name in self._seen:
            return False
        if self._context and 0 < candidate.facts.context <= self._context:
            return False
        lost = self._network_down() and len(self._unreached) >= _NETWORK_LOST
        return candidate.provider.local or not lost

    def _stand_in(self) -> Candidate | None:
        if self._rerouted or not self._network_down():
            return None
        self._rerouted = True
        try:
            routed = self._reroute()
        except LastroError:
            return None  # nobody stands in; the client is told why the last one failed
        for candidate in routed.candidates:
            if candidate.provider.local and self._may_answer(candidate):
                return self._take(candidate)
        return None

    def _take(self, candidate: Candidate) -> Candidate:
        self._seen.add(candidate.name)
        self._current = candidate
        return candidate
