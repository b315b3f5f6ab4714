"""The node as a process: who it lets in, what takes effect while it runs, and that it ends clean."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.capture.watch import InotifyWatcher
from lastro.errors import ConfigError, DeniedError, UnreachableError
from lastro.keeper.connection import KeeperLoop, NodeLink, dial_node
from lastro.keeper.node_source import NodeSource
from lastro.node.config import add_root, remove_root
from lastro.node.daemon import make_node, node_places, serve
from lastro.node.pair import pair
from lastro.transport.allow_list import AllowedDevice, allow, disallow, read_allow_list
from lastro.transport.identity import load_identity
from lastro.transport.join_token import parse_join_token
from lastro.transport.pairing import join
from tests.wire import identity, threads

POLL_S = 0.02


@contextmanager
def open_local(roots):
    watcher = InotifyWatcher(roots, first_cursor=time.time_ns() // 1000)
    try:
        yield LocalSource(roots, watcher=watcher)
    finally:
        watcher.close()


class Node:
    """``serve`` in a thread."""

    def __init__(self, places):
        self.places = places
        self.events = []
        self.failure = None
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        self.address = "127.0.0.1:{port}".format(**self.until("ready").parameters)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)
        assert not self.thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _run(self):
        async def main():
            self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(
                self.places,
                open_source=open_local,
                version="0",
                on_event=self._note,
                stop=self.stop,
                poll_interval_s=POLL_S,
            )

        try:
            asyncio.run(main())
        except Exception as error:  # noqa: BLE001  raised in the test's own thread
            self.failure = error

    def _note(self, event):
        with self.news:
            self.events.append(event)
            self.news.notify_all()

    def until(self, kind):
        """The first event of ``kind``, taken away with all before it."""
        deadline = time.monotonic() + 10
        with self.news:
            while True:
                for number, event in enumerate(self.events):
                    if event.kind == kind:
                        del self.events[: number + 1]
                        return event
                assert self.news.wait(deadline - time.monotonic()), self.events


@pytest.fixture
def places(tmp_path):
    places = node_places(str(tmp_path / "config"))
    make_node(places, name="web-01", listen="127.0.0.1:0")
    return places


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    return identity(str(tmp_path_factory.mktemp("keys")), "keeper")


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = threads(), set(os.listdir("/proc/self/fd"))
    yield
    assert threads() <= before[0]
    assert len(set(os.listdir("/proc/self/fd")) - before[1]) <= 1


@contextmanager
def link_to(node, keeper, on_event=lambda _: None):
    dial = dial_node(node.address, keeper, load_identity(node.places.identity).certificate)
    with KeeperLoop() as loop:
        link = NodeLink(loop, dial, address=node.address, delay_s=lambda _: POLL_S, on_event=on_event)
        link.start()
        try:
            yield link
        finally:
            link.close()


def let_in(places, keeper):
    allow(places.allowed, AllowedDevice(name="desk", certificate=keeper.certificate))


def refused(link, *, tries=50):
    """Whether there is no session any more, within a few seconds."""
    for _ in range(tries):
        try:
            link.wait_connected(0.1)
        except UnreachableError:
            return True
        time.sleep(0.1)
    return False


def test_a_device_gets_in_when_it_is_listed_and_is_cut_when_it_is_not(places, keeper):
    refusals = []
    with Node(places) as node, link_to(node, keeper, refusals.append) as link:
        with pytest.raises(UnreachableError):
            link.wait_connected(0.2)
        assert isinstance(refusals[0].error, DeniedError)
        let_in(places, keeper)
        assert node.until("allow_list_changed").parameters["names"] == ["desk"]
        assert link.wait_connected(5).name == "web-01"
        assert node.until("connected").parameters["name"] == "desk"
        refusals.clear()
        disallow(places.allowed, keeper.device)
        node.until("disconnected")
        assert refused(link), "the keeper's end may learn of it a moment later"
        assert isinstance(refusals[-1].error, DeniedError)


def test_roots_that_are_added_show_up_without_a_restart(places, keeper, tmp_path):
    os.mkdir(tmp_path / "data")
    (tmp_path / "data" / "file").write_text("content")
    root = str(tmp_path / "data")
    let_in(places, keeper)
    with Node(places) as node, link_to(node, keeper) as link:
        link.wait_connected(5)
        seen = NodeSource(link)
        assert list(seen.roots()) == []
        cursor = seen.changes(None, 0).cursor
        add_root(places.config, Root(path=root))
        assert node.until("roots_changed").parameters["roots"] == [root]
        told = seen.changes(cursor, 5)
        assert told.roots_changed or told.overflow
        assert [each.path for each in seen.roots()] == [root]
        assert [entry.path for entry in seen.list(root)] == ["", "file"]
        remove_root(places.config, root)
        node.until("roots_changed")
        assert list(seen.roots()) == []


def test_a_broken_configuration_changes_nothing_and_is_reported(places, keeper, tmp_path):
    root = str(tmp_path)
    add_root(places.config, Root(path=root))
    let_in(places, keeper)
    with open(places.config) as file:
        right = file.read()
    with Node(places) as node, link_to(node, keeper) as link:
        link.wait_connected(5)
        for wrong in (right + "\nroot = 1", "", right.replace('path = "', 'path = "not-absolute')):
            with open(places.config, "w") as file:
                file.write(wrong)
            assert isinstance(node.until("problem").parameters["error"], ConfigError)
        assert [each.path for each in NodeSource(link).roots()] == [root]
        with open(places.config, "w") as file:
            file.write(right.replace("127.0.0.1:0", "127.0.0.1:1"))
        assert node.until("restart_needed").parameters["keys"] == ["listen"]


def test_pairing_beside_a_running_node_lets_the_keeper_in(places, keeper):
    async def pairing():
        token = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(pair(places, on_token=token.set_result, port=0))
        paired = await join(parse_join_token(await token), keeper, name="desk")
        assert (await waiting).certificate == keeper.certificate
        return paired

    with Node(places) as node, link_to(node, keeper) as link:
        paired = asyncio.run(pairing())
        assert paired.name == "web-01"
        assert paired.certificate == load_identity(places.identity).certificate
        link.wait_connected(5)


def test_pairing_works_without_a_node_and_its_port_is_its_own(places, keeper):
    async def pairing():
        token = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(
            pair(places, on_token=token.set_result, port=0, hosts=("127.0.0.1", "localhost"))
        )
        parsed = parse_join_token(await token)
        assert [address.rpartition(":")[0] for address in parsed.addresses] == ["127.0.0.1", "localhost"]
        port = int(parsed.addresses[0].rpartition(":")[2])
        with pytest.raises(ConfigError) as raised:
            await pair(places, on_token=lambda _: None, port=port)
        assert "--address" in raised.value.hint_text
        await join(parsed, keeper, name="desk")
        await waiting

    asyncio.run(pairing())
    assert read_allow_list(places.allowed).name_of(keeper.certificate) == "desk"


def test_pairing_on_every_address_names_those_of_this_machine(places):
    with open(places.config) as file:
        config = file.read()
    with open(places.config, "w") as file:
        file.write(config.replace("127.0.0.1:0", "0.0.0.0:8422"))

    async def pairing():
        token = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(pair(places, on_token=token.set_result, port=0))
        addresses = parse_join_token(await token).addresses
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return addresses

    addresses = asyncio.run(pairing())
    assert addresses and not any(address.startswith(("0.0.0.0", "127.")) for address in addresses)


def test_a_port_that_is_taken_is_said(places):
    with open(places.config) as file:
        config = file.read()
    with Node(places) as node:
        with open(places.config, "w") as file:
            file.write(config.replace("127.0.0.1:0", node.address))
        with pytest.raises(ConfigError) as raised:
            asyncio.run(serve(places, open_source=open_local, version="0", on_event=lambda _: None))
        assert "listen in node.toml" in raised.value.hint_text


def test_a_node_is_made_once(places):
    before = load_identity(places.identity)
    with pytest.raises(ConfigError):
        make_node(places, name="other")
    assert load_identity(places.identity) == before


def test_without_an_identity_it_does_not_start(places):
    os.unlink(places.identity)
    with pytest.raises(ConfigError):
        asyncio.run(serve(places, open_source=open_local, version="0", on_event=lambda _: None))


PROCESS = """
import sys, time
from contextlib import contextmanager
from lastro.capture.local import LocalSource
from lastro.node.daemon import node_places, run

@contextmanager
def open_local(roots):
    yield LocalSource(roots)

def tell(event):
    print(event.kind, event.parameters.get("port", ""), flush=True)

run(node_places(sys.argv[1]), open_source=open_local, version="0", on_event=tell)
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly_with_a_keeper_connected(places, keeper, number):
    let_in(places, keeper)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROCESS, os.path.dirname(places.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        kind, _, port = process.stdout.readline().strip().partition(" ")
        assert kind == "ready"
        dial = dial_node(f"127.0.0.1:{port}", keeper, load_identity(places.identity).certificate)
        with KeeperLoop() as loop:
            link = NodeLink(loop, dial, address="node", delay_s=lambda _: 10.0)
            link.start()
            link.wait_connected(5)
            process.send_signal(number)
            output, errors = process.communicate(timeout=10)
            link.close()
        assert (process.returncode, errors) == (0, "")
        assert output.split() == ["connected", "disconnected", "ended"]
    finally:
        process.kill()
        process.communicate()
