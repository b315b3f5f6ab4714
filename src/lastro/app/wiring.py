"""The one place that picks implementations: which caller, which source, which destination, which face serves the keeper; the repository
and what stands on it in ``opening``, which is loaded when it is needed.
"""

from __future__ import annotations

import importlib
import os
import pwd
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lastro import __version__
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.events import Event
from lastro.app.home import own_instances
from lastro.app.places import Places
from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.domain.clock import Clock, SystemClock
from lastro.domain.job import Job
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor
from lastro.errors import ConfigError, UnreachableError
from lastro.messages import N_
from lastro.transport.unix import connect_mounted, connect_owner

if TYPE_CHECKING:
    from lastro.apply.local import LocalDestination

__all__ = [
    "compose_notice",
    "console_icon",
    "job_desk",
    "keeper_actor",
    "keeper_caller",
    "keeper_listens",
    "local_source",
    "open_caller",
    "open_desk",
    "person",
    "remote_api",
    "serve_console",
    "serve_http",
    "serve_memory",
]


def person() -> Actor:
    """Whoever runs this process."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Actor(kind="human", name=name, uid=uid)


def keeper_actor() -> Actor:
    """The keeper itself, for what nobody asked for."""
    return Actor(kind="keeper")


# Callers and desks --------------------------------------------------------------------------------------------------------------------


def open_caller(places: Places, *, actor: Actor, clock: Clock, report: Report = silent) -> Caller:
    """The keeper of this home if one runs, else this process. Inside a run: the run's own socket, and nothing else."""
    if places.memory:
        from lastro.app.socket_caller import SocketCaller  # noqa: PLC0415  only one of them is needed

        return SocketCaller(places.memory, "", new_id=lambda: secrets.token_hex(16), connect=connect_mounted)
    if keeper_listens(places):
        from lastro.app.socket_caller import SocketCaller  # noqa: PLC0415  only one of the two is needed

        return SocketCaller(places.keeper_socket, places.source_socket, new_id=lambda: secrets.token_hex(16))
    from lastro.app.opening import InProcessCaller  # noqa: PLC0415  all of the store

    return InProcessCaller(places, actor=actor, clock=clock, report=report)


def keeper_listens(places: Places) -> bool:
    """Whether a keeper of this home can be asked now."""
    try:
        connect_owner(places.keeper_socket).close()
    except UnreachableError:
        return False
    return True


@contextmanager
def open_desk(
    places: Places,
    *,
    clock: Clock | None = None,
    report: Report = silent,
    tell: Callable[[Event], None] = lambda _: None,
) -> Iterator[Desk]:
    """What CALLER operations need, with the rights of this process."""
    clock, actor = clock or SystemClock(), person()
    caller = open_caller(places, actor=actor, clock=clock, report=report)
    try:
        yield Desk(
            places=places,
            caller=caller,
            clock=clock,
            actor=actor,
            local_source=lambda path: local_source(places, path),
            destination=lambda path: _destination(places, path),
            report=report,
            tell=tell,
            records=not places.memory,
        )
    finally:
        caller.close()


def keeper_caller(places: Places, *, ticket: str = "") -> Caller:
    """The running keeper of this home, whether there is one or not; on behalf of the asker of the job with this ``ticket``."""
    from lastro.app.socket_caller import SocketCaller  # noqa: PLC0415  as above

    return SocketCaller(
        places.keeper_socket, places.source_socket, new_id=lambda: secrets.token_hex(16), ticket=ticket
    )


def job_desk(places: Places, job: Job, report: Report, tell: Callable[[Event], None]) -> Desk:
    """What the operation of a job needs: the rights of this process, in the name of whoever asked."""
    return Desk(
        places=places,
        caller=keeper_caller(places, ticket=job.ticket),
        clock=SystemClock(),
        actor=job.order.asker,
        local_source=lambda path: local_source(places, path),
        destination=lambda path: _destination(places, path),
        report=report,
        tell=tell,
        ticket=job.ticket,
    )


def local_source(places: Places, path: str) -> LocalSource:
    """One directory of this machine, read with the rights of this process."""
    return LocalSource([Root(path=path)], honoured_markers=own_instances(places))


def _destination(places: Places, path: str) -> LocalDestination:
    from lastro.apply.local import LocalDestination  # noqa: PLC0415  few commands apply anything

    os.makedirs(places.intents, mode=0o700, exist_ok=True)
    return LocalDestination(path, intents=places.intents)


def serve_http() -> Any:
    """The function that serves the keeper's HTTP API. Picked by name: nothing in ``app`` may import a face (ADR 6).

    Raises:
        ConfigError: Lastro was installed without what a keeper needs.
    """
    return _from_face("lastro.faces.http.server", "serve")


def serve_memory() -> Any:
    """The function that serves one run on its socket. As ``serve_http``.

    Raises:
        ConfigError: Lastro was installed without what a keeper needs.
    """
    return _from_face("lastro.faces.http.run_face", "serve_run")


def serve_console() -> Any:
    """The function that serves the console. As ``serve_http``.

    Raises:
        ConfigError: Lastro was installed without what a keeper needs.
    """
    return _from_face("lastro.faces.console.server", "serve")


def console_icon() -> bytes:
    """The console's icon, a PNG of 512 by 512 pixels.

    Raises:
        ConfigError: this installation has none.
    """
    return bytes(_from_face("lastro.faces.console.assets", "icon")())


def remote_api() -> Any:
    """The function that makes the API for programs with a token. As ``serve_http``.

    Raises:
        ConfigError: Lastro was installed without what a keeper needs.
    """
    return _from_face("lastro.faces.http.remote", "remote_api")


def compose_notice() -> Any:
    """The function that makes the text of what people are told. As ``serve_http``.

    Raises:
        ConfigError: Lastro was installed without what a keeper needs.
    """
    return _from_face("lastro.faces.wording.notice_words", "compose")


def _from_face(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "lastro":
            raise
        raise ConfigError(
            N_("This installation has no keeper: {module} is missing."),
            hint=N_("Install it with: pip install 'lastro[keeper]'"),
            module=error.name,
        ) from error


VERSION = __version__
