"""Circuit breakers: which models and providers are left alone for a while after they failed, and whether the network is down. Pure.

One circuit for each ``PROVIDER/MODEL``, one for each provider (connections alone), and a detector for the network::

    state     | a call may go  | failed                        | answering        | succeeded
    closed    | yes            | failures in a row: open       | closed           | closed, count 0
    open      | no, until its  | (calls that began before)     | open             | open
              | pause is over  | stays open                    |                  |
    half-open | one, the probe | open, pause doubled           | closed, one more | closed, count 0
              |                |                               | failure opens it |

Only the probe closes an open circuit: a call that began before it opened says nothing new. A connection's circuit closes as soon as anybody
gets a status.

What always holds: a half-open circuit has at most one probe on its way; a pause is never shorter than the ``Retry-After`` that the
provider asked for, as far as ``LONGEST_RETRY_AFTER_S``; every permit is given back once, also when the client went away. Time is the
injected clock's, in monotonic seconds. Used from one event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.gateway.settings import Circuit

LONGEST_RETRY_AFTER_S: Final = 3600.0
"""A provider that asks for more is tried again after this long."""
NETWORK_WINDOW_S: Final = 30.0
"""Failures to connect that lie further apart say nothing about the network."""


class CircuitState(StrEnum):
    """How a circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitStatus(Struct, frozen=True, kw_only=True):
    """One circuit as a human sees it. ``retry_after_s`` is 0 unless it is open."""

    name: str
    state: CircuitState
    failures: int
    retry_after_s: float
    in_flight: int


class _Breaker:
    """One circuit."""

    def __init__(self) -> None:
        self.failures = 0
        self.open_until: float | None = None
        self.pause_s = 0.0
        self.probing = False
        self.in_flight = 0

    def state(self, now: float) -> CircuitState:
        if self.open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.open_until else CircuitState.HALF_OPEN

    def allows(self, now: float) -> bool:
        state = self.state(now)
        return state is CircuitState.CLOSED or (state is CircuitState.HALF_OPEN and not self.probing)

    def fail(
        self, settings: Circuit, now: float, *, at_once: bool, probe: bool, retry_after_s: float | None
    ) -> None:
        self.failures += 1
        asked = min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
        if self.open_until is not None and not probe:
            self.open_until = max(self.open_until, now + asked)  # a call that was on its way when it opened
            return
        if probe or at_once or asked > 0 or self.failures >= settings.failures:
            grown = self.pause_s * 2 if self.pause_s else settings.pause_s
            self.pause_s = min(grown, settings.longest_pause_s)
            self.open_until = now + max(self.pause_s, asked)

    def close(self) -> None:
        self.failures = 0
        self.open_until = None
        self.pause_s = 0.0

    def answering(self, settings: Circuit) -> None:
        """The probe gets its answer: let others through, but keep in mind how it was."""
        self.open_until = None
        self.failures = max(settings.failures - 1, 0)


class Permit:
    """The right to make one call; give it back with exactly one of ``succeeded``, ``failed``, ``abandoned``; later ones do nothing."""

    def __init__(
        self, circuits: Circuits, provider: str, model: _Breaker, connection: _Breaker, *, local: bool
    ) -> None:
        self._circuits = circuits
        self._provider = provider
        self._local = local
        self._breakers = (model, connection)
        now = circuits.now()
        self._probes = [breaker.state(now) is CircuitState.HALF_OPEN for breaker in self._breakers]
        for breaker, probe in zip(self._breakers, self._probes, strict=True):
            breaker.in_flight += 1
            breaker.probing = breaker.probing or probe
        self._given_back = False

    @property
    def probe(self) -> bool:
        """This call finds out whether a circuit may close."""
        return any(self._probes)

    def connected(self) -> None:
        """A status came: the provider, and the network, are there."""
        if self._given_back:
            return
        self._circuits.connected(local=self._local)
        self._free_probe(1)
        self._breakers[1].close()

    def answering(self) -> None:
        """The first content came: a half-open circuit lets others through."""
        if not self._given_back and self._probes[0]:
            self._free_probe(0)
            self._breakers[0].answering(self._circuits.settings)

    def succeeded(self) -> None:
        """The answer is complete."""
        was_probe = self._probes[0]
        if self._give_back():
            self._breakers[1].close()
            if was_probe or self._breakers[0].open_until is None:
                self._breakers[0].close()

    def failed(
        self,
        *,
        connecting: bool = False,
        no_route: bool = False,
        at_once: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        """The call failed by the provider's fault.

        Args:
            connecting: there was no connection, so all of the provider's models are concerned.
            no_route: this machine had no way out (no route, no name resolution).
            at_once: open the circuit whatever the count (a key that is refused, an answer cut after visible text).
            retry_after_s: what the provider asked for.
        """
        probes = tuple(self._probes)
        if not self._give_back():
            return
        settings, now = self._circuits.settings, self._circuits.now()
        self._breakers[0].fail(settings, now, at_once=at_once, probe=probes[0], retry_after_s=retry_after_s)
        if connecting:
            self._breakers[1].fail(settings, now, at_once=False, probe=probes[1], retry_after_s=None)
            self._circuits.unconnected(self._provider, local=self._local, no_route=no_route)

    def abandoned(self) -> None:
        """It says nothing about the provider: the client went away, or the request itself was refused."""
        self._give_back()

    def _free_probe(self, place: int) -> None:
        if self._probes[place]:
            self._probes[place] = False
            self._breakers[place].probing = False

    def _give_back(self) -> bool:
        if self._given_back:
            return False
        self._given_back = True
        for place, breaker in enumerate(self._breakers):
            breaker.in_flight -= 1
            self._free_probe(place)
        return True


class Circuits:
    """All circuits of a gateway, and the state of the network. ``settings`` may be replaced when configuration is read anew."""

    def __init__(
        self, settings: Circuit, *, clock: Callable[[], float], beyond: Callable[[], int] = lambda: 2
    ) -> None:
        """``beyond``: how many providers beyond this network there are."""
        self.settings = settings
        self.now = clock
        self._beyond = beyond
        self._models: dict[str, _Breaker] = {}
        self._providers: dict[str, _Breaker] = {}
        self._unconnected: dict[str, float] = {}
        self._connected_at: float | None = None
        self._network_down_until: float | None = None
        self._network_pause_s = 0.0

    def enter(self, provider: str, model: str, *, local: bool, max_concurrent: int = 0) -> Permit | None:
        """The right to call ``model`` of ``provider`` now; ``None`` while a circuit is open, or all of ``max_concurrent`` calls run."""
        breaker = self._models.setdefault(f"{provider}/{model}", _Breaker())
        connection = self._providers.setdefault(provider, _Breaker())
        if max_concurrent and breaker.in_flight >= max_concurrent:
            return None
        now = self.now()
        if not (breaker.allows(now) and connection.allows(now)):
            return None
        return Permit(self, provider, breaker, connection, local=local)

    def allows(self, provider: str, model: str) -> bool:
        """Whether ``enter`` would be let through by the circuits; takes nothing."""
        return self.retry_after_s(provider, model) is None

    def retry_after_s(self, provider: str, model: str) -> float | None:
        """After how long a call may go; ``None``: now. 0 while a probe is on its way."""
        now = self.now()
        shut = [
            max((breaker.open_until or now) - now, 0.0)
            for breaker in (self._models.get(f"{provider}/{model}"), self._providers.get(provider))
            if breaker is not None and not breaker.allows(now)
        ]
        return max(shut) if shut else None

    def in_flight(self, provider: str, model: str) -> int:
        """Calls on their way."""
        breaker = self._models.get(f"{provider}/{model}")
        return 0 if breaker is None else breaker.in_flight

    @property
    def network_down(self) -> bool:
        """Providers beyond this network cannot be reached. Over by itself after a pause, so that somebody finds out again."""
        return self._network_down_until is not None and self.now() < self._network_down_until

    def connected(self, *, local: bool) -> None:
        """Somebody answered. Beyond this network, that proves the way out."""
        if not local:
            self._connected_at = self.now()
            self._unconnected.clear()
            self._network_down_until = None
            self._network_pause_s = 0.0

    def unconnected(self, provider: str, *, local: bool, no_route: bool) -> None:
        """Nobody answered. The network counts as down when at least two providers, and no other after them, could not be reached within
        ``NETWORK_WINDOW_S``; or one, because this machine has no way out (``no_route``) or there is no other, while none answered for as
        long.
        """
        if local:
            return
        now = self.now()
        self._unconnected[provider] = now
        recent = [at for at in self._unconnected.values() if now - at <= NETWORK_WINDOW_S]
        silent = self._connected_at is None or now - self._connected_at >= NETWORK_WINDOW_S
        is_enough = silent and (no_route or self._beyond() < 2)
        if len(recent) < (1 if is_enough else 2):
            return
        if not self.network_down:
            grown = self._network_pause_s * 2 if self._network_pause_s else self.settings.pause_s
            self._network_pause_s = min(grown, self.settings.longest_pause_s)
            self._network_down_until = now + self._network_pause_s

    def status(self) -> list[CircuitStatus]:
        """All circuits that were ever used, by name: ``PROVIDER/MODEL``, and ``PROVIDER`` for its connections."""
        now = self.now()
        named = {**self._models, **self._providers}
        return [
            CircuitStatus(
                name=name,
                state=breaker.state(now),
                failures=breaker.failures,
                retry_after_s=max((breaker.open_until or now) - now, 0.0),
                in_flight=breaker.in_flight,
            )
            for name, breaker in sorted(named.items())
        ]
