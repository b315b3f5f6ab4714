"""Frames to messages and back: strict, and bounded before anything is allocated (``docs/protocol.md``, Envelope and Encodings).

What always holds: from any frame at all comes a message, a part, or ``ProtocolError``/``LimitError``; never another error, never more
memory than the limits say. A text frame is a ``str``, a binary one ``bytes``.
"""

from __future__ import annotations

import struct
import sys
import zlib
from enum import IntEnum
from itertools import accumulate
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.limits import BINARY_HEADER, Limits

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_LEVEL: Final = 1
"""The wire is fast and the repository compresses again: level 1 costs the protected server least (measured 563 MB per CPU second)."""
GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31  # a gzip member with the largest window

_HEADER: Final = struct.Struct(">BIQ")
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_LARGEST_OFFSET: Final = (1 << 63) - 1


class PartKind(IntEnum):
    """First byte of a binary frame: what the part holds, and whether it is one zstd frame or as it is."""

    FILE_ZSTD = 1
    FILE_RAW = 2
    MANY_ZSTD = 3
    MANY_RAW = 4
    FILE_GZIP = 128
    """Never in a binary frame: a ``chunk`` of ``gzip+base64``."""
    RESTART = 129
    """Never in a binary frame: a ``restart``."""


_WIRE_KINDS: Final = frozenset({PartKind.FILE_ZSTD, PartKind.FILE_RAW, PartKind.MANY_ZSTD, PartKind.MANY_RAW})


class BinaryPart(Struct, frozen=True, kw_only=True):
    """A binary frame taken apart. ``offset``: of the content in the file, or of the part in a stream of many."""

    kind: PartKind
    stream: int
    offset: int
    data: bytes


class Envelope(Struct, frozen=True, kw_only=True):
    """What every text frame may have: enough to know which type to read it as, and whom to answer."""

    id: str | None = None
    cmd: str | None = None
    event: str | None = None


_ENVELOPES: Final = msgspec.json.Decoder(Envelope)
_DECODERS: Final[dict[object, msgspec.json.Decoder[object]]] = {}
MessageType = TypeVar("MessageType", bound=Struct)
ItemType = TypeVar("ItemType")


def encode_message(message: Struct) -> str:
    """A text frame in canonical form: keys sorted, no spaces, nothing escaped that need not be."""
    return encode_canonical(message).decode("utf-8")


def encode_canonical(value: object) -> bytes:
    """Canonical JSON of a message or an item of one: what digests are taken over."""
    return _ENCODER.encode(value)


def frame_size(frame: str | bytes) -> int:
    """Size of a frame in bytes, as windows and limits count it."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(_utf8(frame))


def read_envelope(frame: str, limits: Limits) -> Envelope:
    """What is common to all text frames, after size, depth and UTF-8 have been checked.

    Raises:
        LimitError: too large, or nested too deeply.
        ProtocolError: not one JSON object.
    """
    _check_size(len(frame), limits)
    raw = _utf8(frame)
    _check_size(len(raw), limits)
    check_shape(raw, limits)
    return _decode(raw, _ENVELOPES)


def read_message(frame: str, kind: type[MessageType]) -> MessageType:
    """A text frame that ``read_envelope`` has let pass, as ``kind``.

    Raises:
        ProtocolError: a field is missing, or has an impossible value.
    """
    return _decode(_utf8(frame), _decoder(kind))


def read_item(raw: bytes, decoder: msgspec.json.Decoder[ItemType]) -> ItemType:
    """JSON inside a frame or part whose shape has been checked, by ``decoder``.

    Raises:
        ProtocolError: it is not such an item.
    """
    return _decode(raw, decoder)


def _decoder(kind: type[MessageType]) -> msgspec.json.Decoder[MessageType]:
    found = _DECODERS.get(kind)
    if found is None:
        found = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return found  # type: ignore[return-value]  # the table maps a kind to its own decoder


def _decode(raw: bytes, decoder: msgspec.json.Decoder[ItemType]) -> ItemType:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError) as error:
        raise ProtocolError(
            N_("The peer sent a message that cannot be read: {reason}"), reason=str(error)[:200]
        ) from error
    except RecursionError as error:  # the depth was checked; this says that our own stack was nearly full
        raise LimitError(N_("The peer sent a message that is nested too deeply.")) from error


def _utf8(frame: str) -> bytes:
    try:
        return frame.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ProtocolError(N_("The peer sent text that is not UTF-8.")) from error


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.message_bytes:
        raise LimitError(
            N_("The peer sent a message of {size} bytes, at most {limit} are allowed."),
            size=size,
            limit=limits.message_bytes,
        )


_SHAPE: Final = b"[]{},"
_NOT_SHAPE: Final = bytes(set(range(256)) - set(_SHAPE))
_STEPS: Final = bytes.maketrans(b"[{]},", b"\x02\x02\x00\x00\x01")


def check_shape(raw: bytes, limits: Limits) -> None:
    """Refuse JSON that nests too deeply or has too many values, before it is decoded; ``raw`` need not be valid.

    Only what is outside strings counts: without escapes, what lies between quotes 1 and 2, 3 and 4, ... is inside.

    Raises:
        LimitError: it does.
    """
    if raw.count(b"[") + raw.count(b"{") <= limits.json_depth and raw.count(b",") < limits.json_values:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    shape = b"".join(plain.split(b'"')[::2]).translate(_STEPS, _NOT_SHAPE)
    if shape.count(1) >= limits.json_values:
        raise LimitError(N_("The peer sent a message of more than {limit} values."), limit=limits.json_values)
    brackets = shape.replace(b"\x01", b"")
    if brackets and max(accumulate(step - 1 for step in brackets)) > limits.json_depth:
        raise LimitError(
            N_("The peer sent a message that is nested more than {limit} levels deep."),
            limit=limits.json_depth,
        )


def pack_part(part: BinaryPart) -> bytes:
    """A binary frame."""
    return _HEADER.pack(part.kind, part.stream, part.offset) + part.data


def read_part(frame: bytes, limits: Limits) -> BinaryPart:
    """The inverse of ``pack_part``. The part is not opened.

    Raises:
        LimitError: too large.
        ProtocolError: shorter than its header, or of an unknown kind.
    """
    if len(frame) - BINARY_HEADER > limits.part_bytes:
        raise LimitError(
            N_("The peer sent a part of {size} bytes, at most {limit} are allowed."),
            size=len(frame),
            limit=limits.part_bytes,
        )
    if len(frame) < BINARY_HEADER:
        raise ProtocolError(N_("The peer sent a binary frame that is too short."))
    kind, stream, offset = _HEADER.unpack_from(frame)
    if kind not in _WIRE_KINDS or offset > _LARGEST_OFFSET:
        raise ProtocolError(N_("The peer sent a binary frame of an unknown kind ({kind})."), kind=kind)
    return BinaryPart(kind=PartKind(kind), stream=stream, offset=offset, data=frame[BINARY_HEADER:])


def squeeze(data: bytes, compressed: PartKind, plain: PartKind) -> tuple[PartKind, bytes]:
    """``data`` as one zstd frame, or as it is where that would not make it smaller."""
    small = zstd.compress(data, ZSTD_LEVEL)
    return (compressed, small) if len(small) < len(data) else (plain, data)


def open_zstd(data: bytes, limit: int) -> bytes:
    """The content of exactly one zstd frame of at most ``limit`` bytes.

    Raises:
        LimitError: it opens to more, or asks for a larger window than it could need.
        ProtocolError: not one whole zstd frame.
    """
    # A frame cannot refer back further than its own content, so no honest one needs a larger window; zstd's smallest is 2**10.
    window = max(limit - 1, 1024).bit_length()
    try:
        decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window})
        opened = decompressor.decompress(data, max_length=limit + 1)
        while len(opened) <= limit and not decompressor.eof and not decompressor.needs_input:
            more = decompressor.decompress(b"", max_length=limit + 1 - len(opened))
            if not more:
                break
            opened += more
    except zstd.ZstdError as error:
        raise ProtocolError(N_("The peer sent a part that cannot be opened.")) from error
    return _opened(opened, limit, whole=decompressor.eof and not decompressor.unused_data)


def pack_gzip(data: bytes) -> bytes:
    """``data`` as one gzip member without name and time, so that equal bytes give equal frames."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return compressor.compress(data) + compressor.flush()


def open_gzip(data: bytes, limit: int) -> bytes:
    """The content of exactly one gzip member of at most ``limit`` bytes.

    Raises:
        LimitError: it opens to more.
        ProtocolError: not one whole gzip member.
    """
    decompressor = zlib.decompressobj(_GZIP_WINDOW)
    try:
        opened = decompressor.decompress(data, limit + 1)
        while len(opened) <= limit and not decompressor.eof:
            more = decompressor.decompress(decompressor.unconsumed_tail, limit + 1 - len(opened))
            if not more:
                break
            opened += more
    except zlib.error as error:
        raise ProtocolError(N_("The peer sent a part that cannot be opened.")) from error
    return _opened(opened, limit, whole=decompressor.eof and not decompressor.unused_data)


def _opened(opened: bytes, limit: int, *, whole: bool) -> bytes:
    if len(opened) > limit:
        raise LimitError(N_("The peer sent a part that opens to more than {limit} bytes."), limit=limit)
    if not whole:
        raise ProtocolError(N_("The peer sent a part that cannot be opened."))
    return opened
