"""``SocketCaller``: operations of a running keeper, over its unix socket (``docs/reference/http.md``).

Standard library only, so that a command pays for no HTTP client. What always holds: an error of the keeper is raised here as the same
``LastroError``; a call is sent once and never repeated, because what it changes may have happened although the answer was lost.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

from msgspec import Struct
from typing_extensions import override

from lastro import __version__
from lastro.app import blocks as framing
from lastro.app.caller import Bytes
from lastro.app.encoding import decode, encode
from lastro.app.events import Event
from lastro.app.failure import Failure, error_of
from lastro.app.operation import Operation, find_operation
from lastro.capture.source import Source
from lastro.domain.ids import LOCAL
from lastro.errors import LastroError, ProtocolError, UnreachableError
from lastro.messages import N_
from lastro.transport.unix import connect_owner

_LONGEST_LINE: Final = 16 * 1024 * 1024
_RECONNECTIONS: Final = 10
_PAUSE_S: Final = 0.3


class SocketCaller:
    """See ``Caller``. ``keeper_socket`` and ``source_socket`` are paths (``Places``).

    ``new_id`` gives ids of offers, never twice the same. ``find`` looks into the table of operations, which says of what type a
    reply is. ``connect`` gives a socket connected to a path. ``ticket``: of the job on whose asker's behalf everything is called.
    """

    def __init__(
        self,
        keeper_socket: str,
        source_socket: str,
        *,
        new_id: Callable[[], str],
        find: Callable[[str], Operation[Any, Any]] = find_operation,
        connect: Callable[[str], socket.socket] = connect_owner,
        ticket: str = "",
    ) -> None:
        self._connect = connect
        self._ticket = ticket
        self._keeper_socket = keeper_socket
        self._source_socket = source_socket
        self._new_id = new_id
        self._find = find

    def call(self, name: str, request: Struct) -> object:
        """See ``Caller``.

        Raises:
            UnreachableError: no keeper listens, or it went away before it had answered.
            LastroError: whatever the operation raised.
        """
        reply_type = self._find(name).reply
        headers = {"content-type": "application/json"}
        if reply_type is Bytes:
            headers["accept"] = framing.MEDIA_TYPE
        response = self._request("POST", f"/api/v1/{name}", encode(request), headers)
        if reply_type is Bytes:
            return _bytes_of(response)
        with response:
            return decode(_all_of(response), reply_type)

    @contextlib.contextmanager
    def offer(self, source: Source) -> Iterator[str]:
        """See ``Caller``.

        Raises:
            UnreachableError: no keeper listens.
        """
        from lastro.node.offer import offer_source  # noqa: PLC0415  few commands offer a source

        offer = self._new_id()
        with offer_source(self._source_socket, source, source_id=offer, name=LOCAL, version=__version__):
            yield offer

    def events(self, after: int | None) -> Iterator[Struct]:
        """See ``Caller``. After a cut it connects again and goes on after the last durable event.

        Raises:
            UnreachableError: no keeper listens when it is called.
        """
        response = self._events(after)
        return self._follow(response, after)

    def damage(self) -> tuple[str, ...]:
        """See ``Caller``."""
        return ()

    def close(self) -> None:
        """See ``Caller``. Every call has its own connection, so nothing is open."""

    def _events(self, after: int | None) -> http.client.HTTPResponse:
        headers = {"accept": "text/event-stream"}
        if after is not None:
            headers["last-event-id"] = str(after)
        return self._request("GET", "/api/v1/events", b"", headers)

    def _follow(self, response: http.client.HTTPResponse | None, after: int | None) -> Iterator[Struct]:
        failures = 0
        while response is not None:
            with response:
                for event in _messages(response):
                    failures = 0
                    after = after if event.seq is None else event.seq
                    yield event
            response = None
            while response is None and failures < _RECONNECTIONS:
                try:
                    response = self._events(after)
                except UnreachableError:
                    failures += 1
                    time.sleep(_PAUSE_S)

    def _standing(self) -> dict[str, str]:
        return {TICKET_HEADER: self._ticket} if self._ticket else {}

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """The answer's head; its body is still to be read. Closing the response closes the connection."""
        connection = _Connection(self._keeper_socket, self._connect)
        try:
            # A refusal may come before all of the request was read; then the answer is there, although sending failed.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, path, body, {**headers, **self._standing(), "connection": "close"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _cut(error) from error
        except BaseException:
            connection.close()
            raise
        if response.status != http.client.OK:
            with response:
                raise error_of(decode(_all_of(response), Failure))
        return response


TICKET_HEADER: Final = "x-lastro-ticket"


class _Connection(http.client.HTTPConnection):
    """HTTP over the unix socket at ``path``."""

    def __init__(self, path: str, connect_to: Callable[[str], socket.socket]) -> None:
        super().__init__("keeper")
        self._path = path
        self._connect_to = connect_to

    @override
    def connect(self) -> None:
        self.sock: socket.socket = self._connect_to(self._path)


def _bytes_of(response: http.client.HTTPResponse) -> Bytes:
    try:
        size = int(response.headers["x-lastro-size"])
        digest = bytes.fromhex(response.headers["x-lastro-digest"])
    except (TypeError, ValueError) as error:
        response.close()
        raise ProtocolError(N_("The keeper's answer has no size and digest.")) from error
    return Bytes(size=size, digest=digest, blocks=_blocks_of(response, size))


def _blocks_of(response: http.client.HTTPResponse, size: int) -> Iterator[tuple[int, bytes]]:
    def read(length: int) -> bytes:
        try:
            return response.read(length)
        except (OSError, http.client.HTTPException) as error:
            raise _cut(error) from error

    with response:
        yield from framing.blocks(size, read)


def _all_of(response: IO[bytes]) -> bytes:
    try:
        return response.read()
    except (OSError, http.client.HTTPException) as error:
        raise _cut(error) from error


def _messages(response: IO[bytes]) -> Iterator[Event]:
    """The events of a stream, until it ends or is cut. A message is the line ``data:``; ids are in the events themselves."""
    try:
        while line := response.readline(_LONGEST_LINE):
            if line.startswith(b"data: "):
                yield decode(line[6:], Event)
    except (OSError, http.client.HTTPException):
        return


def was_cut(error: LastroError) -> bool:
    """Whether ``error`` says that a request was sent, or begun to be, and no answer came: the keeper itself, not a node, went away."""
    return error.msgid == _CUT


_CUT: Final = N_("The keeper went away before it had answered: {reason}")


def _cut(error: Exception) -> LastroError:
    return UnreachableError(
        _CUT,
        hint=N_("lastro status says how it is; what was asked may have been done."),
        reason=str(error) or type(error).__name__,
    )
