"""Transfers: exactly the bytes come out, within the limits; and whatever a hostile node does to them is noticed."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.entry import EntryType, Xattr
from lastro.errors import LimitError, ProtocolError
from lastro.protocol.codec import (
    PartKind,
    encode_canonical,
    open_zstd,
    pack_gzip,
    read_message,
    read_part,
    squeeze,
)
from lastro.protocol.entries import entry_to_wire
from lastro.protocol.events import FetchEnded, FileBegun, FileBytes, FileEnded, FileFailed, PartArrived
from lastro.protocol.faults import LocalProtocolError
from lastro.protocol.fetch_receiver import FileReceiver, ManyReceiver
from lastro.protocol.fetch_sender import FileSender, ManySender
from lastro.protocol.limits import KIB
from lastro.protocol.members import Member, MemberFailure, pack_members
from lastro.protocol.messages import FetchPart
from tests.protocol_nouns import SMALL, digest_of, plain_entry
from tests.protocol_pair import Assembled, file_events

CONTENT = bytes(range(256)) * 800


def arrived(part):
    """A part as the keeper's session would hand it on."""
    assert part.size <= SMALL.message_bytes
    if isinstance(part.frame, bytes):
        binary = read_part(part.frame, SMALL)
        return PartArrived(id="1", kind=binary.kind, offset=binary.offset, data=binary.data, size=part.size)
    if '"restart"' in part.frame[:40]:
        return PartArrived(id="1", kind=PartKind.RESTART, offset=0, data=b"", size=part.size)
    text = read_message(part.frame, FetchPart)
    return PartArrived(id="1", kind=PartKind.FILE_GZIP, offset=text.offset, data=text.data, size=part.size)


def parts_of(sender, events):
    for event in events:
        yield from sender.take(event)
    yield from sender.flush()


def received(receiver, sender, events):
    whole = Assembled()
    for part in parts_of(sender, events):
        whole.take(receiver.take(arrived(part)))
    if isinstance(sender, FileSender):
        whole.take(receiver.take(FetchEnded(id="1", entry=sender.entry)))
    else:
        receiver.take(FetchEnded(id="1", files=sender.files, failed=sender.failed, bytes=sender.bytes))
    return whole


contents = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.builds(
        lambda seed, size: (seed * (size // len(seed) + 1))[:size],
        st.binary(min_size=1, max_size=50),
        st.integers(0, 200_000),
    ),
)
holes = st.lists(st.tuples(st.integers(0, 100_000), st.integers(1, 70_000)), max_size=3)


@st.composite
def files(draw):
    """One file: what comes of it, and what its source says, perhaps taking part of it back."""
    content = bytearray(draw(contents))
    blank = draw(holes)
    for offset, length in blank:
        content[offset : offset + length] = bytes(len(content[offset : offset + length]))
    content = bytes(content)

    def say(path):
        for again in draw(st.lists(st.binary(min_size=1, max_size=3000), max_size=2)):
            yield FileBegun(path=path)
            yield FileBytes(path=path, offset=draw(st.integers(0, 10)), data=again)
        if draw(st.integers(0, 7)) == 0:
            yield FileFailed(path=path, kind="vanished", detail="ENOENT")
        else:
            yield from file_events(
                path, content, holes=blank, cut=draw(st.sampled_from([700, 60_000, 1 << 20]))
            )

    return content, say


@given(files(), st.booleans())
def test_one_file_arrives_exactly(file, binary):
    content, say = file
    events = list(say("f"))
    if isinstance(events[-1], FileFailed):
        return
    sender = FileSender("/srv", "f", SMALL, command="1", stream=5 if binary else None)
    whole = received(FileReceiver("f", SMALL), sender, events)
    assert bytes(whole.files["f"]) == content
    assert whole.ended["f"].digest == digest_of(content)


@given(st.lists(files(), min_size=1, max_size=12))
def test_many_files_arrive_exactly_and_in_order(chosen):
    paths = [f"f{index}" for index in range(len(chosen))]
    said = {path: list(say(path)) for path, (_, say) in zip(paths, chosen, strict=True)}
    sender = ManySender("/srv", paths, SMALL, stream=1)
    whole = received(
        ManyReceiver("/srv", paths, SMALL), sender, [event for path in paths for event in said[path]]
    )
    assert whole.order == paths
    for path, (content, _) in zip(paths, chosen, strict=True):
        if isinstance(said[path][-1], FileFailed):
            assert whole.failed[path] == ("vanished", "ENOENT")
        else:
            assert bytes(whole.files[path]) == content


@pytest.mark.parametrize("racy", [False, True])
def test_a_racy_reading_is_told(racy):
    sender = FileSender("/", "f", SMALL, command="1", stream=None)
    received(FileReceiver("f", SMALL), sender, file_events("f", b"abc", racy=racy))
    assert sender.racy == racy
    sender = ManySender("/", ["f", "g"], SMALL, stream=1)
    events = [*file_events("f", b"abc", racy=racy), *file_events("g", b"")]
    assert received(ManyReceiver("/", ["f", "g"], SMALL), sender, events).racy == ({"f"} if racy else set())


def test_parts_stay_within_the_limits_and_are_filled():
    noise = [digest_of(bytes([index])) * 2000 for index in range(12)]
    paths = [f"f{index}" for index in range(12)]
    sender = ManySender("/", paths, SMALL, stream=1)
    events = [
        event
        for path, content in zip(paths, noise, strict=True)
        for event in file_events(path, content, cut=9999)
    ]
    parts = list(parts_of(sender, events))
    assert all(part.size <= SMALL.part_bytes + 13 for part in parts)
    opened = sum(len(content) for content in noise)
    assert opened / SMALL.part_bytes < len(parts) < 2 * opened / SMALL.part_bytes + 2


def test_what_does_not_compress_travels_as_it_is():
    content = random.Random(1).randbytes(200 * KIB)
    sender = FileSender("/", "f", SMALL, command="1", stream=1)
    kinds = {
        read_part(part.frame, SMALL).kind for part in parts_of(sender, file_events("f", content, cut=1 << 20))
    }
    assert kinds == {PartKind.FILE_RAW}


def test_a_hole_of_terabytes_makes_no_parts():
    sender = FileSender("/", "f", SMALL, command="1", stream=1)
    entry = plain_entry("f", size=1 << 41, digest=digest_of(b"?"))
    parts = list(
        parts_of(
            sender,
            [
                FileBegun(path="f"),
                FileBytes(path="f", offset=1 << 40, data=b"x"),
                FileEnded(path="f", entry=entry),
            ],
        )
    )
    assert len(parts) == 1
    assert read_part(parts[0].frame, SMALL).offset == 1 << 40


def test_a_part_ends_with_thousands_of_tiny_extents():
    blocks = [FileBytes(path="f", offset=at * 10, data=b"x") for at in range(200)]
    content = (b"x" + bytes(9)) * 199 + b"x"
    end = FileEnded(path="f", entry=plain_entry("f", size=len(content), digest=digest_of(content)))
    sender = ManySender("/", ["f"], SMALL, stream=1)
    whole = received(ManyReceiver("/", ["f"], SMALL), sender, [FileBegun(path="f"), *blocks, end])
    assert bytes(whole.files["f"]) == content


def test_heavy_entries_fill_parts_as_data_does():
    noise = random.Random(2)
    paths = [f"f{index}" for index in range(16)]
    sender = ManySender("/", paths, SMALL, stream=1)
    events = []
    for path in paths:
        attributes = (Xattr("user.x", noise.randbytes(noise.randrange(1, 20_000))),)
        entry = plain_entry(path, digest=digest_of(b""), xattrs=attributes)
        events += [FileBegun(path=path), FileEnded(path=path, entry=entry)]
    whole = received(ManyReceiver("/", paths, SMALL), sender, events)
    assert [whole.ended[path] for path in paths] == [event.entry for event in events[1::2]]
    for part in parts_of(ManySender("/", paths, SMALL, stream=1), events):
        kind, data = arrived(part).kind, arrived(part).data
        assert len(open_zstd(data, 1 << 20) if kind is PartKind.MANY_ZSTD else data) <= SMALL.part_bytes


def test_an_entry_that_does_not_fit_is_a_failed_file():
    heavy = plain_entry("f", digest=digest_of(b""), xattrs=(Xattr("user.x", bytes(SMALL.entry_bytes)),))
    sender = ManySender("/", ["f"], SMALL, stream=1)
    whole = received(
        ManyReceiver("/", ["f"], SMALL), sender, [FileBegun(path="f"), FileEnded(path="f", entry=heavy)]
    )
    assert whole.failed == {"f": ("unreadable", "limit")}


def test_a_source_out_of_turn_is_our_own_fault():
    sender = ManySender("/", ["a", "b"], SMALL, stream=1)
    with pytest.raises(LocalProtocolError):
        sender.take(FileBegun(path="b"))
    with pytest.raises(LocalProtocolError):
        sender.take(FileBytes(path="a", offset=0, data=b"x"))


# A hostile node ---------------------------------------------------------------------------------------------------------


def binary(kind, data, offset=0):
    return PartArrived(id="1", kind=kind, offset=offset, data=data, size=len(data))


def test_bytes_of_one_file_only_go_forward():
    receiver = FileReceiver("f", SMALL)
    receiver.take(binary(PartKind.FILE_RAW, b"abc", 10))
    with pytest.raises(ProtocolError):
        receiver.take(binary(PartKind.FILE_RAW, b"abc", 12))


@pytest.mark.parametrize(
    ("kind", "bomb"),
    [
        (PartKind.FILE_GZIP, pack_gzip(bytes(SMALL.opened_bytes + 1))),
        (
            PartKind.FILE_ZSTD,
            squeeze(bytes(SMALL.opened_bytes + 1), PartKind.FILE_ZSTD, PartKind.FILE_RAW)[1],
        ),
    ],
)
def test_a_part_that_opens_to_more_than_published_is_refused(kind, bomb):
    with pytest.raises(ProtocolError):
        FileReceiver("f", SMALL).take(binary(kind, bomb))


def test_a_table_of_too_many_values_is_refused_before_it_is_decoded():
    limits = replace(SMALL, json_values=16384)
    raw = b"[" + b"{}," * 16384 + b"{}]"
    with pytest.raises(LimitError, match="values"):
        ManyReceiver("/", ["a"], limits).take(binary(PartKind.MANY_RAW, len(raw).to_bytes(4, "big") + raw))


def test_a_file_cannot_reach_beyond_the_published_size():
    with pytest.raises(LimitError):
        FileReceiver("f", SMALL).take(binary(PartKind.FILE_RAW, b"abc", SMALL.file_bytes - 2))


@pytest.mark.parametrize(
    "entry",
    [
        plain_entry("f", size=2, digest=digest_of(b"abc")),
        plain_entry("f", size=3, digest=digest_of(b"abd")),
        plain_entry("f", size=4, digest=digest_of(b"abc")),
        plain_entry("f", size=3),
        plain_entry("g", size=3, digest=digest_of(b"abc")),
        plain_entry("f", EntryType.DIRECTORY),
        None,
    ],
)
def test_an_end_that_is_not_true_is_noticed(entry):
    receiver = FileReceiver("f", SMALL)
    receiver.take(binary(PartKind.FILE_RAW, b"abc"))
    with pytest.raises(ProtocolError):
        receiver.take(FetchEnded(id="1", entry=entry))


def table(*members, data=b""):
    return binary(PartKind.MANY_RAW, pack_members([encode_canonical(member) for member in members], data))


def wired(path, content):
    return entry_to_wire(plain_entry(path, size=len(content), digest=digest_of(content)), "/")


HOSTILE = {
    "another file first": table(Member(index=1, begin=True)),
    "past the last file": table(Member(index=2, begin=True)),
    "no beginning": table(Member(index=0, length=3), data=b"abc"),
    "an end without entry": table(Member(index=0, begin=True, end=True)),
    "an entry without end": table(Member(index=0, begin=True, entry=wired("a", b""))),
    "the entry of another": table(Member(index=0, begin=True, end=True, entry=wired("b", b""))),
    "another content": table(
        Member(index=0, begin=True, length=3, end=True, entry=wired("a", b"abd")), data=b"abc"
    ),
    "data left over": table(Member(index=0, begin=True, length=2), data=b"abc"),
    "data missing": table(Member(index=0, begin=True, length=4), data=b"abc"),
    "a failure with data": table(
        Member(index=0, length=3, failure=MemberFailure(kind="vanished")), data=b"abc"
    ),
    "a failure with an end": table(
        Member(index=0, end=True, entry=wired("a", b""), failure=MemberFailure(kind="vanished"))
    ),
    "a failure twice": table(*[Member(index=0, failure=MemberFailure(kind="vanished"))] * 2),
    "bytes backwards": table(
        Member(index=0, begin=True, offset=5, length=2), Member(index=0, offset=6, length=1), data=b"abc"
    ),
    "too many members": table(*[Member(index=0, begin=True)] * (SMALL.command_paths + 1)),
    "a part out of order": binary(PartKind.MANY_RAW, pack_members([], b""), offset=1),
    "no table": binary(PartKind.MANY_RAW, b""),
    "a table longer than the part": binary(PartKind.MANY_RAW, b"\xff\xff\xff\xff[]"),
    "a table that is no list": binary(PartKind.MANY_RAW, b"\0\0\0\2{}"),
    "a table too deep": binary(PartKind.MANY_RAW, b"\0\0\x01\x00" + b"[" * 256),
    "no zstd frame": binary(PartKind.MANY_ZSTD, b"abc"),
}


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_part_that_cheats_is_noticed(part):
    with pytest.raises(ProtocolError):
        ManyReceiver("/", ["a", "b"], SMALL).take(part)


@pytest.mark.parametrize("totals", [{"files": 1}, {"failed": 1}, {"bytes": 4}])
def test_a_stream_that_ends_with_wrong_totals_is_noticed(totals):
    receiver = ManyReceiver("/", ["a", "b"], SMALL)
    receiver.take(
        table(
            Member(index=0, begin=True, length=3, end=True, entry=wired("a", b"abc")),
            Member(index=1, begin=True, end=True, entry=wired("b", b"")),
            data=b"abc",
        )
    )
    right = FetchEnded(id="1", files=2, failed=0, bytes=3)
    receiver.take(right)
    with pytest.raises(ProtocolError):
        receiver.take(dataclasses.replace(right, **totals))


def test_a_stream_that_ends_early_is_noticed():
    receiver = ManyReceiver("/", ["a", "b"], SMALL)
    receiver.take(table(Member(index=0, failure=MemberFailure(kind="vanished"))))
    with pytest.raises(ProtocolError):
        receiver.take(FetchEnded(id="1", files=2, failed=1, bytes=0))


def test_the_root_of_an_entry_is_the_asked_one():
    entry = replace(wired("a", b""), watch_root="/other", path="/other/a")
    with pytest.raises(ProtocolError):
        ManyReceiver("/", ["a"], SMALL).take(table(Member(index=0, begin=True, end=True, entry=entry)))
