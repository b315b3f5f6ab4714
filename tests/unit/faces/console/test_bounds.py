"""What strangers can take of the keeper's process: connections, and time."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from lastro.app.event_feed import EventFeed
from lastro.app.events import Event
from lastro.faces.console import bounds
from lastro.faces.http import remote
from tests.console_kit import COOKIE, services_of_home
from tests.served_console import served_console
from tests.unit.faces.http.token_door import TokenDoor

pytestmark = pytest.mark.slow


class EndingDoor(TokenDoor):
    """A door at which sessions end: ``over`` holds the secrets of those that did."""

    def __init__(self):
        super().__init__()
        self.over = set()

    def entered(self, secret):
        return None if secret in self.over else super().entered(secret)


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with services_of_home(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture
def door():
    return EndingDoor()


@pytest.fixture
def place(services, door, monkeypatch):
    monkeypatch.setattr(bounds, "ARRIVES_S", 0.5)
    with served_console(services, door) as url:
        parts = urlsplit(url)
        yield "127.0.0.1", parts.port


OPEN: list[object] = []


@pytest.fixture(autouse=True)
def everything_is_closed():
    yield
    while OPEN:
        OPEN.pop().close()


def connected(place):
    connection = socket.create_connection(place)
    OPEN.append(connection)
    connection.settimeout(20)
    return connection


def is_ended(connection):
    """Whether the server ends it, sooner or later, without having answered."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def status(place, path="/login"):
    asked = http.client.HTTPConnection(*place, timeout=20)
    OPEN.append(asked)
    asked.request("GET", path, headers={"host": f"localhost:{place[1]}"})
    answer = asked.getresponse()
    answer.read()
    return answer.status, asked


def test_so_many_connections_and_no_more(place, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_OF_ONE", 5)
    held = [connected(place) for _ in range(12)]
    assert sum(is_ended(one) for one in held[5:]) == 7
    for one in held:
        one.close()
    for _ in range(100):
        try:
            assert status(place)[0] == 200
        except ConnectionError:  # the server has not heard yet that they are gone
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nobody comes in any more")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\na=",
    ],
    ids=["nothing", "head", "body"],
)
def test_what_does_not_arrive_ends_its_connection_however_lively_it_is(place, head):
    connection = connected(place)
    connection.sendall(head)
    if head:
        stop = threading.Event()

        def drip():
            while not stop.wait(0.05):
                try:
                    connection.send(b"a")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        ended = is_ended(connection)
        stop.set()
        dripping.join()
        assert ended
    else:
        assert is_ended(connection)


def test_a_second_request_has_the_same_time_and_no_more(place):
    code, asked = status(place)
    assert code == 200
    asked.sock.sendall(b"GET /login HTTP/1.1\r\nHost: local")
    assert is_ended(asked.sock)


def test_a_stream_lasts_longer_than_a_request_may_take_to_arrive(services, door, monkeypatch):
    monkeypatch.setattr(bounds, "ARRIVES_S", 0.2)
    feed = EventFeed()
    feed.attach(services)
    with served_console(services, door, feed=feed) as url:
        connection, read = followed(("127.0.0.1", urlsplit(url).port))
        while b"hello" not in read:
            read += connection.recv(1000)
        time.sleep(0.5)
        feed.publish(Event(kind="one", time_ns=1))
        assert b"event: one" in connection.recv(1000)


def followed(place, who="ana:viewer"):
    connection = connected(place)
    connection.sendall(
        f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nCookie: {COOKIE}={who}\r\n\r\n".encode()
    )
    return connection, connection.recv(15)


def test_one_human_follows_so_many_streams_and_no_more(place, monkeypatch):
    monkeypatch.setattr(remote, "MOST_STREAMS", 2)
    held = [followed(place) for _ in range(2)]
    assert all(first.startswith(b"HTTP/1.1 200") for _, first in held)
    assert followed(place)[1].startswith(b"HTTP/1.1 429")
    assert followed(place, "bia:viewer")[1].startswith(b"HTTP/1.1 200")


def test_a_stream_says_nothing_more_to_who_was_signed_out(services, door, monkeypatch):
    monkeypatch.setattr(remote, "ADMITTED_S", 0.0)
    feed = EventFeed()
    feed.attach(services)
    with served_console(services, door, feed=feed) as url:
        connection, _first = followed(("127.0.0.1", urlsplit(url).port))
        read = b""
        while b"hello" not in read:
            read += connection.recv(1000)
        feed.publish(Event(kind="one", time_ns=1))
        while b"event: one" not in read:
            read += connection.recv(1000)
        door.over.add("ana:viewer")
        feed.publish(Event(kind="two", time_ns=2))
        while b"\r\n0\r\n\r\n" not in read:
            piece = connection.recv(1000)
            assert piece
            read += piece
    assert b"event: two" not in read
