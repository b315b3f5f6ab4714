"""A transaction: chunks and records that become durable together, or not at all.

Small ones (up to 4 MiB of new chunks) go into the journal, one frame and one ``fdatasync``. Larger ones spill into
packs: packs → index segment → log segment. What always holds: nothing of a transaction that did not commit is ever
seen by a reader; packs that it had finished are kept and listed later, so that the next attempt finds their chunks.
See ``docs/format.md`` (Write ordering).
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from lastro.chunking.chunker import ChunkerParameters
from lastro.chunking.digest import digest_of
from lastro.domain.ids import ChunkId, Digest
from lastro.errors import LimitError
from lastro.messages import N_
from lastro.store.draft import RecordDraft
from lastro.store.index_rows import Location
from lastro.store.layout import DATA, META
from lastro.store.loader import pack_places
from lastro.store.log import StoredRecord
from lastro.store.pack import PACK_SIZE, Pack, PackBuilder

if TYPE_CHECKING:
    from lastro.store.repository import Repository
    from lastro.store.writer import Writer

SPILL_SIZE: Final = 4 << 20
CHUNK_LIMIT: Final = 8 << 20


class Transaction:
    """Made by ``Repository.begin``, used by one thread. A context manager: leaving it without ``commit`` drops it.

    Transactions may overlap, so that a long capture keeps nobody waiting: each holds its own chunks and packs, and only their commits take
    turns. Two that put the same chunk at the same time both store it; either copy serves.
    """

    def __init__(self, repository: Repository, writer: Writer, turn: threading.Lock) -> None:
        self._repository = repository
        self._writer = writer
        self._turn = turn
        self._open = True
        self._pending: dict[ChunkId, tuple[bytes, bool]] = {}
        self._pending_size = 0
        self._stored = 0
        self._spilled = False
        self._builders: dict[str, PackBuilder] = {}
        self._packs: list[Pack] = []
        self._packed: dict[ChunkId, Location] = {}

    @property
    def boundary_key(self) -> bytes:
        """See ``tree.ChunkWriter``."""
        return self._repository.boundary_key

    @property
    def chunker(self) -> ChunkerParameters:
        """The parameters every file of this repository is cut with."""
        return self._repository.chunker

    @property
    def stored(self) -> int:
        """Bytes of chunks that the repository did not have before, before compression."""
        return self._stored

    def put(self, data: bytes, *, digest: Digest | None = None, metadata: bool = False) -> ChunkId:
        """Keep ``data`` unless the repository has it. ``digest``, if known, must be its plain BLAKE3. ``metadata``: a tree, not content.

        Raises:
            LimitError: ``data`` is larger than 8 MiB.
            StorageFullError: no room for a pack.
        """
        if len(data) > CHUNK_LIMIT:
            raise LimitError(
                N_("A chunk of {size} bytes is larger than {limit}."), size=len(data), limit=CHUNK_LIMIT
            )
        chunk = self.chunk_id(digest_of(data) if digest is None else digest)
        if self.has(chunk):
            return chunk
        self._stored += len(data)
        if self._spilled:
            self._pack(chunk, data, metadata=metadata)
        else:
            self._pending[chunk] = (data, metadata)
            self._pending_size += len(data)
            if self._pending_size > SPILL_SIZE:
                self._spill()
        return chunk

    def has(self, chunk: ChunkId) -> bool:
        """Whether the repository or this transaction holds the chunk."""
        return (
            chunk in self._pending
            or chunk in self._packed
            or self._in_builder(chunk)
            or self._repository.has(chunk)
        )

    def chunk(self, chunk: ChunkId) -> bytes:
        """As ``Repository.chunk``; sees what this transaction has put."""
        if chunk in self._pending:
            return self._pending[chunk][0]
        for builder in self._builders.values():
            data = builder.chunk(chunk)
            if data is not None:
                return data
        if chunk in self._packed:
            return self._repository.chunk_at(chunk, self._packed[chunk])
        return self._repository.chunk(chunk)

    def chunk_id(self, digest: Digest) -> ChunkId:
        """As ``Repository.chunk_id``."""
        return self._repository.chunk_id(digest)

    def commit(self, *drafts: RecordDraft) -> list[StoredRecord]:
        """Make everything durable and append ``drafts`` to the log. When it returns, it is acknowledged. Ends the transaction.

        Raises:
            StorageFullError: no room. Nothing was committed.
            LastroError: the disk failed. Whether it was committed shows when the repository is read again.
        """
        try:
            if self._spilled:
                for folder in (DATA, META):
                    self._finish_pack(folder)
            with self._turn:
                self._writer.prepare()
                if self._spilled:
                    packs, self._packs = self._packs, []
                    return self._writer.commit_packs(packs, drafts)
                return self._writer.commit_journal(
                    [(chunk, data) for chunk, (data, _) in self._pending.items()], drafts
                )
        finally:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._pending.clear()
            self._builders.clear()
            with self._turn:
                self._writer.leave_unlisted(self._packs)

    def _in_builder(self, chunk: ChunkId) -> bool:
        return any(chunk in builder for builder in self._builders.values())

    def _spill(self) -> None:
        self._spilled = True
        pending, self._pending = self._pending, {}
        for chunk, (data, metadata) in pending.items():
            self._pack(chunk, data, metadata=metadata)

    def _pack(self, chunk: ChunkId, data: bytes, *, metadata: bool) -> None:
        folder = META if metadata else DATA
        if folder not in self._builders:
            self._builders[folder] = self._writer.new_pack(folder)
        self._builders[folder].add(chunk, data)
        if self._builders[folder].size >= PACK_SIZE:
            self._finish_pack(folder)

    def _finish_pack(self, folder: str) -> None:
        builder = self._builders.pop(folder, None)
        if builder is not None:
            pack = self._writer.put_pack(*builder.finish())
            self._packs.append(pack)
            self._packed.update(pack_places(pack))
