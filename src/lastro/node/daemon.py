"""The node as a process: listener, allow-list, configuration, sessions (``docs/protocol.md``, Transport).

What always holds: only devices on the allow-list are served, and one taken off it is cut within two seconds; a new list or new roots
take effect without a restart; a broken configuration changes nothing and is reported. The node prints nothing: what happens goes to
``on_event``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from msgspec import Struct, field

from lastro.capture.source import Root, Source
from lastro.domain.paths import to_bytes
from lastro.errors import LastroError
from lastro.node.config import DEFAULT_LISTEN, NodeConfig, read_config, write_first_config
from lastro.node.session import serve_source
from lastro.node.telemetry import MachineTelemetry
from lastro.transport.address import bind_tcp, split_address
from lastro.transport.allow_list import POLL_INTERVAL_S, AllowList, read_allow_list, watch_allow_list
from lastro.transport.connection import Connection
from lastro.transport.identity import Identity, load_identity, load_or_make_identity
from lastro.transport.listen import Listener, listen_tls
from lastro.transport.tls import changing_server_context, server_context

MOST_SESSIONS: Final = 32
"""Sessions at once, of all keepers together: each may hold a window for every transfer."""
CLOSE_REMOVED: Final = 4403
CLOSE_BUSY: Final = 1013


class NodePlaces(Struct, frozen=True, kw_only=True):
    """Absolute paths of what a node needs."""

    config: str
    """``node.toml``"""
    identity: str
    """PEM file with the node's key and certificate, mode 0600; its directory exists."""
    allowed: str
    """Directory of the allow-list (``transport.allow_list``)."""


class NodeEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened. ``parameters`` are plain values.

    ``ready`` (host, port, device) · ``connected`` (name, device, address) · ``disconnected`` (name, device, address, error: ``LastroError``
    or ``None``) · ``allow_list_changed`` (names, broken) · ``roots_changed`` (roots) · ``restart_needed`` (keys of ``node.toml``) ·
    ``problem`` (error: an exception).
    """

    kind: str
    parameters: Mapping[str, object] = field(default_factory=dict)


class WatchedSource(Source, Protocol):
    """A source whose roots can be replaced while it is served. ``capture.local.LocalSource`` is one."""

    def set_roots(self, roots: Sequence[Root]) -> None:
        """Watch these from now on; ``changes`` then says ``roots_changed``."""
        ...


OpenSource = Callable[[Sequence[Root]], AbstractContextManager[WatchedSource]]
"""Makes the source over some roots; leaving the context frees it. Entered and left in a worker thread."""
OnEvent = Callable[[NodeEvent], None]
"""Called on the event loop; must be quick and must not raise."""


def node_places(config_directory: str) -> NodePlaces:
    """The usual places below one configuration directory."""
    return NodePlaces(
        config=f"{config_directory}/node.toml",
        identity=f"{config_directory}/secrets/node.pem",
        allowed=f"{config_directory}/node-allowed",
    )


def make_node(places: NodePlaces, *, name: str, listen: str = DEFAULT_LISTEN) -> Identity:
    """Make a new node: its directories, its identity (an existing one stays) and its ``node.toml`` without roots.

    Raises:
        ConfigError: there is a ``node.toml`` already, or ``listen`` is no address.
    """
    split_address(listen)
    for path in (places.config, places.identity):
        os.makedirs(os.path.dirname(to_bytes(path)), mode=0o700, exist_ok=True)
    os.makedirs(to_bytes(places.allowed), mode=0o700, exist_ok=True)
    write_first_config(places.config, name=name, listen=listen)
    return load_or_make_identity(places.identity)


async def serve(
    places: NodePlaces,
    *,
    open_source: OpenSource,
    version: str,
    on_event: OnEvent,
    stop: asyncio.Event | None = None,
    poll_interval_s: float = POLL_INTERVAL_S,
) -> None:
    """Serve until ``stop`` is set or the task is cancelled, then close everything. ``ready`` comes first.

    The allow-list and ``node.toml`` are looked at every ``poll_interval_s`` seconds.

    Raises:
        ConfigError: ``node.toml`` or the identity cannot be used, or the port is taken.
    """
    config = read_config(places.config)
    identity = load_identity(places.identity)
    host, port = split_address(config.listen)
    bound = bind_tcp(host, port, option="listen in node.toml")
    opening = open_source(config.roots)
    try:
        source = await asyncio.to_thread(opening.__enter__)
    except BaseException:
        bound.close()
        raise
    try:
        daemon = _Daemon(places, config, identity, source, version=version, on_event=on_event)
        await daemon.serve(bound, stop or asyncio.Event(), poll_interval_s)
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)


def run(places: NodePlaces, *, open_source: OpenSource, version: str, on_event: OnEvent) -> None:
    """``serve`` as a whole process (call it from the main thread): SIGINT and SIGTERM stop it cleanly, and it returns.

    Raises:
        ConfigError: as ``serve``.
    """

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(places, open_source=open_source, version=version, on_event=on_event, stop=stop)

    asyncio.run(main())


class _Daemon:
    def __init__(
        self,
        places: NodePlaces,
        config: NodeConfig,
        identity: Identity,
        source: WatchedSource,
        *,
        version: str,
        on_event: OnEvent,
    ) -> None:
        self._places = places
        self._config = config
        self._identity = identity
        self._source = source
        self._version = version
        self._on_event = on_event
        self._telemetry = MachineTelemetry()
        self._allowed = AllowList()
        self._context: ssl.SSLContext
        self._sessions: dict[Connection, asyncio.Task[None]] = {}

    async def serve(self, bound: socket.socket, stop: asyncio.Event, poll_interval_s: float) -> None:
        """Until ``stop`` is set."""
        self._allow(read_allow_list(self._places.allowed))
        listener = await listen_tls(
            bound,
            changing_server_context(self._identity, lambda: self._context),
            admit=self._admit,
            handler=self._serve_one,
            max_message=self._config.limits.message_bytes,
        )
        watching = [
            asyncio.create_task(
                watch_allow_list(
                    self._places.allowed, self._allowed, self._on_allow_list, interval_s=poll_interval_s
                )
            ),
            asyncio.create_task(self._watch_config(poll_interval_s)),
        ]
        try:
            host, port = listener.address
            self._tell("ready", host=host, port=port, device=self._identity.device)
            await _first_of(stop, watching)
        finally:
            await self._end(listener, watching)

    async def _end(self, listener: Listener, watching: Sequence[asyncio.Task[None]]) -> None:
        ending = [*watching, *self._sessions.values()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await listener.close()

    async def _serve_one(self, connection: Connection) -> None:
        if len(self._sessions) >= MOST_SESSIONS:
            await connection.close(CLOSE_BUSY, "too many sessions")
            return
        who = {
            "name": connection.peer.name,
            "device": connection.peer.device,
            "address": connection.peer.address,
        }
        error: Exception | None = None
        session = asyncio.create_task(self._serve_source(connection))
        self._sessions[connection] = session
        self._tell("connected", **who)
        try:
            await session
        except asyncio.CancelledError:
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)
        except LastroError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  one session's failure must not end the others; it is reported
            self._tell("problem", error=failure)
        finally:
            del self._sessions[connection]
            self._tell("disconnected", **who, error=error)

    async def _serve_source(self, connection: Connection) -> None:
        await serve_source(
            connection,
            self._source,
            node_id=self._identity.device,
            name=self._config.name,
            version=self._version,
            limits=self._config.limits,
            telemetry=self._telemetry,
        )

    def _admit(self, certificate: bytes) -> str | None:
        return self._allowed.name_of(certificate)

    def _allow(self, allowed: AllowList) -> None:
        self._allowed = allowed
        self._context = server_context(self._identity, [device.certificate for device in allowed.devices])

    def _on_allow_list(self, allowed: AllowList) -> None:
        self._allow(allowed)
        names = [device.name for device in allowed.devices]
        self._tell("allow_list_changed", names=names, broken=list(allowed.broken))
        for connection, session in list(self._sessions.items()):
            if allowed.name_of(connection.peer.certificate) is None:
                session.cancel()

    async def _watch_config(self, poll_interval_s: float) -> None:
        """Look at ``node.toml`` from time to time; what changes in it takes effect, or is said to need a restart."""
        known = _signature(self._places.config)
        while True:
            await asyncio.sleep(poll_interval_s)
            found = _signature(self._places.config)
            if found == known:
                continue
            known = found
            try:
                await self._reload()
            except LastroError as error:
                self._tell("problem", error=error)

    async def _reload(self) -> None:
        config = read_config(self._places.config)
        fixed = [key for key in ("listen", "limits") if getattr(config, key) != getattr(self._config, key)]
        if config.roots != self._config.roots:
            await asyncio.to_thread(self._source.set_roots, config.roots)
            self._tell("roots_changed", roots=[root.path for root in config.roots])
        if fixed:
            self._tell("restart_needed", keys=fixed)
        self._config = NodeConfig(
            name=config.name, listen=self._config.listen, roots=config.roots, limits=self._config.limits
        )

    def _tell(self, kind: str, **parameters: object) -> None:
        self._on_event(NodeEvent(kind=kind, parameters=parameters))


async def _first_of(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until ``stop`` is set, or one of ``tasks`` fails; raise its error."""
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stopping.cancel()


def _signature(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(to_bytes(path))
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns
