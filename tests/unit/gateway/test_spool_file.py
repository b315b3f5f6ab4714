"""Laws of a spool file: what was written comes back, a cut loses its end alone, and no changed bit passes for what was written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.spool_file import HEADER_SIZE, SpoolCipher, read_spool

KEY = b"k" * 32
SALT = b"s" * 32

contents = st.lists(st.binary(max_size=60), max_size=5)


def written(frames, key=KEY):
    cipher = SpoolCipher(key, SALT)
    raw, ends = cipher.header, [HEADER_SIZE]
    for content in frames:
        raw += cipher.seal(len(raw), content)
        ends.append(len(raw))
    return raw, ends


@given(contents)
def test_what_was_written_comes_back(frames):
    found = read_spool(KEY, written(frames)[0])
    assert (list(found.frames), found.torn, found.damaged) == (frames, False, ())


@given(contents, st.data())
def test_a_cut_is_a_torn_end_and_no_damage(frames, data):
    raw, ends = written(frames)
    cut = data.draw(st.integers(0, len(raw)))
    found = read_spool(KEY, raw[:cut])
    whole = [content for content, end in zip(frames, ends[1:], strict=True) if end <= cut]
    assert (list(found.frames), found.damaged) == (whole, ())
    assert found.torn == (cut not in ends and cut != 0)


@given(contents, st.integers(1, 400))
def test_zeros_that_a_power_cut_left_are_a_torn_end(frames, zeros):
    found = read_spool(KEY, written(frames)[0] + bytes(zeros))
    assert (list(found.frames), found.torn, found.damaged) == (frames, True, ())
    assert read_spool(KEY, bytes(zeros)).damaged == ()


@given(st.lists(st.binary(max_size=60), min_size=2, max_size=5), st.data())
def test_a_changed_bit_is_damage_and_hides_nothing_behind_it(frames, data):
    raw, ends = written(frames)
    place = data.draw(st.integers(HEADER_SIZE, ends[-2] - 1), label="not in the last frame")
    changed = bytearray(raw)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    found = read_spool(KEY, bytes(changed))
    hit = next(number for number, end in enumerate(ends[1:]) if place < end)
    assert list(found.frames) == frames[:hit] + frames[hit + 1 :]
    assert found.damaged == (ends[hit],)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.data())
def test_a_changed_last_frame_never_passes(frames, data):
    raw, ends = written(frames)
    changed = bytearray(raw)
    changed[data.draw(st.integers(ends[-2], len(raw) - 1))] ^= 0x10
    found = read_spool(KEY, bytes(changed))
    assert list(found.frames) == frames[:-1]
    assert found.torn or found.damaged == (ends[-2],)


@given(contents.filter(bool))
def test_nobody_else_reads_it(frames):
    assert read_spool(b"x" * 32, written(frames)[0]).frames == ()
    raw = written(frames)[0]
    assert all(content not in raw for content in frames if len(content) > 8)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(raw):
    assert read_spool(KEY, raw).frames == ()


@given(contents)
def test_a_frame_belongs_to_its_place_and_file(frames):
    cipher, other = SpoolCipher(KEY, SALT), SpoolCipher(KEY, b"t" * 32)
    for content in frames:
        frame = cipher.seal(HEADER_SIZE, content)
        assert cipher.open(HEADER_SIZE, memoryview(frame)) == content
        assert cipher.open(HEADER_SIZE + 16, memoryview(frame)) is None
        assert other.open(HEADER_SIZE, memoryview(frame)) is None


def test_the_format_is_the_same_bytes_for_ever():
    raw, _ = written([b"one", b""])
    assert raw.hex() == GOLDEN


GOLDEN = (
    "4c415354524f2d537373737373737373737373737373737373737373737373737373737373737373000000000000"
    "000000000013175c1b1788066214eeced05ffd3a14c6219c2a535c23fa24957a0d8344a22effffffffffffffffff"
    "ffffffff00000010eb4053f690bbc3effb26ddd07f0cdc2cbc587c1d57d3e20f110baaa4"
)
