"""Frames: bounded before anything is allocated, strict, and the same bytes for the same message."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import LimitError, ProtocolError
from lastro.protocol.codec import (
    BinaryPart,
    PartKind,
    check_shape,
    frame_size,
    open_gzip,
    open_zstd,
    pack_gzip,
    pack_part,
    read_envelope,
    read_part,
    squeeze,
)
from lastro.protocol.limits import DEFAULT_LIMITS
from tests.protocol_nouns import SMALL

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('ab[]{}",\\\n')),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('k[{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth_of(value):
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@given(json_values, st.integers(0, 60))
def test_depth_is_counted_outside_strings_only(value, extra):
    for _ in range(extra):
        value = [value]
    raw = json.dumps(value).encode()
    if depth_of(value) > SMALL.json_depth:
        with pytest.raises(LimitError):
            check_shape(raw, SMALL)
    else:
        check_shape(raw, SMALL)


def test_brackets_in_strings_cannot_hide_depth():
    with pytest.raises(LimitError):
        check_shape(b'{"a":"' + b"]" * 50 + b'","b":' + b"[" * 30 + b"]" * 30 + b"}", SMALL)


def test_a_small_frame_cannot_become_a_large_object():
    with pytest.raises(LimitError):
        check_shape(b"[" + b"1," * SMALL.json_values + b"1]", SMALL)
    check_shape(b'["' + b"," * SMALL.json_values + b'"]', SMALL)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[]",
        "1",
        '"x"',
        "{",
        '{"id":1}',
        '{"id":"\\ud800"}',
        "\udc80",
        '{"cmd":"\ud800"}',
        '{"id":"1"} {}',
        "{'id':1}",
        '{"x":NaN}',
    ],
)
def test_what_is_no_object_is_refused(frame):
    with pytest.raises(ProtocolError):
        read_envelope(frame, SMALL)


def test_depth_never_ends_in_a_recursion_error():
    for size in (20, 1000, 60_000):
        with pytest.raises(LimitError):
            read_envelope('{"x":' + "[" * size + "]" * size + "}", SMALL)


def test_a_huge_integer_is_no_number_of_ours():
    read_envelope('{"x":' + "9" * 100_000 + "}", SMALL)  # an unknown field is skipped, not computed
    with pytest.raises(ProtocolError):
        read_envelope('{"id":' + "9" * 100_000 + "}", SMALL)


def test_size_counts_bytes_not_characters():
    frame = '{"x":"' + "é" * (SMALL.message_bytes // 2) + '"}'
    assert len(frame) < SMALL.message_bytes < frame_size(frame)
    with pytest.raises(LimitError):
        read_envelope(frame, SMALL)


@given(
    st.sampled_from([PartKind.FILE_RAW, PartKind.FILE_ZSTD, PartKind.MANY_RAW, PartKind.MANY_ZSTD]),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 63) - 1),
    st.binary(max_size=100),
)
def test_a_part_comes_back_as_it_was(kind, stream, offset, data):
    part = BinaryPart(kind=kind, stream=stream, offset=offset, data=data)
    assert read_part(pack_part(part), SMALL) == part


@pytest.mark.parametrize(
    "frame",
    [b"", b"\1" * 12, bytes(13), b"\5" + bytes(12), b"\x80" + bytes(12), b"\1" + bytes(4) + b"\xff" * 8],
)
def test_a_part_that_is_none_is_refused(frame):
    with pytest.raises(ProtocolError):
        read_part(frame, SMALL)


def test_a_part_larger_than_published_is_refused():
    header = pack_part(BinaryPart(kind=PartKind.FILE_RAW, stream=1, offset=0, data=b""))
    read_part(header + bytes(SMALL.part_bytes), SMALL)
    with pytest.raises(LimitError):
        read_part(header + bytes(SMALL.part_bytes + 1), SMALL)


@given(st.binary(max_size=3000))
def test_compressed_data_opens_to_what_it_was(data):
    assert open_gzip(pack_gzip(data), 3000) == data
    assert gzip.decompress(pack_gzip(data)) == data
    kind, packed = squeeze(data, PartKind.FILE_ZSTD, PartKind.FILE_RAW)
    assert len(packed) <= len(data)
    assert (open_zstd(packed, 3000) if kind is PartKind.FILE_ZSTD else packed) == data


BOMBS = {
    "gzip": (open_gzip, pack_gzip(bytes(1 << 28))),
    "zstd": (open_zstd, zstd.compress(bytes(1 << 28))),
    "zstd of unknown size": (
        open_zstd,
        b"".join([(c := zstd.ZstdCompressor()).compress(bytes(1 << 28)), c.flush()]),
    ),
}


@pytest.mark.parametrize(("opener", "bomb"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_before_it_fills_memory(opener, bomb):
    limit = DEFAULT_LIMITS.opened_bytes
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            opener(bomb, limit)
        assert tracemalloc.get_traced_memory()[1] < 4 * limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opener", [open_gzip, open_zstd])
def test_content_of_exactly_the_limit_opens_and_one_byte_more_does_not(opener):
    pack = pack_gzip if opener is open_gzip else zstd.compress
    assert opener(pack(bytes(5000)), 5000) == bytes(5000)
    with pytest.raises(LimitError):
        opener(pack(bytes(5001)), 5000)


@pytest.mark.parametrize("opener", [open_gzip, open_zstd])
def test_cut_or_continued_data_is_refused(opener):
    pack = pack_gzip if opener is open_gzip else zstd.compress
    whole = pack(b"some content, some content, some content")
    for broken in (whole[:-1], whole[:5], b"", whole + b"x", whole + whole, zlib.compress(b"x")):
        with pytest.raises(ProtocolError):
            opener(broken, 1000)
