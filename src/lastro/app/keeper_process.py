"""The keeper as a process: repository, links to nodes, HTTP on ``keeper.sock``, offered sources on ``source.sock``."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace as replace_struct

from lastro.accounts.accounts import opened_accounts
from lastro.app.console_process import ServedConsole, console
from lastro.app.event_feed import EventFeed
from lastro.app.events import Event
from lastro.app.handing_over import mark_staying, wanting, was_passing
from lastro.app.home import make_home, make_socket_directory
from lastro.app.jobs.keeper_worker import keeper_worker
from lastro.app.jobs.opening import open_jobs
from lastro.app.jobs.store import SqlJobs
from lastro.app.keeper_door import KeeperDoor
from lastro.app.links import KeeperLinks
from lastro.app.notifying.sending import post_by_apprise
from lastro.app.notifying.standing import Notifying
from lastro.app.opening import open_services
from lastro.app.places import Places
from lastro.app.runs.memories import KeeperMemories
from lastro.app.services import Services
from lastro.app.signals import Emit, stop_signals, tell
from lastro.app.wiring import compose_notice, keeper_actor, keeper_listens, serve_http
from lastro.domain.clock import SystemClock
from lastro.domain.progress import Progress
from lastro.errors import LastroError, LockedError
from lastro.keeper.connection import KeeperLoop
from lastro.keeper.node_source import NodeSource, accept_sources
from lastro.keeper.telemetry import TelemetryRings
from lastro.messages import N_
from lastro.protocol.messages import Hello
from lastro.transport.identity import load_or_make_identity
from lastro.transport.unix import PeerCredentials, bind_owner_only, remove_socket

PATIENCE_S: Final = 60.0
"""How long a keeper that stays waits for one that does not, or for a command that writes."""

_PROGRESS_EVERY_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.1


def serve_keeper(places: Places, *, emit: Emit) -> int:
    """Run the keeper until SIGINT or SIGTERM.

    Raises:
        NoRepositoryError: there is no repository yet.
        LockedError: a keeper of this home runs already.
    """
    with stop_signals() as stop, staying_keeper(places, emit=emit, stop=stop) as running:
        if running is None:
            return 0
        tell(emit, "listening", what="keeper", address=places.keeper_socket)
        if running.console is not None:
            tell(emit, "listening", what="console", address=running.console.url)
        running.links.start()
        while not stop.wait(1):
            pass
    tell(emit, "stopped", what="keeper")
    return 0


@contextmanager
def staying_keeper(
    places: Places,
    *,
    emit: Emit,
    stop: threading.Event,
    prepare: Callable[[Services], None] = lambda _: None,
    patience_s: float = PATIENCE_S,
) -> Iterator[RunningKeeper | None]:
    """As ``keeper``, for one that stays: a keeper in a run's process gives way to it, and a command that writes is waited for.

    Gives ``None`` if ``stop`` was set before.

    Raises:
        LockedError: a keeper that stays runs already, or the repository was not let go for ``patience_s`` seconds.
    """
    deadline, told = time.monotonic() + patience_s, False
    with ExitStack() as stack:
        running: RunningKeeper | None = None
        with wanting(places):
            while running is None and not stop.is_set():
                try:
                    running = stack.enter_context(keeper(places, emit=emit, prepare=prepare))
                    mark_staying(places)
                    running.alerts.start(running.services)
                    running = stack.enter_context(_with_console(running, emit))
                except LockedError:
                    stays = keeper_listens(places) and not was_passing(places)
                    if stays or time.monotonic() >= deadline:
                        raise
                    if not told:
                        tell(emit, "keeper_waits")
                        told = True
                    stop.wait(_LOOK_EVERY_S)
        yield running


class RunningKeeper(Struct, frozen=True, kw_only=True):
    """A keeper in this process."""

    services: Services
    links: KeeperLinks
    alerts: Notifying
    feed: EventFeed
    loop: KeeperLoop
    jobs: SqlJobs
    console: ServedConsole | None = None


@contextmanager
def keeper(
    places: Places, *, emit: Emit, prepare: Callable[[Services], None] = lambda _: None
) -> Iterator[RunningKeeper]:
    """A keeper while the context lasts: repository, links to nodes (to be started), HTTP on its socket, offered sources on the other.

    ``prepare`` runs once the repository is open and before any server is connected.
    """
    feed = EventFeed()
    feed.subscribe(emit)
    with ExitStack() as stack:
        services = stack.enter_context(
            open_services(
                places,
                writable=True,
                actor=keeper_actor(),
                clock=SystemClock(),
                publish=feed.publish,
                report=_throttled(feed.publish),
            )
        )
        feed.attach(services)
        _tell_damage(services, emit)
        identity = load_or_make_identity(f"{places.secrets}/keeper.pem")
        make_home(places, instance=identity.device)
        make_socket_directory(places)
        prepare(services)
        loop = stack.enter_context(KeeperLoop())
        rings = TelemetryRings(
            places.telemetry_cache, repository=services.repository.id, now_ns=services.clock.wall_ns()
        )
        stack.callback(rings.close)
        links = KeeperLinks(services, loop, identity, feed.publish, rings)
        alerts = Notifying(places, feed=feed, compose=compose_notice(), post=post_by_apprise)
        memories = KeeperMemories(places, replace(services, links=links), loop)
        jobs = open_jobs(places.jobs_database, publish=feed.publish)
        stack.callback(jobs.close)
        services = replace(services, links=links, memories=memories, jobs=jobs, alerts=alerts)
        feed.subscribe(memories.watch)
        _serve_sources(stack, places, services, loop)
        stack.callback(memories.close_all)
        _serve_operations(stack, places, services, feed, loop)
        stack.callback(links.close)
        stack.callback(alerts.close)
        stack.enter_context(
            keeper_worker(services, jobs)
        )  # ends first: workers wait in requests that would be waited for
        yield RunningKeeper(services=services, links=links, alerts=alerts, feed=feed, loop=loop, jobs=jobs)


@contextmanager
def _with_console(running: RunningKeeper, emit: Emit) -> Iterator[RunningKeeper]:
    """The same keeper, with its console while the context lasts."""
    services = running.services
    with ExitStack() as stack:
        try:
            accounts = stack.enter_context(
                opened_accounts(
                    services.places.accounts_database, set_aside=partial(_tell_lost_accounts, emit)
                )
            )
        except LastroError as error:  # keeping comes first
            plain = {name: str(value) for name, value in error.parameters.items()}
            tell(emit, "problem", msgid=error.msgid, hint=error.hint, parameters=plain)
            yield running
            return
        door = KeeperDoor(services, accounts)
        serving = console(services, running.feed, running.loop, door, emit=emit, release=running.jobs.release)
        with serving as served, _ready_to_tell(services):
            yield replace_struct(running, console=served)


@contextmanager
def _ready_to_tell(services: Services) -> Iterator[None]:
    """Prepare what happened to be looked through, before somebody asks: the first time that takes a while, later next to nothing."""

    def prepare() -> None:
        with suppress(LastroError):  # whoever asks is told
            services.catalogue().catch_up()

    thread = threading.Thread(target=prepare, name="opening the catalogue")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _tell_lost_accounts(emit: Emit, kept: str) -> None:
    tell(
        emit,
        "problem",
        msgid=N_("The accounts could not be read; new ones were begun."),
        hint=N_("Keys stay good; second factors, tokens and sessions are gone. It lies there: {path}"),
        parameters={"path": kept},
    )


def _tell_damage(services: Services, emit: Emit) -> None:
    objects = ", ".join(sorted({item.object for item in services.repository.damage()}))
    if objects:
        tell(
            emit,
            "problem",
            msgid=N_("The repository is damaged in {objects}."),
            hint=N_(
                "'lastro repo check --read-data' says what that concerns. What can be read stays in use."
            ),
            parameters={"objects": objects},
        )


def _serve_sources(stack: ExitStack, places: Places, services: Services, loop: KeeperLoop) -> None:
    """Processes of this user (and root) may offer sources; each stays in ``services.offers`` while its process wants."""
    listener = bind_owner_only(places.source_socket)
    stack.callback(remove_socket, places.source_socket)

    def take(source: NodeSource, _: PeerCredentials, hello: Hello) -> None:
        with services.offers.offering(source, hello.node_id):
            source.wait_ended()

    offered = accept_sources(loop, listener, take, admit=lambda credentials: credentials.uid in _admitted())
    stack.callback(offered.close)


def _serve_operations(
    stack: ExitStack, places: Places, services: Services, feed: EventFeed, loop: KeeperLoop
) -> None:
    listener = bind_owner_only(places.keeper_socket)
    stack.callback(remove_socket, places.keeper_socket)

    async def begin() -> tuple[asyncio.Event, asyncio.Task[None]]:
        stop = asyncio.Event()
        serving = serve_http()([listener], services=services, feed=feed, stop=stop, admitted=_admitted())
        return stop, asyncio.get_running_loop().create_task(serving)

    stop, task = loop.call(begin())

    async def end() -> None:
        stop.set()
        await task

    stack.callback(lambda: loop.call(end()))


def _admitted() -> frozenset[int]:
    return frozenset({0, os.geteuid()})


def _throttled(publish: Callable[[Event], None]) -> Callable[[Progress], None]:
    """Progress as events, at most one a second: it is latest-only."""
    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_EVERY_S:
            last = now
            parameters = {
                "phase": progress.phase,
                "files": progress.files,
                "bytes": progress.bytes,
                "path": progress.path,
            }
            publish(Event(kind="progress", time_ns=time.time_ns(), parameters=parameters))

    return report
