"""Paths and entries on the wire: nothing is lost, and nothing impossible gets in."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.entry import EntryType, Extent, Xattr
from lastro.domain.paths import from_bytes
from lastro.errors import LimitError, ProtocolError
from lastro.protocol.codec import encode_canonical, read_item
from lastro.protocol.entries import (
    WireEntry,
    WireSkipped,
    absolute_from_wire,
    entry_from_wire,
    entry_to_wire,
    fit_entry,
    path_from_wire,
    relative_from_wire,
    roots_fingerprint,
    wire_path,
)
from tests.protocol_nouns import SMALL, entries, plain_entry, roots

DECODER = msgspec.json.Decoder(WireEntry)


@given(entries(), roots)
def test_an_entry_comes_back_as_it_was(entry, root):
    raw = encode_canonical(entry_to_wire(entry, root))
    assert entry_from_wire(DECODER.decode(raw), root, SMALL) == entry


@given(entries(), roots)
def test_canonical_form_is_what_any_json_library_writes_with_sorted_keys(entry, root):
    raw = encode_canonical(entry_to_wire(entry, root))
    again = json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == raw


@given(st.binary(max_size=50))
def test_no_byte_of_a_name_is_lost(raw):
    path = from_bytes(raw)
    item = encode_canonical(WireSkipped(kind="excluded", rel_path=wire_path(path)))
    back = read_item(item, msgspec.json.Decoder(WireSkipped)).rel_path
    assert path_from_wire(back) == path
    assert isinstance(back, str) == (path.isprintable() or "\\udc" not in ascii(path))


@pytest.mark.parametrize("path", ["/etc", "..", "a/..", "a//b", "a/", ".", "a/./b", "a\0b"])
def test_a_relative_path_that_could_leave_its_root_is_refused(path):
    with pytest.raises(ProtocolError):
        relative_from_wire(path, SMALL)


@pytest.mark.parametrize("path", ["", "etc", "//etc", "/etc/", "/etc/../x", "/./x", "/a\0"])
def test_an_absolute_path_has_one_form(path):
    with pytest.raises(ProtocolError):
        absolute_from_wire(path, SMALL)


@pytest.mark.parametrize("path", ["x" * 4097, "é" * 2049, "/".join("a" * 65)])
def test_a_path_longer_or_deeper_than_published_is_refused(path):
    with pytest.raises(LimitError):
        relative_from_wire(path, SMALL)


CONTRADICTIONS = {
    "another name": {"name": "other"},
    "another root": {"watch_root": "/elsewhere"},
    "another path": {"path": "/srv/other"},
    "out of the root": {"rel_path": "../etc/passwd"},
    "a symlink without target": {"type": EntryType.SYMLINK},
    "a file with a target": {"link_target": "x"},
    "a device without numbers": {"type": EntryType.CHARACTER_DEVICE},
    "a file with numbers": {"rdev": (1, 2)},
    "a directory with a size": {"type": EntryType.DIRECTORY, "size": 1},
    "a directory with content": {"type": EntryType.DIRECTORY, "digest": "0" * 64},
    "a hole past the end": {"size": 10, "holes": ((5, 6),)},
    "an empty hole": {"size": 10, "holes": ((5, 0),)},
    "holes that touch": {"size": 10, "holes": ((0, 2), (2, 2))},
    "holes out of order": {"size": 10, "holes": ((5, 2), (0, 2))},
    "a hard link to itself": {"type": EntryType.HARDLINK, "link_target": "dir/file"},
    "a hard link to a later path": {"type": EntryType.HARDLINK, "link_target": "zzz"},
    "a hard link out of the root": {"type": EntryType.HARDLINK, "link_target": "../a"},
    "an inode of 65 bits": {"inode": 1 << 64},
    "a user with a NUL": {"user": "a\0b"},
}


@pytest.mark.parametrize("fields", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_an_entry_that_contradicts_itself_is_refused(fields):
    honest = entry_to_wire(plain_entry("dir/file"), "/srv")
    assert entry_from_wire(honest, "/srv", SMALL).path == "dir/file"
    with pytest.raises(ProtocolError):
        entry_from_wire(msgspec.structs.replace(honest, **fields), "/srv", SMALL)


def test_attributes_out_of_order_or_twice_are_refused():
    for names in (("b", "a"), ("a", "a"), ("",)):
        entry = plain_entry("f", xattrs=tuple(Xattr(name, b"") for name in names))
        with pytest.raises(ProtocolError):
            entry_from_wire(entry_to_wire(entry, "/"), "/", SMALL)


def test_a_file_larger_than_published_is_refused():
    wire = entry_to_wire(plain_entry("f", size=SMALL.file_bytes + 1), "/")
    with pytest.raises(LimitError):
        entry_from_wire(wire, "/", SMALL)


def test_an_entry_that_does_not_fit_loses_its_holes_and_then_itself():
    holes = tuple(Extent(at * 8192, 4096) for at in range(20_000))
    sparse = plain_entry("f", size=1 << 40, holes=holes)
    assert fit_entry(sparse, "/", SMALL) == entry_to_wire(plain_entry("f", size=1 << 40), "/")
    heavy = plain_entry("f", xattrs=(Xattr("user.x", bytes(SMALL.entry_bytes)),))
    assert fit_entry(heavy, "/", SMALL) is None


def test_the_fingerprint_of_roots_knows_no_order_and_sees_every_change():
    roots = [("/etc", ()), ("/srv", ("*.tmp", "cache"))]
    same = roots_fingerprint(roots)
    assert roots_fingerprint(roots[::-1]) == same
    assert (
        len(
            {same, roots_fingerprint([("/etc", ())]), roots_fingerprint([("/etc", ()), ("/srv", ("*.tmp",))])}
        )
        == 3
    )
    assert roots_fingerprint([("/a", ("b",)), ("/c", ())]) != roots_fingerprint([("/a", ()), ("b", ("/c",))])
