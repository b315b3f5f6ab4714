"""A keeper for work that lasts: the one that runs, else one in this process, which other commands find at the same socket.

A run goes on for an hour, and its keeper may go away meanwhile: it is upgraded, or it was another run's. What always holds:

- A request is sent a second time only if it changes nothing (``Effect.READ``), or if it was given to ``repeat``: then its sender has said
  that doing it twice is doing it once. Any other request whose answer was cut off raises, because what it changes may have happened.
- A request that found nobody listening was not sent. It waits, and nothing can be lost by that.
- Of several processes that would be the keeper, the one that gets the repository's lock is, and the others use it.
- Whoever acknowledged something had it in the repository: a keeper that is killed takes no answer back.

A keeper in a run's process has links to no node: it is there for this machine's work only. It gives way to one that stays as soon as that
one asks (``handing_over``), and goes on as its client.
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

from msgspec import Struct

from lastro.app.events import Event
from lastro.app.handing_over import is_wanted, mark_passing, was_passing
from lastro.app.operation import Effect, Operation, find_operation
from lastro.app.places import Places
from lastro.app.signals import Emit, tell
from lastro.app.socket_caller import SocketCaller, was_cut
from lastro.app.wiring import keeper_listens, person
from lastro.capture.source import Source
from lastro.domain.clock import SystemClock
from lastro.errors import ConfigError, DeniedError, LockedError, UnreachableError
from lastro.messages import N_
from lastro.transport.unix import connect_owner

PATIENCE_S: Final = 60.0
"""How long a call waits for a keeper before it raises."""

TAKE_OVER_S: Final = 10.0
"""How long a keeper that went away is given to come back (a service is started again in less) before this process takes its place."""

_LOOK_EVERY_S: Final = 0.1
_GIVE_WAY_EVERY_S: Final = 0.25
_MOST_CUTS: Final = 5
_UVICORN: Final = logging.getLogger("uvicorn.error")
_SILENT: Final = logging.NullHandler()
_SHOWN: Final = frozenset({"problem", "initialized"})
"""Kinds of events that the person at a run's terminal has to see of a keeper in the same process."""


class _NobodyListensError(Exception):
    """Nothing was sent: there is no keeper."""


class PatientCaller:
    """See ``Caller`` and the module. From any thread."""

    def __init__(
        self,
        places: Places,
        *,
        emit: Emit,
        patience_s: float = PATIENCE_S,
        take_over_s: float = TAKE_OVER_S,
        find: Callable[[str], Operation[Any, Any]] = find_operation,
        ticket: str = "",
    ) -> None:
        self._places = places
        self._emit = emit
        self._patience_s = patience_s
        self._take_over_s = take_over_s
        self._find = find
        self._socket = SocketCaller(
            places.keeper_socket,
            places.source_socket,
            new_id=lambda: secrets.token_hex(16),
            find=find,
            connect=_connect,
            ticket=ticket,
        )
        self._looking = threading.Lock()
        self._own: ExitStack | None = None
        self._closed = False
        self._ended = threading.Event()

    @property
    def keeps(self) -> bool:
        """Whether the keeper is in this process."""
        return self._own is not None

    def call(self, name: str, request: Struct) -> object:
        """See ``Caller``. Sent again after a cut only if it reads.

        Raises:
            UnreachableError: the answer was cut off, or there was no keeper for ``patience_s`` seconds.
            LastroError: whatever the operation raised.
        """
        return self._send(name, request, repeated=self._find(name).effect is Effect.READ)

    def repeat(self, name: str, request: Struct) -> object:
        """As ``call``, for what may be done twice: it is sent again when its answer was cut off."""
        return self._send(name, request, repeated=True)

    def offer(self, source: Source) -> AbstractContextManager[str]:
        """See ``Caller``. An offer ends with the keeper that took it: after a cut, offer again and ask again.

        Raises:
            UnreachableError: there was no keeper for ``patience_s`` seconds.
        """
        self.wait_for_keeper()
        return self._socket.offer(source)

    def events(self, after: int | None) -> Iterator[Struct]:
        """See ``Caller``."""
        self.wait_for_keeper()
        return self._socket.events(after)

    def damage(self) -> tuple[str, ...]:
        """See ``Caller``: what this process opened, it has said already."""
        return ()

    def close(self) -> None:
        """Let go. A keeper in this process ends, after it has answered what it was asked."""
        self._ended.set()
        with self._looking:
            self._closed = True
            self._let_go()

    def wait_for_keeper(self, *, take_over_s: float | None = None) -> None:
        """Return once somebody listens: at once, or after another keeper came, or after this process became it.

        Raises:
            UnreachableError: nobody came in ``patience_s`` seconds, and the repository is somebody else's meanwhile.
        """
        if keeper_listens(self._places):
            return
        patience_s = self._take_over_s if take_over_s is None else take_over_s
        with self._looking:
            began = time.monotonic()
            while not keeper_listens(self._places):
                waited = time.monotonic() - began
                # A run's keeper that went away does not come back: its run is over, or was killed.
                enough = waited >= patience_s or was_passing(self._places)
                if enough and not is_wanted(self._places) and self._take_over():
                    return
                if waited >= self._patience_s:
                    raise UnreachableError(
                        N_("There is no keeper, and another process holds the repository."),
                        hint=N_("See 'lastro status'. If a keeper is starting, try again in a moment."),
                    )
                time.sleep(_LOOK_EVERY_S)

    def _send(self, name: str, request: Struct, *, repeated: bool) -> object:
        cuts = 0
        while True:
            try:
                return self._socket.call(name, request)
            except _NobodyListensError:
                self.wait_for_keeper()
            except UnreachableError as error:
                cuts += 1
                if not repeated or not was_cut(error) or cuts == _MOST_CUTS:
                    raise

    def _take_over(self) -> bool:
        """Become the keeper; ``False`` while another process holds the repository."""
        if self._closed:
            raise UnreachableError(N_("No keeper is running."))
        _UVICORN.addHandler(_SILENT)  # it would write into the terminal of the run
        self._let_go()  # one of our own that nobody reaches any more: somebody removed its socket
        stack = ExitStack()
        try:
            from lastro.app.keeper_process import keeper  # noqa: PLC0415  all of the store; hardly ever needed

            stack.enter_context(keeper(self._places, emit=self._tell))
        except LockedError:
            return False
        mark_passing(self._places)
        self._own = stack
        threading.Thread(target=self._give_way, args=(stack,), name="giving way", daemon=True).start()
        return True

    def _give_way(self, own: ExitStack) -> None:
        """Let go of the keeper once one that stays wants the repository."""
        while not self._ended.wait(_GIVE_WAY_EVERY_S):
            if is_wanted(self._places):
                with self._looking:
                    if self._own is own:
                        self._let_go()
                return

    def _let_go(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def _tell(self, event: Event) -> None:
        if event.kind in _SHOWN:
            self._emit(event)


@contextmanager
def standing_caller(
    places: Places,
    *,
    emit: Emit,
    patience_s: float = PATIENCE_S,
    take_over_s: float = TAKE_OVER_S,
    ticket: str = "",
) -> Iterator[PatientCaller]:
    """A caller for long work (see the module); ``ticket``: of the job on whose asker's behalf.

    Makes the repository if there is none, as ``lastro up`` does, and tells so.

    ``emit`` gets ``initialized`` and ``problem`` events, nothing else.

    Raises:
        ConfigError: no keeper runs, and Lastro was installed without what one needs.
        DeniedError: this is inside a run.
        UnreachableError: nobody listens, and another process holds the repository for ``patience_s`` seconds.
    """
    if places.memory:
        raise DeniedError(
            N_("This is inside a run, which begins no other one."),
            hint=N_("Ask for it in the project's conversation, or from outside."),
        )
    if importlib.util.find_spec("uvicorn") is None and not keeper_listens(places):
        raise ConfigError(
            N_("This installation runs no agents: it has no keeper."),
            hint=N_("Install what that needs with: pip install 'lastro[agents]'"),
        )
    _ensure_repository(places, emit)
    caller = PatientCaller(places, emit=emit, patience_s=patience_s, take_over_s=take_over_s, ticket=ticket)
    try:
        caller.wait_for_keeper(take_over_s=0)
        yield caller
    finally:
        caller.close()


def _ensure_repository(places: Places, emit: Emit) -> None:
    if _has_repository(places) or keeper_listens(places):
        return
    os.makedirs(places.state, mode=0o700, exist_ok=True)
    with open(f"{places.state}/initialize.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _has_repository(places):
            return
        from lastro.app.opening import create_repository  # noqa: PLC0415  as above

        made = create_repository(places, person(), SystemClock())
    tell(emit, "initialized", path=made.path, key_file=made.key_file, recovery_kit=made.recovery_kit)


def _has_repository(places: Places) -> bool:
    return os.path.exists(f"{places.repository}/format")


def _connect(path: str) -> socket.socket:
    try:
        return connect_owner(path)
    except UnreachableError as error:
        raise _NobodyListensError from error
