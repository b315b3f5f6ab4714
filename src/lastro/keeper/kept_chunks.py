"""``KeptChunks``: a reader that keeps what it read last, for work that looks up many paths of one tree."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from lastro.domain.ids import ChunkId, Digest
from lastro.store.tree import ChunkReader

_MOST: Final = 256
"""Chunks: the nodes of a tree of tens of thousands of entries, some megabytes."""


class KeptChunks:
    """A ``ChunkReader`` over another. A chunk never changes, so what was read and verified once stands. For one thread."""

    def __init__(self, reader: ChunkReader, most: int = _MOST) -> None:
        self._reader = reader
        self._read = lru_cache(maxsize=most)(reader.chunk)

    def chunk(self, chunk: ChunkId, /) -> bytes:
        """See ``ChunkReader``."""
        return self._read(chunk)

    def chunk_id(self, digest: Digest, /) -> ChunkId:
        """See ``ChunkReader``."""
        return self._reader.chunk_id(digest)
