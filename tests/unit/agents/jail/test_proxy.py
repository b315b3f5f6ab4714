from __future__ import annotations

import ipaddress
import socket
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastro.agents.jail import proxy as module
from lastro.agents.jail.proxy import LONGEST_HEAD, Proxy, is_public, parse_place, parse_request


@given(st.binary(max_size=300))
@example(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n")
@example(b"GET http://[bad HTTP/1.1\r\n\r\n")
@example(b"GET http://a:99999/ HTTP/1.1\r\n\r\n")
@example(b"GET http://user:password@a/ HTTP/1.1\r\n\r\n")
def test_any_bytes_are_judged_and_what_is_wanted_is_a_place(head):
    wanted = parse_request(head)
    if wanted is not None:
        assert parse_place(wanted.name) == (wanted.host, wanted.port)


@given(st.ip_addresses())
@example(ipaddress.ip_address("::ffff:127.0.0.1"))
@example(ipaddress.ip_address("64:ff9b::a00:1"))
@example(ipaddress.ip_address("2002:7f00:1::"))
@example(ipaddress.ip_address("::127.0.0.1"))
@example(ipaddress.ip_address("fe80::1"))
@example(ipaddress.ip_address("100.64.0.1"))
@example(ipaddress.ip_address("224.0.0.1"))
def test_what_is_public_is_global_and_nothing_hidden_is(address):
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "x"],
)
def test_inner_addresses_are_not_public(text):
    assert not is_public(text)


def test_a_plain_request_becomes_the_hosts_own():
    wanted = parse_request(
        b"GET http://Example.org:8080/a?b=c HTTP/1.1\r\nHost: example.org:8080\r\nProxy-Authorization: x\r\n"
        b"Connection: keep-alive\r\nAccept: */*\r\n\r\n"
    )
    assert (wanted.host, wanted.port) == ("example.org", 8080)
    assert (
        wanted.forward
        == b"GET /a?b=c HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )


@pytest.fixture
def upstream():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"upstream:" + client.recv(9999))

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def ask(tmp_path):
    made = []

    def start(hosts, answers=None):
        path = str(tmp_path / f"{len(made)}.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        async def resolve(name, _port):
            return answers(name)

        made.append(Proxy(listener, hosts, resolve=resolve if answers else None))

        def say(head, more=b""):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(path)
                with suppress(BrokenPipeError):  # an answer may come before all was said
                    client.sendall(head)
                said = client.recv(9999)
                if said.startswith(b"HTTP/1.1 200 Connection") and more:
                    client.sendall(more)
                    return client.recv(9999)
                return said

        say.proxy = made[-1]
        return say

    yield start
    for proxy in made:
        proxy.close()


def test_a_listed_address_is_reached(ask, upstream):
    say = ask([f"127.0.0.1:{upstream}"])
    assert say(f"CONNECT 127.0.0.1:{upstream} HTTP/1.1\r\n\r\n".encode(), b"hi") == b"upstream:hi"
    plain = say(f"GET http://127.0.0.1:{upstream}/x HTTP/1.1\r\n\r\n".encode())
    assert plain == b"upstream:GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert say.proxy.refused == ()


def test_a_name_that_turns_inward_is_refused(ask, upstream):
    say = ask([f"rebound.example:{upstream}"], answers=lambda _name: ["127.0.0.1", "::1", "10.0.0.1"])
    assert b" 403 " in say(f"CONNECT rebound.example:{upstream} HTTP/1.1\r\n\r\n".encode())
    assert say.proxy.refused == (f"rebound.example:{upstream}",)


def test_the_address_that_was_judged_is_the_one_connected_to(ask, upstream, monkeypatch):
    """Resolved once: a second answer is never asked for."""
    asked = []
    monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.1")
    say = ask(
        [f"moves.example:{upstream}"], answers=lambda name: asked.append(name) or ["10.0.0.1", "127.0.0.1"]
    )
    assert say(f"CONNECT moves.example:{upstream} HTTP/1.1\r\n\r\n".encode(), b"x") == b"upstream:x"
    assert asked == ["moves.example"]


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT other.example:443 HTTP/1.1\r\n\r\n",
        b"CONNECT listed.example:444 HTTP/1.1\r\n\r\n",
        b"GET http://listed.example/ HTTP/1.1\r\n\r\n",
    ],
)
def test_another_name_or_port_is_refused(ask, head):
    assert b" 403 " in ask(["listed.example:443"], answers=lambda _name: ["1.1.1.1"])(head)


def test_heads_are_bounded_in_size(ask):
    assert b" 400 " in ask([])(b"CONNECT a:1 HTTP/1.1\r\nx: " + b"y" * (2 * LONGEST_HEAD) + b"\r\n\r\n")


def test_heads_are_bounded_in_time_and_connections_in_number(ask, monkeypatch):
    monkeypatch.setattr(module, "HEAD_S", 0.2)
    assert b" 400 " in ask([])(b"CONNECT a:1")
    monkeypatch.setattr(module, "HEAD_S", 20)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 0)
    assert b" 503 " in ask([])(b"CONNECT a:1 HTTP/1.1\r\n\r\n")


def test_refused_names_are_bounded_in_number(ask, monkeypatch):
    monkeypatch.setattr(module, "MOST_REFUSED", 2)
    say = ask([])
    for number in range(4):
        say(f"CONNECT h{number}:1 HTTP/1.1\r\n\r\n".encode())
    assert say.proxy.refused == ("h0:1", "h1:1")


def test_close_ends_open_tunnels(ask, upstream, tmp_path):
    say = ask([f"127.0.0.1:{upstream}"])
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(tmp_path / "0.sock"))
        client.sendall(f"CONNECT 127.0.0.1:{upstream} HTTP/1.1\r\n\r\n".encode())
        client.recv(999)
        time.sleep(0.05)
        say.proxy.close()
        assert client.recv(999) == b""
