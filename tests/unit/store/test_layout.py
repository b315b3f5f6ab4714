import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.chunking.chunker import ChunkerParameters
from lastro.errors import DamagedError, FormatError
from lastro.store import layout

REPOSITORY = "ab" * 16


def test_the_format_reads_back():
    found = layout.decode_format(layout.encode_format(REPOSITORY, ChunkerParameters(seed=5)), writable=True)
    assert (found.id, found.format) == (REPOSITORY, "0-dev")
    assert ChunkerParameters(**msgspec.structs.asdict(found.chunker)) == ChunkerParameters()


@given(st.integers(0, 1 << 14))
def test_a_flipped_bit_in_the_format_is_damage(bit):
    raw = bytearray(layout.encode_format(REPOSITORY, ChunkerParameters()))
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    with pytest.raises(DamagedError):
        layout.decode_format(bytes(raw), writable=False)


def changed(**fields):
    known = json.loads(layout.encode_format(REPOSITORY, ChunkerParameters()))
    del known["check"]
    return layout.encode_checked({**known, **fields})


@pytest.mark.parametrize(
    ("fields", "writable"),
    [
        ({"format": "1"}, False),
        ({"read_features": ["fountain"]}, False),
        ({"write_features": ["fountain"]}, True),
        ({"id": 7}, False),
        ({"chunker": {"average": 1}}, False),
    ],
)
def test_an_unknown_mandatory_feature_is_refused_with_what_to_do(fields, writable):
    with pytest.raises(FormatError) as raised:
        layout.decode_format(changed(**fields), writable=writable)
    assert raised.value.hint
    assert "fountain" not in str(fields) or "fountain" in str(raised.value)


def test_a_reader_may_ignore_what_only_writers_must_know():
    layout.decode_format(changed(write_features=["fountain"]), writable=False)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"7", b"\xff", b'{"check": 5}', b"[" * 100_000])
def test_anything_else_is_damage(raw):
    with pytest.raises(DamagedError):
        layout.decode_format(raw, writable=False)


@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF))
def test_a_journal_name_gives_its_position_back(epoch, number):
    assert layout.journal_position(layout.journal_name(epoch, number)) == (epoch, number)


@pytest.mark.parametrize(
    "name", ["journal/x", "journal/1-2", "journal/00000001-0000000G", "journal/0000000100000002"]
)
def test_other_names_in_the_journal_have_no_position(name):
    assert layout.journal_position(name) is None


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=2, max_size=9))
def test_journal_names_sort_as_they_were_written(positions):
    assert [
        layout.journal_position(name) for name in sorted(layout.journal_name(*at) for at in positions)
    ] == sorted(positions)
