"""The two state machines: what is answered, what is refused and what ends a session."""

from __future__ import annotations

import json
import random

import pytest
from msgspec.structs import replace

from lastro.domain.entry import EntryType
from lastro.errors import (
    DeniedError,
    LastroError,
    LimitError,
    NotFoundError,
    ProtocolError,
    StorageFullError,
    UnreachableError,
)
from lastro.protocol.codec import BinaryPart, PartKind, encode_message, pack_part, read_message
from lastro.protocol.entries import entry_to_wire
from lastro.protocol.events import (
    CancelAsked,
    CancelEnded,
    ChangedPath,
    CommandFailed,
    FeedChanged,
    FeedOverflowed,
    FetchAsked,
    FetchEnded,
    FetchStarted,
    FileFailed,
    GoodbyeReceived,
    HelloReceived,
    PartArrived,
    PongReceived,
    SkippedPath,
    TaskListReceived,
    TreeDumpAsked,
    TreeEnded,
    TreeItems,
    TreeStarted,
    WatchedRoot,
    WatchEnded,
    WatchStarted,
    WindowOpened,
)
from lastro.protocol.faults import LocalProtocolError, VersionError, close_code, error_from_reply, error_reply
from lastro.protocol.keeper_session import KeeperSession, KeeperState
from lastro.protocol.limits import DEFAULT_LIMITS, Limits, check_limits
from lastro.protocol.messages import ErrorReply, TreePart
from lastro.protocol.node_session import NodeSession, NodeState
from lastro.protocol.tree_parts import TreeReader, TreeWriter
from tests.protocol_nouns import SMALL, digest_of, hello_of, plain_entry
from tests.protocol_pair import Pair, file_events


def open_node(**hello):
    node = NodeSession(hello_of(**hello))
    node.begin()
    node.outgoing()
    return node


def open_keeper(**hello):
    keeper = KeeperSession(DEFAULT_LIMITS)
    keeper.receive(encode_message(hello_of(**hello)))
    return keeper


def said(session):
    return [json.loads(frame) for frame in session.outgoing()]


def ask(cmd, **arguments):
    return json.dumps({"id": "1", "cmd": cmd, **arguments})


def tell(event, **fields):
    return json.dumps({"event": event, **fields})


# Hello ------------------------------------------------------------------------------------------------------------------


def test_the_node_says_hello_first_and_the_keeper_learns_its_limits():
    pair = Pair(keeper_limits=DEFAULT_LIMITS).opened()
    assert isinstance(pair.keeper_events[0], HelloReceived)
    assert pair.keeper.limits == SMALL
    assert pair.keeper.supports("watch")
    assert not pair.keeper.supports("teleport")


@pytest.mark.parametrize(
    "frame", [tell("goodbye", reason="x"), tell("result", id="1"), tell("changed", cursor=1)]
)
def test_anything_before_hello_is_a_breach(frame):
    keeper = KeeperSession()
    with pytest.raises(ProtocolError):
        keeper.receive(frame)
    assert keeper.state is KeeperState.BROKEN


def test_a_second_hello_is_a_breach():
    with pytest.raises(ProtocolError):
        open_keeper().receive(encode_message(hello_of()))


def test_an_unknown_major_version_is_said_clearly_even_if_nothing_else_can_be_read():
    with pytest.raises(VersionError, match=r"lastro\.v9.*lastro\.v1") as caught:
        KeeperSession().receive(tell("hello", protocol=["lastro.v9"], everything="else"))
    assert close_code(caught.value) == 4406


def test_unknown_fields_capabilities_and_events_are_not_used():
    hello = json.loads(encode_message(hello_of()))
    hello["future"] = {"x": 1}
    hello["capabilities"].append("future")
    keeper = KeeperSession()
    keeper.receive(json.dumps(hello))
    assert keeper.receive(tell("run-begin", run="x")) == []


def test_a_node_that_publishes_more_than_the_keeper_holds_is_refused():
    with pytest.raises(LimitError, match="window_bytes") as caught:
        KeeperSession(SMALL).receive(
            encode_message(hello_of(limits=replace(SMALL, window_bytes=SMALL.window_bytes + 1)))
        )
    assert close_code(caught.value) == 4413


@pytest.mark.parametrize("field", Limits.__struct_fields__)
def test_limits_too_small_to_work_with_are_refused(field):
    hello = json.loads(encode_message(hello_of()))
    hello["limits"][field] = 0
    with pytest.raises(ProtocolError):
        KeeperSession().receive(json.dumps(hello))


@pytest.mark.parametrize(
    "fields",
    [
        {"part_bytes": SMALL.message_bytes},
        {"opened_bytes": SMALL.part_bytes - 1},
        {"entry_bytes": SMALL.part_bytes},
        {"message_bytes": SMALL.window_bytes},
        {"path_bytes": SMALL.entry_bytes},
    ],
)
def test_limits_that_contradict_each_other_are_refused(fields):
    check_limits(SMALL)
    with pytest.raises(LimitError):
        check_limits(replace(SMALL, **fields))


# Requests ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (ask("git-bundle"), "unsupported"),
        (ask("tree"), "unsupported"),
        (ask("tree-dump"), "bad_request"),
        (ask("tree-dump", root="etc"), "bad_request"),
        (ask("tree-dump", root="/etc/.."), "bad_request"),
        (ask("tree-dump", root="/etc", paths=["../x"]), "bad_request"),
        (ask("tree-dump", root="/etc", paths=[]), "limit"),
        (ask("tree-dump", root="/etc", paths=["x"] * 17), "limit"),
        (ask("tree-dump", root="/etc", paths=["x" * 5000]), "limit"),
        (ask("tree-dump", root="/etc", recursive=1), "bad_request"),
        (ask("fetch", root="/etc"), "bad_request"),
        (ask("fetch", root="/etc", path="a", paths=["a"]), "bad_request"),
        (ask("fetch", root="/etc", paths=["a"]), "bad_request"),
        (ask("fetch", root="/etc", path="a", encoding="rot13"), "bad_request"),
        (ask("fetch", root="/etc", path={"b64": "!"}), "bad_request"),
        (ask("watch", cursor=-1), "bad_request"),
        (ask("cancel"), "bad_request"),
    ],
)
def test_a_request_that_is_wrong_is_answered_and_the_session_goes_on(frame, code):
    node = open_node()
    assert node.receive(frame) == []
    reply = said(node)[0]
    assert (reply["id"], reply["event"], reply["code"]) == ("1", "error", code)
    assert node.receive(ask("ping")) == []
    assert said(node) == [{"id": "1", "event": "result", "pong": True}]


@pytest.mark.parametrize(
    "frame",
    [
        b"binary",
        "not json",
        "{}",
        '{"cmd":"ping"}',
        '{"id":"1"}',
        '{"id":"","cmd":"ping"}',
        json.dumps({"id": "x" * 65, "cmd": "ping"}),
        '{"id":"1","event":"result"}',
        ask("ack", bytes=0),
        ask("ping", x="x" * SMALL.message_bytes),
    ],
)
def test_what_is_no_request_ends_the_session(frame):
    node = open_node()
    with pytest.raises(ProtocolError):
        node.receive(frame)
    assert node.state is NodeState.BROKEN
    with pytest.raises(LocalProtocolError):
        node.receive(ask("ping"))


def test_an_id_that_is_running_cannot_be_used_again():
    node = open_node()
    node.receive(ask("task-list"))
    with pytest.raises(ProtocolError):
        node.receive(ask("ping"))


def test_a_capability_that_was_not_offered_is_unsupported():
    node = open_node(capabilities=("gzip+base64",))
    for frame in (
        ask("watch"),
        ask("fetch", root="/", path="a", encoding="zstd+binary"),
        ask("fetch", root="/", paths=["a"], encoding="zstd+binary"),
    ):
        node.receive(frame)
        assert said(node)[0]["code"] == "unsupported"
    assert node.receive(ask("fetch", root="/", path="a")) == [
        FetchAsked(id="1", root="/", paths=("a",), many=False)
    ]
    keeper = open_keeper(capabilities=("gzip+base64",))
    for request in (
        lambda: keeper.request_watch(None),
        lambda: keeper.request_fetch("/", "a", encoding="zstd+binary"),
        lambda: keeper.request_fetch_many("/", ["a"]),
    ):
        with pytest.raises(LocalProtocolError):
            request()


def test_too_much_at_once_is_refused_on_both_sides():
    node = open_node()
    for number in range(SMALL.open_transfers):
        assert node.receive(ask("tree-dump", id=f"t{number}", root="/"))
    assert node.receive(ask("fetch", root="/", path="a")) == []
    reply = said(node)[0]
    assert (reply["code"], reply["retryable"]) == ("busy", True)
    for number in range(SMALL.parallel_commands - SMALL.open_transfers):
        assert node.receive(ask("task-list", id=f"l{number}"))
    assert node.receive(ask("task-list")) == []
    assert said(node)[0]["code"] == "busy"
    keeper = open_keeper()
    for _ in range(SMALL.open_transfers):
        keeper.request_tree_dump("/")
    with pytest.raises(LimitError):
        keeper.request_fetch("/", "a")
    for _ in range(SMALL.parallel_commands - SMALL.open_transfers):
        keeper.request_task_list()
    with pytest.raises(LimitError):
        keeper.request_task_list()
    keeper.ping()
    keeper.cancel("1")


def test_a_command_larger_than_a_message_is_never_sent():
    keeper = open_keeper()
    with pytest.raises(LimitError):
        keeper.request_tree_dump("/", ["x" * 12_000] * 16)
    with pytest.raises(LimitError):
        keeper.request_tree_dump("/", ["x"] * 17)
    assert keeper.outgoing() == []


def test_nothing_is_asked_before_hello_or_after_goodbye():
    with pytest.raises(LocalProtocolError):
        KeeperSession().request_task_list()
    pair = Pair().opened()
    pair.node.say_goodbye("stopping")
    assert pair.settle()[1] == [GoodbyeReceived(reason="stopping")]
    with pytest.raises(UnreachableError):
        pair.keeper.request_task_list()
    node = open_node()
    node.say_goodbye("stopping")
    node.outgoing()
    node.receive(ask("task-list"))
    assert said(node)[0]["code"] == "busy"


# Answers ----------------------------------------------------------------------------------------------------------------


def test_task_list_and_ping():
    pair = Pair().opened()
    roots = (
        WatchedRoot(path="/srv/\udcff", excludes=("*.tmp", "\udcfe"), entries=3, bytes=4, cursor=5),
        WatchedRoot(path="/"),
    )
    command = pair.keeper.request_task_list()
    pair.settle()
    pair.node.reply_task_list(command, roots)
    assert pair.settle()[1] == [TaskListReceived(id=command, roots=roots)]
    command = pair.keeper.ping()
    assert pair.settle()[1] == [PongReceived(id=command)]


def test_an_answer_that_does_not_fit_becomes_an_error():
    pair = Pair().opened()
    command = pair.keeper.request_task_list()
    pair.settle()
    pair.node.reply_task_list(command, [WatchedRoot(path=f"/{'x' * 4000}/{index}") for index in range(100)])
    assert pair.settle()[1][0].code == "limit"


def test_tree_dump():
    pair = Pair().opened()
    items = [plain_entry("", EntryType.DIRECTORY), SkippedPath(path="a", kind="excluded", detail="proc")]
    items += [plain_entry(f"b{index}") for index in range(10)]
    command = pair.keeper.request_tree_dump("/srv")
    (asked,), _ = pair.settle()
    assert asked == TreeDumpAsked(id=command, root="/srv", paths=("",), recursive=True)
    writer = pair.node.start_tree(command)
    parts = [part for item in items for part in writer.take(item)] + writer.flush()
    assert len(parts) == 2  # at most seven items in a part
    got = pair.send_parts(command, parts)
    pair.node.finish_tree(command, writer.summary, cursor=9)
    got += pair.settle()[1]
    assert got[0] == TreeStarted(id=command)
    assert [item for event in got if isinstance(event, TreeItems) for item in event.items] == items
    assert got[-1] == TreeEnded(id=command, count=len(items), cursor=9)


@pytest.mark.parametrize("encoding", ["gzip+base64", "zstd+binary"])
def test_fetch_of_one_file(encoding):
    pair = Pair().opened()
    command = pair.keeper.request_fetch("/srv", "f", encoding=encoding)
    receiver = pair.keeper.receiver(command)
    pair.settle()
    sender = pair.node.start_fetch(command, entry=plain_entry("f", size=3))
    parts = [
        part for event in file_events("f", b"abc", racy=True) for part in sender.take(event)
    ] + sender.flush()
    got = pair.send_parts(command, parts)
    pair.node.finish_fetch(command, sender)
    got += pair.settle()[1]
    assert got[0] == FetchStarted(id=command, entry=plain_entry("f", size=3))
    assert got[-1] == FetchEnded(
        id=command, entry=plain_entry("f", size=3, digest=digest_of(b"abc")), racy=True
    )
    assert [event for each in got[1:] for event in receiver.take(each)] == list(
        file_events("f", b"abc", racy=True)
    )


def test_the_failure_of_the_one_file_is_the_error_of_its_command():
    pair = Pair().opened()
    command = pair.keeper.request_fetch("/srv", "f")
    pair.settle()
    sender = pair.node.start_fetch(command, entry=None)
    sender.take(FileFailed(path="f", kind="vanished", detail="ENOENT"))
    pair.node.finish_fetch(command, sender)
    failed = pair.settle()[1][-1]
    assert isinstance(failed, CommandFailed)
    assert (failed.code, failed.detail) == ("vanished", "ENOENT")
    assert isinstance(failed.error, NotFoundError)


def test_a_stream_cannot_end_before_its_files_have():
    pair = Pair().opened()
    command = pair.keeper.request_fetch("/srv", "f")
    pair.settle()
    sender = pair.node.start_fetch(command, entry=None)
    with pytest.raises(LocalProtocolError):
        pair.node.finish_fetch(command, sender)


def test_watch_changed_and_overflow():
    pair = Pair().opened()
    pair.node.send_changed(1, [], roots_changed=True)
    assert pair.settle() == ([], [])  # nobody watches
    command = pair.keeper.request_watch(4)
    pair.settle()
    pair.node.reply_watch(command, 4)
    assert pair.settle()[1] == [WatchStarted(id=command, cursor=4)]
    paths = tuple(
        ChangedPath(root="/srv", path=f"\udcff{index}", recursive=index == 3) for index in range(10)
    )
    pair.node.send_changed(5, paths, roots_changed=True)
    pair.node.send_overflow(6, ["/srv"])
    assert pair.settle()[1] == [
        FeedChanged(cursor=5, paths=paths[:7], roots_changed=False, more=True),
        FeedChanged(cursor=5, paths=paths[7:], roots_changed=True, more=False),
        FeedOverflowed(cursor=6, roots=("/srv",)),
    ]
    cancel = pair.keeper.cancel(command)
    assert pair.settle() == (
        [WatchEnded()],
        [CancelEnded(id=cancel, target=command, cancelled=True, freed_bytes=0)],
    )
    assert not pair.node.is_watched


def test_long_changes_are_told_in_frames_that_fit():
    pair = Pair().opened()
    command = pair.keeper.request_watch(None)
    pair.settle()
    pair.node.reply_watch(command, 0)
    paths = [ChangedPath(root="/srv", path=f"{index}" + "\1" * 4000) for index in range(20)]
    pair.node.send_changed(5, paths, roots_changed=False)
    heard = pair.settle()[1]
    assert [path for event in heard[1:] for path in event.paths] == paths


def test_changes_that_nobody_asked_for_and_a_feed_that_goes_backwards_are_breaches():
    with pytest.raises(ProtocolError):
        open_keeper().receive(tell("changed", cursor=1))
    keeper = open_keeper()
    command = keeper.request_watch(None)
    keeper.receive(tell("result", id=command, cursor=5))
    keeper.receive(tell("changed", cursor=6))
    with pytest.raises(ProtocolError):
        keeper.receive(tell("overflow", cursor=5, roots=["/"]))


def test_errors_come_back_as_what_they_were():
    for error in (
        NotFoundError("No such {thing}", hint="Look", thing="root"),
        DeniedError("No"),
        StorageFullError("Full"),
    ):
        reply = error_reply("1", error, detail="X")
        back = error_from_reply(reply)
        assert type(back) is type(error)
        assert str(error) in str(back)
        assert reply.detail == "X"
    odd = error_from_reply(ErrorReply(id="1", code="{weird}", message="{0.__class__}", hint="{x}"))
    assert type(odd) is LastroError
    assert "{0.__class__}" in str(odd)
    assert error_reply("1", NotFoundError("{p}", p="\udcff" * 5000)).message.isascii()


# Cancel -----------------------------------------------------------------------------------------------------------------


def test_cancel_ends_a_stream_and_says_what_was_freed():
    pair = Pair().opened()
    command = pair.keeper.request_tree_dump("/srv")
    pair.settle()
    pair.node.start_tree(command)
    cancel = pair.keeper.cancel(command)
    assert pair.settle()[0] == [CancelAsked(id=command)]
    pair.node.finish_cancelled(command, freed_bytes=7)
    failed, ended = pair.settle()[1]
    assert (failed.id, failed.code) == (command, "cancelled")
    assert ended == CancelEnded(id=cancel, target=command, cancelled=True, freed_bytes=7)
    assert not pair.node.is_running(command)


def test_a_command_may_end_by_itself_while_it_is_cancelled():
    pair = Pair().opened()
    command = pair.keeper.request_task_list()
    pair.settle()
    cancel = pair.keeper.cancel(command)
    pair.settle()
    pair.node.reply_task_list(command, [])
    listed, ended = pair.settle()[1]
    assert listed == TaskListReceived(id=command, roots=())
    assert ended == CancelEnded(id=cancel, target=command, cancelled=False, freed_bytes=0)
    pair.node.finish_cancelled(command)  # comes too late, and means nothing
    assert pair.settle() == ([], [])


def test_a_watch_that_is_cancelled_before_it_stands_never_does():
    pair = Pair().opened()
    command = pair.keeper.request_watch(None)
    cancel = pair.keeper.cancel(command)
    pair.settle()
    pair.node.reply_watch(command, 3)
    assert pair.settle()[1] == [
        WatchStarted(id=command, cursor=3),
        CancelEnded(id=cancel, target=command, cancelled=True, freed_bytes=0),
    ]
    assert not pair.node.is_watched


def test_what_is_not_running_cannot_be_cancelled():
    pair = Pair().opened()
    cancel = pair.keeper.cancel("99")
    assert pair.settle()[1] == [CancelEnded(id=cancel, target="99", cancelled=False, freed_bytes=0)]


# Windows ----------------------------------------------------------------------------------------------------------------


def streaming(pair):
    """A fetch that has more parts than its window holds."""
    command = pair.keeper.request_fetch("/srv", "f")
    pair.settle()
    sender = pair.node.start_fetch(command, entry=None)
    noise = random.Random(0).randbytes(2 * SMALL.window_bytes)
    return command, (part for event in file_events("f", noise, cut=1 << 20) for part in sender.take(event))


def test_the_node_stops_when_the_window_is_full_and_goes_on_after_an_ack():
    pair = Pair().opened()
    command, parts = streaming(pair)
    sent = 0
    for part in parts:
        if not pair.node.can_send(command, part.size):
            break
        pair.node.send_part(command, part)
        sent += part.size
    assert SMALL.window_bytes - part.size < sent <= SMALL.window_bytes
    with pytest.raises(LocalProtocolError):
        pair.node.send_part(command, part)
    first = next(event for event in pair.settle()[1] if isinstance(event, PartArrived))
    pair.keeper.ack(command, first.size)
    assert pair.settle()[0] == [WindowOpened(id=command)]
    assert pair.node.can_send(command, part.size)


def test_a_node_ahead_of_its_window_is_in_breach():
    keeper = open_keeper()
    command = keeper.request_fetch("/srv", "f")
    keeper.receive(
        tell("start", id=command, encoding="zstd+binary", part_size=1, digest_kind="blake3", stream=3)
    )
    frame = pack_part(BinaryPart(kind=PartKind.FILE_RAW, stream=3, offset=0, data=bytes(SMALL.part_bytes)))
    for _ in range(SMALL.window_bytes // len(frame)):
        keeper.receive(frame)
    with pytest.raises(LimitError):
        keeper.receive(frame)
    assert keeper.state is KeeperState.BROKEN


def test_restarts_are_paid_for_from_the_window_too():
    keeper = open_keeper()
    command = keeper.request_fetch("/srv", "f", encoding="gzip+base64")
    keeper.receive(tell("start", id=command, encoding="gzip+base64", part_size=1, digest_kind="blake3"))
    frame = tell("restart", id=command, padding="x" * 100_000)
    for _ in range(SMALL.window_bytes // len(frame)):
        keeper.receive(frame)
    with pytest.raises(LimitError):
        keeper.receive(frame)


def test_more_cannot_be_acknowledged_than_was_sent_or_arrived():
    pair = Pair().opened()
    command, parts = streaming(pair)
    part = next(parts)
    pair.node.send_part(command, part)
    pair.settle()
    with pytest.raises(LocalProtocolError):
        pair.keeper.ack(command, part.size + 1)
    with pytest.raises(ProtocolError):
        pair.node.receive(json.dumps({"id": command, "cmd": "ack", "bytes": part.size + 1}))


def test_an_ack_that_comes_after_the_end_means_nothing():
    node = open_node()
    assert node.receive(ask("ack", bytes=5)) == []
    assert open_keeper().ack("1", 5) is None


# A hostile node ---------------------------------------------------------------------------------------------------------

ENTRY = json.loads(encode_message(entry_to_wire(plain_entry("f", digest=digest_of(b"")), "/srv")))
OTHER = json.loads(encode_message(entry_to_wire(plain_entry("g", digest=digest_of(b"")), "/srv")))
START = {"event": "start", "encoding": "zstd+binary", "part_size": 1, "digest_kind": "blake3", "stream": 3}
DONE = {"event": "done", "size": 0, "digest": ENTRY["digest"], "torn": False, "entry": ENTRY}


@pytest.mark.parametrize(
    "replies",
    [
        [{"event": "done", **DONE}],
        [{"event": "chunk", "offset": 0, "data": ""}],
        [{"event": "result"}],
        [START, START],
        [{**START, "encoding": "gzip+base64"}],
        [{**START, "stream": None}],
        [{**START, "stream": 1 << 32}],
        [{**START, "entry": OTHER}],
        [START, {"event": "chunk", "offset": 0, "data": ""}],
        [START, {**DONE, "size": 1}],
        [START, {**DONE, "torn": True}],
        [START, {**DONE, "digest": "0" * 64}],
        [START, {**DONE, "entry": OTHER}],
        [START, {**DONE, "digest": None}],
        [START, DONE, DONE],
        [START, {"event": "error", "code": "x", "message": "y"}, DONE],
        [START, {"event": "surprise"}],
    ],
)
def test_replies_to_a_fetch_that_do_not_fit_are_breaches(replies):
    keeper = open_keeper()
    command = keeper.request_fetch("/srv", "f")
    for reply in replies[:-1]:
        keeper.receive(json.dumps({"id": command, **reply}))
    with pytest.raises(ProtocolError):
        keeper.receive(json.dumps({"id": command, **replies[-1]}))


def test_parts_of_a_wrong_stream_or_kind_are_breaches():
    for kind, stream in ((PartKind.FILE_RAW, 4), (PartKind.MANY_RAW, 3)):
        keeper = open_keeper()
        command = keeper.request_fetch("/srv", "f")
        keeper.receive(json.dumps({"id": command, **START}))
        with pytest.raises(ProtocolError):
            keeper.receive(pack_part(BinaryPart(kind=kind, stream=stream, offset=0, data=b"")))


def test_two_streams_cannot_have_one_number():
    keeper = open_keeper()
    first, second = keeper.request_fetch("/srv", "f"), keeper.request_fetch("/srv", "f")
    keeper.receive(json.dumps({"id": first, **START}))
    with pytest.raises(ProtocolError):
        keeper.receive(json.dumps({"id": second, **START}))


def test_a_stream_number_is_free_again_after_its_end():
    keeper = open_keeper()
    for _ in range(2):
        command = keeper.request_fetch("/srv", "f")
        keeper.receive(json.dumps({"id": command, **START}))
        keeper.receive(json.dumps({"id": command, **DONE}))


def read_tree(items, *, paths=("",), recursive=True, root="/srv"):
    writer = TreeWriter("1", root, replace(SMALL, part_items=100))
    reader = TreeReader(root, paths, replace(SMALL, part_items=100), recursive=recursive)
    parts = [part for item in items for part in writer.take(item)] + writer.flush()
    return [item for part in parts for item in reader.take(read_message(part.frame, TreePart))]


DIRECTORY = EntryType.DIRECTORY


@pytest.mark.parametrize(
    ("items", "asked"),
    [
        ([plain_entry("b"), plain_entry("a")], {}),
        ([plain_entry("a"), plain_entry("a")], {}),
        ([plain_entry("a-b"), plain_entry("a/b")], {}),
        ([plain_entry("b")], {"paths": ("a",)}),
        ([plain_entry("ab")], {"paths": ("a",)}),
        ([plain_entry("")], {"paths": ("a",)}),
        ([plain_entry("a/b/c")], {"paths": ("a",), "recursive": False}),
        ([SkippedPath(path="b", kind="excluded", detail="")], {"paths": ("a",)}),
        ([plain_entry("b"), SkippedPath(path="a", kind="excluded", detail="")], {}),
    ],
)
def test_a_listing_out_of_order_or_of_what_was_not_asked_is_a_breach(items, asked):
    with pytest.raises(ProtocolError):
        read_tree(items, **asked)


@pytest.mark.parametrize(
    ("items", "asked"),
    [
        ([plain_entry("", DIRECTORY), plain_entry("a/b"), plain_entry("a-b")], {}),
        ([plain_entry("a/b/c")], {"paths": ("x", "a")}),
        ([plain_entry("a", DIRECTORY), plain_entry("a/b")], {"paths": ("a",), "recursive": False}),
        ([SkippedPath(path="a", kind="excluded", detail="proc"), plain_entry("a", DIRECTORY)], {}),
        ([plain_entry("a", DIRECTORY), SkippedPath(path="a", kind="unreadable", detail="EACCES")], {}),
        ([plain_entry("a/b"), SkippedPath(path="a", kind="unreadable", detail="EIO"), plain_entry("b")], {}),
        ([SkippedPath(path="a", kind="excluded", detail="proc")], {"paths": ("a/b/c",)}),
    ],
)
def test_a_listing_may_say_late_or_from_above_that_it_cannot_read(items, asked):
    assert read_tree(items, **asked) == items


def test_what_is_too_long_to_be_named_is_reported_where_it_can_be():
    long = "/".join(["d" * 200] * 30)
    listed = read_tree(
        [plain_entry("", DIRECTORY), plain_entry("d" * 200, DIRECTORY), plain_entry(long), plain_entry("e")]
    )
    assert listed[-1] == plain_entry("e")
    assert (listed[2].kind, listed[2].detail) == ("unreadable", "limit")
    assert long.startswith(listed[2].path)


def test_a_part_of_a_listing_is_bounded_in_bytes_too():
    writer = TreeWriter("1", "/srv", replace(SMALL, part_items=1000))
    heavy = [plain_entry(f"{index:03}", user="x" * 10_000) for index in range(50)]
    parts = [part for item in heavy for part in writer.take(item)] + writer.flush()
    assert len(parts) > 5
    assert all(part.size <= SMALL.part_bytes + 100 for part in parts)


@pytest.mark.parametrize("wrong", [{"count": 2}, {"digest": "0" * 64}])
def test_a_listing_that_lost_something_is_noticed(wrong):
    pair = Pair().opened()
    command = pair.keeper.request_tree_dump("/srv")
    pair.settle()
    writer = pair.node.start_tree(command)
    pair.send_parts(command, writer.take(plain_entry("f")) + writer.flush())
    pair.node.finish_tree(command, writer.summary, cursor=None)
    done = json.loads(pair.node.outgoing()[0])
    with pytest.raises(ProtocolError):
        pair.keeper.receive(json.dumps({**done, **wrong}))


# The link is gone -------------------------------------------------------------------------------------------------------


def test_more_items_at_once_than_published_are_refused():
    keeper = open_keeper()
    keeper.receive(tell("result", id=keeper.request_watch(None), cursor=0))
    with pytest.raises(LimitError):
        keeper.receive(
            tell("changed", cursor=1, paths=[{"watch_root": "/", "rel_path": "a"}] * (SMALL.part_items + 1))
        )
    keeper = open_keeper()
    keeper.receive(tell("result", id=keeper.request_watch(None), cursor=0))
    with pytest.raises(LimitError):
        keeper.receive(tell("overflow", cursor=1, roots=["/"] * (SMALL.part_items + 1)))
    keeper = open_keeper()
    command = keeper.request_tree_dump("/")
    keeper.receive(tell("start", id=command, root="/"))
    skipped = [{"item": "skipped", "kind": "excluded", "rel_path": "a"}] * (SMALL.part_items + 1)
    with pytest.raises(LimitError):
        keeper.receive(tell("chunk", id=command, items=skipped))


def test_an_item_larger_than_published_is_refused():
    keeper = open_keeper()
    command = keeper.request_tree_dump("/")
    keeper.receive(tell("start", id=command, root="/"))
    skipped = {"item": "skipped", "kind": "excluded", "rel_path": "a", "padding": "x" * SMALL.entry_bytes}
    with pytest.raises(LimitError):
        keeper.receive(tell("chunk", id=command, items=[skipped]))


def test_a_lost_link_fails_everything_that_ran():
    keeper = open_keeper()
    commands = {keeper.request_task_list(), keeper.request_tree_dump("/"), keeper.ping()}
    lost = keeper.link_lost()
    assert {event.id for event in lost} == commands
    assert all(isinstance(event.error, UnreachableError) for event in lost)
    assert keeper.link_lost() == []
    with pytest.raises(UnreachableError):
        keeper.request_task_list()
    with pytest.raises(LocalProtocolError):
        keeper.receive(tell("goodbye", reason="x"))


def test_only_our_own_mistakes_close_as_going_away():
    assert close_code(LimitError("x")) == 4413
    assert close_code(ProtocolError("x")) == 4400
    assert close_code(LocalProtocolError("x")) == 1001
    assert close_code(UnreachableError("x")) == 1001
