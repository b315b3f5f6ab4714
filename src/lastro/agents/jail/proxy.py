"""The filtering proxy: the one way from a jail to hosts, and only to those that a role lists.

It runs outside, on a unix socket of its own per run; inside, a loopback port leads to it (``HTTP_PROXY``, ``HTTPS_PROXY``). It speaks
``CONNECT`` and plain ``http://`` requests, one for each connection. What always holds: only a listed ``NAME:PORT`` is connected to; the
name is resolved here, and the address that was judged is the one connected to, so a name that changes its meaning gains nothing; an
address that is not of the public internet is refused unless it is listed as such; what a client may send before it is judged, how many
there are and how long they may be silent is bounded. A refused host is remembered by name, bounded, for the run's report.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

LONGEST_HEAD: Final = 16 * 1024
MOST_CONNECTIONS: Final = 128
MOST_REFUSED: Final = 256
HEAD_S: Final = 15.0
CONNECT_S: Final = 20.0
IDLE_S: Final = 300.0
_PIECE: Final = 65_536
_HOP_BY_HOP: Final = (b"proxy-connection", b"proxy-authorization", b"connection", b"keep-alive")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Name and port → addresses."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Where a client wants to go; ``forward`` is what the host is told first (plain requests), empty for ``CONNECT``."""

    host: str
    port: int
    forward: bytes = b""

    @property
    def name(self) -> str:
        """As it is listed and reported."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_request(head: bytes) -> Wanted | None:
    """What a request head (with its empty line) asks for; ``None``: nothing that this proxy does."""
    line, _, rest = head.partition(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not re.fullmatch(rb"HTTP/1\.[01]", words[2]):
        return None
    method, target, _version = words
    if not target.isascii():
        return None
    text = target.decode()
    if method == b"CONNECT":
        place = parse_place(text)
        return None if place is None else Wanted(host=place[0], port=place[1])
    return _plain_request(method, text, rest)


def _plain_request(method: bytes, text: str, rest: bytes) -> Wanted | None:
    """``METHOD http://HOST/PATH``, as the host itself is asked. One request: the host ends the connection after it."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port or 80
    except ValueError:
        return None
    if url.scheme != "http" or not host or "@" in url.netloc:
        return None
    place = parse_place(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    if place is None:
        return None
    path = text[text.index(url.netloc) + len(url.netloc) :] or "/"
    path = path if path.startswith("/") else f"/{path}"
    kept = [
        one
        for one in rest.split(b"\r\n")
        if one and one.partition(b":")[0].strip().lower() not in _HOP_BY_HOP
    ]
    forward = b"\r\n".join(
        [b" ".join((method, path.encode(), b"HTTP/1.1")), *kept, b"Connection: close", b"", b""]
    )
    return Wanted(host=place[0], port=place[1], forward=forward)


def parse_place(text: str) -> tuple[str, int] | None:
    """``NAME:PORT``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT`` as name (lower case, no final dot) and port; ``None``: it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        return None
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            return None
    host = host.lower().removesuffix(".")
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", host):
        return None
    return host, int(port)


def is_public(address: str) -> bool:
    """Whether ``address`` is of the public internet, also when it is hidden in an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)))
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if parsed in _COMPATIBLE or parsed in _LOCAL_NAT64:
            return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")


class Proxy:
    """The proxy of one run: listens on ``listener`` (a bound unix socket, which it closes) in a thread of its own until ``close``."""

    def __init__(
        self, listener: socket.socket, hosts: Iterable[str], *, resolve: Resolve | None = None
    ) -> None:
        self._listed = {place for host in hosts if (place := parse_place(host)) is not None}
        self._resolve = resolve or _resolve
        self._refused: dict[str, None] = {}
        self._listener = listener
        self._clients: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> tuple[str, ...]:
        """Hosts that were not let to, in the order they were first asked for."""
        return tuple(self._refused)

    def close(self) -> None:
        """Stop; connections end."""
        with suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()
            self._listener.close()

    async def _run(self) -> None:
        server = await asyncio.start_unix_server(self._accept, sock=self._listener, limit=LONGEST_HEAD)
        async with server:
            await self._stop.wait()
            for client in self._clients:
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MOST_CONNECTIONS:
            await _answer(writer, "503 Service Unavailable", "too many connections")
            return
        self._clients.add(task)
        try:
            await self._serve_client(reader, writer)
        except (OSError, asyncio.CancelledError):  # the client's side is gone, or the run has ended
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            await _answer(writer, "400 Bad Request", "no request in time, or too long a one")
            return
        wanted = parse_request(head)
        if wanted is None:
            await _answer(writer, "400 Bad Request", "this proxy does CONNECT HOST:PORT and http://")
            return
        addresses = await self._addresses(wanted)
        if not addresses:
            if len(self._refused) < MOST_REFUSED:
                self._refused[wanted.name] = None
            await _answer(writer, "403 Forbidden", f"{wanted.name} is not among the hosts of this role")
            return
        upstream = await _connect(addresses, wanted.port)
        if upstream is None:
            await _answer(writer, "502 Bad Gateway", f"{wanted.name} does not answer")
            return
        try:
            if wanted.forward:
                upstream[1].write(wanted.forward)
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _relay((reader, writer), upstream)
        finally:
            upstream[1].close()

    async def _addresses(self, wanted: Wanted) -> Sequence[str]:
        """Where to connect for ``wanted``; none: not allowed."""
        if (wanted.host, wanted.port) not in self._listed:
            return ()
        with suppress(ValueError):
            return (str(ipaddress.ip_address(wanted.host)),)  # listed as an address: that one is meant
        try:
            found = await asyncio.wait_for(self._resolve(wanted.host, wanted.port), CONNECT_S)
        except (OSError, TimeoutError):
            return ()
        return tuple(address for address in found if is_public(address))


async def _resolve(name: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


async def _connect(
    addresses: Iterable[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    for address in addresses:
        with suppress(OSError, TimeoutError):
            return await asyncio.wait_for(asyncio.open_connection(address, port), CONNECT_S)
    return None


async def _relay(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Both ways until both have ended, or nothing came for ``IDLE_S``."""
    latest = [asyncio.get_running_loop().time()]

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            latest[0] = asyncio.get_running_loop().time()
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    tasks = {
        asyncio.ensure_future(carry(client[0], upstream[1])),
        asyncio.ensure_future(carry(upstream[0], client[1])),
    }
    try:
        while tasks:
            done, tasks = await asyncio.wait(tasks, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
            idle = asyncio.get_running_loop().time() - latest[0] > IDLE_S
            if any(task.exception() for task in done) or (not done and idle):
                return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answer(writer: asyncio.StreamWriter, status: str, reason: str) -> None:
    body = f"lastro: {reason}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    with suppress(OSError):
        await writer.drain()
    writer.close()
