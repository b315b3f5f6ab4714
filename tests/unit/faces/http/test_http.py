"""The keeper's HTTP face and its client, each tested by the other, over a real unix socket."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from lastro.app.blocks import blocks, frames
from lastro.app.events import Event
from lastro.app.failure import STATUS
from lastro.domain.paths import from_bytes
from lastro.errors import (
    ConflictError,
    DamagedError,
    DeniedError,
    LastroError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
    UsageError,
)
from lastro.faces.http.openapi import document
from lastro.faces.http.ranges import Span, plain_bytes, requested_span
from lastro.transport.unix import connect_owner
from tests.unit.faces.http.keeper_face import OPERATIONS, Echo, Feed, Pour, caller, serving

SIZE = 40


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("run") / "keeper.sock")


@pytest.fixture(scope="module")
def feed():
    return Feed()


@pytest.fixture(scope="module")
def keeper(path, feed):
    with serving(path, feed):
        yield caller(path)


class Plain(http.client.HTTPConnection):
    """Any program that speaks HTTP."""

    def __init__(self, path):
        super().__init__("keeper")
        self.path = path

    @override
    def connect(self):
        self.sock = connect_owner(self.path)


def ask(path, method, target, body=b"", **headers):
    connection = Plain(path)
    try:
        connection.request(method, target, body, {"connection": "close", **headers})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


# Operations


def test_an_operation_runs_in_a_thread_on_behalf_of_who_asked(keeper):
    reply = keeper.call("test.echo", Echo(text="olá"))
    assert (reply.text, reply.actor, reply.uid) == ("olá", "human", os.geteuid())
    assert reply.thread.startswith("http")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(raw=st.binary(max_size=20))
def test_any_bytes_of_a_path_arrive(keeper, raw):
    assert keeper.call("test.echo", Echo(text=from_bytes(raw))).text == from_bytes(raw)


def test_an_error_is_the_same_at_the_other_end(keeper):
    with pytest.raises(ConflictError) as caught:
        keeper.call("test.refuse", Echo(text="/caf\udce9"))
    error = caught.value
    assert (error.msgid, error.hint, error.parameters) == (
        "{path} changed.",
        "Look at {path}.",
        {"path": "/caf\udce9"},
    )


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        ("/api/v1/test.echo", b'{"text": "x"}', 200, None),
        ("/api/v1/test.echo", b'{"text": 5}', 400, "protocol"),
        ("/api/v1/test.echo", b"nonsense", 400, "protocol"),
        ("/api/v1/test.refuse", b'{"text": "x"}', 409, "conflict"),
        ("/api/v1/nothing.such", b"{}", 400, "usage"),
        ("/api/v1/test.here", b'{"text": "x"}', 404, "not_found"),
        ("/api/v1/test.break", b'{"text": "x"}', 500, "failed"),
    ],
)
@pytest.mark.usefixtures("keeper")
def test_status_and_body_by_what_happened(path, target, body, status, code):
    answered, headers, raw = ask(path, "POST", target, body)
    assert answered == status
    assert headers["content-type"] == "application/json"
    assert json.loads(raw).get("code") == code


def test_only_keeper_operations_can_be_called(keeper):
    with pytest.raises(NotFoundError):
        keeper.call("test.here", Echo(text="x"))
    with pytest.raises(UsageError):
        keeper.call("nothing.such", Echo(text="x"))


def test_a_defect_names_itself_and_nothing_else(keeper):
    with pytest.raises(LastroError, match="ZeroDivisionError"):
        keeper.call("test.break", Echo(text="x"))


@pytest.mark.usefixtures("keeper")
def test_a_body_that_is_too_large_is_refused(path, monkeypatch):
    monkeypatch.setattr("lastro.faces.http.application.LARGEST_BODY", 1000)
    status, _headers, raw = ask(path, "POST", "/api/v1/test.echo", b'{"text": "%s"}' % (b"x" * 2000))
    assert (status, json.loads(raw)["code"]) == (413, "limit")


def test_nobody_listens(tmp_path):
    with pytest.raises(UnreachableError):
        caller(str(tmp_path / "nothing")).call("test.echo", Echo(text="x"))


def test_another_user_is_refused_before_anything_runs(tmp_path):
    path = str(tmp_path / "keeper.sock")
    with serving(path, admitted=frozenset({os.geteuid() + 1})):
        with pytest.raises(DeniedError):
            caller(path).call("test.echo", Echo(text="x"))
        assert ask(path, "GET", "/api/v1/openapi.json")[0] == 403


def test_many_at_once(keeper):
    replies = []
    threads = [
        threading.Thread(target=lambda n=n: replies.append(keeper.call("test.echo", Echo(text=str(n))).text))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replies, key=int) == [str(n) for n in range(20)]


# Bytes


@st.composite
def sparse(draw):
    """A file's size and its blocks in order, with gaps."""
    found, position = [], 0
    for _ in range(draw(st.integers(0, 3))):
        position += draw(st.integers(0, 5))
        data = draw(st.binary(min_size=1, max_size=5))
        found.append((position, data))
        position += len(data)
    return position + draw(st.integers(0, 5)), tuple(found)


def whole(size, pieces):
    content = bytearray(size)
    for offset, data in pieces:
        content[offset : offset + len(data)] = data
    return bytes(content)


@given(sparse())
def test_frames_are_their_own_inverse(file):
    size, pieces = file
    stream = io.BytesIO(b"".join(frames(size, iter(pieces))))
    assert tuple(blocks(size, stream.read)) == pieces


@given(sparse(), st.data())
def test_a_stream_that_is_cut_is_never_whole(file, data):
    size, pieces = file
    raw = b"".join(frames(size, iter(pieces)))
    stream = io.BytesIO(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises((UnreachableError, ProtocolError)):
        list(blocks(size, stream.read))


@given(sparse(), st.integers(0, 20), st.integers(0, 20))
def test_a_span_is_a_slice(file, start, length):
    size, pieces = file
    span = Span(min(start, size), min(start + length, size))
    assert b"".join(plain_bytes(pieces, span)) == whole(size, pieces)[span.start : span.end]


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, (0, SIZE)),
        ("bytes=0-9", (0, 10)),
        ("bytes=10-", (10, SIZE)),
        ("bytes=-5", (35, SIZE)),
        ("bytes=-500", (0, SIZE)),
        ("bytes=10-500", (10, SIZE)),
        ("bytes=9-3", (0, SIZE)),
        ("bytes=0-1,5-6", (0, SIZE)),
        ("lines=1-2", (0, SIZE)),
        ("bytes=40-", None),
        ("bytes=-0", None),
    ],
)
def test_what_a_range_asks(header, span):
    assert requested_span(header, SIZE) == (Span(*span) if span else None)


FILE = Pour(size=SIZE, blocks=((5, b"hello"), (20, b"world")))


def test_bytes_keep_their_holes(keeper):
    reply = keeper.call("test.pour", FILE)
    assert (reply.size, len(reply.digest), tuple(reply.blocks)) == (SIZE, 32, FILE.blocks)


def test_an_error_in_the_middle_of_bytes_arrives(keeper):
    reply = keeper.call("test.pour", Pour(size=SIZE, blocks=FILE.blocks, fail=True))
    assert next(reply.blocks) == (5, b"hello")
    with pytest.raises(DamagedError, match="pack 7"):
        list(reply.blocks)


@pytest.mark.usefixtures("keeper")
def test_bytes_for_any_program_with_ranges(path):
    body = json.dumps({"size": SIZE, "blocks": [[5, "aGVsbG8="], [20, "d29ybGQ="]]}).encode()
    content = whole(SIZE, FILE.blocks)
    status, headers, raw = ask(path, "POST", "/api/v1/test.pour", body)
    assert (status, raw, headers["x-lastro-size"], headers["content-length"]) == (200, content, "40", "40")
    assert len(bytes.fromhex(headers["x-lastro-digest"])) == 32
    status, headers, raw = ask(path, "POST", "/api/v1/test.pour", body, range="bytes=7-21")
    assert (status, raw, headers["content-range"]) == (206, content[7:22], "bytes 7-21/40")
    assert ask(path, "POST", "/api/v1/test.pour", body, range="bytes=99-")[0] == 416


# Events


def test_events_are_replayed_and_then_follow(tmp_path):
    path, feed = str(tmp_path / "keeper.sock"), Feed()
    for number in range(3):
        feed.publish(number=number)
    with serving(path, feed) as face:
        events = caller(path).events(0)
        assert [next(events).seq for _ in range(2)] == [1, 2]
        feed.publish("progress", durable=False, files=1)
        feed.publish(path="/caf\udce9")
        assert next(events).kind == "progress"
        assert next(events) == Event(kind="snapshot", time_ns=1, seq=3, parameters={"path": "/caf\udce9"})
        face.stop()
    assert feed.listeners == 0


def test_nothing_is_missed_and_nothing_comes_twice_when_the_keeper_is_restarted(tmp_path):
    path, feed = str(tmp_path / "keeper.sock"), Feed()
    seen = []

    def follow(events):
        for event in events:
            seen.append(event.seq)
            if event.seq == 8:
                return

    with serving(path, feed):
        for _ in range(3):
            feed.publish()
        follower = threading.Thread(target=follow, args=(caller(path).events(-1),))
        follower.start()
        wait_until(lambda: len(seen) == 3)
    for _ in range(3):
        feed.publish()
    with serving(path, feed):
        wait_until(lambda: len(seen) == 6)
        for _ in range(3):
            feed.publish()
        follower.join(10)
    assert seen == list(range(9))


def test_what_happens_during_the_replay_comes_once(tmp_path):
    class Busy(Feed):
        def replay(self, after):
            self.publish()
            return super().replay(after)

    path, feed = str(tmp_path / "keeper.sock"), Busy()
    feed.publish()
    with serving(path, feed):
        events = caller(path).events(-1)
        assert [next(events).seq for _ in range(2)] == [0, 1]
        feed.publish()
        assert next(events).seq == 2


def test_events_end_when_the_keeper_stays_away(tmp_path, monkeypatch):
    monkeypatch.setattr("lastro.app.socket_caller._PAUSE_S", 0.001)
    path = str(tmp_path / "keeper.sock")
    with serving(path):
        events = caller(path).events(None)
    assert list(events) == []
    with pytest.raises(UnreachableError):
        caller(path).events(None)


@pytest.mark.usefixtures("keeper")
def test_an_id_that_is_none(path):
    status, _headers, raw = ask(path, "GET", "/api/v1/events?after=x")
    assert (status, json.loads(raw)["code"]) == (400, "usage")


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


# Description


@pytest.mark.usefixtures("keeper")
def test_the_description_is_made_of_the_table(path):
    status, _headers, raw = ask(path, "GET", "/api/v1/openapi.json")
    read = json.loads(raw)
    assert (status, read) == (200, json.loads(json.dumps(document(OPERATIONS))))
    assert set(read["paths"]) == {f"/api/v1/test.{one}" for one in ("echo", "refuse", "break", "pour")}
    assert "Echo" in read["components"]["schemas"]


def test_the_page_lists_every_status():
    page = (Path(__file__).parents[4] / "docs" / "reference" / "http.md").read_text("utf-8")
    rows = re.findall(r"^\| ([0-9]{3}) \| (`.*) \|$", page, re.MULTILINE)
    assert {
        code: int(status) for status, codes in rows for code in re.findall("`([a-z_]+)`", codes)
    } == STATUS
