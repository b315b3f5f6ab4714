"""Whatever the bytes, reading a header ends, and says what is wrong with them."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import DamagedError, FormatError, LastroError, NotFoundError
from lastro.gateway.offline.gguf import MAGIC, MOST_MEMBERS, read_gguf
from tests.gguf_files import FACTS, gguf_bytes, text

WHOLE = gguf_bytes()


@pytest.fixture(scope="module")
def read_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"

    def read(data):
        path.write_bytes(data)
        return read_gguf(str(path))

    return read


def test_a_whole_file_says_what_it_is(read_bytes):
    facts = read_bytes(WHOLE)
    assert (facts.architecture, facts.name, facts.licence) == ("llama", "A test", "apache-2.0")
    assert (facts.context, facts.parameters) == (4096, 128)
    assert facts.cache_bytes == 2 * 2 * (16 + 16) * 2  # layers, shared heads, key and value, 16 bits
    assert facts.size == len(WHOLE)
    assert read_bytes(gguf_bytes(version=2)).architecture == "llama"


def test_the_cache_is_counted_as_each_family_says_it(read_bytes):
    assert read_bytes(gguf_bytes({"llama.attention.head_count_kv": [1, 2]})).cache_bytes == 3 * 32 * 2
    assert read_bytes(gguf_bytes({"llama.attention.key_length": 8})).cache_bytes == 2 * 2 * (8 + 16) * 2
    assert read_bytes(gguf_bytes({"llama.attention.head_count_kv": None})).cache_bytes == 2 * 4 * 32 * 2
    assert read_bytes(gguf_bytes({"llama.block_count": None})).cache_bytes == 0


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_off_anywhere_is_refused(read_bytes, length):
    with pytest.raises((DamagedError, FormatError)):
        read_bytes(WHOLE[:length])


@given(st.data())
def test_no_change_of_bytes_makes_it_raise_anything_else(read_bytes, data):
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(4, len(WHOLE) - 600))
        changed[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(LastroError):
        read_bytes(bytes(changed))


@given(st.binary(max_size=300))
def test_no_bytes_behind_the_magic_make_it_raise_anything_else(read_bytes, data):
    with pytest.raises((DamagedError, FormatError)):
        read_bytes(MAGIC + struct.pack("<I", 3) + data)


@pytest.mark.parametrize(
    ("tensors", "facts", "rest"),
    [
        (2**63, 1, b""),
        (1, 2**63, b""),
        (1, 1, struct.pack("<Q", 2**63)),
        (1, 1, text("a") + struct.pack("<IQ", 8, 2**62)),
        (1, 1, text("a") + struct.pack("<IIQ", 9, 8, 2**62)),
        (1, 1, text("a") + struct.pack("<IIQ", 9, 0, MOST_MEMBERS)),
        (1, 1, text("a") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 9, 1) * 50),
        (1, 1, text("a") + struct.pack("<I", 77)),
    ],
)
def test_huge_counts_and_nested_lists_end_at_once(read_bytes, tensors, facts, rest):
    with pytest.raises(DamagedError):
        read_bytes(MAGIC + struct.pack("<IQQ", 3, tensors, facts) + rest + bytes(64))


def test_a_list_beyond_the_limit_is_refused_even_where_the_file_is_as_long(read_bytes):
    entries = MOST_MEMBERS + 1
    head = (
        MAGIC
        + struct.pack("<IQQ", 3, 1, 12)
        + text("a")
        + struct.pack("<IIQ", 9, 8, entries)
        + bytes(8 * entries)
    )
    rest = gguf_bytes()[24:]  # the facts and tensors of a whole file
    with pytest.raises(DamagedError):
        read_bytes(head + rest)
    fewer = head.replace(struct.pack("<Q", entries) + bytes(8 * entries), struct.pack("<Q", 3) + bytes(24))
    assert read_bytes(fewer + rest + bytes(64)).architecture == "llama"


def test_a_tensor_beyond_the_end_says_how_much_is_missing(read_bytes):
    with pytest.raises(DamagedError, match="is cut off") as caught:
        read_bytes(gguf_bytes(data=511))
    assert caught.value.parameters["needed"] - caught.value.parameters["size"] == 1
    with pytest.raises(DamagedError, match="is cut off"):
        read_bytes(gguf_bytes(tensors=(("w", (256, 2**40), 12),)))
    with pytest.raises(DamagedError):
        read_bytes(gguf_bytes(tensors=()))
    with pytest.raises(DamagedError):
        read_bytes(gguf_bytes(tensors=(("w", (1,) * 5, 0),)))


@pytest.mark.parametrize(
    "changes",
    [
        {"general.architecture": "clip"},
        {"general.type": "adapter"},
        {"split.count": 2},
        {"tokenizer.ggml.model": None},
    ],
)
def test_what_is_no_whole_language_model_is_refused(read_bytes, changes):
    with pytest.raises(FormatError):
        read_bytes(gguf_bytes(changes))


def test_other_files_are_told_apart(read_bytes, tmp_path):
    with pytest.raises(FormatError, match="no GGUF file"):
        read_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(FormatError, match="version 9"):
        read_bytes(gguf_bytes(version=9))
    with pytest.raises(DamagedError):
        read_bytes(gguf_bytes({"general.architecture": None}))
    with pytest.raises(NotFoundError):
        read_gguf(str(tmp_path / "none.gguf"))
    assert "general.architecture" in FACTS
