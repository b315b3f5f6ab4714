"""The console, and the API for programs with a token, on a TCP socket of the keeper's process.

What always holds: nothing but this machine's loopback is listened on without TLS; a console that cannot be served is said, and the keeper
goes on without it, because keeping comes first.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final

from msgspec import Struct

from lastro.app.door import Door
from lastro.app.event_feed import EventFeed
from lastro.app.jobs.waiting import FewWait
from lastro.app.keeper_settings import ConsoleSettings, read_keeper_settings, remember_address
from lastro.app.places import Places
from lastro.app.services import Services
from lastro.app.signals import Emit, tell
from lastro.app.visiting import Visit
from lastro.app.wiring import remote_api, serve_console
from lastro.errors import ConfigError, LastroError
from lastro.keeper.connection import KeeperLoop
from lastro.messages import N_
from lastro.transport.address import bind_tcp, free_address, split_address

MOST_WAITING: Final = 8
"""Requests that wait for a job at the same time: half of the threads that answer."""


class ServedConsole(Struct, frozen=True, kw_only=True):
    """A console that listens. ``url``: scheme, host and port, to be typed into a browser."""

    url: str


@contextmanager
def console(
    services: Services,
    feed: EventFeed,
    loop: KeeperLoop,
    door: Door,
    *,
    emit: Emit,
    release: Callable[[], None] = lambda: None,
) -> Iterator[ServedConsole | None]:
    """The console of this keeper while the context lasts; ``None`` where it is switched off, not installed, or cannot be served (said).

    ``release`` lets go of pages that wait for something of the keeper, before the console waits for them.
    """
    if not has_console():
        yield None
        return
    try:
        settings = read_keeper_settings(services.places.keeper_settings).console
        listener = _bound(settings) if settings.enabled else None
        context = _context(settings) if listener is not None and settings.tls else None
    except LastroError as error:
        plain = {name: str(value) for name, value in error.parameters.items()}
        tell(emit, "problem", msgid=error.msgid, hint=error.hint, parameters=plain)
        listener = None
    if listener is None:
        yield None
        return

    own = replace(services, jobs=FewWait(services.jobs, most=MOST_WAITING))

    async def begin() -> tuple[asyncio.Event, asyncio.Task[None]]:
        stop = asyncio.Event()
        serving = serve_console()(
            listener,
            api=remote_api(),
            feed=feed,
            door=door,
            visit=lambda principal: Visit(own, own.jobs, principal),
            names=tuple(name.lower() for name in settings.hosts),
            cookie=cookie_name(services),
            zone=_zone,
            stop=stop,
            context=context,
        )
        return stop, asyncio.get_running_loop().create_task(serving)

    stop, task = loop.call(begin())

    async def end() -> None:
        stop.set()
        await task

    try:
        yield ServedConsole(url=settings.url)
    finally:
        release()
        loop.call(end())


def has_console() -> bool:
    """Whether what a console is made of is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("jinja2", "starlette", "uvicorn"))


def choose_port(places: Places, emit: Emit, *, besides: Collection[str] = ()) -> None:
    """Where somebody else listens at the console's address, or soon will (``besides``), move to the next free port, and remember it.

    A console that is not wanted or cannot be served is left alone.
    """
    try:
        settings = read_keeper_settings(places.keeper_settings).console
    except ConfigError:
        return  # said when it is to be served
    free = (
        free_address(settings.address, besides=besides)
        if settings.enabled and has_console()
        else settings.address
    )
    if free != settings.address:
        remember_address(places.keeper_settings, free)
        tell(emit, "console_port_taken", address=settings.address, instead=free)


def cookie_name(services: Services) -> str:
    """The name of the session's cookie. It holds the repository's id, because all ports of a host share their cookies; browsers take
    ``__Host-`` and ``Secure`` at this machine's loopback without TLS too.
    """
    return f"__Host-lastro-{services.repository.id[:12]}"


def _zone() -> tzinfo:
    """This machine's zone, as it is now: summer time comes while a keeper runs."""
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone


def _bound(settings: ConsoleSettings) -> socket.socket:
    """A socket that listens where the console shall be.

    Raises:
        ConfigError: nobody can listen there.
    """
    host, port = split_address(settings.address)
    return bind_tcp(host, port, option="[console] address (keeper.toml)")


def _context(settings: ConsoleSettings) -> ssl.SSLContext:
    """TLS with the certificate that the settings name.

    Raises:
        ConfigError: it cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            N_("The console's certificate cannot be used: {reason}"),
            hint=N_(
                "keeper.toml names it: [console] certificate and private_key, both PEM, of the same key."
            ),
            reason=str(error),
        ) from error
    return context
