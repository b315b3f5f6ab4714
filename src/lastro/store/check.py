"""Is the repository sound? Every claim it makes about itself, tried against the objects, never against the cache.

What always holds: damage never stops a check; it is named, with the chunks, paths and snapshots that it takes with it
(``docs/format.md``, Check).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastro.domain.clock import Clock
from lastro.domain.ids import ChunkId, Digest, RecordId
from lastro.domain.paths import from_bytes, join
from lastro.domain.progress import Progress, Report, silent
from lastro.domain.record import ExchangeBody, KeyBody, Record, RecordKind, RepositoryBody, decode_body
from lastro.domain.snapshot import SnapshotBody
from lastro.errors import (
    DamagedError,
    FormatError,
    LastroError,
    NoRepositoryError,
    NotFoundError,
    WrongKeyError,
)
from lastro.store.backends.base import Backend
from lastro.store.check_packs import PackInspector
from lastro.store.check_trees import TreeInspector
from lastro.store.chunks import ChunkSource
from lastro.store.findings import AffectedPath, Finding, Severity, finding
from lastro.store.index import Index
from lastro.store.index_rows import KnownDamage
from lastro.store.keys import Keyring
from lastro.store.layout import (
    FORMAT,
    INDEX,
    JOURNAL,
    KEYS,
    LOG,
    SIGNING_KEY,
    decode_checked,
    decode_format,
    index_name,
    journal_position,
    log_name,
    slot_name,
)
from lastro.store.loader import Loader
from lastro.store.log import StoredRecord, read_stored
from lastro.store.recovery import Secret
from lastro.store.repository import Repository
from lastro.store.tree_entry import TreeEntry, decode_tree_entry

__all__ = ["AffectedPath", "Finding", "Severity", "check", "check_backend"]


def check(
    repository: Repository,
    *,
    read_data: bool = False,
    report: Report = silent,
    witness: tuple[int, RecordId] | None = None,
) -> Iterator[Finding]:
    """What is wrong with an open repository; nothing at all when it is sound. A running writer does not disturb it.

    ``read_data`` also reads every pack whole. ``witness`` is a head (``Repository.head``) that was exported before: the log must still
    hold it.
    """
    index = Index(None, repository=repository.id, key=repository.keyring.cache_key)
    try:
        yield from _check_format(repository.backend)
        yield from _check_keys(repository.backend)
        Loader(repository.backend, repository.keyring).load(index)
        yield from (_from_loading(item) for item in index.damage())
        yield from _check_names(repository.backend)
        yield from _check_log(index, repository.keyring, witness)
        yield from _check_slots(index, repository.backend)
        inspector = PackInspector(repository.backend, repository.keyring, index, report)
        yield from inspector.inspect(read_data=read_data)
        yield from _check_trees(repository, index, inspector.bad, report)
    finally:
        index.close()


def check_backend(
    backend: Backend, secret: Secret, *, clock: Clock, read_data: bool = False, report: Report = silent
) -> Iterator[Finding]:
    """The same for a repository that may be too damaged to open: what keeps it from opening is a finding too."""
    try:
        repository = Repository.open(backend, secret, clock=clock)
    except NoRepositoryError:
        yield finding("format_missing", FORMAT)
    except FormatError:
        yield finding("format_unknown", FORMAT)
    except WrongKeyError:
        yield finding("key_wrong")
    except DamagedError:
        yield from _check_format(backend)
        yield from _check_keys(backend)
    else:
        with repository:
            yield from check(repository, read_data=read_data, report=report)


def _check_format(backend: Backend) -> Iterator[Finding]:
    try:
        decode_format(backend.read(FORMAT), writable=False)
    except NotFoundError:
        yield finding("format_missing", FORMAT)
    except LastroError:
        yield finding("format_damaged", FORMAT)


def _check_keys(backend: Backend) -> Iterator[Finding]:
    sound = 0
    names = list(backend.names(KEYS))
    for name in names:
        try:
            fields = decode_checked(backend.read(name), name)
            sound += fields.get("kind") != "signing"
        except (DamagedError, NotFoundError):
            yield finding("signing_key_damaged" if name == SIGNING_KEY else "key_damaged", name)
    if SIGNING_KEY not in names:
        yield finding("signing_key_damaged", SIGNING_KEY)
    if not sound:
        yield finding("key_missing")


def _from_loading(item: KnownDamage) -> Finding:
    if item.code.startswith("record_"):
        return finding(item.code, item.object, seq=item.offset)
    return finding(f"object_{item.code}", item.object, offset=item.offset)


def _check_names(backend: Backend) -> Iterator[Finding]:
    """Every object must have a name that its folder can hold."""
    for folder, is_ours in ((JOURNAL, _is_journal), (LOG, _is_log), (INDEX, _is_index)):
        yield from (finding("object_foreign", name) for name in backend.names(folder) if not is_ours(name))


def _is_journal(name: str) -> bool:
    return journal_position(name) is not None


def _is_log(name: str) -> bool:
    try:
        return log_name(int(name.rpartition("/")[2], 16)) == name
    except ValueError:
        return False


def _is_index(name: str) -> bool:
    try:
        return index_name(bytes.fromhex(name.rpartition("/")[2])) == name and len(name) == len(INDEX) + 65
    except ValueError:
        return False


def _records(index: Index) -> Iterator[StoredRecord]:
    after = -1
    while batch := index.records(after, 256):
        yield from (read_stored(item.raw, item.signature) for item in batch)
        after = batch[-1].seq


def _check_log(index: Index, keyring: Keyring, witness: tuple[int, RecordId] | None) -> Iterator[Finding]:
    first = next(_records(index), None)
    if first is None:
        yield finding("record_missing", LOG, seq=0)
    elif first.seq == 0:
        try:
            birth = decode_body(first.record, RepositoryBody)
            ours = (birth.repository, birth.public_key) == (keyring.repository, keyring.public_key)
        except msgspec.DecodeError:
            ours = False
        if not ours or first.record.kind != RecordKind.REPOSITORY:
            yield finding("record_foreign", LOG)
    if witness is not None:
        found = index.record(witness[0])
        if found is None or read_stored(found.raw, found.signature).id != witness[1]:
            yield finding("witness_contradicted", LOG, seq=witness[0])


def _check_slots(index: Index, backend: Backend) -> Iterator[Finding]:
    """Every key slot that the log says was added, and not removed, must be there."""
    expected: set[str] = set()
    for record in _records(index):
        if record.record.kind == RecordKind.KEY:
            try:
                body = decode_body(record.record, KeyBody)
            except msgspec.DecodeError:
                continue  # a record that proves nothing was found already
            if body.change == "added":
                expected.add(slot_name(body.slot))
            else:
                expected.discard(slot_name(body.slot))
    yield from (finding("object_missing", name) for name in sorted(expected - set(backend.names(KEYS))))


class _Reader:
    """Chunks by the checker's own index."""

    def __init__(self, repository: Repository, index: Index) -> None:
        self._repository = repository
        self._index = index
        self._source = ChunkSource(repository.backend, repository.keyring)

    def chunk(self, chunk: ChunkId, /) -> bytes:
        location = self._index.locate(chunk)
        if location is None:
            raise NotFoundError("{chunk}", chunk=chunk.hex())
        return self._source.read(chunk, location)

    def chunk_id(self, digest: Digest, /) -> ChunkId:
        return self._repository.chunk_id(digest)


def _roots(record: Record) -> list[TreeEntry]:
    """What a record needs: the root of its snapshot, or the bodies of its exchange, whose names are then paths."""
    if record.kind == RecordKind.EXCHANGE:
        return [decode_tree_entry(raw) for raw in decode_body(record, ExchangeBody).bodies]
    return [decode_tree_entry(decode_body(record, SnapshotBody).root)]


def _check_trees(
    repository: Repository, index: Index, bad: dict[ChunkId, str], report: Report
) -> Iterator[Finding]:
    """Walk every snapshot; then say of every object what its bad chunks take with them."""
    inspector = TreeInspector(
        _Reader(repository, index), lambda chunk: chunk not in bad and index.locate(chunk) is not None
    )
    affected: dict[ChunkId, set[AffectedPath]] = {chunk: set() for chunk in bad}
    for record in _records(index):
        if record.record.kind not in {RecordKind.SNAPSHOT, RecordKind.EXCHANGE}:
            continue
        report(Progress(phase="trees", files=inspector.directories))
        try:
            roots = _roots(record.record)
        except (DamagedError, msgspec.DecodeError):
            yield finding("root_damaged", LOG, seq=record.seq)
            continue
        for root in roots:
            for path, chunk in inspector.troubles(root):
                affected.setdefault(chunk, set()).add(
                    AffectedPath(record.seq, join(from_bytes(root.name), path))
                )
    by_object: dict[str, list[ChunkId]] = {}
    for chunk in sorted(affected):
        location = index.locate(chunk)
        by_object.setdefault("" if location is None else location.object, []).append(chunk)
    for name, chunks in sorted(by_object.items()):
        paths = tuple(sorted(set().union(*(affected[chunk] for chunk in chunks))))
        yield finding(
            "chunk_damaged" if name else "chunk_missing", name, chunks=tuple(chunks), affected=paths
        )
