"""Makes the golden repository: every kind of object, from fixed keys and clocks. ``python -m tests.unit.store.golden`` writes it anew.

Only for a format that is not released yet: a released one keeps its files for ever.
"""

from __future__ import annotations

import json
import random
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from lastro.domain.entry import Device, Entry, EntryType, Xattr
from lastro.domain.record import encode_body
from lastro.store import crypto, pack, transaction, writer
from lastro.store.content import ContentWriter
from lastro.store.layout import RESTORE
from lastro.store.tree import to_tree_entry, update
from tests.store_kit import Kit, server_draft, snapshot_draft
from tests.unit.store import run_records

GOLDEN = Path(__file__).parents[2] / "golden" / "format"
VERSION = "0-dev"

FIRST = {"a": b"hello\n", "empty": b"", "sub/deep/\udcff": b"not UTF-8\n", "text": b"compressible " * 400}
SECOND = {"noise": random.Random(10).randbytes(200_000), "sub/b": b"second\n"}
THIRD = {"a": b"hello again\n"}
HOLE = 1 << 20


@contextmanager
def small_and_plain():
    """Small packs, and nothing compressed: what zstd makes of a text may change between its versions."""
    with (
        mock.patch.object(transaction, "SPILL_SIZE", 100_000),
        mock.patch.object(transaction, "PACK_SIZE", 200_000),
        mock.patch.object(pack, "GROUP_SIZE", 50_000),
        mock.patch.object(crypto.zstd, "compress", lambda data, _: data),
    ):
        yield


@contextmanager
def aead(kind):
    with mock.patch.object(writer, "fastest_aead", return_value=kind):
        yield


def entry(made, path, content, size=None):
    contents = ContentWriter(made, made.chunker)
    contents.write((size or len(content)) - len(content), content)
    written = contents.finish(size)
    found = Entry(
        path=path,
        type=EntryType.FILE,
        mode=0o640,
        uid=1000,
        gid=1000,
        user="ana",
        group="ana",
        mtime_ns=1_700_000_000_123_456_789,
        ctime_ns=1_700_000_001_000_000_000,
        btime_ns=1_600_000_000_000_000_000,
        size=written.size,
        digest=written.digest,
        holes=written.holes,
        xattrs=(Xattr("user.note", b"\0\xff"),) if path == "a" else (),
        flags=0x10 if path == "a" else 0,
        torn=path == "text",
    )
    return to_tree_entry(found, written.content)


def directory(path, mode=0o755):
    return to_tree_entry(Entry(path=path, type=EntryType.DIRECTORY, mode=mode))


def special(made):
    """Everything that is no plain file."""
    many = {f"many/{number:03}": entry(made, f"many/{number:03}", b"%d" % number) for number in range(150)}
    return {
        "link": to_tree_entry(Entry(path="link", type=EntryType.SYMLINK, mode=0o777, link_target="a")),
        "twin": to_tree_entry(Entry(path="twin", type=EntryType.HARDLINK, link_target="a")),
        "null": to_tree_entry(Entry(path="null", type=EntryType.CHARACTER_DEVICE, rdev=Device(1, 3))),
        "pipe": to_tree_entry(Entry(path="pipe", type=EntryType.FIFO)),
        "unread": to_tree_entry(Entry(path="unread", type=EntryType.FILE, size=9)),
        "sparse": entry(made, "sparse", b"end", HOLE),
        "many": directory("many"),
        **many,
    }


def make():
    """The kit of the golden repository, made anew."""
    kit = Kit()
    with small_and_plain():
        with aead(crypto.Aead.AES_256_GCM), kit.create() as repository:
            with repository.begin() as made:
                edits = {"": directory(""), "sub": directory("sub", 0o700), "sub/deep": directory("sub/deep")}
                edits |= {path: entry(made, path, content) for path, content in FIRST.items()}
                root = update(made, made, None, edits)
                made.commit(snapshot_draft(root))
            with repository.begin() as made:
                edits = {path: entry(made, path, content) for path, content in SECOND.items()}
                root = update(made, made, root, edits | special(made))
                made.commit(snapshot_draft(root), server_draft())
        with (
            aead(crypto.Aead.CHACHA20_POLY1305),
            kit.open(writable=True) as repository,
            repository.begin() as made,
        ):
            edits = {path: entry(made, path, content) for path, content in THIRD.items()}
            edits |= {"text": None}
            root = update(made, made, root, edits)
            made.commit(snapshot_draft(root))
    return kit


def stored(kit):
    """The objects of the format: all but the program that reads them, which lies beside them."""
    return {name: raw for name, raw in kit.backend.objects.items() if name != RESTORE}


def sealed_text():
    """A compressed frame, which is only ever read again."""
    header = crypto.Header(
        kind=crypto.ObjectKind.JOURNAL, aead=crypto.Aead.AES_256_GCM, epoch=1, salt=bytes(range(32))
    )
    return header.encode() + crypto.ObjectCipher(bytes(32), header).seal(7, b"compressible " * 400)


def main():
    kit = make()
    place = GOLDEN / VERSION
    for name, raw in stored(kit).items():
        path = place / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    (place / "key-file").write_bytes(kit.secret.content)
    (place / "recovery-key").write_text(kit.recovery_key + "\n")
    (place / "compressed-frame").write_bytes(sealed_text())
    with kit.open() as repository:
        records = [[record.raw.hex(), record.signature.hex()] for record in repository.records()]
        seed = repository.chunker.seed
    (place / "records.json").write_text(
        json.dumps({"chunker_seed": seed, "records": records}, indent=1) + "\n"
    )
    bodies = {kind: bytes(encode_body(body)).hex() for kind, body in run_records.BODIES.items()}
    (place / run_records.NAME).write_text(json.dumps(bodies, indent=1) + "\n")


if __name__ == "__main__":
    main()
