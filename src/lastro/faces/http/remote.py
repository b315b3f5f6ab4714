"""The API on a TCP socket: for programs with a token, and for the console's own pages that follow the events.

What always holds: whoever shows no good token gets 401 and reaches nothing; a token does what its human may and its scopes say, the less
of both; a step of another operation cannot be called; an operation that needs a user's own rights is a job, which is waited for as long as
``Prefer: wait=SECONDS`` says (RFC 7240), and answered with 202 and the job's place when that was not enough. Who follows the events is
asked for anew while they do: a stream ends with the session or token that it was opened with.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from lastro.app import operation as operations
from lastro.app.door import Door
from lastro.app.encoding import encode, to_builtins
from lastro.app.failure import failure_of
from lastro.app.operation import Operation, Place
from lastro.app.permissions import Principal, Right, require, right_of
from lastro.app.visiting import Visit
from lastro.domain.job import FINAL_JOB_STATES
from lastro.domain.record import Actor
from lastro.errors import DeniedError, LastroError, LimitError, UsageError
from lastro.faces.http.application import JSON, Face, Table, exceptional
from lastro.faces.http.events import EventFeed
from lastro.faces.http.openapi import Accepted, remote_document
from lastro.messages import N_

LARGEST_BODY: Final = 8 * 1024 * 1024
LARGEST_NUMBER: Final = 2**63 - 1
WAIT_S: Final = 20
LONGEST_WAIT_S: Final = 120
MOST_STREAMS: Final = 32
"""Event streams of one human, whatever opened them."""
ADMITTED_S: Final = 1.0
"""For how long whoever follows events is taken for who they were."""

_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])")
_STATE: Final = "principal"
_AGAIN: Final = "again"


class RemoteFace(Face):
    """See the module."""

    def __init__(
        self,
        *,
        visit: Callable[[Principal | None], Visit],
        feed: EventFeed,
        table: Table,
        threads: Executor,
        stopping: asyncio.Event,
    ) -> None:
        super().__init__(
            services=_Nobody(),
            feed=feed,
            table=table,
            threads=threads,
            stopping=stopping,
            largest_body=LARGEST_BODY,
        )
        self._visit = visit
        self._following: Counter[str] = Counter()

    @override
    async def events(self, request: Request) -> Response:
        human = principal_of(request.scope).actor.name
        if self._following[human] >= MOST_STREAMS:
            error = LimitError(N_("At most {limit} streams of events are open at once."), limit=MOST_STREAMS)
            return Response(encode(failure_of(error)), 429, media_type=JSON)
        response = await super().events(request)
        if isinstance(response, StreamingResponse):
            response.body_iterator = self._followed(request, human, response.body_iterator)
        return response

    async def _followed(
        self, request: Request, human: str, messages: AsyncIterable[Any]
    ) -> AsyncIterator[Any]:
        """``messages``, as long as whoever asked for them may."""
        admit: Callable[[], Principal] = request.scope["state"][_AGAIN]
        now = asyncio.get_running_loop().time
        admitted_s = now()
        self._following[human] += 1
        try:
            async for message in messages:
                if now() - admitted_s >= ADMITTED_S:
                    await self._in_thread(admit)
                    admitted_s = now()
                yield message
        except DeniedError:
            return
        finally:
            self._following[human] -= 1
            if close := getattr(messages, "aclose", None):
                await close()

    @override
    async def openapi(self, _request: Request) -> Response:
        return Response(await self._in_thread(self._described), media_type=JSON)

    def _described(self) -> bytes:
        return encode(remote_document(dict(open_operations(self._table.all_operations()))))

    @override
    def _asked(self, operation: Operation[Any, Any], body: bytes) -> Any:
        asked = super()._asked(operation, body)
        known = {field.encode_name for field in msgspec.structs.fields(operation.request)}
        given = msgspec.json.decode(body) if body else {}
        unknown = sorted(set(given) - known)
        _refuse_what_nothing_holds(to_builtins(asked))
        if unknown:
            raise UsageError(
                N_("{operation} has no field '{name}'."),
                hint=N_("It has: {fields}"),
                operation=operation.name,
                name=unknown[0],
                fields=", ".join(sorted(known)) or "—",
            )
        return asked

    @override
    def _find(self, request: Request) -> Operation[Any, Any]:
        operation = self._table.find_operation(request.path_params["name"])
        require(principal_of(request.scope), right_of(operation))  # before anything of the request is read
        return operation

    @override
    def _run(self, request: Request, operation: Operation[Any, Any], asked: Any) -> Any:
        visit = self._visit(principal_of(request.scope))
        if operation.place is not Place.CALLER:
            return visit.call(operation.name, asked)
        job = visit.submit(operation.name, asked, key=request.headers.get("idempotency-key", "")[:200])
        patience_s = wanted_wait_s(request.headers.get("prefer", ""))
        job, _lines = visit.jobs.find(job.number, until_over_s=patience_s)
        if job.state in FINAL_JOB_STATES:
            return visit.reply_of(job)
        body = encode(Accepted(job=job.number, state=job.state.value))
        return Response(body, 202, headers={"location": f"/jobs/{job.number}"}, media_type=JSON)

    async def _events_either_way(self, request: Request) -> Response:
        """What happens from now on, as a stream (GET); what happened, as an operation (POST)."""
        if request.method != "POST":
            return await self.events(request)
        request.path_params["name"] = "events"
        return await self.operate(request)

    def application(self, door: Door, *, cookie: str, hosts: Callable[[str], bool]) -> ASGIApp:
        """The routes, behind who may use them. ``cookie``: the session's, good for reading events alone."""
        routes = Starlette(
            routes=[
                Route("/api/v1/events", self._events_either_way, methods=["GET", "POST"]),
                Route("/api/v1/openapi.json", self.openapi, methods=["GET"]),
                Route("/api/v1/{name}", self.operate, methods=["POST"]),
            ],
            exception_handlers=exceptional(),
        )
        return _Admission(routes, door, cookie=cookie, hosts=hosts, threads=self._threads)


def remote_api(
    *,
    door: Door,
    visit: Callable[[Principal | None], Visit],
    feed: EventFeed,
    threads: Executor,
    stopping: asyncio.Event,
    cookie: str,
    hosts: Callable[[str], bool],
    table: Table = operations,
) -> ASGIApp:
    """What answers below ``/api/``. ``hosts``: whether a ``Host`` header is one of this server's names."""
    face = RemoteFace(visit=visit, feed=feed, table=table, threads=threads, stopping=stopping)
    return face.application(door, cookie=cookie, hosts=hosts)


def principal_of(scope: Scope) -> Principal:
    """Who sent this admitted request."""
    principal: Principal = scope["state"][_STATE]
    return principal


def wanted_wait_s(header: str) -> int:
    """Seconds in a ``Prefer: wait=``, at most ``LONGEST_WAIT_S``."""
    found = _WAIT.search(header)
    return min(int(found[1]), LONGEST_WAIT_S) if found else WAIT_S


def _refuse_what_nothing_holds(value: Any) -> None:
    """Refuse a number that no database can hold and a text that no path and no argument can, before they come that far.

    Raises:
        UsageError: there is one.
    """
    match value:
        case int() if abs(value) > LARGEST_NUMBER:
            raise UsageError(N_("A number has at most {limit} bits."), limit=LARGEST_NUMBER.bit_length())
        case str() if "\0" in value:
            raise UsageError(N_("A text here holds no NUL character."))
        case dict():
            for inner in (*value, *value.values()):
                _refuse_what_nothing_holds(inner)
        case list():
            for inner in value:
                _refuse_what_nothing_holds(inner)


def open_operations(operations: Iterable[Operation[Any, Any]]) -> Iterator[tuple[Operation[Any, Any], str]]:
    """The operations that can be asked for from outside, each with the right that it takes."""
    for operation in operations:
        try:
            yield operation, right_of(operation).value
        except DeniedError:
            continue


class _Admission:
    """Only who shows a good token comes through; to read events also a signed-in browser."""

    def __init__(
        self,
        application: ASGIApp,
        door: Door,
        *,
        cookie: str,
        hosts: Callable[[str], bool],
        threads: Executor,
    ) -> None:
        self._application = application
        self._door = door
        self._cookie = cookie
        self._hosts = hosts
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI asks it."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        if not self._hosts(request.headers.get("host", "")):
            await Response("Misdirected Request\n", 421, media_type="text/plain")(scope, receive, send)
            return
        call = asyncio.get_running_loop().run_in_executor
        try:
            principal = await call(self._threads, self._principal, request)
        except LastroError as error:
            status = 401 if isinstance(error, _UnknownError) else 403
            headers = {"www-authenticate": 'Bearer realm="lastro"'} if status == 401 else {}
            response = Response(encode(failure_of(error)), status, headers=headers, media_type=JSON)
            await response(scope, receive, send)
            return
        scope.setdefault("state", {}).update({_STATE: principal, _AGAIN: lambda: self._principal(request)})
        await self._application(scope, receive, send)

    def _principal(self, request: Request) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        principal = self._door.bearer(token.strip()) if scheme.lower() == "bearer" else None
        if principal is None and request.method == "GET" and not scheme:
            cookie = request.cookies.get(self._cookie, "")
            entered = self._door.entered(cookie) if cookie else None
            principal = entered.principal if entered else None
        if principal is None:
            raise _UnknownError(
                N_("This needs a token."),
                hint=N_("Make one with 'lastro token add', and send it as 'Authorization: Bearer TOKEN'."),
            )
        require(principal, Right.LOOK)
        return principal


class _UnknownError(DeniedError):
    """Nobody knows who asks."""


class _Nobody:
    """Nothing is done with services of its own: see ``RemoteFace._run``."""

    def for_actor(self, actor: Actor) -> object:
        """See ``KeeperServices``."""
        raise AssertionError(actor)

    def for_job(self, ticket: str) -> object:
        """See ``KeeperServices``."""
        raise AssertionError(ticket)
