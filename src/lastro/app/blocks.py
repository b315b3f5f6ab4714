"""How a reply that is bytes travels between keeper and caller: its blocks as frames, so that holes stay holes and an error in the middle
arrives as the error it is.

    frame   offset (u64, big endian), length (u32, big endian), then ``length`` bytes
    end     offset = size, length = 0
    error   offset = 2^64 - 1, then the JSON of a ``Failure``

What always holds: a stream without its end frame is incomplete, whatever came before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from lastro.app.encoding import decode, encode
from lastro.app.failure import Failure, error_of, failure_of
from lastro.errors import LastroError, ProtocolError, UnreachableError
from lastro.messages import N_

MEDIA_TYPE: Final = "application/vnd.lastro.blocks"
LONGEST_BLOCK: Final = 16 * 1024 * 1024

_HEAD: Final = struct.Struct(">QI")
_ERROR: Final = (1 << 64) - 1


def frames(size: int, blocks: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    """The frames of ``blocks``. An error of theirs becomes the last frame."""
    try:
        for offset, data in blocks:
            yield _HEAD.pack(offset, len(data))
            yield data
    except LastroError as error:
        raw = encode(failure_of(error))
        yield _HEAD.pack(_ERROR, len(raw)) + raw
        return
    yield _HEAD.pack(size, 0)


def blocks(size: int, read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    """The inverse of ``frames``: blocks from a stream. ``read(n)`` gives ``n`` bytes, fewer only at the end of the stream.

    Raises:
        LastroError: the sender's error.
        ProtocolError: impossible frames.
        UnreachableError: the stream was cut.
    """
    position = 0
    while True:
        offset, length = _HEAD.unpack(_exactly(read, _HEAD.size))
        if length > LONGEST_BLOCK:
            raise ProtocolError(N_("The keeper sent an impossible block."))
        data = _exactly(read, length)
        if offset == _ERROR:
            raise error_of(decode(data, Failure))
        if offset < position or offset + length > size or (length == 0 and offset != size):
            raise ProtocolError(N_("The keeper sent an impossible block."))
        if length == 0:
            return
        position = offset + length
        yield offset, data


def _exactly(read: Callable[[int], bytes], length: int) -> bytes:
    data = read(length)
    if len(data) != length:
        raise UnreachableError(N_("The keeper's answer was cut off."))
    return data
