import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import DamagedError, LimitError
from lastro.store import crypto
from lastro.store.crypto import (
    HEADER_SIZE,
    Aead,
    Header,
    ObjectCipher,
    ObjectKind,
    Role,
    decode_header,
    derive,
    frame_size,
)

MASTER = bytes(range(32))


def cipher(aead=Aead.AES_256_GCM, kind=ObjectKind.DATA_PACK, salt=b"s" * 32, epoch=1):
    return ObjectCipher(MASTER, Header(kind=kind, aead=aead, epoch=epoch, salt=salt), "object")


contents = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda byte, size: byte * size, st.binary(max_size=3), st.integers(0, 9000)),
)


@given(contents, st.sampled_from(Aead), st.integers(0, 1 << 33), st.sampled_from(Role))
def test_a_frame_opens_to_what_was_sealed(content, aead, ordinal, role):
    sealed = cipher(aead).seal(ordinal, content, role)
    assert len(sealed) % crypto.ALIGNMENT == 0
    assert frame_size(cipher(aead).length_at(ordinal, sealed[:16])) == len(sealed)
    assert cipher(aead).open(ordinal, sealed, role) == content


@given(contents, st.sampled_from(Aead), st.integers(0, 1 << 20))
def test_a_flipped_bit_anywhere_in_a_frame_is_damage(content, aead, place):
    sealed = bytearray(cipher(aead).seal(3, content))
    sealed[place // 8 % len(sealed)] ^= 1 << place % 8
    with pytest.raises(DamagedError):
        cipher(aead).open(3, bytes(sealed))


@pytest.mark.parametrize(
    "other", [{"kind": ObjectKind.LOG}, {"salt": b"t" * 32}, {"epoch": 2}, {"aead": Aead.CHACHA20_POLY1305}]
)
def test_a_frame_belongs_to_its_object(other):
    with pytest.raises(DamagedError):
        cipher(**other).open(0, cipher().seal(0, b"content"))


def test_a_frame_has_its_place_and_role():
    sealed = cipher().seal(0, b"content")
    with pytest.raises(DamagedError):
        cipher().open(1, sealed)
    with pytest.raises(DamagedError):
        cipher().open(0, sealed, Role.DIRECTORY)
    with pytest.raises(DamagedError):
        cipher().open(0, sealed + bytes(16))


def test_what_can_be_compressed_is_and_what_cannot_is_not():
    assert len(cipher().seal(0, bytes(100_000))) < 200
    noise = derive(b"x", b"y", b"z", 8000)
    assert len(cipher().seal(0, noise)) <= frame_size(len(noise) + 5 + 16)


def test_a_frame_has_a_limit(monkeypatch):
    monkeypatch.setattr(crypto, "FRAME_LIMIT", 100)
    with pytest.raises(LimitError):
        cipher().seal(0, bytes(101))


@pytest.mark.parametrize("stated", [99, 101, 5])
def test_nothing_is_unpacked_beyond_the_stated_length(monkeypatch, stated):
    """A frame made with the key, but with a length that lies, as a hostile writer would make it."""
    monkeypatch.setattr(crypto, "_PLAIN", _Lying(stated))
    sealed = cipher().seal(0, bytes(100))
    monkeypatch.undo()
    with pytest.raises(DamagedError):
        cipher().open(0, sealed)


def test_a_bomb_takes_no_memory(monkeypatch):
    content = bytes(64 << 20)
    monkeypatch.setattr(crypto, "_PLAIN", _Lying(10))
    sealed = cipher().seal(0, content)
    monkeypatch.undo()
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            cipher().open(0, sealed)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


class _Lying:
    size = 5

    def __init__(self, stated):
        self.stated = stated

    def pack(self, compression, _):
        return bytes([compression]) + self.stated.to_bytes(4, "big")


@given(st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE))
def test_noise_is_no_header(raw):
    with pytest.raises(DamagedError):
        decode_header(raw, "object")


@given(
    st.sampled_from(ObjectKind),
    st.sampled_from(Aead),
    st.integers(1, 1 << 31),
    st.binary(min_size=32, max_size=32),
)
def test_a_header_reads_back(kind, aead, epoch, salt):
    header = Header(kind=kind, aead=aead, epoch=epoch, salt=salt)
    assert decode_header(header.encode(), "object") == header
    assert len(header.encode()) == HEADER_SIZE


def test_a_header_cut_short_is_damage():
    with pytest.raises(DamagedError):
        decode_header(cipher().header.encode()[:-1], "object")


def test_keys_are_derived_as_rfc_5869_says():
    """Test case 1 of the RFC."""
    key = derive(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert key.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
