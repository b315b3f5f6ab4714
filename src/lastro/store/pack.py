"""Packs: tens of megabytes of chunks, grouped into frames of about a megabyte, with a directory at the end.

    header | frame 0 | frame 1 | ... | directory frame | directory offset u64 | directory ordinal u32 | "PEND"

What always holds: a pack is written once and named by the SHA-256 of its bytes, so anybody can check a copy without a key; the directory is
encrypted, because sizes of chunks betray what they are. See ``docs/format.md`` (Pack).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.ids import ChunkId
from lastro.errors import DamagedError
from lastro.messages import N_
from lastro.store.backends.base import Backend
from lastro.store.crypto import (
    HEADER_SIZE,
    Aead,
    Header,
    ObjectCipher,
    ObjectKind,
    Role,
    damaged,
    decode_header,
)
from lastro.store.keys import Keyring
from lastro.store.layout import DATA, META, pack_name

GROUP_SIZE: Final = 1 << 20
PACK_SIZE: Final = 16 << 20
_TRAILER: Final = struct.Struct(">QI4s")
_END: Final = b"PEND"
KIND_BY_FOLDER: Final = {DATA: ObjectKind.DATA_PACK, META: ObjectKind.META_PACK}


class PackFrame(Struct, frozen=True, array_like=True):
    """A frame of a pack: its offset and size in the pack, and its chunks in order, each ``(id, length)``."""

    offset: int
    size: int
    chunks: list[tuple[ChunkId, int]]


class Pack(Struct, frozen=True, array_like=True):
    """A pack as an index segment lists it. ``digest`` is the SHA-256 of its bytes, ``size`` their number."""

    folder: str
    digest: bytes
    size: int
    frames: list[PackFrame]

    @property
    def name(self) -> str:
        """The object's name."""
        return pack_name(self.folder, self.digest)


class PackBuilder:
    """Collects chunks into one pack, in memory."""

    def __init__(self, folder: str, keyring: Keyring, aead: Aead, entropy: Callable[[int], bytes]) -> None:
        header = Header(kind=KIND_BY_FOLDER[folder], aead=aead, epoch=keyring.epoch, salt=entropy(32))
        self._folder = folder
        self._cipher = keyring.cipher(header, folder)
        self._parts = [header.encode()]
        self._frames: list[PackFrame] = []
        self._group: dict[ChunkId, bytes] = {}
        self._group_size = 0
        self._place: dict[ChunkId, tuple[int, int]] = {}
        self.size = HEADER_SIZE

    def __contains__(self, chunk: ChunkId) -> bool:
        return chunk in self._place

    def add(self, chunk: ChunkId, data: bytes) -> None:
        """Take a chunk that is not in this pack yet."""
        self._place[chunk] = (len(self._frames), self._group_size)
        self._group[chunk] = data
        self._group_size += len(data)
        if self._group_size >= GROUP_SIZE:
            self._seal_group()

    def chunk(self, chunk: ChunkId) -> bytes | None:
        """A chunk added before; ``None`` for any other."""
        if chunk in self._group:
            return self._group[chunk]
        place = self._place.get(chunk)
        if place is None:
            return None
        ordinal, start = place
        content = self._cipher.open(ordinal, self._parts[1 + ordinal])
        length = dict(self._frames[ordinal].chunks)[chunk]
        return content[start : start + length]

    def finish(self) -> tuple[Pack, list[bytes]]:
        """The pack, and its bytes in parts. The builder is spent."""
        if self._group:
            self._seal_group()
        ordinal, offset = len(self._frames), self.size
        self._append(self._cipher.seal(ordinal, msgspec.msgpack.encode(self._frames), Role.DIRECTORY))
        self._append(_TRAILER.pack(offset, ordinal, _END))
        hasher = hashlib.sha256()
        for part in self._parts:
            hasher.update(part)
        return Pack(self._folder, hasher.digest(), self.size, self._frames), self._parts

    def _seal_group(self) -> None:
        frame = self._cipher.seal(len(self._frames), b"".join(self._group.values()))
        chunks = [(chunk, len(data)) for chunk, data in self._group.items()]
        self._frames.append(PackFrame(self.size, len(frame), chunks))
        self._append(frame)
        self._group, self._group_size = {}, 0

    def _append(self, part: bytes) -> None:
        self._parts.append(part)
        self.size += len(part)


def read_pack_cipher(backend: Backend, keyring: Keyring, name: str) -> ObjectCipher:
    """The cipher of the pack ``name``, from its header.

    Raises:
        DamagedError: the header is not that of such a pack.
        NotFoundError: there is no such pack.
    """
    header = decode_header(backend.read(name, 0, HEADER_SIZE), name)
    if header.kind is not KIND_BY_FOLDER.get(name.partition("/")[0]):
        raise damaged(name)
    return keyring.cipher(header, name)


def read_pack(backend: Backend, keyring: Keyring, name: str) -> Pack:
    """What the directory of the pack ``name`` says. Its name is not checked against its bytes here.

    Raises:
        DamagedError: header, trailer or directory is damaged.
        NotFoundError: there is no such pack.
    """
    cipher = read_pack_cipher(backend, keyring, name)
    size = backend.size(name)
    end = size - _TRAILER.size
    if end < HEADER_SIZE:
        raise damaged(name)
    offset, ordinal, mark = _TRAILER.unpack(_exactly(backend, name, end, _TRAILER.size))
    if mark != _END or not HEADER_SIZE <= offset < end:
        raise damaged(name)
    raw = cipher.open(ordinal, _exactly(backend, name, offset, end - offset), Role.DIRECTORY)
    try:
        frames = msgspec.msgpack.decode(raw, type=list[PackFrame])
    except msgspec.DecodeError:
        raise damaged(name) from None
    if len(frames) != ordinal:
        raise damaged(name)
    folder = name.partition("/")[0]
    return Pack(folder, _digest_in(folder, name), size, frames)


def _exactly(backend: Backend, name: str, offset: int, length: int) -> bytes:
    raw = backend.read(name, offset, length)
    if len(raw) != length:
        raise damaged(name)
    return raw


def _digest_in(folder: str, name: str) -> bytes:
    try:
        digest = bytes.fromhex(name.rpartition("/")[2])
    except ValueError:
        digest = b""
    if pack_name(folder, digest) != name:
        raise DamagedError(N_("{object} is not the name of a pack."), object=name)
    return digest
