"""The format is a promise: the golden repository reads as it always did, and the same input still makes the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lastro.domain.entry import Device, EntryType, Extent, Xattr
from lastro.domain.paths import from_bytes
from lastro.domain.record import RecordKind, decode_body, encode_body
from lastro.domain.snapshot import SnapshotBody
from lastro.store.backends.local import LocalBackend
from lastro.store.backends.memory import MemoryBackend
from lastro.store.check import check
from lastro.store.content import read_content
from lastro.store.crypto import HEADER_SIZE, ObjectCipher, decode_header
from lastro.store.recovery import KeyFile, RecoveryKey
from lastro.store.repository import Repository
from lastro.store.tree import decode_tree_entry, lookup, walk
from tests.store_kit import Kit, StillClock
from tests.unit.store import golden, run_records
from tests.unit.store.golden import FIRST, HOLE, SECOND, THIRD
from tests.unit.store.independent_reader import Reader, secret_of_key_file, secret_of_recovery_key

PLACE = golden.GOLDEN / "0-dev"
MANY = {f"many/{number:03}": b"%d" % number for number in range(150)}
SPARSE = {"sparse": bytes(HOLE - 3) + b"end"}
CONTENTS = [
    FIRST,
    FIRST | SECOND | MANY | SPARSE,
    {path: data for path, data in (FIRST | SECOND | MANY | SPARSE | THIRD).items() if path != "text"},
]
"""What the files of each snapshot hold."""


@pytest.fixture(params=["key file", "recovery key"])
def repository(request):
    backend = MemoryBackend()
    for path in (PLACE / "repository").rglob("*"):
        if path.is_file():
            backend.objects[str(path.relative_to(PLACE / "repository"))] = path.read_bytes()
    secret = {
        "key file": KeyFile((PLACE / "key-file").read_bytes()),
        "recovery key": RecoveryKey((PLACE / "recovery-key").read_text()),
    }
    with Repository.open(backend, secret[request.param], clock=StillClock()) as opened:
        yield opened


def roots(repository):
    snapshots = [record.record for record in repository.records() if record.record.kind == "snapshot"]
    return [decode_tree_entry(decode_body(record, SnapshotBody).root) for record in snapshots]


def logical(repository, entry):
    data = bytearray(entry.size)
    for offset, block in read_content(repository, entry):
        data[offset : offset + len(block)] = block
    return bytes(data)


def test_the_golden_repository_reads_as_it_always_did(repository):
    assert list(check(repository, read_data=True)) == []
    for root, contents in zip(roots(repository), CONTENTS, strict=True):
        found = {
            path: logical(repository, entry)
            for path, entry in walk(repository, root)
            if entry.type is EntryType.FILE and entry.digest is not None
        }
        assert found == contents


def test_every_field_of_the_golden_entries_is_there(repository):
    first, second, third = roots(repository)
    entry = lookup(repository, second, "a")
    assert (entry.mode, entry.uid, entry.user, entry.flags) == (0o640, 1000, b"ana", 0x10)
    assert (entry.mtime_ns, entry.ctime_ns) == (1_700_000_000_123_456_789, 1_700_000_001_000_000_000)
    assert entry.btime_ns == 1_600_000_000_000_000_000
    assert (
        entry.xattrs
        == ((b"user.note", b"\0\xff"),)
        == tuple((x.name.encode(), x.value) for x in [Xattr("user.note", b"\0\xff")])
    )
    assert lookup(repository, second, "twin").link_target == b"a"
    assert lookup(repository, second, "null").rdev == Device(1, 3)
    assert lookup(repository, second, "sparse").holes == (Extent(0, HOLE - 3),)
    assert len(lookup(repository, second, "noise").content.items) > 1
    assert lookup(repository, second, "unread").digest is None
    assert lookup(repository, first, "text").torn
    assert lookup(repository, third, "text") is None
    assert {entry.type for _, entry in walk(repository, second)} == set(EntryType) - {
        EntryType.SOCKET,
        EntryType.BLOCK_DEVICE,
    }


def test_the_records_are_those_that_were_written(repository):
    expected = json.loads((PLACE / "records.json").read_text())
    assert [[record.raw.hex(), record.signature.hex()] for record in repository.records()] == expected[
        "records"
    ]
    assert repository.chunker.seed == expected["chunker_seed"]


def test_the_same_input_makes_the_same_bytes():
    made = golden.make()
    objects = golden.stored(made)
    stored = {
        str(path.relative_to(PLACE / "repository")): path.read_bytes()
        for path in (PLACE / "repository").rglob("*")
        if path.is_file()
    }
    assert objects.keys() == stored.keys()
    assert [name for name in stored if objects[name] != stored[name]] == []
    assert made.secret.content == (PLACE / "key-file").read_bytes()
    assert made.recovery_key + "\n" == (PLACE / "recovery-key").read_text()


def test_a_compressed_frame_opens_as_it_always_did():
    raw = (PLACE / "compressed-frame").read_bytes()
    cipher = ObjectCipher(bytes(32), decode_header(raw[:HEADER_SIZE], "golden"))
    assert cipher.open(7, raw[HEADER_SIZE:]) == b"compressible " * 400


# the page alone


@pytest.mark.parametrize("kind", ["key_file", "recovery"])
def test_a_reader_written_from_the_page_gets_everything_back(kind):
    secret = {
        "key_file": lambda: secret_of_key_file((PLACE / "key-file").read_text()),
        "recovery": lambda: secret_of_recovery_key((PLACE / "recovery-key").read_text()),
    }[kind]()
    reader = Reader(PLACE / "repository", secret, kind)
    for root, contents in zip(reader.snapshots(), CONTENTS, strict=True):
        found = {
            from_bytes(path): reader.content(entry)
            for path, entry in reader.tree(root).items()
            if entry.get("type", "file") == "file"
        }
        assert {path: data for path, data in found.items() if data is not None} == contents
    assert reader.seed == json.loads((PLACE / "records.json").read_text())["chunker_seed"]


def test_it_reads_what_is_written_today(tmp_path):
    """Compressed, with large files, as the defaults write it."""
    kit = Kit(backend=LocalBackend(str(tmp_path / "r")))
    contents = {
        "big": b"".join(b"%d\n" % number for number in range(300_000)),
        "noise": bytes(range(256)) * 9000,
    }
    with kit.create() as repository, repository.begin() as made:
        edits = {"": golden.directory("")} | {
            path: golden.entry(made, path, data) for path, data in contents.items()
        }
        root = golden.update(made, made, None, edits)
        made.commit(golden.snapshot_draft(root))
    reader = Reader(tmp_path / "r", secret_of_key_file(kit.secret.content.decode()), "key_file")
    (root,) = reader.snapshots()
    tree = reader.tree(root)
    assert {path: reader.content(tree[path.encode()]) for path in contents} == contents


def test_the_page_names_every_key_derivation_and_object():
    page = (Path(__file__).parents[3] / "docs" / "format.md").read_text()
    sources = "".join(
        path.read_text() for path in (Path(__file__).parents[3] / "src" / "lastro" / "store").glob("*.py")
    )
    for word in set(__import__("re").findall(r'b?f?"(lastro-[a-z-]+-0)', sources)):
        assert word in page, word


@pytest.mark.parametrize("kind", run_records.BODIES)
def test_bodies_of_runs_and_proposals_are_the_same_bytes_for_ever(kind):
    raw = bytes.fromhex(json.loads((PLACE / run_records.NAME).read_text())[kind])
    body = run_records.BODIES[kind]
    assert bytes(encode_body(body)) == raw
    found = msgspec.msgpack.decode(raw, type=type(body))
    assert found == body
    names = list(msgspec.msgpack.decode(raw))
    assert names == sorted(names)
    for field, value in run_records.NESTED.items():
        inner = getattr(found, field, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, msgspec.Raw):
                assert msgspec.msgpack.decode(each, type=type(value)) == value


def test_every_kind_of_record_has_golden_bytes():
    elsewhere = {"repository", "key", "server", "snapshot", "apply", "exchange"}
    assert set(RecordKind) == elsewhere | set(run_records.BODIES)
