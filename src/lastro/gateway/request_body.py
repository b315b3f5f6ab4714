"""The body of a client's request: bounded as it came and as it unfolds, in size and in time.

What always holds: no more than the limit is ever held, compressed or not; whoever sends too slowly is cut off. Decoding of large bodies
happens off the event loop.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

from lastro.gateway.admission import TurnedAwayError
from lastro.gateway.dialects.neutral import ErrorKind
from lastro.messages import N_

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALL: Final = 64 * 1024
"""Compressed bytes that are decoded at once, on the event loop."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def read_body(request: web.BaseRequest, *, limit: int, seconds: float) -> bytes:
    """The whole body, decoded of its ``Content-Encoding`` (``identity``, ``gzip``, ``deflate``, ``zstd``); ``limit`` in bytes.

    Raises:
        TurnedAwayError: it is larger than ``limit``, took longer than ``seconds``, or is encoded in another way or wrongly.
    """
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        body = await _received(request, limit=limit, seconds=seconds)
    except TimeoutError as error:
        raise TurnedAwayError(
            N_("The request took longer than {seconds:g} s to come."),
            kind=ErrorKind.TIMEOUT,
            status=408,
            seconds=seconds,
        ) from error
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    unfold = _DECODERS.get(encoding)
    if unfold is None:
        raise TurnedAwayError(
            N_("The request's encoding is not understood: {encoding}"),
            kind=ErrorKind.INVALID,
            status=415,
            hint=N_("Send it plain, or as gzip, deflate or zstd."),
            encoding=encoding[:40],
        )
    if len(body) <= SMALL:
        return unfold(body, limit)
    return await asyncio.to_thread(unfold, body, limit)


async def _received(request: web.BaseRequest, *, limit: int, seconds: float) -> bytes:
    content = request.content
    if content.is_eof():
        return content.read_nowait()
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(_CONTINUE)
    pieces: list[bytes] = []
    size = 0
    async with asyncio.timeout(seconds):
        while piece := await content.readany():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
    return b"".join(pieces)


class _Decoder(Protocol):
    """What ``zlib`` and ``zstd`` make."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _unfolded(decoder: _Decoder, raw: bytes, limit: int) -> bytes:
    try:
        body = decoder.decompress(raw, limit + 1)
    except (zlib.error, zstd.ZstdError) as error:
        raise _broken() from error
    if len(body) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise _broken()
    return body


def _gzip(raw: bytes, limit: int) -> bytes:
    return _unfolded(zlib.decompressobj(_GZIP), raw, limit)


def _deflate(raw: bytes, limit: int) -> bytes:
    return _unfolded(zlib.decompressobj(), raw, limit)


def _zstd(raw: bytes, limit: int) -> bytes:
    return _unfolded(zstd.ZstdDecompressor(), raw, limit)


_DECODERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}


def _too_large(limit: int) -> TurnedAwayError:
    return TurnedAwayError(
        N_("The request is larger than {limit} bytes."),
        kind=ErrorKind.TOO_LARGE,
        status=413,
        hint=N_("Raise request_bytes in [bounds] of gateway.toml if this is meant."),
        limit=limit,
    )


def _broken() -> TurnedAwayError:
    return TurnedAwayError(
        N_("The request is not what its Content-Encoding says."), kind=ErrorKind.INVALID, status=400
    )
