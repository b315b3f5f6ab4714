"""The keeper's end of every run's ``memory.sock``: opened when the run begins, closed when it is over.

What always holds: whoever speaks on a run's socket is that run, whatever user id its process has (a jailed process has the human's own);
what it may see is decided by the policy that the run began with (its digest is in the log) and never by a later one. Until the keeper knows
that policy it answers nothing.

The policy is the keeper's own, narrowed by the project's file as it was when the run began. Its text is found in what was recorded: in the
snapshot before the run, or the newest one there was. If none of them gives the policy with the recorded digest, everything is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from lastro.app.events import Event
from lastro.app.operation import find_operation
from lastro.app.places import Places
from lastro.app.requests.policy import EffectivePolicy, PolicyReply
from lastro.app.runs.memory import RunTable, recorded_text
from lastro.app.runs.scope import RunScope
from lastro.app.services import NoMemories, Offers, Services
from lastro.app.wiring import serve_memory
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.paths import is_within, join
from lastro.domain.policy import Policy
from lastro.domain.record import Actor
from lastro.domain.run import RunState
from lastro.domain.target import TargetKind
from lastro.errors import DeniedError, LastroError, NotFoundError
from lastro.keeper.connection import KeeperLoop
from lastro.messages import N_
from lastro.proposals.inbox import Inbox
from lastro.proposals.policy import POLICY_FILE, role_of
from lastro.proposals.policy_file import LARGEST_FILE
from lastro.proposals.rows import RunRow
from lastro.transport.unix import bind_owner_only, remove_socket

LIVE: Final = frozenset({RunState.PREPARING, RunState.RUNNING})
"""States in which a run has an agent that may ask."""

_DIRECTORY: Final = re.compile(r"memory-([0-9]{1,12})")


class RunServices:
    """What the operations of one run's socket run with (a ``KeeperServices`` of ``faces.http``)."""

    def __init__(self, services: Services, run: RunRow) -> None:
        self._services = services
        self._run = run
        self._scope: RunScope | None = None

    def for_actor(self, actor: Actor) -> Services:
        """Services on behalf of the run: who its process says it is counts for nothing. ``RunTable`` confines them."""
        del actor
        return replace(
            self._services,
            actor=run_actor(self._run),
            offers=Offers(),
            links=None,
            memories=NoMemories(),
            publish=lambda _: None,
        )

    def for_job(self, ticket: str) -> Services:
        """A run carries out nobody's job, whatever it shows.

        Raises:
            DeniedError: always.
        """
        del ticket
        raise DeniedError(N_("A run asks in its own name only."))

    def scope(self) -> RunScope:
        """What the run may see.

        Raises:
            DeniedError: the policy that it began with is not known here.
        """
        if self._scope is None:
            policy = policy_of_run(self._services, self._run)
            self._scope = RunScope(
                run=self._run.number, project=self._run.project, role=role_of(policy, self._run.role)
            )
        return self._scope


def run_actor(run: RunRow) -> Actor:
    """A run, as one who does something: with the user id of the human who began it."""
    return Actor(kind="run", name=f"run-{run.number}", uid=run.actor.uid)


def policy_of_run(services: Services, run: RunRow) -> Policy:
    """The policy that the run began with (see the module).

    Raises:
        DeniedError: it is not known here.
    """
    for text in _narrowings(services, run):
        try:
            reply = find_operation("policy.effective").run(services, EffectivePolicy(narrowing=text))
        except LastroError:
            continue  # this text narrows nothing, so it is not what the run began with
        assert isinstance(reply, PolicyReply)
        if bytes.fromhex(reply.digest) == run.policy_digest:
            return reply.policy
    raise DeniedError(
        N_("The policy that run-{run} began with is not known, so nothing of the history is shown."),
        hint=N_("Try again when its first snapshot is taken; after a change of the policy, begin a new run."),
        run=run.number,
    )


def _narrowings(services: Services, run: RunRow) -> Iterator[str]:
    """Texts that the project's own policy file may have had when the run began; none is the empty one."""
    seen = {""}
    yield ""
    for seq in _snapshots(services, run):
        text = recorded_text(services, seq, join(run.project, POLICY_FILE), limit=LARGEST_FILE)
        if text is not None and text not in seen:
            seen.add(text)
            yield text


def _snapshots(services: Services, run: RunRow) -> Iterator[int]:
    """The snapshot before the run, and the newest ones of what holds the project, up to when it began and since."""
    before = services.inbox.run(run.number).run.before
    if before is not None:
        yield before
    for target in services.timeline.targets(ServerId(LOCAL)):
        if target.kind is TargetKind.FILES and is_within(run.project, target.path):
            for bound in (run.seq, None):
                snapshot = services.timeline.snapshot_at(target, bound)
                if snapshot is not None:
                    yield snapshot.seq


class KeeperMemories:
    """See ``services.Memories``. ``services`` are the keeper's; ``loop`` is where its sockets are served."""

    def __init__(self, places: Places, services: Services, loop: KeeperLoop) -> None:
        self._places = places
        self._services = services
        self._loop = loop
        self._lock = threading.Lock()
        self._open: dict[int, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._sweep()

    def open(self, run: int) -> str:
        """See ``Memories``. None for a run whose agent is not there yet, or no more."""
        row = self._inbox.run(run).run
        if row.state not in LIVE:
            self.close(run)
            return ""
        path = self._places.memory_socket(run)
        with self._lock:
            if run not in self._open:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                self._open[run] = self._loop.call(self._serve(path, row))
        return path

    def close(self, run: int) -> None:
        """See ``Memories``. Requests in flight are cut off: whoever asked is gone, or has no business here any more."""
        with self._lock:
            serving = self._open.pop(run, None)
        if serving is None:
            return
        self._remove(run)
        self._loop.call(_stop(serving[0]))

    def close_all(self) -> None:
        """Close every one, and wait until they are. Their directories stay: jails show them, and the next keeper's sockets belong there."""
        with self._lock:
            serving, self._open = self._open, {}
        for run in serving:
            remove_socket(self._places.memory_socket(run))
        self._loop.call(_end(serving.values()))

    def watch(self, event: Event) -> None:
        """Take an event of the keeper: a run that goes on to a state without an agent is closed."""
        if event.kind == "run" and event.parameters.get("state") not in LIVE:
            number = event.parameters.get("number")
            if isinstance(number, int):
                self.close(number)

    @property
    def _inbox(self) -> Inbox:
        return self._services.inbox

    async def _serve(self, path: str, run: RunRow) -> tuple[asyncio.Event, asyncio.Task[None]]:
        stop = asyncio.Event()
        services = RunServices(self._services, run)
        listener = bind_owner_only(path)
        serving = serve_memory()(listener, services=services, table=RunTable(services.scope), stop=stop)
        task = asyncio.get_running_loop().create_task(serving)
        task.add_done_callback(lambda _: listener.close())  # also of one that never began
        return stop, task

    def _sweep(self) -> None:
        """Remove what earlier keepers left of runs that are over."""
        for name in os.listdir(self._places.socket_directory):
            if found := _DIRECTORY.fullmatch(name):
                with contextlib.suppress(NotFoundError):
                    if self._inbox.run(int(found[1])).run.state in LIVE:
                        continue
                self._remove(int(found[1]))

    def _remove(self, run: int) -> None:
        path = self._places.memory_socket(run)
        with contextlib.suppress(OSError):  # something else lies there: it is in nobody's way
            remove_socket(path)
            os.rmdir(os.path.dirname(path))


async def _stop(stop: asyncio.Event) -> None:
    stop.set()


async def _end(serving: Iterable[tuple[asyncio.Event, asyncio.Task[None]]]) -> None:
    serving = list(serving)
    for stop, _ in serving:
        stop.set()
    await asyncio.gather(*(task for _, task in serving))
