from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from lastro.agents.jail.forwarding import Forwarder


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


DRIVE = """
import selectors, sys
from lastro.agents.jail import forwarding
forwarding._MOST = int(sys.argv[3])
selector = selectors.DefaultSelector()
forwarding.Forwarder(selector, int(sys.argv[1]), sys.argv[2].encode())
print("listens", flush=True)
while True:
    for key, events in selector.select():
        key.data(events)
"""


@pytest.fixture
def forward(tmp_path, port):
    """A forwarder in a process of its own, to a socket whose server is ``serve(client)`` for each connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()
    processes = []

    def start(serve, most=256):
        threading.Thread(target=accept_all, args=(listener, serve), daemon=True).start()
        command = [sys.executable, "-c", DRIVE, str(port), str(tmp_path / "sock"), str(most)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert processes[0].stdout.readline() == b"listens\n"

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=20)
    listener.close()


def accept_all(listener, serve):
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()


def echo(client):
    with client, suppress(OSError):
        while data := client.recv(65536):
            client.sendall(data)


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), 20)
    client.settimeout(20)
    return client


def receive_all(client):
    found = b""
    while data := client.recv(65536):
        found += data
    return found


def test_much_goes_through_whole_in_both_directions_at_once(forward, port):
    forward(echo)
    data = os.urandom(3 << 20)
    with connect(port) as client:
        threading.Thread(
            target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)), daemon=True
        ).start()
        assert receive_all(client) == data


def test_a_side_that_ends_its_half_still_hears_the_answer(forward, port):
    def answer_at_the_end(client):
        with client:
            client.sendall(b"heard " + receive_all(client))

    forward(answer_at_the_end)
    with connect(port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"heard question"


def test_a_reader_that_sleeps_holds_back_its_writer_alone(forward, port):
    forward(echo)
    with connect(port) as slow, connect(port) as quick:
        slow.settimeout(0)
        sent = 0
        while sent < 64 << 20:
            try:
                sent += slow.send(bytes(65536))
            except BlockingIOError:
                break
            quick.sendall(b"x")
            assert quick.recv(1) == b"x"
        assert sent < 64 << 20
        quick.sendall(b"y")
        assert quick.recv(1) == b"y"


def test_a_gateway_that_is_away_ends_the_connection(forward, port, tmp_path):
    forward(echo)
    (tmp_path / "sock").unlink()
    with connect(port) as client:
        assert client.recv(1) == b""


def test_connections_are_bounded_and_the_next_waits(forward, port):
    forward(echo, most=2)
    clients = [connect(port) for _ in range(3)]
    for client in clients[:2]:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
    clients[2].sendall(b"b")
    clients[2].settimeout(0.3)
    with pytest.raises(TimeoutError):
        clients[2].recv(1)
    clients[0].close()
    clients[2].settimeout(20)
    assert clients[2].recv(1) == b"b"
    for client in clients[1:]:
        client.close()


def test_a_port_that_is_taken_is_an_error(port):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        Forwarder(selectors.DefaultSelector(), port, b"/nowhere")
