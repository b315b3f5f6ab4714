"""Encrypted objects: a header, then frames. Packs, journal segments, index segments and log segments all look like this.

    header   "LASTRO-0" | kind u8 | aead u8 | 0 u16 | epoch u32 | salt (32)                                      48 bytes
    frame    length u32 | check (12) | ciphertext and tag (length) | 0xFF up to a multiple of 16

What always holds: each object has a key of its own (HKDF of the epoch's master key with the header's salt), so nonces
are simply the ordinals of its frames; the header and the frame's role are authenticated with every frame; every bit
of a frame is checked when it is read; nothing is decompressed beyond the length that is stated and authenticated. See
``docs/format.md`` (Encrypted objects). Sources: RFC 5869 (HKDF), NIST SP 800-38D (GCM), RFC 8439 (ChaCha20-Poly1305).
"""

from __future__ import annotations

import struct
import sys
from enum import IntEnum
from functools import cache
from typing import Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from lastro.errors import DamagedError, LimitError
from lastro.messages import N_

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEADER_SIZE: Final = 48
PREFIX_SIZE: Final = 16
ALIGNMENT: Final = 16
TAG_SIZE: Final = 16
FRAME_LIMIT: Final = 64 << 20
"""No frame's content is longer, compressed or not."""
_MAGIC: Final = b"LASTRO-0"
_HEADER: Final = struct.Struct(">8sBBHI32s")
_PLAIN: Final = struct.Struct(">BI")
_STORED, _ZSTD = 0, 1
_LEVEL: Final = 3


class ObjectKind(IntEnum):
    """What an encrypted object is."""

    DATA_PACK = 1
    META_PACK = 2
    JOURNAL = 3
    INDEX = 4
    LOG = 5


class Aead(IntEnum):
    """The cipher of an object; both have 32-byte keys, 12-byte nonces and 16-byte tags."""

    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2


class Role(IntEnum):
    """What a frame is for; authenticated, so that content can never pass for a directory."""

    BODY = 0
    DIRECTORY = 1


class Header(Struct, frozen=True, kw_only=True):
    """The first 48 bytes of an encrypted object."""

    kind: ObjectKind
    aead: Aead
    epoch: int
    salt: bytes

    def encode(self) -> bytes:
        """The header's bytes."""
        return _HEADER.pack(_MAGIC, self.kind, self.aead, 0, self.epoch, self.salt)


def decode_header(raw: bytes, name: str) -> Header:
    """Read the first 48 bytes of the object ``name``.

    Raises:
        DamagedError: they are not a header.
    """
    if len(raw) == HEADER_SIZE:
        magic, kind, aead, zero, epoch, salt = _HEADER.unpack(raw)
        if magic == _MAGIC and zero == 0 and kind in _KINDS and aead in _AEADS:
            return Header(kind=ObjectKind(kind), aead=Aead(aead), epoch=epoch, salt=salt)
    raise damaged(name)


def damaged(name: str) -> DamagedError:
    """The error for an object whose bytes are not those that were written."""
    return DamagedError(
        N_("{object} is damaged."),
        hint=N_("`lastro repo check --read-data` names the paths and snapshots that this concerns."),
        object=name,
    )


_KINDS: Final = frozenset(ObjectKind)
_AEADS: Final = frozenset(Aead)


def derive(secret: bytes, salt: bytes, information: bytes, length: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=information).derive(secret)


@cache
def fastest_aead() -> Aead:
    """AES-256-GCM where the processor has AES instructions, else ChaCha20-Poly1305."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            words = set(file.read().split())
    except OSError:
        return Aead.AES_256_GCM
    return Aead.AES_256_GCM if "aes" in words else Aead.CHACHA20_POLY1305


class ObjectCipher:
    """Seals and opens the frames of one object. Safe for use from several threads."""

    def __init__(self, master: bytes, header: Header, name: str = "") -> None:
        key = derive(master, header.salt, b"lastro-object-0" + bytes([header.kind]))
        self.header = header
        self.name = name
        self._raw_header = header.encode()
        self._check_hasher = blake3(self._raw_header)
        self._aead = AESGCM(key) if header.aead is Aead.AES_256_GCM else ChaCha20Poly1305(key)

    def seal(self, ordinal: int, content: bytes, role: Role = Role.BODY) -> bytes:
        """The frame number ``ordinal`` (from 0) with ``content``, whole with prefix and padding. Never twice for one ordinal.

        Raises:
            LimitError: ``content`` is larger than any frame may be.
        """
        if len(content) > FRAME_LIMIT:
            raise LimitError(
                N_("A frame of {size} bytes is larger than {limit}."), size=len(content), limit=FRAME_LIMIT
            )
        compression, payload = _STORED, content
        if len(content) > 64:
            packed = zstd.compress(content, _LEVEL)
            if len(packed) < len(content) - (
                len(content) >> 5
            ):  # a gain below 3 % is not worth unpacking for
                compression, payload = _ZSTD, packed
        plain = _PLAIN.pack(compression, len(content)) + payload
        sealed = self._aead.encrypt(_nonce(ordinal), plain, self._associated(role))
        return b"".join((self._prefix(ordinal, len(sealed)), sealed, b"\xff" * (-len(sealed) % ALIGNMENT)))

    def open(self, ordinal: int, frame: bytes | memoryview, role: Role = Role.BODY) -> bytes:
        """The content of a whole frame.

        Raises:
            DamagedError: any bit of it is not as it was written, or it is not the frame of this ordinal, role and object.
        """
        view = memoryview(frame)
        length = self.length_at(ordinal, view[:PREFIX_SIZE])
        if length is None or len(view) != frame_size(length):
            raise damaged(self.name)
        end = PREFIX_SIZE + length
        if bytes(view[end:]) != b"\xff" * (len(view) - end):
            raise damaged(self.name)
        try:
            plain = self._aead.decrypt(_nonce(ordinal), bytes(view[PREFIX_SIZE:end]), self._associated(role))
        except InvalidTag:
            raise damaged(self.name) from None
        return self._unpack(plain)

    def length_at(self, ordinal: int, prefix: bytes | memoryview) -> int | None:
        """The ciphertext length in the 16 bytes of a prefix; ``None`` when its check does not fit."""
        if len(prefix) != PREFIX_SIZE:
            return None
        length = int.from_bytes(prefix[:4], "big")
        if not TAG_SIZE + _PLAIN.size <= length <= FRAME_LIMIT + 1024 or self._prefix(
            ordinal, length
        ) != bytes(prefix):
            return None
        return length

    def _prefix(self, ordinal: int, length: int) -> bytes:
        raw = length.to_bytes(4, "big")
        return raw + self._check_hasher.copy().update(ordinal.to_bytes(8, "big") + raw).digest(12)

    def _associated(self, role: Role) -> bytes:
        return self._raw_header + bytes([role])

    def _unpack(self, plain: bytes) -> bytes:
        compression, length = _PLAIN.unpack_from(plain)
        payload = plain[_PLAIN.size :]
        if length > FRAME_LIMIT:
            raise damaged(self.name)
        if compression == _ZSTD:
            try:
                decompressor = zstd.ZstdDecompressor()
                payload = decompressor.decompress(payload, max_length=length + 1)
            except zstd.ZstdError:
                raise damaged(self.name) from None
            if not decompressor.eof:
                raise damaged(self.name)
        elif compression != _STORED:
            raise damaged(self.name)
        if len(payload) != length:
            raise damaged(self.name)
        return payload


def frame_size(length: int) -> int:
    """The size of a whole frame with ``length`` bytes of ciphertext."""
    return PREFIX_SIZE + length + -length % ALIGNMENT


def _nonce(ordinal: int) -> bytes:
    return ordinal.to_bytes(12, "big")
