"""A node's and a keeper's session joined by two queues, each driven as a real driver would: frames move, nothing else does."""

from __future__ import annotations

from collections import deque

from lastro.protocol.codec import frame_size
from lastro.protocol.events import (
    FileBegun,
    FileBytes,
    FileEnded,
    PartArrived,
    TreeItems,
)
from lastro.protocol.keeper_session import KeeperSession
from lastro.protocol.node_session import NodeSession
from tests.protocol_nouns import SMALL, digest_of, hello_of, plain_entry


class Pair:
    """Frames wait in ``to_keeper`` and ``to_node`` until ``step_keeper`` or ``step_node`` takes one; ``events`` is what came out."""

    def __init__(self, hello=None, keeper_limits=SMALL):
        self.node = NodeSession(hello or hello_of())
        self.keeper = KeeperSession(keeper_limits)
        self.to_keeper = deque()
        self.to_node = deque()
        self.node_events = []
        self.keeper_events = []
        self.node.begin()
        self.move()

    def move(self):
        self.to_keeper.extend(self.node.outgoing())
        self.to_node.extend(self.keeper.outgoing())

    def step_keeper(self):
        events = self.keeper.receive(self.to_keeper.popleft())
        self.keeper_events += events
        self.move()
        return events

    def step_node(self):
        events = self.node.receive(self.to_node.popleft())
        self.node_events += events
        self.move()
        return events

    def settle(self):
        """Move everything that is on its way; returns what the two learned meanwhile, node first."""
        node, keeper = len(self.node_events), len(self.keeper_events)
        self.move()
        while self.to_node or self.to_keeper:
            if self.to_node:
                self.step_node()
            if self.to_keeper:
                self.step_keeper()
        return self.node_events[node:], self.keeper_events[keeper:]

    def opened(self):
        self.settle()
        return self

    def send_parts(self, command, parts):
        """Send ``parts`` as a driver does, with a keeper that acknowledges at once; returns what the keeper got."""
        got = []
        for part in parts:
            assert self.node.can_send(command, part.size)
            self.node.send_part(command, part)
            for event in self.settle()[1]:
                got.append(event)
                if isinstance(event, TreeItems | PartArrived):
                    assert event.size == part.size == frame_size(part.frame)
                    self.keeper.ack(event.id, event.size)
            self.settle()
        return got


def file_events(path, content, *, holes=(), cut=1000, racy=False):
    """What a source says of a file with ``content``, in blocks of ``cut`` bytes, without what lies in ``holes``."""
    yield FileBegun(path=path)
    blank = set()
    for offset, length in holes:
        blank.update(range(offset, offset + length))
    at = 0
    while at < len(content):
        if at in blank:
            at += 1
            continue
        end = at
        while end < len(content) and end not in blank and end - at < cut:
            end += 1
        yield FileBytes(path=path, offset=at, data=content[at:end])
        at = end
    yield FileEnded(
        path=path, entry=plain_entry(path, size=len(content), digest=digest_of(content)), racy=racy
    )


class Assembled:
    """Puts files together again from what a receiver says."""

    def __init__(self):
        self.files = {}
        self.ended = {}
        self.failed = {}
        self.racy = set()
        self.order = []

    def take(self, events):
        for event in events:
            if isinstance(event, FileBegun):
                self.files[event.path] = bytearray()
            elif isinstance(event, FileBytes):
                content = self.files[event.path]
                content.extend(bytes(event.offset - len(content)))
                content.extend(event.data)
            elif isinstance(event, FileEnded):
                content = self.files[event.path]
                content.extend(bytes(event.entry.size - len(content)))
                self.ended[event.path] = event.entry
                self.order.append(event.path)
                if event.racy:
                    self.racy.add(event.path)
            else:
                self.failed[event.path] = (event.kind, event.detail)
                self.order.append(event.path)
