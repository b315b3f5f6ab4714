"""``GatewayServer``: the HTTP server of the four dialects, on sockets that its caller has bound.

It admits, bounds, and hands over; ``Answering`` decides. What always holds: nothing is read of a body before the key is known to be good;
every refusal is in the words of the caller's dialect; an answer's generator is closed whatever happens, also when the client goes away in
the middle; a client that sends or takes too slowly is cut off. The log (``lastro.gateway``, level INFO, off unless turned on) holds
method, path without query, status, exchange and time; no header, no body, no key.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web
from typing_extensions import override

from lastro.errors import LastroError
from lastro.gateway.addresses import Address, Verb, address_of, likely_dialect
from lastro.gateway.admission import (
    KeyFinder,
    TurnedAwayError,
    admitted,
    key_text,
    one_each,
    require_host,
    require_no_browser,
    require_text,
)
from lastro.gateway.asking import Answer, AskedRequest
from lastro.gateway.dialects.neutral import ErrorKind
from lastro.gateway.exchange import Exchange
from lastro.gateway.keys import GatewayKey
from lastro.gateway.listening import allowed_hosts
from lastro.gateway.model_lists import model_entry, model_list
from lastro.gateway.provider import ModelFacts
from lastro.gateway.request_body import read_body
from lastro.gateway.sending import json_of, plain, refusal, send_rest, stream
from lastro.gateway.settings import Anonymous, Bounds, Settings
from lastro.messages import N_

LARGEST_HEADERS: Final = 32 * 1024
"""Bytes of a request's line, and of one header; a long Gemini path or beta list fits."""
MOST_HEADERS: Final = 128
CONNECTIONS_FOR_EACH: Final = 4
"""Open connections, most of them idle, for each request that ``bounds.concurrent`` lets in at once."""
ANSWER_WAIT_S: Final = 3.0
"""How long requests that run may go on when the server stops: less than ``lastro up`` and service managers wait before they kill."""

_log: Final = logging.getLogger("lastro.gateway")
_UNHEARD: Final = logging.Logger("unheard", logging.CRITICAL + 1)  # noqa: LOG001  nobody shall turn it on
"""aiohttp would log a malformed request with the very line that is malformed, and a key may stand in it."""


class Answering(Protocol):
    """Who answers (``answering.Answerer``)."""

    async def answer_first(self, request: AskedRequest) -> Answer:
        """Answer a conversation; ``Answer.recorded`` and ``aclose`` end it."""
        ...

    async def count_tokens(self, request: AskedRequest) -> Answer:
        """Answer a request for a count of tokens."""
        ...


class GatewayServer:
    """One server on any number of sockets. Made inside the running event loop.

    Args:
        answering: who answers.
        keys: where gateway keys are looked up.
        models: what a key may ask for (``Router.models``).
        exchange: one recorded exchange by its id, ``None`` if there is none; called in a thread.
        settings: configuration as it is now, asked for each request (bounds of connections: as they are when the server is made).
    """

    def __init__(
        self,
        *,
        answering: Answering,
        keys: KeyFinder,
        models: Callable[[GatewayKey], Sequence[tuple[str, ModelFacts]]],
        exchange: Callable[[str], Exchange | None],
        settings: Callable[[], Settings],
    ) -> None:
        self._answering = answering
        self._keys = keys
        self._models = models
        self._exchange = exchange
        self._settings = settings
        self._running = 0
        self._listeners: list[asyncio.Server] = []
        self._hosts: tuple[Settings | None, frozenset[str]] = (None, frozenset())
        bounds = settings().bounds
        self._client_s = bounds.client_s
        self._most_connections = bounds.concurrent * CONNECTIONS_FOR_EACH
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,  # a client that goes away ends its exchange
            keepalive_timeout=bounds.client_s,  # also how long request line and headers may take
            access_log=None,
            max_line_size=LARGEST_HEADERS,
            max_field_size=LARGEST_HEADERS,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
            logger=_UNHEARD,
        )

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._running

    async def listen(self, bound: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Answer on a bound and listening socket, TCP or unix, which the server owns from now on."""
        loop = asyncio.get_running_loop()
        if bound.family == socket.AF_UNIX:
            server = await loop.create_unix_server(self._accept, sock=bound)
        else:
            wait_s = self._client_s if tls is not None else None
            server = await loop.create_server(
                self._accept, sock=bound, ssl=tls, ssl_handshake_timeout=wait_s, ssl_shutdown_timeout=wait_s
            )
        self._listeners.append(server)

    async def close(self) -> None:
        """Accept nobody any more, let running requests end within ``ANSWER_WAIT_S``, and close every connection."""
        for listener in self._listeners:
            listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(ANSWER_WAIT_S / 2)  # aiohttp waits so long twice

    def _accept(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._most_connections:
            return _TurnedAway()
        return self._server()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        path, _, query = request.raw_path.partition("?")
        headers = one_each(request.headers)
        address = address_of(path, headers)
        try:
            response = await self._admit(request, path, query, headers, address)
        except Exception as error:  # the caller shall hear of a defect too
            if isinstance(error, ConnectionError):
                raise
            if not isinstance(error, LastroError):
                _log.exception("%s %s", request.method, path)
            dialect = address.dialect if address is not None else likely_dialect(path)
            response = plain(refusal(error, dialect))
        await send_rest(request, response, seconds=self._client_s)  # what was sent already is not sent again
        if _log.isEnabledFor(logging.INFO):
            exchange = response.headers.get("x-lastro-exchange", "-")
            taken_ms = (time.perf_counter() - started) * 1000
            _log.info("%s %s %d %s %.1f ms", request.method, path, response.status, exchange, taken_ms)
        return response

    async def _admit(
        self,
        request: web.BaseRequest,
        path: str,
        query: str,
        headers: Mapping[str, str],
        address: Address | None,
    ) -> web.StreamResponse:
        settings = self._settings()
        require_text(headers)
        require_no_browser(headers)
        if request.transport is not None and not _is_unix(request.transport):
            require_host(headers, self._allowed(settings))
        if address is None:
            raise TurnedAwayError(
                N_("There is nothing at {path}."),
                kind=ErrorKind.NOT_FOUND,
                hint=N_("lastro gateway env TOOL says which address a tool needs."),
                path=path[:200],
            )
        if request.method != address.method and (request.method, address.method) != ("HEAD", "GET"):
            raise TurnedAwayError(
                N_("{path} takes {method} alone."),
                kind=ErrorKind.INVALID,
                status=405,
                path=path[:200],
                method=address.method,
            )
        if address.verb is Verb.HEALTH:
            return json_of({"status": "ok"})
        key = admitted(key_text(headers, query), self._keys, _anonymous(request, settings))
        if address.method == "GET":
            return await self._look_up(address, key)
        if self._running >= settings.bounds.concurrent:
            raise TurnedAwayError(
                N_("The gateway is answering {count} requests already."),
                kind=ErrorKind.OVERLOADED,
                retry_after_s=1.0,
                count=self._running,
            )
        self._running += 1
        try:
            return await self._converse(
                request, query=query, headers=headers, address=address, key=key, bounds=settings.bounds
            )
        finally:
            self._running -= 1

    async def _converse(
        self,
        request: web.BaseRequest,
        *,
        query: str,
        headers: Mapping[str, str],
        address: Address,
        key: GatewayKey,
        bounds: Bounds,
    ) -> web.StreamResponse:
        asked = AskedRequest(
            dialect=address.dialect,
            body=await read_body(request, limit=bounds.request_bytes, seconds=bounds.client_s),
            headers=headers,
            key=key,
            model=address.model,
            stream=address.stream,
            query=query,
            array=address.stream and "alt=sse" not in query,
        )
        if address.verb is Verb.COUNT:
            answer = await self._answering.count_tokens(asked)
        else:
            answer = await self._answering.answer_first(asked)
        if isinstance(answer.body, bytes):
            response = plain(answer)
            try:
                await send_rest(request, response, seconds=bounds.client_s)
                await answer.recorded()
            except Exception as error:
                if not response.prepared or isinstance(error, ConnectionError):
                    raise
                _log.exception("an answer that was sent could not be recorded")
                raise ConnectionResetError from error  # nothing else may follow it
            finally:
                await answer.aclose()
            return response
        # Its first piece is asked for without waiting in between: a generator that never ran could not be closed.
        try:
            return await stream(request, answer, seconds=bounds.client_s)
        finally:
            await answer.aclose()

    async def _look_up(self, address: Address, key: GatewayKey) -> web.StreamResponse:
        if address.verb is Verb.EXCHANGE:
            found = await asyncio.to_thread(self._exchange, address.name)
            if found is None or found.began.key != key.id:  # somebody else's is as good as none
                raise TurnedAwayError(
                    N_("There is no exchange {id} of this key."),
                    kind=ErrorKind.NOT_FOUND,
                    id=address.name[:60],
                )
            return json_of(found)
        models = self._models(key)
        if not address.name:
            return json_of(model_list(models, address.dialect))
        entry = model_entry(models, address.name, address.dialect)
        if entry is None:
            raise TurnedAwayError(
                N_("There is no model {model}."), kind=ErrorKind.NOT_FOUND, model=address.name[:200]
            )
        return json_of(entry)

    def _allowed(self, settings: Settings) -> frozenset[str]:
        if self._hosts[0] is not settings:
            self._hosts = (settings, allowed_hosts(settings.listen))
        return self._hosts[1]


class _TurnedAway(asyncio.Protocol):
    """A connection too many."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _anonymous(request: web.BaseRequest, settings: Settings) -> Anonymous:
    """What may be asked without a key. Nothing on the unix socket: jails of runs are shown it, and a run that leaves its key out would have
    neither budget nor steps.
    """
    if request.transport is None or _is_unix(request.transport):
        return Anonymous.NONE
    return settings.listen.anonymous


def _is_unix(transport: asyncio.BaseTransport) -> bool:
    connected = transport.get_extra_info("socket")
    return connected is not None and connected.family == socket.AF_UNIX
