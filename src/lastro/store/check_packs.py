"""Compares the packs with their names and with the index.

What always holds: without ``read_data`` a pack is there, has its size, and its directory agrees with the index; with it,
every byte is hashed against the pack's name, every frame opened and every chunk compared with its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lastro.chunking.digest import chunk_id, digest_of
from lastro.domain.ids import ChunkId
from lastro.domain.progress import Progress, Report
from lastro.errors import DamagedError, NotFoundError
from lastro.store.backends.base import Backend
from lastro.store.crypto import HEADER_SIZE, ObjectCipher, decode_header
from lastro.store.findings import Finding, finding
from lastro.store.index import Index
from lastro.store.index_rows import Location
from lastro.store.keys import Keyring
from lastro.store.layout import DATA, JOURNAL, META, pack_name
from lastro.store.loader import add_pack, pack_places
from lastro.store.pack import Pack, read_pack, read_pack_cipher


class PackInspector:
    """Goes through all packs. ``bad`` collects the chunks that cannot be read, with the object that should hold them."""

    def __init__(self, backend: Backend, keyring: Keyring, index: Index, report: Report) -> None:
        self._backend = backend
        self._keyring = keyring
        self._index = index
        self._report = report
        self.bad: dict[ChunkId, str] = {}

    def inspect(self, *, read_data: bool) -> Iterator[Finding]:
        """What is wrong with packs, and with ``read_data`` the chunks in the journal."""
        present = [name for folder in (DATA, META) for name in self._backend.names(folder)]
        listed = {**self._index.objects(DATA), **self._index.objects(META)}
        total = len(listed)
        read = 0
        for number, (name, item) in enumerate(sorted(listed.items())):
            self._report(Progress(phase="packs", files=number, total_files=total, bytes=read))
            if name not in present:
                self._mark(name)
                yield finding("pack_missing", name)
                continue
            yield from self._inspect_pack(name, item.size, read_data=read_data)
            read += item.size if read_data else 0
        for name in sorted(set(present) - listed.keys()):
            yield from self._inspect_unlisted(name, read_data=read_data)
        if read_data:
            for name in self._index.objects(JOURNAL):
                self._inspect_journal(name)

    def _inspect_pack(self, name: str, size: int, *, read_data: bool) -> Iterator[Finding]:
        sound = True
        pack: Pack | None = None
        try:
            sound = self._backend.size(name) == size
            pack = read_pack(self._backend, self._keyring, name)
        except (DamagedError, NotFoundError):
            sound = False
        if pack is not None and not self._agrees(pack):
            yield finding("index_wrong", name)
        if read_data:
            sound = self._read_whole(name, pack) and sound
        if not sound:
            yield finding(
                "pack_damaged", name, chunks=tuple(c for c, place in self.bad.items() if place == name)
            )

    def _inspect_unlisted(self, name: str, *, read_data: bool) -> Iterator[Finding]:
        try:
            pack = read_pack(self._backend, self._keyring, name)
        except (DamagedError, NotFoundError):
            yield finding("pack_damaged", name)
            return
        yield finding("pack_unlisted", name)
        with self._index.change():
            add_pack(self._index, pack)
        if read_data and not self._read_whole(name, pack):
            yield finding("pack_damaged", name)

    def _agrees(self, pack: Pack) -> bool:
        """Whether everything that the index places in the pack is in its directory, and the directory's chunks are known."""
        listed = dict(pack_places(pack))
        indexed = self._index.chunks_in(pack.name)
        return indexed.items() <= listed.items() and all(self._index.has(chunk) for chunk in listed)

    def _read_whole(self, name: str, pack: Pack | None) -> bool:
        """Read every byte; whether all is as it was written. Marks the chunks that are not."""
        try:
            raw = self._backend.read(name)
            cipher = read_pack_cipher(self._backend, self._keyring, name)
        except (DamagedError, NotFoundError):
            self._mark(name)
            return False
        sound = pack_name(name.partition("/")[0], hashlib.sha256(raw).digest()) == name
        places = self._index.chunks_in(name) if pack is None else dict(pack_places(pack))
        return not self._bad_chunks(name, raw, cipher, places) and sound

    def _inspect_journal(self, name: str) -> None:
        """Compare the chunks of a journal segment with their ids; its frames were opened when it was loaded."""
        places = self._index.chunks_in(name)
        if places:
            try:
                raw = self._backend.read(name)
                cipher = self._keyring.cipher(decode_header(raw[:HEADER_SIZE], name), name)
            except (DamagedError, NotFoundError):
                self._mark(name)
            else:
                self._bad_chunks(name, raw, cipher, places)

    def _bad_chunks(
        self, name: str, raw: bytes, cipher: ObjectCipher, places: dict[ChunkId, Location]
    ) -> set[ChunkId]:
        """The chunks among ``places`` that are not what was written; marked too."""
        bad: set[ChunkId] = set()
        frames: dict[int, list[tuple[ChunkId, Location]]] = {}
        for chunk, at in places.items():
            frames.setdefault(at.offset, []).append((chunk, at))
        for chunks in frames.values():
            at = chunks[0][1]
            try:
                content = cipher.open(at.ordinal, raw[at.offset : at.offset + at.size])
            except DamagedError:
                bad |= {chunk for chunk, _ in chunks}
                continue
            bad |= {
                chunk
                for chunk, at in chunks
                if self._id_of(content[at.start : at.start + at.length]) != chunk
            }
        self.bad.update((chunk, name) for chunk in bad if self._is_placed(chunk, name))
        return bad

    def _is_placed(self, chunk: ChunkId, name: str) -> bool:
        """Whether readers look for the chunk in this object; another may hold it too."""
        location = self._index.locate(chunk)
        return location is not None and location.object == name

    def _id_of(self, data: bytes) -> ChunkId:
        return chunk_id(self._keyring.chunk_id_key, digest_of(data))

    def _mark(self, name: str) -> None:
        """Nothing in the object can be read."""
        self.bad.update(dict.fromkeys(self._index.chunks_in(name), name))
