import random
import tracemalloc

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.chunking.chunker import Chunker, ChunkerParameters
from tests.unit.chunking.reference import lengths

SMALL = ChunkerParameters(
    minimum=256, average=1024, maximum=4096, whole_below=512, seed=0x1234_5678_9ABC_DEF1
)


def chunks(data, parameters, steps=(1 << 16,)):
    chunker, found, start, number = Chunker(parameters), [], 0, 0
    while start < len(data):
        step = steps[number % len(steps)]
        found += chunker.feed(data[start : start + step])
        start, number = start + step, number + 1
    return [*found, *chunker.finish()]


contents = st.builds(
    lambda seed, size, zeros: random.Random(seed).randbytes(size) + bytes(zeros),
    st.integers(0, 99),
    st.integers(0, 30_000),
    st.integers(0, 9000),
)


@given(contents, st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_boundaries_do_not_depend_on_how_the_bytes_arrive(data, steps):
    assert chunks(data, SMALL, steps) == chunks(data, SMALL, [max(1, len(data))])


@given(contents, st.integers(0, (1 << 63) - 1))
def test_the_published_algorithm_cuts_at_the_same_places(data, seed):
    parameters = ChunkerParameters(minimum=256, average=1024, maximum=4096, whole_below=0, seed=seed)
    assert [len(chunk) for chunk in chunks(data, parameters)] == lengths(data, parameters)


@given(contents)
def test_chunks_join_to_the_content_and_keep_their_sizes(data):
    found = chunks(data, SMALL)
    assert b"".join(found) == data
    assert all(len(chunk) <= SMALL.maximum for chunk in found)
    assert all(len(chunk) >= SMALL.minimum for chunk in found[:-1])


@pytest.mark.parametrize("size", [0, 1, 7999, 8000])
def test_a_small_file_is_one_chunk_and_an_empty_one_none(size):
    data = random.Random(3).randbytes(size)
    found = chunks(data, replace(SMALL, whole_below=8000))
    assert len(lengths(data, SMALL)) > 1 or size < 2
    assert [len(chunk) for chunk in found] == (lengths(data, SMALL) if size == 8000 else [size][: size > 0])


def test_the_real_sizes_cut_where_they_always_did():
    """Golden: existing repositories find their chunks again only while this holds."""
    parameters = ChunkerParameters(seed=0x0123_4567_89AB_CDEF)
    data = blake3(b"lastro golden content").digest(length=3 << 20)
    found = [len(chunk) for chunk in chunks(data, parameters)]
    assert found == lengths(data, parameters)
    assert found == [513566, 172684, 178382, 278979, 444225, 832855, 393588, 299486, 31963]


def test_a_change_moves_few_boundaries():
    data = random.Random(5).randbytes(200_000)
    before, after = set(chunks(data, SMALL)), set(chunks(data[:90_000] + b"!" + data[90_000:], SMALL))
    assert len(after - before) <= 3


def test_a_long_file_needs_the_memory_of_a_window():
    chunker, block = Chunker(ChunkerParameters()), random.Random(1).randbytes(1 << 20)
    tracemalloc.start()
    try:
        for _ in range(32):
            for chunk in chunker.feed(block):
                del chunk
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
