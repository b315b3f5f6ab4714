from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lastro.chunking.digest import ContentHasher, chunk_id, digest_of
from lastro.domain.ids import EMPTY_DIGEST


def test_no_bytes_have_the_published_digest():
    assert digest_of(b"") == EMPTY_DIGEST == ContentHasher().digest()


@given(st.binary(max_size=500), st.binary(min_size=32, max_size=32))
def test_a_chunk_id_is_the_keyed_digest_of_the_plain_digest(data, key):
    assert chunk_id(key, digest_of(data)) == blake3(blake3(data).digest(), key=key).digest()


@given(st.lists(st.one_of(st.binary(max_size=100), st.integers(0, 3_000_000)), max_size=6))
def test_holes_count_as_zeros(parts):
    hasher = ContentHasher()
    for part in parts:
        if isinstance(part, int):
            hasher.skip(part)
        else:
            hasher.update(part)
    content = b"".join(bytes(part) for part in parts)  # bytes(n) is n zeros
    assert hasher.digest() == digest_of(content)
