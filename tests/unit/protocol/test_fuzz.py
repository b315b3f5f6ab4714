"""Random and mutated frames: a session answers, refuses or ends, and never anything else; and never with much memory."""

from __future__ import annotations

import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import ProtocolError
from lastro.protocol.codec import PartKind, encode_message
from lastro.protocol.events import FetchEnded, PartArrived
from lastro.protocol.faults import LocalProtocolError
from lastro.protocol.fetch_receiver import FileReceiver, ManyReceiver
from lastro.protocol.keeper_session import KeeperSession
from lastro.protocol.limits import MIB
from lastro.protocol.node_session import NodeSession
from tests.protocol_nouns import SMALL, hello_of, plain_entry, sample_of
from tests.protocol_pair import Pair, file_events


def conversation():
    """Every frame of a session in which each command was given once, by its direction."""
    pair = Pair()
    to_keeper, to_node = [], []

    def settle():
        while pair.to_node or pair.to_keeper:
            if pair.to_node:
                to_node.append(pair.to_node[0])
                pair.step_node()
            if pair.to_keeper:
                to_keeper.append(pair.to_keeper[0])
                for event in pair.step_keeper():
                    if hasattr(event, "size"):
                        pair.keeper.ack(event.id, event.size)
                        pair.move()

    settle()
    keeper, node = pair.keeper, pair.node
    ids = [
        keeper.request_task_list(),
        keeper.request_tree_dump("/srv"),
        keeper.request_fetch("/srv", "f", encoding="gzip+base64"),
        keeper.request_fetch_many("/srv", ["f", "\udcff"]),
        keeper.request_watch(1),
        keeper.ping(),
        keeper.request_telemetry(),
    ]
    pair.move()
    settle()
    node.reply_task_list(ids[0], [])
    writer = node.start_tree(ids[1])
    for part in writer.take(plain_entry("f")) + writer.flush():
        node.send_part(ids[1], part)
    node.finish_tree(ids[1], writer.summary, cursor=1)
    for command, paths in ((ids[2], ["f"]), (ids[3], ["f", "\udcff"])):
        sender = node.start_fetch(command, entry=None)
        parts = [
            part for path in paths for event in file_events(path, b"abc" * 500) for part in sender.take(event)
        ]
        for part in parts + sender.flush():
            node.send_part(command, part)
        node.finish_fetch(command, sender)
    node.reply_watch(ids[4], 1)
    node.reply_telemetry(ids[6], sample_of(paths=("/srv", "/\udcff")))
    pair.move()
    settle()
    keeper.cancel(ids[4])
    node.say_goodbye("over")
    pair.move()
    settle()
    return to_keeper, to_node


TO_KEEPER, TO_NODE = conversation()
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["1", "2", "3", "4", "hello", "chunk", "done", "error", "..", "/", "\ud800"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw, frames):
    """A frame of a real conversation with something wrong: a byte, a field, its end; or nothing of it left."""
    frame = draw(st.sampled_from(frames))
    how = draw(st.sampled_from(["as it is", "bytes", "field", "cut", "random", "nested"]))
    if how == "random":
        return draw(st.binary(max_size=60) | st.text(max_size=60) | values.map(json.dumps))
    if how == "nested":
        return '{"id":"1","event":"chunk","cmd":"ping","x":' + draw(st.sampled_from("[{")) * draw(
            st.integers(1, 5000)
        )
    if how == "cut":
        return frame[: draw(st.integers(0, len(frame)))]
    if how == "bytes":
        raw = bytearray(frame if isinstance(frame, bytes) else frame.encode())
        for _ in range(draw(st.integers(1, 4))):
            raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
        return bytes(raw) if isinstance(frame, bytes) else raw.decode("utf-8", "surrogateescape")
    if how == "field" and isinstance(frame, str):
        message = json.loads(frame)
        message[draw(st.sampled_from([*message, "id", "event", "cmd"]))] = draw(values)
        return json.dumps(message, ensure_ascii=draw(st.booleans()))
    return frame


def fed(session, frames):
    """Feed ``frames`` until the session ends; returns what it said."""
    events = []
    for frame in frames:
        try:
            events += session.receive(frame)
        except LocalProtocolError:
            raise
        except ProtocolError:
            return events
    return events


@given(st.lists(mutated(TO_NODE), max_size=12))
def test_a_node_survives_any_keeper(frames):
    node = NodeSession(hello_of())
    node.begin()
    fed(node, frames)
    assert sum(len(frame) for frame in node.outgoing()) < 20 * SMALL.message_bytes


@given(st.data())
def test_a_keeper_survives_any_node(data):
    keeper = KeeperSession(SMALL)
    frames = data.draw(st.lists(mutated(TO_KEEPER), max_size=12))
    if data.draw(st.booleans()):
        keeper.receive(encode_message(hello_of()))
        keeper.request_task_list()
        keeper.request_tree_dump("/srv")
        keeper.request_fetch("/srv", "f", encoding="gzip+base64")
        keeper.request_fetch_many("/srv", ["f", "\udcff"])
        keeper.request_watch(1)
        keeper.ping()
        keeper.request_telemetry()
        if data.draw(st.booleans()):
            honest = data.draw(st.integers(0, len(TO_KEEPER) - 2))
            frames = TO_KEEPER[1 : 1 + honest] + frames
    receivers = {"3": FileReceiver("f", SMALL), "4": ManyReceiver("/srv", ["f", "\udcff"], SMALL)}
    for event in fed(keeper, frames):
        if isinstance(event, PartArrived | FetchEnded):
            try:
                receivers[event.id].take(event)
            except ProtocolError:
                return


def test_the_conversation_is_understood_when_nothing_is_wrong_with_it():
    keeper = KeeperSession(SMALL)
    keeper.receive(TO_KEEPER[0])
    keeper.request_task_list()
    keeper.request_tree_dump("/srv")
    keeper.request_fetch("/srv", "f", encoding="gzip+base64")
    keeper.request_fetch_many("/srv", ["f", "\udcff"])
    keeper.request_watch(1)
    keeper.ping()
    keeper.request_telemetry()
    for frame in TO_KEEPER[1:-2]:
        keeper.receive(frame)
    assert keeper.free_commands == SMALL.parallel_commands


# Not in between: a hole is hashed as zeros, so a far offset that is allowed takes its time.
offsets = st.integers(0, 1 << 22) | st.integers(SMALL.file_bytes + 1, 1 << 63)


@given(st.sampled_from(list(PartKind)), st.binary(max_size=200), offsets)
def test_a_receiver_survives_any_part(kind, data, offset):
    part = PartArrived(id="1", kind=kind, offset=offset, data=data, size=len(data))
    for receiver in (FileReceiver("f", SMALL), ManyReceiver("/", ["f"], SMALL)):
        try:
            receiver.take(part)
        except LocalProtocolError:
            raise
        except ProtocolError:
            pass


def test_frames_made_to_be_large_in_memory_are_refused_early():
    bombs = [
        '{"event":"chunk","id":"2","items":[' + "1," * (SMALL.message_bytes // 2 - 50) + "1]}",
        '{"event":"chunk","id":"2","items":[' + "[]," * (SMALL.message_bytes // 3 - 50) + "1]}",
        '{"event":"chunk","id":"2","x":' + "[" * (SMALL.message_bytes - 100) + "]}",
        '{"event":"chunk","id":"2","x":"' + "\\u0041" * (SMALL.message_bytes // 6 - 20) + '"}',
        '{"event":"chunk","id":"2","items":[' + '{"a":{}},' * (SMALL.message_bytes // 9 - 50) + "1]}",
    ]
    for bomb in bombs:
        keeper = KeeperSession(SMALL)
        keeper.receive(encode_message(hello_of()))
        keeper.request_task_list()
        keeper.request_tree_dump("/srv")
        tracemalloc.start()
        try:
            fed(keeper, ['{"event":"start","id":"2","root":"/srv"}', bomb])
            assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        finally:
            tracemalloc.stop()
