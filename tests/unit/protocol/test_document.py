"""``docs/protocol.md``, its schema and the golden frames say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from lastro.domain.entry import Device, EntryType, Extent, Xattr
from lastro.protocol import entries, faults, messages
from lastro.protocol.codec import (
    BinaryPart,
    PartKind,
    encode_canonical,
    encode_message,
    open_gzip,
    open_zstd,
    pack_part,
    read_envelope,
    read_message,
    read_part,
)
from lastro.protocol.entries import PathBytes, WireEntry, WireSkipped, entry_to_wire
from lastro.protocol.limits import DEFAULT_LIMITS, Limits
from lastro.protocol.members import Member, MemberFailure, open_members, pack_members
from lastro.protocol.schema import MESSAGES, protocol_schema, protocol_schema_text
from tests.protocol_nouns import digest_of, hello_of, plain_entry

TOP = Path(__file__).parents[3]
DOCUMENT = (TOP / "docs" / "protocol.md").read_text()
EXAMPLES = re.findall(r"<!-- example: (\w+) -->\n```json\n(.*?)```", DOCUMENT, re.DOTALL)
KINDS: tuple[type[msgspec.Struct], ...] = (*MESSAGES, WireEntry, WireSkipped)
NOUNS = {kind.__name__: kind for kind in KINDS}
GOLDEN = TOP / "tests" / "golden" / "wire"


def rows(heading):
    """The first column's codes and the rows of the first table below ``heading``."""
    table = DOCUMENT.split(f"\n{heading}\n", 1)[1].split("|---|", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for code in re.findall(r"`([^`]+)`", cells[0]) or [cells[0]]:
            yield code, cells


def example(name):
    return next(text for kind, text in EXAMPLES if kind == name)


# The document -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_every_example_is_what_it_says_with_no_field_unknown(name, text):
    read_envelope(text, DEFAULT_LIMITS)
    message = read_message(text, NOUNS[name])
    again = json.loads(encode_message(message))
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(NOUNS[name])}
    told = json.loads(text)
    assert {key: value for key, value in told.items() if value != defaults.get(key, ...)} == {
        key: value for key, value in again.items() if value != defaults.get(key, ...)
    }


def test_every_json_block_is_an_example_and_every_message_has_one():
    assert DOCUMENT.count("```json") == len(EXAMPLES)
    assert {name for name, _ in EXAMPLES} == set(NOUNS)


def test_every_type_cites_a_section_that_is_there():
    headings = set(re.findall(r"^#+ (.+)$", DOCUMENT, re.MULTILINE))
    for kind in (*NOUNS.values(), messages.Task, messages.ChangedItem):
        cited = re.search(r"``docs/protocol\.md``, ([\w -]+)", kind.__doc__)
        assert cited, kind
        assert cited[1] in headings, kind


def test_the_limits_in_the_text_are_those_of_the_code():
    told = {code: (int(cells[1]), int(cells[2])) for code, cells in rows("## Limits")}
    schema = msgspec.json.schema(Limits)["$defs"]["Limits"]["properties"]
    assert told == {name: (field["default"], field["minimum"]) for name, field in schema.items()}


def test_the_fields_in_the_text_are_those_of_the_code():
    assert {code for code, _ in rows("## Entry")} == {"item", *WireEntry.__struct_fields__}
    assert {code for code, _ in rows("### Parts of many")} == set(Member.__struct_fields__)


def test_the_close_codes_in_the_text_are_those_of_the_code():
    told = set(re.findall(r"^\| ([14]\d{3}) \|", DOCUMENT, re.MULTILINE))
    assert told == {str(value) for name, value in vars(faults).items() if name.startswith("CLOSE_")}


def test_the_binary_kinds_in_the_text_are_those_of_the_code():
    told = re.search(r"kind: 1 (.*) · 2 (.*) · 3 (.*) · 4 (.*) \|", DOCUMENT)
    assert told and [kind.value for kind in PartKind][:4] == [1, 2, 3, 4]


def test_the_digests_and_data_in_the_examples_are_right():
    assert open_gzip(read_message(example("FetchPart"), messages.FetchPart).data, 100) == b"abc" * 2
    done = read_message(example("FetchFileDone"), messages.FetchFileDone)
    assert done.digest == done.entry.digest == digest_of(b"abc").hex()
    items = read_message(example("TreePart"), messages.TreePart).items
    digest = blake3(b"".join(bytes(item) + b"\n" for item in items)).hexdigest()
    assert read_message(example("TreeDone"), messages.TreeDone).digest == digest


def test_the_fingerprint_is_made_as_the_text_says():
    raw = b"/etc\0\0/srv\0*.tmp\0\0"
    assert entries.roots_fingerprint([("/srv", ["*.tmp"]), ("/etc", [])]) == blake3(raw).hexdigest()[:32]


# The schema -------------------------------------------------------------------------------------------------------------


def test_the_schema_is_fresh():
    assert (TOP / "docs" / "protocol.schema.json").read_text() == protocol_schema_text(), (
        "run: python -m lastro.protocol.schema > docs/protocol.schema.json"
    )


def test_the_schema_has_every_message():
    schema = protocol_schema()
    assert {each["$ref"].rpartition("/")[2] for each in schema["anyOf"]} == {
        kind.__name__ for kind in MESSAGES
    }
    assert "WireEntry" in schema["$defs"]


# The golden frames ------------------------------------------------------------------------------------------------------

FILE = entry_to_wire(
    plain_entry(
        "d/\udcff",
        uid=1,
        gid=2,
        mtime_ns=-5,
        ctime_ns=6,
        btime_ns=7,
        size=8192,
        xattrs=(Xattr("user.a", b"\0\1"), Xattr("user.\udcfe", b"")),
        flags=16,
        holes=(Extent(0, 4096),),
        digest=digest_of(b"abc"),
        torn=True,
        dev=(1 << 64) - 1,
        inode=9,
        nlink=2,
    ),
    "/srv",
)
NODE = entry_to_wire(plain_entry("null", EntryType.CHARACTER_DEVICE, rdev=Device(1, 3)), "/dev")
LINK = entry_to_wire(plain_entry("l", EntryType.SYMLINK, link_target='\n"\\é\x7f'), "/")
MESSAGES_SENT = {
    "hello": hello_of(DEFAULT_LIMITS, capabilities=messages.CAPABILITIES[:4]),
    "hello-telemetry": hello_of(DEFAULT_LIMITS),
    "goodbye": messages.Goodbye(reason="stopping"),
    "task-list": messages.TaskListCommand(id="1"),
    "task-list-result": messages.TaskListResult(
        id="1",
        tasks=(
            messages.Task(
                name="/srv",
                kind="files",
                watch_root="/srv",
                excludes=("*.tmp",),
                entries=1,
                bytes=2,
                cursor=3,
            ),
            messages.Task(name=PathBytes(b"/\xff"), kind="files", watch_root=PathBytes(b"/\xff")),
        ),
    ),
    "tree-dump": messages.TreeDumpCommand(
        id="2", root="/srv", paths=("a", PathBytes(b"\xff")), recursive=False
    ),
    "tree-dump-whole": messages.TreeDumpCommand(id="2", root="/srv"),
    "tree-dump-start": messages.TreeStart(id="2", root="/srv"),
    "tree-dump-chunk": messages.TreePart(
        id="2",
        items=[
            msgspec.Raw(encode_canonical(item))
            for item in (FILE, NODE, LINK, WireSkipped(kind="unreadable", rel_path="x", detail="EACCES"))
        ],
    ),
    "tree-dump-done": messages.TreeDone(id="2", count=4, digest="0" * 64, cursor=5),
    "fetch-file": messages.FetchCommand(id="3", root="/srv", path=""),
    "fetch-many": messages.FetchCommand(id="3", root="/srv", paths=("a", "b"), encoding="zstd+binary"),
    "fetch-start": messages.FetchStart(
        id="3", encoding="zstd+binary", part_size=10, digest_kind="blake3", stream=1, size=8192, entry=FILE
    ),
    "fetch-chunk": messages.FetchPart(id="3", offset=5, data=b"\0\xff"),
    "fetch-restart": messages.FetchRestart(id="3"),
    "fetch-file-done": messages.FetchFileDone(
        id="3", size=8192, digest=digest_of(b"abc").hex(), torn=True, entry=FILE, racy=True
    ),
    "fetch-many-done": messages.FetchManyDone(id="3", files=2, failed=1, bytes=3),
    "watch": messages.WatchCommand(id="4", cursor=0),
    "watch-from-now": messages.WatchCommand(id="4"),
    "watch-result": messages.WatchResult(id="4", cursor=0),
    "changed": messages.Changed(
        cursor=5,
        paths=(messages.ChangedItem(watch_root="/srv", rel_path=PathBytes(b"\xff"), recursive=True),),
        roots_changed=True,
        more=True,
    ),
    "changed-nothing": messages.Changed(cursor=5),
    "overflow": messages.Overflow(cursor=5, roots=("/srv",)),
    "ping": messages.PingCommand(id="5"),
    "ping-result": messages.PingResult(id="5"),
    "telemetry": messages.TelemetryCommand(id="7"),
    "telemetry-result": messages.TelemetryResult(
        id="7",
        time_ns=1,
        cpu=1000,
        load=2500,
        processors=4,
        memory_total=10,
        memory_used=9,
        own_cpu=3,
        own_memory=4,
        disks=(messages.WireDisk(path=PathBytes(b"/\xff"), total=8, free=7),),
    ),
    "telemetry-result-bare": messages.TelemetryResult(
        id="7", time_ns=1, cpu=0, load=0, processors=1, memory_total=10, memory_used=10
    ),
    "cancel": messages.CancelCommand(id="6", target="3"),
    "cancel-result": messages.CancelResult(id="6", cancelled=False, freed_bytes=0),
    "ack": messages.AckCommand(id="3", bytes=1),
    "error": messages.ErrorReply(
        id="3", code="busy", message="Later", hint="Wait", retryable=True, detail="x"
    ),
    "pair": messages.PairCommand(id="1", secret=bytes(16), name="k", certificate=b"DER"),
    "pair-result": messages.PairResult(id="1", name="n", port=8422),
}
MANY = pack_members(
    [
        encode_canonical(Member(index=0, begin=True, length=3)),
        encode_canonical(Member(index=0, end=True, entry=FILE, racy=True)),
        encode_canonical(Member(index=1, failure=MemberFailure(kind="vanished", detail="ENOENT"))),
    ],
    b"abc",
)
PARTS_SENT = {
    "part-file": BinaryPart(kind=PartKind.FILE_RAW, stream=1, offset=5, data=b"abc"),
    "part-many": BinaryPart(kind=PartKind.MANY_RAW, stream=(1 << 32) - 1, offset=(1 << 63) - 1, data=MANY),
}


@pytest.mark.parametrize("name", MESSAGES_SENT)
def test_a_message_has_the_bytes_it_always_had(name):
    golden = (GOLDEN / f"{name}.json").read_text()
    message = MESSAGES_SENT[name]
    assert encode_message(message) + "\n" == golden
    back = read_message(golden, type(message))
    assert encode_message(back) + "\n" == golden
    if not isinstance(message, messages.TreePart):  # raw items do not compare
        assert back == message


@pytest.mark.parametrize("name", PARTS_SENT)
def test_a_part_has_the_bytes_it_always_had(name):
    golden = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    assert pack_part(PARTS_SENT[name]) == golden
    assert read_part(golden, DEFAULT_LIMITS) == PARTS_SENT[name]


def test_a_compressed_part_opens_as_it_always_did():
    part = read_part(bytes.fromhex((GOLDEN / "part-many-zstd.hex").read_text()), DEFAULT_LIMITS)
    assert part.kind is PartKind.MANY_ZSTD
    opened = list(open_members(open_zstd(part.data, 1000), DEFAULT_LIMITS))
    assert opened == list(open_members(MANY, DEFAULT_LIMITS))
    assert [data for _, data in opened] == [b"abc", b"", b""]


def test_there_is_a_golden_frame_of_every_message_and_none_besides():
    assert {type(message) for message in MESSAGES_SENT.values()} == set(MESSAGES)
    names = {
        *(f"{name}.json" for name in MESSAGES_SENT),
        *(f"{name}.hex" for name in PARTS_SENT),
        "part-many-zstd.hex",
    }
    assert {path.name for path in GOLDEN.iterdir()} == names
