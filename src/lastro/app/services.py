"""``Services``: what KEEPER operations work with. Made in ``opening.py``; ``for_actor`` gives the same with another actor."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from lastro.app.events import Event
from lastro.app.jobs import Jobs, NoJobs
from lastro.app.jobs.heard import heard_by_job
from lastro.app.places import Places
from lastro.app.requests import RootState
from lastro.app.unlocked import Unlocked
from lastro.capture.source import Source
from lastro.domain.clock import Clock
from lastro.domain.ids import ServerId
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor
from lastro.domain.server import Server
from lastro.errors import DeniedError, LastroError, UnreachableError
from lastro.messages import N_

if TYPE_CHECKING:  # a process that asks a keeper has no store of its own, only the operations' names
    from lastro.app.notifying.nouns import Channel
    from lastro.app.notifying.outbox import ChannelWork
    from lastro.app.notifying.vigil import Vigil
    from lastro.catalogue.catalogue import Catalogue
    from lastro.history.timeline import Timeline
    from lastro.keeper.capture_cycle import CaptureCycle, CaptureResult
    from lastro.keeper.capture_state import CaptureState
    from lastro.keeper.telemetry import TelemetryRings
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

    def telemetry(self) -> TelemetryRings | None:
        """How servers did, as their nodes told it."""
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


class Alerts(Protocol):
    """Who tells people, and keeps the vigil over what is watched. Only a keeper that stays has one."""

    @property
    def vigil(self) -> Vigil:
        """Until when each root is known to be well."""
        ...

    def work(self, channel: str) -> ChannelWork:
        """How it goes with a channel."""
        ...

    def forget(self, channel: str) -> None:
        """The channel is gone, and what waited for it."""
        ...

    def test(self, channel: Channel) -> None:
        """Tell a test notice now.

        Raises:
            UnreachableError: its service did not take it.
        """
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


def no_catalogue() -> Catalogue:
    """Of a process that keeps none.

    Raises:
        DeniedError: always.
    """
    raise DeniedError(N_("Nothing is looked up in the catalogue here."))


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
    alerts: Alerts | None = None
    memories: Memories = field(default_factory=NoMemories)
    jobs: Jobs = field(default_factory=NoJobs)
    unlocked: Unlocked = field(default_factory=Unlocked)
    catalogue: Callable[[], Catalogue] = no_catalogue
    """Opened when somebody first asks what happened: most commands do not."""
    publish: Callable[[Event], None] = lambda _: None
    report: Report = silent

    def for_job(self, ticket: str) -> Services:
        """The same services, used for the job that is being carried out by this ticket: in its asker's name, and heard in the job.

        Raises:
            DeniedError: there is none.
        """
        try:
            order = self.jobs.order_by(ticket)
        except LastroError as error:
            raise DeniedError(
                N_("This ticket is of no job that is being carried out."),
                hint=N_("The job was given to another worker, or is over."),
            ) from error
        return replace(
            self, actor=order.asker, report=heard_by_job(self.jobs, ticket, order.operation, self.report)
        )

    def for_actor(self, actor: Actor) -> Services:
        """The same services, used by ``actor``."""
        return replace(self, actor=actor)
