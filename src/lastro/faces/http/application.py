"""The Starlette application: ``POST /api/v1/<operation>``, ``GET /api/v1/events``, ``GET /api/v1/openapi.json``.

It translates and decides nothing. What always holds: only KEEPER operations can be called; a body is bounded before it is read;
blocking work runs in threads, never in the event loop; an error is the same ``LastroError`` at the other end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor
from http import HTTPStatus
from typing import Any, Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lastro.app import blocks as framing
from lastro.app.caller import Bytes
from lastro.app.encoding import decode, encode
from lastro.app.failure import STATUS, Failure, failure_of, unexpected
from lastro.app.operation import Operation, Place
from lastro.app.socket_caller import TICKET_HEADER
from lastro.domain.record import Actor
from lastro.errors import LastroError, LimitError, NotFoundError
from lastro.faces.http.admission import actor_of
from lastro.faces.http.events import EventFeed, event_stream, last_event_id
from lastro.faces.http.openapi import document
from lastro.faces.http.ranges import Span, plain_bytes, requested_span
from lastro.messages import N_

LARGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a request: the record of an apply that touched some hundred thousand paths."""

_log = logging.getLogger("lastro.http")

JSON: Final = "application/json"


class KeeperServices(Protocol):
    """What the operations of this keeper run with."""

    def for_actor(self, actor: Actor) -> Any:
        """The services on behalf of ``actor``: the first argument of an operation's ``run``."""
        ...

    def for_job(self, ticket: str) -> Any:
        """As ``for_actor``, for a worker's process and whoever asked for the job of this ticket; ``DeniedError`` where there is none."""
        ...


class Table(Protocol):
    """Where operations are found. ``app.operation`` is one; tests bring small ones."""

    def find_operation(self, name: str) -> Operation[Any, Any]:
        """The operation called ``name``; ``UsageError`` if there is none."""
        ...

    def all_operations(self) -> Iterable[Operation[Any, Any]]:
        """Every operation."""
        ...


class Face:
    """The handlers, with what they need: services, event feed, table, a pool of threads, and ``stopping``, which ends event streams.

    ``largest_body``: bytes of a request, if not ``LARGEST_BODY``.
    """

    def __init__(
        self,
        *,
        services: KeeperServices,
        feed: EventFeed,
        table: Table,
        threads: Executor,
        stopping: asyncio.Event,
        largest_body: int | None = None,
    ) -> None:
        self._services = services
        self._feed = feed
        self._table = table
        self._threads = threads
        self._stopping = stopping
        self._largest_body = largest_body

    async def operate(self, request: Request) -> Response:
        """One operation: JSON in, JSON or bytes out."""
        try:
            body = await _body(
                request, self._largest_body or LARGEST_BODY
            )  # first: a peer that still sends would not see an early answer
            operation = self._find(request)
            asked = self._asked(operation, body)
            reply = await self._in_thread(self._run, request, operation, asked)
        except LastroError as error:
            return _failed(error)
        except Exception as error:  # noqa: BLE001  the caller shall hear of a defect too
            _log.exception("operation %s", request.path_params["name"])
            return _failed(unexpected(error))
        if isinstance(reply, Bytes):
            return self._bytes(request, reply)
        return reply if isinstance(reply, Response) else Response(encode(reply), media_type=JSON)

    async def events(self, request: Request) -> Response:
        """Events as they happen, as server-sent events."""
        try:
            after = last_event_id(request)
        except LastroError as error:
            return _failed(error)
        stream = event_stream(self._feed, after, stopping=self._stopping, in_thread=self._in_thread)
        return StreamingResponse(
            stream, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def openapi(self, _request: Request) -> Response:
        """The description of this API."""
        raw = await self._in_thread(lambda: encode(document(self._table.all_operations())))
        return Response(raw, media_type=JSON)

    def _asked(self, operation: Operation[Any, Any], body: bytes) -> Any:
        """What was asked, decoded. No body at all: nothing but the defaults."""
        return decode(body or b"{}", operation.request)

    def _run(self, request: Request, operation: Operation[Any, Any], asked: Any) -> Any:
        """Carry out what was asked, in a thread: its reply, or a whole response."""
        if ticket := request.headers.get(TICKET_HEADER):
            return operation.run(self._services.for_job(ticket), asked)
        return operation.run(self._services.for_actor(actor_of(request.scope)), asked)

    def _find(self, request: Request) -> Operation[Any, Any]:
        name = request.path_params["name"]
        operation = self._table.find_operation(name)
        if operation.place is not Place.KEEPER:
            raise NotFoundError(
                N_("{name} runs in the process of whoever asks for it, not in the keeper."), name=name
            )
        return operation

    def _bytes(self, request: Request, reply: Bytes) -> Response:
        headers = {"x-lastro-size": str(reply.size), "x-lastro-digest": reply.digest.hex()}
        if request.headers.get("accept") == framing.MEDIA_TYPE:
            stream = self._stream(framing.frames(reply.size, reply.blocks))
            return StreamingResponse(stream, media_type=framing.MEDIA_TYPE, headers=headers)
        span = requested_span(request.headers.get("range"), reply.size)
        headers["accept-ranges"] = "bytes"
        if span is None:
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{reply.size}"})
        status = 200
        if span != Span(0, reply.size):
            status = 206
            headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{reply.size}"
        headers["content-length"] = str(span.end - span.start)
        stream = self._stream(plain_bytes(reply.blocks, span))
        return StreamingResponse(stream, status, media_type="application/octet-stream", headers=headers)

    async def _stream(self, pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
        iterator = iter(pieces)
        try:
            while (piece := await self._in_thread(next, iterator, None)) is not None:
                yield piece
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                await self._in_thread(close)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def application(face: Face) -> Starlette:
    """The routes of ``face``, without admission (see ``server.serve``)."""
    return Starlette(
        routes=[
            Route("/api/v1/events", face.events, methods=["GET"]),
            Route("/api/v1/openapi.json", face.openapi, methods=["GET"]),
            Route("/api/v1/{name}", face.operate, methods=["POST"]),
        ],
        exception_handlers=exceptional(),
    )


def exceptional() -> dict[Any, Any]:
    """What becomes of a request whose peer went away before it had sent it, and of one that no route takes."""
    return {ClientDisconnect: _gone, HTTPException: _refused}


def _failed(error: LastroError) -> Response:
    return Response(encode(failure_of(error)), STATUS.get(error.code, 500), media_type=JSON)


async def _refused(_request: Request, error: HTTPException) -> Response:
    """As an error of an operation: nothing here answers with another kind of content."""
    failure = Failure(
        code="usage" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "not_found",
        message=error.detail,
    )
    return Response(encode(failure), error.status_code, headers=error.headers, media_type=JSON)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)


async def _body(request: Request, limit: int) -> bytes:
    """The whole body, unless it is larger than ``limit`` bytes."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise LimitError(N_("The request is larger than {limit} bytes."), limit=limit)
    return bytes(body)
