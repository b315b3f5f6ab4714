"""Names of bytes: plain BLAKE3-256 digests, which nodes and the wire know, and keyed chunk ids, which only the repository knows.

What always holds: ``chunk_id`` depends on the digest alone, so no table between the two names is ever needed
(``docs/format.md``, Chunk ids).
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3
from typing_extensions import Buffer

from lastro.domain.ids import ChunkId, Digest

_ZEROS: Final = bytes(1 << 20)


def digest_of(data: Buffer) -> Digest:
    """The plain BLAKE3-256 of ``data``, 32 bytes."""
    return Digest(blake3(data).digest())


def chunk_id(key: bytes, digest: Digest) -> ChunkId:
    """``BLAKE3_keyed(key, digest)``: the repository's name for the chunk whose plain digest is ``digest``. ``key`` has 32 bytes."""
    return ChunkId(blake3(digest, key=key).digest())


class ContentHasher:
    """The digest of a file's logical content, fed in order. Holes count as the zeros that they read as."""

    def __init__(self) -> None:
        self._hasher = blake3()

    def update(self, data: Buffer) -> None:
        """Take the next bytes."""
        self._hasher.update(data)

    def skip(self, length: int) -> None:
        """Take ``length`` zero bytes: a hole."""
        while length > 0:
            step = min(length, len(_ZEROS))
            self._hasher.update(memoryview(_ZEROS)[:step])
            length -= step

    def digest(self) -> Digest:
        """The digest of everything taken so far."""
        return Digest(self._hasher.digest())
