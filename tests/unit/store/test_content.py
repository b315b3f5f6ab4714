import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.chunking.chunker import ChunkerParameters
from lastro.chunking.digest import digest_of
from lastro.domain.entry import EntryType, Extent
from lastro.errors import DamagedError, NotFoundError, ProtocolError
from lastro.store.content import INLINE, ContentWriter, content_chunks, list_pieces, read_content
from lastro.store.tree import TreeEntry, decode_tree_entry, encode_tree_entry
from tests.store_kit import DictStore

SMALL = ChunkerParameters(minimum=256, average=1024, maximum=4096, whole_below=512, seed=99)


def write(store, parts, size=None, parameters=SMALL):
    """Parts are ``(offset, data)``; the file's entry as a tree keeps it."""
    writer = ContentWriter(store, parameters)
    for offset, data in parts:
        writer.write(offset, data)
    written = writer.finish(size)
    entry = TreeEntry(
        content=written.content, digest=written.digest, size=written.size, holes=written.holes, name=b"f"
    )
    return decode_tree_entry(encode_tree_entry(entry))


def logical(entry, blocks, offset=0, length=None):
    stop = entry.size if length is None else min(entry.size, offset + length)
    data = bytearray(max(0, stop - offset))
    for place, block in blocks:
        assert block and len(block) <= 1 << 20
        data[place - offset : place - offset + len(block)] = block
    return bytes(data)


@st.composite
def files(draw):
    """Parts of a file that may be sparse: ``(parts, size, content)``."""
    parts, content = [], bytearray()
    for gap, length, seed in draw(
        st.lists(
            st.tuples(st.sampled_from([0, 0, 1, 4096]), st.integers(1, 9000), st.integers(0, 9)), max_size=6
        )
    ):
        content += bytes(gap)
        data = random.Random(seed).randbytes(length)
        parts.append((len(content), data))
        content += data
    tail = draw(st.sampled_from([0, 1, 5000]))
    return parts, len(content) + tail, bytes(content) + bytes(tail)


@given(files())
def test_content_reads_back_with_its_holes(file):
    parts, size, content = file
    store = DictStore()
    entry = write(store, parts, size)
    blocks = list(read_content(store, entry))
    assert logical(entry, blocks) == content
    assert entry.digest == digest_of(content)
    covered = sorted(
        [(offset, len(data)) for offset, data in blocks] + [(h.offset, h.length) for h in entry.holes]
    )
    assert sum(length for _, length in covered) == size
    assert all(a[0] + a[1] == b[0] for a, b in pairwise(covered))
    assert all(not any(content[hole.offset : hole.offset + hole.length]) for hole in entry.holes)


@given(files(), st.integers(0, 30_000), st.none() | st.integers(0, 30_000))
def test_any_range_reads_as_that_range_of_the_whole(file, offset, length):
    parts, size, content = file
    store = DictStore()
    entry = write(store, parts, size)
    stop = size if length is None else offset + length
    assert logical(entry, read_content(store, entry, offset, length), offset, length) == content[offset:stop]


@given(files())
def test_a_file_of_one_chunk_keeps_only_its_digest(file):
    parts, size, _ = file
    store = DictStore()
    entry = write(store, parts, size)
    chunks = list(content_chunks(store, entry))
    assert (entry.content is None) == (len(chunks) <= 1 and (not chunks or not entry.holes))
    if entry.content is None and chunks:
        assert chunks[0].id == store.chunk_id(entry.digest)


def test_a_long_list_of_chunks_is_split_and_shares_what_did_not_change():
    store = DictStore()
    data = random.Random(1).randbytes(1 << 20)
    entry = write(store, [(0, data)])
    assert entry.content.depth >= 1
    assert len(entry.content.items) <= INLINE
    pieces = set(list_pieces(store, entry))
    changed = write(store, [(0, data[:500_000] + b"!" + data[500_001:])])
    assert len(set(list_pieces(store, changed)) - pieces) <= 4
    assert logical(changed, read_content(store, changed)) == data[:500_000] + b"!" + data[500_001:]


def test_a_range_far_inside_reads_little():
    store = DictStore()
    entry = write(store, [(0, random.Random(1).randbytes(1 << 20))])
    store.read.clear()
    list(read_content(store, entry, 700_000, 10))
    assert len(store.read) <= 6


def test_a_hole_of_gigabytes_costs_no_chunk():
    store = DictStore()
    entry = write(store, [(2 << 30, b"end")])
    assert entry.size == (2 << 30) + 3
    assert entry.holes == (Extent(0, 2 << 30),)
    assert list(read_content(store, entry)) == [(2 << 30, b"end")]
    assert sum(map(len, store.chunks.values())) == 3
    only_hole = write(store, [], 1 << 20)
    assert only_hole.content is None and list(read_content(store, only_hole)) == []


def test_blocks_are_at_most_a_mebibyte():
    store = DictStore()
    parameters = ChunkerParameters(minimum=1 << 20, average=4 << 20, maximum=8 << 20, whole_below=8 << 20)
    entry = write(store, [(0, bytes(3_000_000))], parameters=parameters)
    assert [len(block) for _, block in read_content(store, entry)] == [
        1 << 20,
        1 << 20,
        3_000_000 - (2 << 20),
    ]


def test_bytes_that_come_too_early_or_too_many_are_refused():
    writer = ContentWriter(DictStore(), SMALL)
    writer.write(0, b"abc")
    with pytest.raises(ProtocolError):
        writer.write(2, b"x")
    with pytest.raises(ProtocolError):
        writer.finish(2)


@pytest.mark.parametrize(
    "entry", [TreeEntry(size=3), TreeEntry(type=EntryType.DIRECTORY), TreeEntry(digest=None)]
)
def test_content_that_was_never_read_is_not_found(entry):
    with pytest.raises(NotFoundError):
        list(read_content(DictStore(), entry))


@pytest.mark.parametrize("change", [{"size": 5000}, {"holes": (Extent(0, 1),)}, {"size": 700}])
def test_an_entry_that_contradicts_itself_is_damage(change):
    store = DictStore()
    entry = write(store, [(0, random.Random(2).randbytes(600))])
    many = write(store, [(0, random.Random(2).randbytes(20_000))])
    for kind in (entry, many):
        with pytest.raises(DamagedError):
            list(read_content(store, msgspec.structs.replace(kind, **change)))


def test_a_piece_of_a_list_that_is_none_is_damage():
    store = DictStore()
    entry = write(store, [(0, random.Random(1).randbytes(1 << 20))])
    store.chunks[entry.content.items[0].id] = b"\xc1"
    with pytest.raises(DamagedError):
        list(read_content(store, entry))
