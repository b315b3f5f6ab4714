"""The same request gives the same reply by every way: in this process, over the keeper's socket, as HTTP, on the command line."""

from __future__ import annotations

import base64
import http.client
import io
import json
from contextlib import redirect_stdout

import pytest
from typing_extensions import override

from lastro.app.caller import Bytes
from lastro.app.encoding import encode
from lastro.app.keeper_process import keeper
from lastro.app.operation import Nothing
from lastro.app.places import places_of
from lastro.app.requests import Cat, Check, Entries, Find, Log, Status
from lastro.app.requests.listing import Causes, ListPlace
from lastro.app.wiring import open_caller, person
from lastro.domain.clock import SystemClock
from lastro.domain.reference import AtId, Reference
from lastro.errors import LastroError
from lastro.faces.cli.main import run
from lastro.transport.unix import connect_owner

pytestmark = pytest.mark.slow


def at(path, number=None):
    return Reference(server="local", path=path, at=AtId("snap", number, before=False) if number else None)


def requests_below(work):
    """``(operation, request, its command line)``; no command line for an internal one."""
    return [
        ("log", Log(), ["log"]),
        ("log", Log(reference=at(f"{work}/d"), limit=1), ["log", f"{work}/d", "-n", "1"]),
        ("log", Log(reference=at(f"{work}/d/caf\udce9")), ["log", f"{work}/d/caf\udce9"]),
        ("find", Find(name="*"), ["find", "*"]),
        ("ls", ListPlace(reference=at(f"{work}/d")), ["ls", f"{work}/d"]),
        ("ls", ListPlace(reference=at(f"{work}/d", 1), limit=1), ["ls", f"{work}/d@snap-1", "-n", "1"]),
        ("causes", Causes(seqs=(1,)), None),
        ("cat", Cat(reference=at(f"{work}/d/f", 1)), ["cat", f"{work}/d/f@snap-1"]),
        ("entries", Entries(reference=at(f"{work}/d")), None),
        ("repo.stats", Nothing(), ["repo", "stats"]),
        ("repo.check", Check(read_data=True), ["repo", "check", "--read-data"]),
        ("log", Log(reference=at("/never/captured")), ["log", "/never/captured"]),
        ("log", Log(reference=Reference(server="nosuch", path="", at=None)), ["log", "nosuch:"]),
        ("cat", Cat(reference=at(f"{work}/d")), ["cat", f"{work}/d"]),
    ]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A directory with a home beside it, two snapshots old."""
    work = tmp_path_factory.mktemp("parity")
    (work / "d").mkdir()
    (work / "d" / "f").write_text("one\n", "utf-8")
    (work / "d" / "caf\udce9").write_text("x", "utf-8")
    assert command(work, "init")["ok"]
    assert command(work, "capture", f"{work}/d")["ok"]
    (work / "d" / "f").write_text("two\n", "utf-8")
    assert command(work, "capture", f"{work}/d")["ok"]
    return work


def command(work, *arguments):
    """The result of a command line, its items laid into ``items``."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with redirect_stdout(out):
        run([*arguments, "--json"], {"LASTRO_HOME": str(work / "home"), "HOME": str(work), "TZ": "UTC"})
    lines = [json.loads(line) for line in out.buffer.getvalue().splitlines()]
    assert lines[-1]["type"] == "result"
    return {**lines[-1], "items": [line for line in lines if line["type"] == "item"]}


def through_caller(caller, name, request):
    """The reply as JSON, or the error's code, message and hint."""
    try:
        reply = caller.call(name, request)
    except LastroError as error:
        return ["error", error.code, str(error), error.hint_text]
    if isinstance(reply, Bytes):
        return [
            "bytes",
            reply.size,
            reply.digest.hex(),
            [[offset, data.hex()] for offset, data in reply.blocks],
        ]
    return json.loads(encode(reply))


class Plain(http.client.HTTPConnection):
    """Any program that speaks HTTP."""

    def __init__(self, path):
        super().__init__("keeper")
        self.path = path

    @override
    def connect(self):
        self.sock = connect_owner(self.path)


def through_http(path, name, request):
    connection = Plain(path)
    connection.request("POST", f"/api/v1/{name}", encode(request), {"connection": "close"})
    response = connection.getresponse()
    raw = response.read()
    connection.close()
    if response.headers["content-type"] == "application/octet-stream":
        blocks = [[0, raw.hex()]] if raw else []
        return ["bytes", int(response.headers["x-lastro-size"]), response.headers["x-lastro-digest"], blocks]
    read = json.loads(raw)
    if response.status == 200:
        return read
    sentence = LastroError(read["message"], hint=read["hint"], **read["parameters"])
    return ["error", read["code"], str(sentence), sentence.hint_text]


def through_command(work, name, arguments):
    result = command(work, *arguments)
    if not result["ok"]:
        return ["error", result["code"], result["message"], result["hint"]]
    if name == "cat":
        items = [[item["offset"], base64.b64decode(item["data"]).hex()] for item in result["items"]]
        return ["bytes", result["reply"]["size"], result["reply"]["digest"], items]
    return result["reply"]


def test_every_way_gives_the_same_reply(work):
    places, clock = places_of(str(work / "home")), SystemClock()
    asked = requests_below(str(work))
    alone = open_caller(places, actor=person(), clock=clock)
    expected = [through_caller(alone, name, request) for name, request, _arguments in asked]
    alone.close()
    assert {"error", "bytes"} <= {reply[0] for reply in expected if isinstance(reply, list)}
    for (name, _request, arguments), reply in zip(asked, expected, strict=True):
        assert arguments is None or through_command(work, name, arguments) == reply, name
    with keeper(places, emit=lambda _event: None):
        socket = open_caller(places, actor=person(), clock=clock)
        assert type(socket) is not type(alone)
        for (name, request, arguments), reply in zip(asked, expected, strict=True):
            assert through_caller(socket, name, request) == reply, name
            assert through_http(places.keeper_socket, name, request) == reply, name
            assert arguments is None or through_command(work, name, arguments) == reply, name
        assert socket.call("status", Status()).keeper is True
        one = command(work, "capture", f"{work}/d")
        assert (one["ok"], one["reply"]["snapshots"][0]["unchanged"]) == (True, True)
