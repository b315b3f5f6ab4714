"""``Services``: what KEEPER operations work with. Made in ``opening.py``; ``for_actor`` gives the same with another actor."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from lastro.app.events import Event
from lastro.app.places import Places
from lastro.app.requests import RootState
from lastro.capture.source import Source
from lastro.domain.clock import Clock
from lastro.domain.ids import ServerId
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor
from lastro.domain.server import Server
from lastro.errors import UnreachableError
from lastro.messages import N_

if TYPE_CHECKING:  # a process that asks a keeper has no store of its own, only the operations' names
    from lastro.history.timeline import Timeline
    from lastro.keeper.capture_cycle import CaptureCycle, CaptureResult
    from lastro.keeper.capture_state import CaptureState
    from lastro.proposals.inbox import Inbox
    from lastro.store.repository import Repository


class Links(Protocol):
    """The keeper's connections to nodes. Only a running keeper has them."""

    def link_state(self, server: ServerId) -> str:
        """``connected``, ``connecting``, ``unreachable`` or ``none``."""
        ...

    def link_problem(self, server: ServerId) -> str:
        """Why a server cannot be reached; empty when it can."""
        ...

    def root_states(self, server: ServerId) -> dict[str, RootState]:
        """What is known of each watched root, by path; counts of history are filled in by the caller."""
        ...

    def capture(self, server: Server, path: str) -> list[tuple[str, CaptureResult]]:
        """Capture the watched root that holds ``path``, or every root (``""``): ``(root, result)`` each.

        Raises:
            UnreachableError: its node does not answer.
        """
        ...

    def pair(self, token: str, name: str) -> Server:
        """Pair with a node by its join token, record it and connect."""
        ...


class Memories(Protocol):
    """The sockets on which runs ask for the history of their project. Only a running keeper has any."""

    def open(self, run: int) -> str:
        """Open the socket of run ``run``, unless it is open already; its path, empty where there can be none.

        Raises:
            NotFoundError: there is no such run.
        """
        ...

    def close(self, run: int) -> None:
        """Close it and remove its file; nothing happens when it is closed."""
        ...


class NoMemories:
    """See ``Memories``: of a process that is no keeper."""

    def open(self, run: int) -> str:
        """See ``Memories``."""
        del run
        return ""

    def close(self, run: int) -> None:
        """See ``Memories``."""


_OFFER_PATIENCE_S = 10.0


class Offers:
    """Sources that other processes (or this one) offer for capture while they last, by a random id."""

    def __init__(self, *, patience_s: float = _OFFER_PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._sources: dict[str, Source] = {}

    @contextmanager
    def offering(self, source: Source, offer: str | None = None) -> Iterator[str]:
        """Offer ``source`` while the context lasts."""
        offer = offer or secrets.token_hex(16)
        with self._changed:
            self._sources[offer] = source
            self._changed.notify_all()
        try:
            yield offer
        finally:
            with self._changed:
                self._sources.pop(offer, None)

    def source(self, offer: str) -> Source:
        """The source offered as ``offer``, waiting a moment for one whose session is just being opened.

        Raises:
            UnreachableError: nobody offers it (any more). Nothing was done: who asked can offer it again, as a run does whose keeper
                went away after it had taken the offer.
        """
        with self._changed:
            self._changed.wait_for(lambda: offer in self._sources, timeout=self._patience_s)
            found = self._sources.get(offer)
        if found is None:
            raise UnreachableError(
                N_("Nobody offers the source {offer}."),
                hint=N_("Its process may have ended; run the command again."),
                offer=offer,
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a KEEPER operation may touch."""

    places: Places
    repository: Repository
    timeline: Timeline
    inbox: Inbox
    state: CaptureState
    cycle: CaptureCycle
    clock: Clock
    actor: Actor
    offers: Offers = field(default_factory=Offers)
    links: Links | None = None
    memories: Memories = field(default_factory=NoMemories)
    publish: Callable[[Event], None] = lambda _: None
    report: Report = silent

    def for_actor(self, actor: Actor) -> Services:
        """The same services, used by ``actor``."""
        return replace(self, actor=actor)
