"""Each request of a run ends a step, whatever the gateway, the layer and the disk do."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
import time
from contextlib import ExitStack, suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.layer import Mark
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.agents.stepping import PATIENCE_NS, StepClock, differing_paths, read_steps
from lastro.filesystem.system import System
from lastro.gateway.keys import GatewayKey
from lastro.gateway.notices import Notice
from lastro.gateway.stepping import SupervisorSteps
from tests.hard_files import write

WAIT_S = 10


class Layer:
    """Files as a dict, and looks that take a while."""

    def __init__(self):
        self.files = {}
        self.look = lambda: None

    def manifest(self):
        self.look()
        return {path: Mark("file", size) for path, size in self.files.items()}


class Place:
    def __init__(self, top):
        self.directory = f"{top}/run"
        self.socket = f"{top}/s"
        os.mkdir(self.directory)
        self.layer = Layer()
        self.told = []
        self.now = 0
        self.number = 0

    def clock(self, **options):
        options.setdefault("monotonic_ns", self.tick)
        return StepClock(
            self.layer,
            self.directory,
            self.socket,
            on_step=self.told.append,
            clock_ns=lambda: 1_000,
            **options,
        ).start()

    def tick(self):
        self.now += 1
        return self.now

    def connect(self):
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(WAIT_S)
        connected.connect(self.socket)
        return connected

    def notify(self, connected, exchange, *, step=None):
        self.number = self.number + 1 if step is None else step
        notice = Notice(run="run-1", key="key-1", exchange=exchange, step=self.number, time_ns=5)
        connected.sendall(msgspec.json.encode(notice) + b"\n")

    def ask(self, connected, exchange, **options):
        self.notify(connected, exchange, **options)
        assert msgspec.json.decode(line(connected)) == {"v": 1, "exchange": exchange}


def line(connected):
    found = b""
    while not found.endswith(b"\n"):
        piece = connected.recv(1)
        assert piece, "cut off"
        found += piece
    return found


@pytest.fixture
def place(tmp_path):
    return Place(os.path.realpath(tmp_path))


def shown(steps):
    return [(step.number, step.exchange, step.paths, step.exact) for step in steps]


def test_steps_hold_what_changed_between_requests(place):
    place.layer.files["before"] = 1
    clock = place.clock()
    with place.connect() as gateway:
        place.ask(gateway, "x-1")  # nothing happened before it: no step
        place.layer.files |= {"a": 1, "b": 1}
        place.ask(gateway, "x-2")
        place.layer.files["b"] = 2
        del place.layer.files["before"]
        place.ask(gateway, "x-3")
        place.ask(gateway, "x-4")
        place.layer.files["last"] = 1
    steps = clock.finish()
    assert shown(steps) == [
        (1, "x-1", (b"a", b"b"), True),
        (2, "x-2", (b"b", b"before"), True),
        (3, "x-3", (), True),
        (4, "x-4", (b"last",), True),
    ]
    assert read_steps(place.directory) == steps == tuple(place.told) == clock.finish()
    assert not os.path.exists(place.socket)


def test_what_the_agent_does_before_its_first_request_is_a_step(place):
    clock = place.clock()
    place.layer.files["early"] = 1
    with place.connect() as gateway:
        place.ask(gateway, "x-1")
    assert shown(clock.finish()) == [(1, "", (b"early",), True), (2, "x-1", (), True)]


def test_an_agent_without_a_model_has_one_step_or_none(place):
    assert place.clock().finish() == ()
    clock = place.clock()
    place.layer.files["a"] = 1
    assert shown(clock.finish()) == [(1, "", (b"a",), True)]


def test_a_killed_clock_loses_no_step_that_ended(place):
    place.clock()
    with place.connect() as gateway:
        place.layer.files["a"] = 1
        place.ask(gateway, "x-1")
        place.layer.files["b"] = 1
        place.ask(gateway, "x-2")
    assert shown(read_steps(place.directory)) == [(1, "", (b"a",), True), (2, "x-1", (b"b",), True)]
    with open(f"{place.directory}/steps.jsonl", "ab") as file:
        file.write(b'{"number":3,"exch')
    assert len(read_steps(place.directory)) == 2
    os.unlink(place.socket)
    again = place.clock()
    place.layer.files["c"] = 1
    assert [step.number for step in again.finish()] == [1, 2, 3]
    assert [step.number for step in read_steps(place.directory)] == [1, 2, 3]


def test_a_slow_look_is_not_exact_and_the_next_is_answered_first(place):
    clock = place.clock()
    with place.connect() as gateway:
        place.ask(gateway, "x-1")

        def slow():
            place.now += PATIENCE_NS + 1

        place.layer.files["a"] = 1
        place.layer.look = slow
        place.ask(gateway, "x-2")
        asked = threading.Event()
        place.layer.look = lambda: asked.wait(WAIT_S)
        place.layer.files["b"] = 1
        place.ask(gateway, "x-3")  # answered although the look has not ended
        asked.set()
        place.layer.files["c"] = 1
        place.layer.look = lambda: None
        place.ask(gateway, "x-4")
    assert [(step.exchange, step.exact) for step in clock.finish()] == [
        ("x-1", False),
        ("x-2", False),
        ("x-3", True),
        ("x-4", True),
    ]


def test_announcements_at_once_are_not_exact(place):
    clock = place.clock()
    with place.connect() as one, ExitStack() as later:
        place.ask(one, "x-1")
        looking, go_on = threading.Event(), threading.Event()

        def look():
            looking.set()
            assert go_on.wait(WAIT_S)

        place.layer.look = look
        place.layer.files["a"] = 1
        place.notify(one, "x-2")
        assert looking.wait(WAIT_S)
        now = place.now
        other = later.enter_context(place.connect())  # who comes only now is heard, too
        place.notify(other, "x-3")
        deadline = time.monotonic() + WAIT_S
        while place.now == now and time.monotonic() < deadline:
            time.sleep(0.001)
        go_on.set()
        line(one)
        line(other)
        place.layer.look = lambda: None
        place.ask(one, "x-4")
    steps = clock.finish()
    assert [(step.exchange, step.exact) for step in steps] == [
        ("x-1", True),
        ("x-2", False),
        ("x-3", True),
        ("x-4", True),
    ]


def test_an_announcement_that_never_came_is_seen(place):
    clock = place.clock()
    with place.connect() as gateway:
        place.ask(gateway, "x-1")
        place.ask(gateway, "x-3", step=3)
        place.ask(gateway, "x-4", step=4)
    assert [(step.exchange, step.exact) for step in clock.finish()] == [
        ("x-1", False),
        ("x-3", True),
        ("x-4", True),
    ]


class Full(System):
    full = False

    def write(self, descriptor, data):
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(descriptor, data)


def test_a_step_that_could_not_be_written_is_in_the_next(place):
    system = Full()
    clock = place.clock(system=system)
    with place.connect() as gateway:
        place.ask(gateway, "x-1")
        place.layer.files["a"] = 1
        system.full = True
        place.ask(gateway, "x-2")
        place.layer.files["b"] = 1
        system.full = False
        place.ask(gateway, "x-3")
    assert shown(clock.finish()) == [(1, "x-1", (b"a", b"b"), False), (2, "x-3", (), True)]


def test_a_full_disk_at_the_end_is_said(place):
    system = Full()
    clock = place.clock(system=system)
    place.layer.files["a"] = 1
    system.full = True
    with pytest.raises(OSError, match="No space"):
        clock.finish()
    system.full = False
    assert len(clock.finish()) == 1


@pytest.mark.parametrize("said", [b"nonsense\n", b"{}\n", b"\xff\xfe\n", b"x" * 10_000, b""])
def test_whoever_says_something_else_is_cut_off_and_others_go_on(place, said):
    clock = place.clock()
    with place.connect() as stranger, place.connect() as gateway:
        stranger.sendall(said)
        stranger.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):  # it had more to say than was read
            assert stranger.recv(10) == b""
        place.ask(gateway, "x-1")
    clock.finish()


def test_connections_are_bounded(place):
    clock = place.clock()
    held = [place.connect() for _ in range(40)]
    try:
        cut = 0
        for connected in held:
            connected.settimeout(0.05)
            with suppress(TimeoutError):
                cut += connected.recv(1) == b""
        assert cut == 24
    finally:
        for connected in held:
            connected.close()
        clock.finish()


def test_only_the_owner_may_connect(place):
    clock = place.clock()
    assert stat.S_IMODE(os.stat(place.socket).st_mode) == 0o600
    clock.finish()


def test_the_gateway_itself_is_answered(place):
    """The real thing at the other end."""
    key = GatewayKey(id="key-1", name="run", digest="", run="run-1", steps=place.socket)

    async def talk():
        steps = SupervisorSteps(clock_ns=lambda: 7)
        try:
            first = await steps.notice(key, "x-1", 1)
            place.layer.files["a"] = 1
            second = await steps.notice(key, "x-2", 2)
            return first, second
        finally:
            steps.close()

    with place.clock() as clock:
        assert asyncio.run(talk()) == (True, True)
    assert shown(clock.steps()) == [(1, "x-1", (b"a",), True), (2, "x-2", (), True)]


_MANIFESTS = st.dictionaries(
    st.text("abc/", max_size=3), st.builds(Mark, st.sampled_from(["file", "gone"]), st.integers(0, 2))
)


@given(_MANIFESTS, _MANIFESTS)
def test_paths_differ_where_marks_do(before, after):
    found = differing_paths(before, after)
    assert set(found) == {path for path in before | after if before.get(path) != after.get(path)}
    assert set(found) == set(differing_paths(after, before))


@pytest.mark.needs("overlays")
def test_an_overlay_is_its_layer(place):
    top = os.path.dirname(place.directory)
    os.mkdir(f"{top}/project")
    prepare_overlay(place.directory, f"{top}/project")
    place.layer = OverlayLayer(f"{top}/project", place.directory)
    with place.clock() as clock, place.connect() as gateway:
        place.ask(gateway, "x-1")
        write(f"{place.directory}/upper/new", b"1")
        place.ask(gateway, "x-2")
    assert shown(clock.steps())[0] == (1, "x-1", (b"new",), True)
