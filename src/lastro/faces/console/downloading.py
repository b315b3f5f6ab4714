"""Bytes of the history as an answer: read while they are sent, holes as zeros, under a name that cannot be another header.

What always holds: whatever the bytes are, they run nothing in the console's name (``headers.bytes_headers``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from lastro.faces.console import headers
from lastro.faces.console.asked import Download


def downloaded(answer: Download, threads: Executor) -> Response:
    """The answer; its bytes are read in ``threads``."""
    plain = answer.name.encode("ascii", "replace").decode("ascii")
    plain = "".join(one if one.isprintable() and one not in '"\\?' else "_" for one in plain)
    exact = quote(answer.name.encode("utf-8", "surrogateescape"))
    kind = "inline" if answer.inline else "attachment"
    sent = {
        **headers.bytes_headers(),
        "content-length": str(answer.size),
        "content-disposition": f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}",
    }
    return StreamingResponse(_stream(answer, threads), headers=sent, media_type=answer.media_type)


async def _stream(answer: Download, threads: Executor) -> AsyncIterator[bytes]:
    call = asyncio.get_running_loop().run_in_executor
    pieces: Iterator[bytes] = _pieces(answer)
    while (piece := await call(threads, next, pieces, None)) is not None:
        yield piece


def _pieces(answer: Download) -> Iterator[bytes]:
    position, zeros = 0, bytes(1024 * 1024)
    for offset, data in answer.blocks():
        while position < offset:
            step = min(len(zeros), offset - position)
            yield zeros[:step]
            position += step
        yield data
        position += len(data)
    while position < answer.size:
        step = min(len(zeros), answer.size - position)
        yield zeros[:step]
        position += step
