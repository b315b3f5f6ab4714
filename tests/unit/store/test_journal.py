import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.record import NO_RECORD
from lastro.store.crypto import HEADER_SIZE, Aead, Header, ObjectCipher, ObjectKind
from lastro.store.journal import (
    Commit,
    Damage,
    Opening,
    Statement,
    Torn,
    encode_commit,
    encode_statement,
    scan,
)

HEADER = Header(kind=ObjectKind.JOURNAL, aead=Aead.AES_256_GCM, epoch=1, salt=b"s" * 32)
CIPHER = ObjectCipher(b"m" * 32, HEADER, "journal/1")


def frames(commits):
    """The frames of a segment with these commits (lists of chunk bytes), the statement first."""
    parts = [CIPHER.seal(0, encode_statement(Statement(head=(-1, NO_RECORD), segments=[("journal/0", 5)])))]
    for ordinal, chunks in enumerate(commits, 1):
        content, _ = encode_commit([(bytes([n]) * 32, data) for n, data in enumerate(chunks)], [(b"r", b"s")])
        parts.append(CIPHER.seal(ordinal, content))
    return parts


def events(raw, *, stated=False):
    return list(scan(CIPHER, raw, offset=HEADER_SIZE, ordinal=0, stated=stated))


def kinds(found):
    return [type(event) for event in found]


commits = st.lists(st.lists(st.binary(max_size=700), max_size=3), min_size=1, max_size=4)


@given(commits)
def test_a_segment_reads_back(chunks):
    parts = frames(chunks)
    found = events(b"".join(parts))
    assert kinds(found) == [Opening] + [Commit] * len(chunks)
    assert found[0].statement.segments == [("journal/0", 5)]
    offset = HEADER_SIZE
    for part, event in zip(parts, found, strict=True):
        assert (event.offset, event.size) == (offset, len(part))
        offset += len(part)
    for event, data, part in zip(found[1:], chunks, parts[1:], strict=True):
        content = CIPHER.open(event.ordinal, part)
        assert [content[start : start + length] for _, start, length in event.chunks] == data
        assert event.records == [(b"r", b"s")]


@given(commits, st.data())
def test_an_append_cut_short_is_torn_and_takes_nothing_with_it(chunks, data):
    parts = frames(chunks)
    cut = data.draw(st.integers(1, len(parts[-1]) - 1))
    raw = b"".join(parts)[:-cut]
    found = events(raw)
    assert kinds(found) == [Opening] + [Commit] * (len(chunks) - 1) + [Torn]
    assert kinds(events(raw, stated=True))[-1] is Damage


@given(commits, st.data())
def test_sectors_that_were_never_written_are_torn(chunks, data):
    """The size reached the disk, and of the sectors of the last append only some did."""
    parts = frames(chunks)
    raw = bytearray(b"".join(parts))
    start = len(raw) - len(parts[-1])
    sectors = sorted({(HEADER_SIZE + place) // 512 for place in range(start, len(raw), 16)})
    for sector in data.draw(st.lists(st.sampled_from(sectors), min_size=1, unique=True)):
        low, high = max(start, sector * 512 - HEADER_SIZE), min(len(raw), (sector + 1) * 512 - HEADER_SIZE)
        raw[low:high] = bytes(high - low)
    found = events(bytes(raw))
    assert kinds(found) == [Opening] + [Commit] * (len(chunks) - 1) + [Torn]
    assert kinds(events(bytes(raw), stated=True))[-1] is Damage


@given(commits, st.booleans(), st.data())
def test_a_flipped_bit_is_damage_and_never_torn(chunks, stated, data):
    parts = frames(chunks)
    raw = bytearray(b"".join(parts))
    number = data.draw(st.integers(0, len(parts) - 1))
    start = sum(map(len, parts[:number])) * 8
    bit = data.draw(st.integers(start, start + len(parts[number]) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    found = events(bytes(raw), stated=stated)
    assert kinds(found).count(Damage) == 1 and Torn not in kinds(found)
    whole = [
        event
        for event in events(b"".join(parts))
        if not event.offset <= HEADER_SIZE + bit // 8 < event.offset + event.size
    ]
    assert [event for event in found if not isinstance(event, Damage)] == whole  # everything else still reads


def test_a_lost_sector_before_the_end_is_damage():
    parts = frames([[b"a" * 600], [b"b" * 600]])
    raw = bytearray(b"".join(parts))
    start = len(parts[0])
    raw[start : start + len(parts[1])] = bytes(len(parts[1]))
    assert kinds(events(bytes(raw))) == [Opening, Damage, Commit]


def test_bytes_that_were_never_written_are_torn():
    assert kinds(events(b"".join(frames([[b"a"]])) + bytes(4096))) == [Opening, Commit, Torn]
    assert kinds(events(b"".join(frames([[b"a"]])) + b"\1" * 4096)) == [Opening, Commit, Damage]


@pytest.mark.parametrize("stated", [False, True])
def test_nothing_is_nothing(stated):
    assert events(b"", stated=stated) == []
