"""Telemetry on the wire: asked of whoever offers it, checked, and nothing that cannot be comes through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.telemetry import MOST_DISKS, DiskUse, Sample
from lastro.errors import ProtocolError
from lastro.protocol.codec import encode_message
from lastro.protocol.events import TelemetryReceived
from lastro.protocol.faults import LocalProtocolError
from lastro.protocol.keeper_session import KeeperSession, KeeperState
from lastro.protocol.limits import DEFAULT_LIMITS
from lastro.protocol.messages import CAPABILITIES
from lastro.protocol.node_session import NodeSession
from tests.protocol_nouns import hello_of, roots, sample_of
from tests.protocol_pair import Pair

WITHOUT = tuple(each for each in CAPABILITIES if each != "telemetry")
counts = st.integers(0, (1 << 63) - 1)
shares = st.integers(0, 10**9)


@st.composite
def samples(draw):
    """Any sample that an honest node may tell."""
    total = draw(counts)
    disks = draw(st.lists(st.tuples(roots, counts), max_size=4))
    return Sample(
        time_ns=draw(counts),
        cpu=draw(st.integers(0, 1000)),
        load=draw(shares),
        processors=draw(st.integers(1, 65536)),
        memory_total=total,
        memory_used=draw(st.integers(0, total)),
        own_cpu=draw(shares),
        own_memory=draw(counts),
        disks=tuple(DiskUse(path=path, total=size, free=draw(st.integers(0, size))) for path, size in disks),
    )


@given(samples())
def test_what_a_node_tells_is_what_a_keeper_learns(sample):
    pair = Pair().opened()
    command = pair.keeper.request_telemetry()
    pair.settle()
    pair.node.reply_telemetry(command, sample)
    assert pair.settle()[1] == [TelemetryReceived(id=command, sample=sample)]
    assert pair.keeper.free_commands == pair.keeper.limits.parallel_commands


def answered(**changed):
    keeper = KeeperSession(DEFAULT_LIMITS)
    keeper.receive(encode_message(hello_of()))
    command = keeper.request_telemetry()
    node = NodeSession(hello_of())
    node.begin()
    for frame in keeper.outgoing():
        node.receive(frame)
    node.reply_telemetry(command, sample_of())
    told = json.loads(node.outgoing()[-1])
    return keeper, json.dumps({**told, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"cpu": 1001},
        {"cpu": -1},
        {"cpu": 12.5},
        {"cpu": "1"},
        {"load": -1},
        {"load": 10**9 + 1},
        {"processors": 0},
        {"memory_used": 9 * 10**9},
        {"memory_total": 1 << 63},
        {"time_ns": -1},
        {"disks": [{"path": "/srv", "total": 1, "free": 2}]},
        {"disks": [{"path": "srv", "total": 2, "free": 2}]},
        {"disks": [{"path": "/srv/../etc", "total": 2, "free": 2}]},
        {"disks": [{"path": "/srv", "total": 2, "free": 2}] * (MOST_DISKS + 1)},
        {"disks": None},
    ],
)
def test_what_cannot_be_ends_the_session(changed):
    keeper, frame = answered(**changed)
    with pytest.raises(ProtocolError):
        keeper.receive(frame)
    assert keeper.state is KeeperState.BROKEN


def test_what_is_as_told_is_taken():
    keeper, frame = answered(future=1)
    assert keeper.receive(frame)[0].sample == sample_of()


def test_an_older_node_is_not_asked():
    pair = Pair(hello_of(capabilities=WITHOUT)).opened()
    assert not pair.keeper.supports("telemetry")
    with pytest.raises(LocalProtocolError):
        pair.keeper.request_telemetry()
    assert not pair.to_node


def test_a_node_without_it_says_that_it_has_none():
    node = NodeSession(hello_of(capabilities=WITHOUT))
    node.begin()
    node.outgoing()
    assert node.receive(json.dumps({"id": "1", "cmd": "telemetry"})) == []
    assert json.loads(node.outgoing()[0])["code"] == "unsupported"
