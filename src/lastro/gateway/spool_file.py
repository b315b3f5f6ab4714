"""One spool file as bytes: a header, then encrypted frames; sans-I/O (``docs/format.md``, Spool of the gateway).

    header   "LASTRO-S" | salt (32)                                                        40 bytes, and 8 zero bytes
    frame    length u32 | check (12) | ciphertext and tag (length) | 0xFF up to a multiple of 16

What always holds: each file has a key of its own, and a frame's nonce is its place in the file, where nothing is ever written twice; every
bit of a frame is checked when it is read; a frame that was cut off at the end of a file is told apart from one that was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from lastro.store.crypto import derive

HEADER_SIZE: Final = 48
_MAGIC: Final = b"LASTRO-S"
_SALT: Final = 32
_PREFIX: Final = 16
_TAG: Final = 16
_ALIGNMENT: Final = 16
FRAME_LIMIT: Final = 64 << 20


class SpoolContent(Struct, frozen=True, kw_only=True):
    """What a spool file holds. ``torn``: its last frame was being written when the writer died; that is normal.

    ``damaged``: where in the file something lies that is not what was written; what follows it was read all the same.
    """

    frames: tuple[bytes, ...]
    torn: bool = False
    damaged: tuple[int, ...] = ()


class SpoolCipher:
    """Seals and opens the frames of the file with this ``salt``. ``key``: 32 bytes, of all spool files."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self.header = _MAGIC + salt + bytes(HEADER_SIZE - len(_MAGIC) - _SALT)
        self._aead = AESGCM(derive(key, salt, b"lastro-spool-0"))
        self._hasher = blake3(self.header)

    def seal(self, offset: int, content: bytes) -> bytes:
        """The frame with ``content`` that begins at ``offset`` of the file. Never twice for one offset."""
        sealed = self._aead.encrypt(offset.to_bytes(12, "big"), content, self.header)
        return b"".join((self._prefix(offset, len(sealed)), sealed, b"\xff" * (-len(sealed) % _ALIGNMENT)))

    def open(self, offset: int, frame: memoryview) -> bytes | None:
        """The content of the whole frame at ``offset``; ``None`` if any bit of it is not as it was written."""
        length = self.length_at(offset, frame[:_PREFIX])
        if length is None or len(frame) != frame_size(length):
            return None
        end = _PREFIX + length
        if bytes(frame[end:]) != b"\xff" * (len(frame) - end):
            return None
        try:
            return self._aead.decrypt(offset.to_bytes(12, "big"), bytes(frame[_PREFIX:end]), self.header)
        except InvalidTag:
            return None

    def length_at(self, offset: int, prefix: memoryview) -> int | None:
        """The ciphertext length that the 16 bytes of a prefix state; ``None`` when they are no prefix for this place."""
        length = int.from_bytes(prefix[:4], "big")
        if not _TAG <= length <= FRAME_LIMIT + 4096 or self._prefix(offset, length) != bytes(prefix):
            return None
        return length

    def _prefix(self, offset: int, length: int) -> bytes:
        raw = length.to_bytes(4, "big")
        return raw + self._hasher.copy().update(offset.to_bytes(8, "big") + raw).digest(12)


def frame_size(length: int) -> int:
    """Bytes of a whole frame with a ciphertext of ``length``."""
    return _PREFIX + length + -length % _ALIGNMENT


class SpoolReader:
    """The frames of a spool file that can be read, in order, one at a time; what could not be read is known when all were taken.

    Never raises, whatever the bytes are, but what reading ``file`` raises. Takes ``file`` from its beginning; no more than a frame of it is
    held at once, unless something in it is damaged.
    """

    def __init__(self, key: bytes, file: BinaryIO) -> None:
        self._key = key
        self._file = file
        self.torn = False
        self.damaged: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        header = self._file.read(HEADER_SIZE)
        cipher = self._cipher(header)
        if cipher is None:
            return
        position = HEADER_SIZE
        while prefix := self._file.read(_PREFIX):
            length = cipher.length_at(position, memoryview(prefix))
            content = None
            if length is not None:
                frame = prefix + self._file.read(frame_size(length) - _PREFIX)
                content = cipher.open(position, memoryview(frame))
            if length is None or content is None:
                yield from self._search(cipher, position)
                return
            yield content
            position += frame_size(length)

    def _cipher(self, header: bytes) -> SpoolCipher | None:
        if len(header) < HEADER_SIZE:
            self.torn = bool(header)
            return None
        if header[: len(_MAGIC)] == _MAGIC and not any(header[len(_MAGIC) + _SALT :]):
            return SpoolCipher(self._key, header[len(_MAGIC) : len(_MAGIC) + _SALT])
        # A power cut may leave a new file's first block as zeros; nothing in it was promised to survive that.
        if any(header) or any(self._file.read()):
            self.damaged.append(0)
        else:
            self.torn = True
        return None

    def _search(self, cipher: SpoolCipher, position: int) -> Iterator[bytes]:
        """The frames from ``position`` on, where none can be read."""
        self._file.seek(0)
        view = memoryview(self._file.read())
        while position < len(view):
            length = cipher.length_at(position, view[position : position + _PREFIX])
            content = None
            if length is not None:
                content = cipher.open(position, view[position : position + frame_size(length)])
            if length is not None and content is not None:
                yield content
                position += frame_size(length)
                continue
            following = _next_frame(cipher, view, position + _ALIGNMENT)
            if following is None:
                self.torn = _is_torn(view, position, length)
                if not self.torn:
                    self.damaged.append(position)
                return
            self.damaged.append(position)
            position = following


def read_spool(key: bytes, raw: bytes) -> SpoolContent:
    """Every frame of a spool file that can be read, in order, and what could not. Never raises, whatever the bytes are."""
    reader = SpoolReader(key, BytesIO(raw))
    frames = tuple(reader)
    return SpoolContent(frames=frames, torn=reader.torn, damaged=tuple(reader.damaged))


def _is_torn(view: memoryview, position: int, length: int | None) -> bool:
    """Whether what cannot be read at the end of a file is an append that was cut off: too short, or not yet on the disk (zeros)."""
    if len(view) - position < _PREFIX or (length is not None and position + frame_size(length) > len(view)):
        return True
    return not any(view[position:])


def _next_frame(cipher: SpoolCipher, view: memoryview, start: int) -> int | None:
    """Where, from ``start`` on, the next sound prefix stands; frames begin at multiples of 16 bytes."""
    start += -start % _ALIGNMENT
    for position in range(start, len(view) - _PREFIX + 1, _ALIGNMENT):
        if cipher.length_at(position, view[position : position + _PREFIX]) is not None:
            return position
    return None
