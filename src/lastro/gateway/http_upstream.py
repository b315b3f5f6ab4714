"""``HttpUpstream``: calls providers over HTTP with aiohttp's client.

What always holds: TLS certificates are verified; no cookie is kept, no redirect followed, no ``.netrc`` read, so a key goes to the address
of its provider and nowhere else. A body that ends before its own length says so is ``truncated``, never an end. Little is read ahead:
a client that reads slowly slows its provider, whose time-outs rest meanwhile.

An answer's first byte has come when its first byte of *body* has: servers of local models send their headers before they think.
"""

from __future__ import annotations

import asyncio
import base64
import os
import urllib.request
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from ssl import SSLContext
from types import TracebackType
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from lastro.errors import LastroError
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.upstream import UpstreamError, UpstreamRequest
from lastro.messages import N_

POOLED_S: Final = 30.0
"""How long an idle connection is kept for the next call."""
NAMES_KEPT_S: Final = 60
"""How long an address that was looked up holds."""
LARGEST_PIECE: Final = 64 * 1024
"""Bytes that are read ahead of whoever takes the pieces (twice that, at most)."""
LARGEST_HEADER: Final = 32 * 1024
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMED_OUT: Final = (asyncio.TimeoutError,)  # aiohttp's own derive from it
_BROKEN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)


class HttpUpstream:
    """An ``Upstream``. Made inside the running event loop; ``close`` ends it.

    ``proxies`` maps a scheme to a proxy's URL, with hosts to be reached without one under ``no``: what ``environment_proxies`` read from
    the user's environment, or nothing. ``certificates`` replaces the system's trust anchors (tests, a company's own authority).
    """

    def __init__(
        self, *, proxies: Mapping[str, str] | None = None, certificates: SSLContext | None = None
    ) -> None:
        self._watches: WeakKeyDictionary[object, _Watch] = WeakKeyDictionary()
        self._proxies = dict(proxies or {})
        self._routes: dict[tuple[str, str], _Proxy | None] = {}
        connector = aiohttp.TCPConnector(
            limit=0,  # what is asked at once is bounded where it comes in
            keepalive_timeout=POOLED_S,
            ttl_dns_cache=NAMES_KEPT_S,
            ssl=certificates if certificates is not None else True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # it would also read .netrc, and ask the environment anew for each call
            read_bufsize=LARGEST_PIECE,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
            skip_auto_headers=("user-agent", "content-type", "accept", "accept-encoding"),
            requote_redirect_url=False,
        )

    def call(self, request: UpstreamRequest) -> _Call:
        """Send ``request``; see ``Upstream.call``."""
        return _Call(self._session, self._watches, request, self._proxy_for(request.url))

    async def close(self) -> None:
        """Let go of all connections."""
        await self._session.close()

    def _proxy_for(self, address: str) -> _Proxy | None:
        if not self._proxies:
            return None
        url = _parsed(address)
        place = (url.scheme, url.host or "")
        if place not in self._routes:
            self._routes[place] = _proxy(self._proxies, *place)
        return self._routes[place]


class _Proxy:
    """One proxy: its address without its password, which goes in a header."""

    __slots__ = ("headers", "url")

    def __init__(self, text: str) -> None:
        url = URL(text if "://" in text else f"http://{text}")
        self.headers: dict[str, str] = {}
        if url.user is not None:
            secret = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode("ascii")
            self.headers["Proxy-Authorization"] = f"Basic {secret}"
        self.url = url.with_user(None)


def environment_proxies() -> dict[str, str]:
    """What ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` (also in small letters) say; loopback never goes through one."""
    return urllib.request.getproxies_environment()


def _proxy(proxies: Mapping[str, str], scheme: str, host: str) -> _Proxy | None:
    if host in _LOCAL or host.startswith("127."):
        return None
    text = proxies.get(scheme) or proxies.get("all")
    if not text or urllib.request.proxy_bypass_environment(host, dict(proxies)):  # type: ignore[attr-defined]  # typeshed lacks it
        return None
    return _Proxy(text)


class _Call:
    """One call as a context: the connection is put back into the pool when its answer was read whole, and closed otherwise."""

    __slots__ = ("_proxy", "_request", "_response", "_session", "_watch", "_watches")

    def __init__(
        self,
        session: aiohttp.ClientSession,
        watches: WeakKeyDictionary[object, _Watch],
        request: UpstreamRequest,
        proxy: _Proxy | None,
    ) -> None:
        self._session = session
        self._watches = watches
        self._watch: _Watch | None = None
        self._request = request
        self._proxy = proxy
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> _Answer:
        request = self._request
        headers = dict(request.headers)
        if not any(name.lower() == "accept-encoding" for name in headers):
            headers["accept-encoding"] = "identity"
        url = _parsed(request.url)
        if self._proxy is not None and url.scheme == "http":  # no tunnel: the proxy reads the request itself
            headers.update(self._proxy.headers)
        try:
            self._response = await self._session.request(
                request.method,
                url,
                data=request.body or None,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy.url if self._proxy else None,
                proxy_headers=self._proxy.headers if self._proxy else None,
                timeout=_timeouts(request.connect_s, request.first_byte_s),
            )
        except (*_TIMED_OUT, *_BROKEN, ValueError) as error:
            raise _no_answer(error, request) from error
        self._watch = self._watched(self._response)
        return _Answer(self._response, request)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.content = None
        if self._response is not None:
            self._response.close()  # a whole answer has given its connection back already

    def _watched(self, response: aiohttp.ClientResponse) -> _Watch | None:
        connection = response.connection  # gone when the answer came whole
        protocol = connection.protocol if connection is not None else None
        if protocol is None:
            return None
        watch = self._watches.get(protocol)
        if watch is None:
            watch = self._watches[protocol] = _Watch()
            closed = protocol.closed
            if closed is not None:
                closed.add_done_callback(watch.lost)
        watch.content = response.content
        return watch


@lru_cache(maxsize=64)
def _parsed(address: str) -> URL:
    return URL(address, encoded=True)


@lru_cache(maxsize=64)
def _timeouts(connect_s: float, first_byte_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=connect_s, sock_connect=connect_s, sock_read=first_byte_s
    )


class _Watch:
    """Looks after one connection: aiohttp's client tells nobody that it closed one whose body it could not read."""

    __slots__ = ("content",)

    def __init__(self) -> None:
        self.content: aiohttp.StreamReader | None = None

    def lost(self, closed: asyncio.Future[None]) -> None:
        """The connection is gone; whoever reads from it hears so."""
        if not closed.cancelled():
            closed.exception()  # taken note of
        content = self.content
        if content is not None and not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError())


class _Answer:
    """An ``UpstreamAnswer``."""

    __slots__ = ("_request", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, request: UpstreamRequest) -> None:
        self._response = response
        self._request = request
        self.status: int = response.status
        self.headers: Mapping[str, str] = _joined(response)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes; see ``UpstreamAnswer.pieces``."""
        started = False
        content = self._response.content
        try:
            while piece := await content.readany():
                if not started:
                    started = True
                    self._wait_between()
                yield piece
        except _TIMED_OUT as error:
            raise _stalled(self._request, started=started) from error
        except _BROKEN as error:
            raise UpstreamError(
                N_("The answer broke off: {reason}"),
                outcome=AttemptOutcome.TRUNCATED,
                reason=_reason(error),
            ) from error

    def _wait_between(self) -> None:
        """From now on the time between pieces counts, not the time to the first."""
        connection = self._response.connection  # gone when the answer came whole
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = self._request.between_bytes_s
            connection.protocol.start_timeout()


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        lowered = name.lower()
        headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
    return headers


def _no_answer(error: Exception, request: UpstreamRequest) -> LastroError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamError(
            N_("No connection within {seconds:g} s."),
            outcome=AttemptOutcome.CONNECT,
            seconds=request.connect_s,
        )
    if isinstance(error, asyncio.TimeoutError):
        return _stalled(request, started=False)
    return UpstreamError(
        N_("No answer: {reason}"),
        hint=_hint(error),
        outcome=AttemptOutcome.CONNECT,
        reason=_reason(error),
    )


def _stalled(request: UpstreamRequest, *, started: bool) -> UpstreamError:
    if started:
        return UpstreamError(
            N_("Nothing more came for {seconds:g} s."),
            outcome=AttemptOutcome.BETWEEN_BYTES,
            seconds=request.between_bytes_s,
        )
    return UpstreamError(
        N_("Nothing came within {seconds:g} s."),
        outcome=AttemptOutcome.FIRST_BYTE,
        seconds=request.first_byte_s,
    )


def _hint(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return N_("The name is unknown, or the network is down: check the provider's base_url.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return N_("Its certificate is not trusted here; add its authority to this machine's store.")
    if isinstance(error, aiohttp.ClientSSLError):
        return N_("No encrypted connection came about; is it https there at all?")
    return ""


def _reason(error: Exception) -> str:
    """What went wrong, in words that hold no header and no address with a key in it."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionResetError)):
        return "the connection was closed"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it ended too early"
    return type(error).__name__
