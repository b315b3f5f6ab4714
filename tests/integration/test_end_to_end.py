"""The whole path with real processes, real TLS and real files."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import tempfile

import pytest

from lastro.transport.identity import load_or_make_identity
from tests.integration.commands import Home, Server, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def home(tmp_path):
    return Home(os.path.realpath(tmp_path / "home"))


def sample(home, *names):
    return os.path.join(home.path, "sample", *names)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_up_protects_a_sample_and_every_version_comes_back(home):
    with home.serving("up") as up:
        ready = up.wait_event("ready")
        assert ready["files"] == 6
        original = read(sample(home, "README.md"))
        write(sample(home, "README.md"), "second\n")
        wait_until(lambda: len(home.versions("local:README.md")) == 2)
        os.unlink(sample(home, "server", "app.conf"))
        write(sample(home, "new", "deep", "file"), "x")
        wait_until(lambda: home.versions("local:server/app.conf")[0]["operation"] == "removed")
        wait_until(lambda: home.versions("local:new/deep/file") != [])

        found = home.ask("find", "app.conf", "--deleted")["items"]
        assert [item["path"] for item in found] == [sample(home, "server", "app.conf")]
        restored = home.ask("restore", "local:server/app.conf", "--yes")
        assert restored["outcome"] == "applied"
        assert "port = 8000" in read(sample(home, "server", "app.conf"))
        home.ask("undo", "--yes")
        assert not os.path.exists(sample(home, "server", "app.conf"))
        home.ask("undo", "--yes")
        assert "port = 8000" in read(sample(home, "server", "app.conf"))

        assert home.run("cat", "local:README.md@snap-1").out == original
        assert read(sample(home, "README.md")) == "second\n"
        home.ask("restore", "local:README.md@snap-1", "--yes")
        assert read(sample(home, "README.md")) == original
        assert home.run("log", "./README.md", cwd=sample(home)).code == 0

        second = home.run("up")
        assert second.code == 11
        assert "A keeper runs here already" in second.err
        assert up.stop() == 0
    assert not os.path.exists(os.path.join(home.path, "run", "keeper.sock"))
    check = home.ask("repo", "check", "--read-data")
    assert check["sound"]


def test_a_keeper_killed_in_the_middle_loses_nothing_and_goes_on(home):
    with home.serving("up") as up:
        up.wait_event("ready")
        for number in range(200):
            write(sample(home, "many", f"{number}.txt"), f"content {number}\n" * 50)
        wait_until(lambda: len(up.events("snapshot")) >= 2)
        acknowledged = up.events("snapshot")[-1]["number"]
        for number in range(200):
            write(sample(home, "many", f"{number}.txt"), f"later {number}\n" * 50)
        up.process.send_signal(signal.SIGKILL)
        up.process.wait()
    assert home.ask("status")["snapshots"] >= acknowledged
    with home.serving("up") as up:
        up.wait_event("ready")
        wait_until(lambda: home.run("cat", "local:many/199.txt").out.startswith("later 199"))
        assert home.run("cat", f"local:many/7.txt@snap-{acknowledged}").out in {
            "content 7\n" * 50,
            "later 7\n" * 50,
        }
    assert home.ask("repo", "check", "--read-data")["sound"]


def test_roots_come_and_go_without_a_restart_and_history_stays(home, tmp_path):
    other = os.path.realpath(tmp_path / "other")
    write(os.path.join(other, "a.txt"), "a\n")
    with home.serving("up") as up:
        up.wait_event("ready")
        home.ask("node", "roots", "add", other)
        wait_until(lambda: home.versions(os.path.join(other, "a.txt")) != [])
        home.ask("node", "roots", "remove", other)
        up.wait_event("roots_changed", lambda event: other not in event["paths"])
        write(os.path.join(other, "b.txt"), "b\n")
        assert home.run("cat", os.path.join(other, "a.txt")).out == "a\n"
    roots = {root["path"] for server in home.ask("status")["servers"] for root in server["roots"]}
    assert other in roots


def test_operator_and_server_apart(tmp_path):
    server = Home(os.path.realpath(tmp_path / "server"))
    operator = Home(os.path.realpath(tmp_path / "operator"))
    data = os.path.realpath(tmp_path / "data")
    write(os.path.join(data, "site.conf"), "one\n")
    port = free_port()
    server.ask("node", "init", data, "--name", "web")
    config = os.path.join(server.path, "config", "node.toml")
    write(config, read(config).replace("127.0.0.1:8422", f"127.0.0.1:{port}"))
    operator.ask("init")
    with server.serving("node", "serve") as node, operator.serving("keeper", "serve") as keeper:
        node.wait_event("listening")
        keeper.wait_event("listening")
        token = pair(server)
        added = operator.ask("server", "add", token.text)
        assert added["name"] == "web"
        token.process.wait_event("paired")
        token.process.process.wait(10)
        assert token.process.stop() == 0
        wait_until(lambda: operator.versions("web:site.conf") != [])
        write(os.path.join(data, "site.conf"), "two\n")
        wait_until(lambda: len(operator.versions("web:site.conf")) == 2)

        reused = operator.run("server", "add", token.text, "--name", "again", "--json")
        assert reused.code != 0

        second = pair(server)
        taken = operator.run("server", "add", second.text, "--json")
        assert (taken.code, taken.result["code"]) == (7, "conflict")
        second.process.stop()

        # What is kept as 'local' goes back in place on this machine: no node may take that name by itself.
        write(config, read(config).replace('name = "web"', 'name = "local"'))
        third = pair(server)
        stolen = operator.run("server", "add", third.text, "--json")
        assert (stolen.code, stolen.result["code"]) == (2, "usage")
        third.process.stop()

        in_place = operator.run("restore", "web:site.conf@snap-1", "--yes", "--json")
        assert in_place.code == 2
        assert "--to" in in_place.result["hint"]
        elsewhere = os.path.realpath(tmp_path / "elsewhere")
        operator.ask("restore", "web:site.conf@snap-1", "--to", elsewhere, "--yes")
        assert read(os.path.join(elsewhere, "site.conf")) == "one\n"
        stranger_is_refused(port)
    assert os.listdir(os.path.join(server.path, "data")) == [".lastro-directory"], "a node keeps nothing"


class pair:  # noqa: N801  used as a verb
    """``lastro node pair`` running, with the token that it printed."""

    def __init__(self, server):
        port = free_port()
        self.process = Server(server, ("node", "pair", "--address", f"127.0.0.1:{port}"))
        self.text = self.process.wait_event("pairing")["token"]


def stranger_is_refused(port):
    """A certificate that is on no list gets the end of the connection, and not one byte of the protocol."""
    with tempfile.TemporaryDirectory() as scratch:
        identity = load_or_make_identity(os.path.join(scratch, "stranger.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(identity.path)
        assert answer_to(context, port) == b""


def answer_to(context, port):
    """What comes back for a request; nothing when the other side ends the connection."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return tls.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
