"""Laws of records: one way to write each, for ever, and newer ones can still be read."""

from __future__ import annotations

import typing

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain import record, snapshot
from lastro.domain.record import (
    NO_RECORD,
    Actor,
    ApplyBody,
    ApproverBody,
    DecisionBody,
    ExchangeBody,
    KeyBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    Record,
    RecordKind,
    RecordTarget,
    RepositoryBody,
    RunBody,
    RunStateBody,
    ServerBody,
    decode_body,
    decode_record,
    encode_body,
    encode_record,
    record_id,
)
from lastro.domain.snapshot import SnapshotBody, Statistics

BODIES = [
    RepositoryBody,
    KeyBody,
    ServerBody,
    SnapshotBody,
    ApplyBody,
    ExchangeBody,
    RunBody,
    RunStateBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    DecisionBody,
    ApproverBody,
]
STORED = [Record, Actor, RecordTarget, Statistics, *BODIES]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
number = st.integers(-(1 << 63), (1 << 63) - 1)
encoded = st.dictionaries(text, number, max_size=2).map(
    lambda fields: msgspec.Raw(msgspec.msgpack.encode(fields, order="sorted"))
)
PLAIN = {
    str: text,
    int: number,
    bytes: st.binary(max_size=6),
    bool: st.booleans(),
    type(None): st.none(),
    msgspec.Raw: encoded,
}


def values(annotation):
    """Any value of an annotated type."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=2)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if arguments:
        return st.one_of(*map(values, arguments))
    return structs(annotation)


def structs(kind):
    return st.builds(
        kind, **{name: values(hint) for name, hint in typing.get_type_hints(kind).items() if name != "body"}
    )


bodies = st.one_of(*map(structs, BODIES))
records = st.builds(
    lambda one, body: msgspec.structs.replace(one, body=encode_body(body)),
    st.builds(
        Record,
        body=st.just(msgspec.Raw(b"\xc0")),
        **{name: values(hint) for name, hint in typing.get_type_hints(Record).items() if name != "body"},
    ),
    bodies,
)


def test_every_body_is_here():
    found = {name for home in (record, snapshot) for name in vars(home) if name.endswith("Body")} - {"Body"}
    assert found == {kind.__name__ for kind in BODIES}


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_fields_stand_sorted_in_what_is_stored(kind):
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    assert names == sorted(names)
    assert kind.__struct_config__.frozen


@given(records)
def test_a_record_comes_back_as_it_was(one):
    raw = encode_record(one)
    back = decode_record(raw)
    assert back == one
    assert encode_record(back) == raw


@given(records)
def test_a_record_is_a_map_with_sorted_keys_all_the_way_down(one):
    def check(value):
        if isinstance(value, dict):
            assert list(value) == sorted(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(item)

    check(msgspec.msgpack.decode(encode_record(one)))


@given(bodies)
def test_a_body_comes_back_from_its_record(body):
    assert decode_body(decode_record(encode_record(GOLDEN_RECORD(body))), type(body)) == body


def may_hold(kind, names):
    """Whether a body of this kind can have these fields: those that came later are left out where they say what held before."""
    fields = msgspec.structs.fields(kind)
    later = {
        field.encode_name for field in fields if kind.__struct_config__.omit_defaults and not field.required
    }
    every = {field.encode_name for field in fields}
    return every - later <= names <= every


@given(records, st.dictionaries(text.map("x_{}".format), number, min_size=1, max_size=2))
def test_fields_of_a_newer_version_are_ignored(one, news):
    fields = msgspec.msgpack.decode(encode_record(one))
    body = msgspec.Raw(msgspec.msgpack.encode({**fields["body"], **news}))
    actor = {**fields["actor"], **news}
    read = decode_record(msgspec.msgpack.encode({**fields, **news, "actor": actor, "body": body}))
    assert msgspec.structs.replace(read, body=one.body) == one
    kind = next(kind for kind in BODIES if may_hold(kind, set(fields["body"])))
    assert decode_body(read, kind) == decode_body(one, kind)


@given(records, records)
def test_records_have_one_id_exactly_when_they_are_equal(one, other):
    assert (record_id(encode_record(one)) == record_id(encode_record(other))) == (one == other)


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x80", b"\xff" * 9, msgspec.msgpack.encode({"seq": "one"})])
def test_what_is_no_record_is_refused(raw):
    with pytest.raises(msgspec.DecodeError):
        decode_record(raw)


# Golden bytes -------------------------------------------------------------------------------------------------------------------------


def GOLDEN_RECORD(body):  # noqa: N802  a constant but for its body
    return Record(
        actor=Actor(kind="human", name="ana", uid=1000),
        body=encode_body(body),
        clock_jump=False,
        kind=RecordKind.SERVER,
        number=3,
        previous=NO_RECORD,
        seq=7,
        server="0" * 32,
        target=RecordTarget(kind="files", path=b"/srv/\xff"),
        time_ns=1_800_000_000_000_000_000,
    )


GOLDEN = [
    (
        RepositoryBody(public_key=bytes(range(32)), repository="ab" * 16),
        (
            "82aa7075626c69635f6b6579c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d"
            "1e1faa7265706f7369746f7279d9206162616261626162616261626162616261626162616261626162616261"
            "626162"
        ),
    ),
    (
        KeyBody(change="added", kind="recovery", slot="slot-1"),
        "83a66368616e6765a56164646564a46b696e64a87265636f76657279a4736c6f74a6736c6f742d31",
    ),
    (
        ServerBody(address="10.0.0.7:8422", certificate=b"0", device="ABCD", name="web-01"),
        (
            "84a761646472657373ad31302e302e302e373a38343232ab6365727469666963617465c40130a66465766963"
            "65a441424344a46e616d65a67765622d3031"
        ),
    ),
    (
        SnapshotBody(
            node_time_ns=5,
            reason="change",
            root=b"\x80",
            statistics=Statistics(added=1, bytes=70_000),
            warnings=[(b"a/\xff", "torn", "")],
        ),
        (
            "85ac6e6f64655f74696d655f6e7305a6726561736f6ea66368616e6765a4726f6f74c40180aa737461746973"
            "7469637382a5616464656401a56279746573ce00011170a87761726e696e67739193c403612fffa4746f726e"
            "a0"
        ),
    ),
    (
        ApplyBody(
            after=9,
            before=None,
            change_digest=bytes(32),
            destination=b"/srv",
            kind="undo",
            of=3,
            outcome="partial",
            paths=[b"a", b"\xff"],
            warnings=[[b"a", b"in_place", b"hard_link"]],
        ),
        (
            "89a5616674657209a66265666f7265c0ad6368616e67655f646967657374c420000000000000000000000000"
            "0000000000000000000000000000000000000000ab64657374696e6174696f6ec4042f737276a46b696e64a4"
            "756e646fa26f6603a76f7574636f6d65a77061727469616ca5706174687392c40161c401ffa87761726e696e"
            "67739193c40161c408696e5f706c616365c409686172645f6c696e6b"
        ),
    ),
]
RECORD = (
    "8ba56163746f7283a46b696e64a568756d616ea46e616d65a3616e61a3756964cd03e8a4626f647983a66368616e"
    "6765a56164646564a46b696e64a87265636f76657279a4736c6f74a6736c6f742d31aa636c6f636b5f6a756d70c2"
    "a46b696e64a6736572766572a66e756d62657203a870726576696f7573c420000000000000000000000000000000"
    "0000000000000000000000000000000000a373657107a6736572766572d920303030303030303030303030303030"
    "3030303030303030303030303030303030a674617267657482a46b696e64a566696c6573a470617468c4062f7372"
    "762fffa774696d655f6e73cf18fae27693b40000a17600"
)
RECORD_ID = "d82c090fb62ac178e902365658f81578a53f1a17661d3c02cb014c8c5258809a"


@pytest.mark.parametrize(("body", "written"), GOLDEN, ids=[type(body).__name__ for body, _ in GOLDEN])
def test_a_body_is_the_same_bytes_for_ever(body, written):
    assert bytes(encode_body(body)).hex() == written


def test_a_record_is_the_same_bytes_for_ever():
    raw = encode_record(GOLDEN_RECORD(GOLDEN[1][0]))
    assert raw.hex() == RECORD
    assert record_id(raw) == blake3(raw).digest()
    assert record_id(raw).hex() == RECORD_ID


def test_what_an_actor_does_not_have_is_not_written():
    assert msgspec.msgpack.encode(Actor(kind="keeper")) == msgspec.msgpack.encode({"kind": "keeper"})
    assert msgspec.msgpack.encode(Statistics(files=3)) == msgspec.msgpack.encode({"files": 3})
