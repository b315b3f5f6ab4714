"""A node and a keeper in one process, with real TLS between them on 127.0.0.1, and a way to cut the wire."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from lastro.capture.source import Source
from lastro.errors import LastroError
from lastro.keeper.connection import KeeperLoop, NodeLink, dial_node
from lastro.keeper.node_source import NodeSource
from lastro.node.session import serve_source
from lastro.node.telemetry import Telemetry
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.messages import Encoding
from lastro.transport.address import bind_tcp
from lastro.transport.connection import Connection
from lastro.transport.identity import Identity, load_or_make_identity
from lastro.transport.listen import Listener, listen_tls
from lastro.transport.tls import server_context


def identity(directory: str, name: str) -> Identity:
    return load_or_make_identity(os.path.join(directory, f"{name}.pem"))


class ServedNode:
    """A node that serves one source to one keeper, on a loop of its own. ``stop`` and ``start`` again keep the port."""

    def __init__(
        self,
        directory: str,
        source: Source,
        *,
        limits: Limits = DEFAULT_LIMITS,
        watch: bool = True,
        telemetry: Telemetry | None = None,
        port: int = 0,
    ) -> None:
        self.identity = identity(directory, "node")
        self.keeper = identity(directory, "keeper")
        self.port = port
        self.failures: list[Exception] = []
        self._source = source
        self._limits = limits
        self._watch = watch
        self._telemetry = telemetry
        self._loop = KeeperLoop()
        self._listener: Listener | None = None

    def __enter__(self) -> Self:
        self._loop.__enter__()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.__exit__()

    def start(self) -> None:
        async def begin() -> Listener:
            bound = bind_tcp("127.0.0.1", self.port, option="port")
            self.port = bound.getsockname()[1]
            return await listen_tls(
                bound,
                server_context(self.identity, [self.keeper.certificate]),
                admit=lambda _: "keeper",
                handler=self._serve,
                max_message=self._limits.message_bytes,
            )

        self._listener = self._loop.call(begin())

    def stop(self) -> None:
        if self._listener is not None:
            self._loop.call(self._listener.close())
            self._listener = None

    async def _serve(self, connection: Connection) -> None:
        try:
            await serve_source(
                connection,
                self._source,
                node_id=self.identity.device,
                name="node",
                version="0",
                limits=self._limits,
                watch=self._watch,
                telemetry=self._telemetry,
            )
        except LastroError as error:
            self.failures.append(error)


@contextmanager
def linked(
    node: ServedNode, *, port: int | None = None, retry_s: float = 0.02, **options: Any
) -> Iterator[NodeLink]:
    """A keeper's link to a served node, on a loop of its own."""
    address = f"127.0.0.1:{port or node.port}"
    with KeeperLoop() as loop:
        dial = dial_node(address, node.keeper, node.identity.certificate)
        link = NodeLink(loop, dial, address=address, delay_s=lambda _: retry_s, **options)
        link.start()
        try:
            yield link
        finally:
            link.close()


@contextmanager
def over_the_wire(
    directory: str, source: Source, *, encoding: Encoding | None = None, **options: Any
) -> Iterator[NodeSource]:
    """``source`` as a keeper sees it."""
    with ServedNode(directory, source, **options) as node, linked(node) as link:
        yield NodeSource(link, encoding=encoding)


class CuttingProxy:
    """Passes bytes on to ``port``, and cuts each connection after ``allowed`` bytes from there (``None``: never)."""

    def __init__(self, port: int, allowed: int | None = None) -> None:
        self.allowed = allowed
        self.passed = 0
        self.port = 0
        self._target = port
        self._loop = KeeperLoop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._loop.__enter__()

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(self._connect, "127.0.0.1", 0)

        self._server = self._loop.call(begin())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            if self._server is not None:
                self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._loop.call(end())
        self._loop.__exit__()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        there = asyncio.create_task(_pass_on(reader, there_writer, None, lambda _: None))
        back = asyncio.create_task(_pass_on(there_reader, writer, self.allowed, self._count))
        self._tasks |= {there, back}
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            self._tasks -= {there, back}
            for each in (writer, there_writer):
                each.transport.abort()

    def _count(self, length: int) -> None:
        self.passed += length


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    allowed: int | None,
    count: Callable[[int], None],
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            piece = data if allowed is None else data[:allowed]
            writer.write(piece)
            await writer.drain()
            count(len(piece))
            if allowed is not None:
                allowed -= len(piece)
                if allowed == 0:
                    return


def threads() -> set[str]:
    """Names of the threads that run, but for the main one."""
    return {thread.name for thread in threading.enumerate() if thread is not threading.main_thread()}
