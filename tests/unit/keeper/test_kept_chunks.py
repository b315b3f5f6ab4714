"""A reader that keeps chunks answers as the one below it does, and asks it less often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.ids import ChunkId, Digest
from lastro.errors import NotFoundError
from lastro.keeper.kept_chunks import KeptChunks
from lastro.messages import N_


class Chunks:
    """Chunk 3 is not stored."""

    def __init__(self) -> None:
        self.asked = 0

    def chunk(self, chunk: ChunkId, /) -> bytes:
        self.asked += 1
        if chunk == bytes([3]):
            raise NotFoundError(N_("There is no such chunk."))
        return bytes(chunk) * 3

    def chunk_id(self, digest: Digest, /) -> ChunkId:
        return ChunkId(bytes(digest))


@given(asked=st.lists(st.integers(0, 5), max_size=40), most=st.integers(1, 4))
def test_it_answers_as_the_reader_below(asked: list[int], most: int) -> None:
    below, kept = Chunks(), KeptChunks(Chunks(), most)
    for number in asked:
        chunk = ChunkId(bytes([number]))
        assert _answer(kept, chunk) == _answer(below, chunk)
    assert kept.chunk_id(Digest(b"x")) == below.chunk_id(Digest(b"x"))


def test_what_was_just_read_is_not_read_again() -> None:
    below = Chunks()
    kept = KeptChunks(below)
    for _ in range(3):
        kept.chunk(ChunkId(b"a"))
    assert below.asked == 1


def _answer(reader: Chunks | KeptChunks, chunk: ChunkId) -> bytes | None:
    try:
        return reader.chunk(chunk)
    except NotFoundError:
        return None
