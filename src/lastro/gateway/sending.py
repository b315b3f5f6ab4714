"""Sending answers to clients: whole or piece by piece, each piece within the time that a client has to take it.

What always holds: an answer that breaks after something of it was sent never ends properly: its connection is cut, so that no client takes
a part for the whole.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgspec
from aiohttp import web

from lastro.errors import LastroError
from lastro.gateway.admission import TurnedAwayError
from lastro.gateway.asking import Answer
from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import Dialect, ErrorKind, Failed
from lastro.messages import N_

UNBLOCKED: Final = 32 * 1024
"""Unsent bytes below which a write cannot have to wait."""

_JSON: Final = "application/json"
_encode: Final = msgspec.json.Encoder().encode
_log: Final = logging.getLogger("lastro.gateway")


def refusal(error: Exception, dialect: Dialect) -> Answer:
    """What went wrong before anybody was asked, in the dialect's own form. Of a defect it says no more than that."""
    if not isinstance(error, LastroError):
        error = LastroError(N_("The gateway has a defect: {kind}"), kind=type(error).__name__)
    kind = error.kind if isinstance(error, TurnedAwayError) else ErrorKind.INTERNAL
    retry_after_s = error.retry_after_s if isinstance(error, TurnedAwayError) else None
    text = f"{error} {error.hint_text}".rstrip()
    failed = Failed(kind=kind, text=text, retry_after_s=retry_after_s)
    status, headers, body = codec_of(dialect).encode_error(failed)
    if isinstance(error, TurnedAwayError) and error.status:
        status = error.status
    return Answer(status=status, headers=headers, body=body)


async def stream(request: web.BaseRequest, answer: Answer, *, seconds: float) -> web.StreamResponse:
    """Send an answer's pieces as they come; the end is for ``send_rest``. ``seconds``: what a client has to take one.

    Raises:
        ConnectionResetError: the client is gone, or was cut off; or the answer broke, and nothing but cutting it off could say so.
        Exception: the answer broke before anything of it was sent.
    """
    assert not isinstance(answer.body, bytes)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.headers["Server"] = "lastro"
    transport = request.transport
    try:
        async for piece in answer.body:
            if not response.prepared:
                await response.prepare(request)
            if transport is not None and transport.get_write_buffer_size() + len(piece) < UNBLOCKED:
                await response.write(piece)
            else:
                async with asyncio.timeout(seconds):
                    await response.write(piece)
    except Exception as error:
        if not response.prepared:
            raise
        if not isinstance(error, (TimeoutError, ConnectionError)):
            _log.exception("an answer broke off")
        _cut(transport)  # the one honest end that is left: no last chunk
        raise ConnectionResetError from error
    return response


def plain(answer: Answer) -> web.Response:
    """A whole answer, not sent yet."""
    response = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
    response.headers["Server"] = "lastro"
    return response


def json_of(value: Any) -> web.Response:
    """``value`` as JSON, not sent yet."""
    return plain(Answer(status=200, headers={"content-type": _JSON}, body=_encode(value)))


async def send_rest(request: web.BaseRequest, response: web.StreamResponse, *, seconds: float) -> None:
    """Send what is not sent yet, within the time that a client has; what it leaves lying in the end costs it its connection.

    Raises:
        ConnectionResetError: it was cut off.
    """
    transport = request.transport
    if (
        transport is not None
        and transport.get_write_buffer_size() + (response.content_length or 0) < UNBLOCKED
    ):
        await response.prepare(request)  # most answers: no write of theirs can have to wait
        await response.write_eof()
    else:
        try:
            async with asyncio.timeout(seconds):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError as error:
            _cut(transport)
            raise ConnectionResetError from error
    if transport is not None and transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(seconds, _cut_unsent, transport)


def _cut(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        transport.abort()


def _cut_unsent(transport: asyncio.Transport) -> None:
    if transport.get_write_buffer_size():
        transport.abort()
