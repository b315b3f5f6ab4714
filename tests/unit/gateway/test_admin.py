"""The admin socket and its client, over a real unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from lastro.errors import (
    ConfigError,
    LastroError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
    UsageError,
)
from lastro.filesystem.system import System
from lastro.gateway.admin import AdminServer
from lastro.gateway.admin_client import AdminClient
from lastro.gateway.administration import GatewayStatus, KeyOrder, ProviderStatus
from lastro.gateway.budgets import BudgetState, Sums
from lastro.gateway.circuit import CircuitState, CircuitStatus
from lastro.gateway.keyring import Keyring
from lastro.gateway.keys import Limits
from lastro.gateway.probe_store import ProbeResult
from lastro.gateway.replay import Replayed
from lastro.gateway.settings import Scope
from lastro.transport.unix import bind_owner_only

STATUS = GatewayStatus(
    pid=os.getpid(),
    version="1",
    uptime_s=1.5,
    addresses=("http://127.0.0.1:8421",),
    providers=(
        ProviderStatus(
            name="openai",
            kind="openai",
            enabled=True,
            circuits=(
                CircuitStatus(
                    name="openai/m", state=CircuitState.OPEN, failures=3, retry_after_s=7.5, in_flight=0
                ),
            ),
        ),
    ),
    in_flight=2,
    engine="smollm2",
)


class Running:
    """A gateway as far as its owner asks."""

    def __init__(self):
        self.problem = None
        self.gone = []

    def status(self):
        return STATUS

    async def probe(self, provider):
        if provider != "openai":
            raise NotFoundError("There is no provider called {name}.", hint="See the list.", name=provider)
        return ProbeResult(provider=provider, base_url="https://x.example/v1", time_ns=1, calls=3)

    async def replay(self, exchange):
        return Replayed(
            exchange=exchange,
            provider="openai",
            model="m",
            status=200,
            content_type="application/json",
            answer=b"\xff{}",
            recorded_answer=b"{}",
            sent_digest="00",
            same_request=True,
            same_answer=False,
        )

    def reload(self):
        if self.problem is not None:
            raise self.problem
        return True

    def budgets(self, key):
        return [
            BudgetState(
                name="day",
                scope=Scope.KEY,
                subject=key.name,
                limits=key.limits,
                spent=Sums(cost=5, tokens=6, requests=7),
                held=Sums(cost=0, tokens=0, requests=0),
                renews_ns=None,
            )
        ]

    def revoked(self, key):
        self.gone.append(key.id)


class Owner:
    """A running admin server in a thread of its own, so that the synchronous client can talk to it."""

    def __init__(self, directory):
        self.path = str(directory / "admin.sock")
        self.running = Running()
        self.keyring = Keyring(
            str(directory / "keys.json"), clock_ns=time.time_ns, random_bytes=os.urandom, system=System()
        )
        self.client = AdminClient(self.path)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = AdminServer(keyring=self.keyring, gateway=self.running, clock_ns=time.time_ns)
        await server.listen(bind_owner_only(self.path))
        self._ready.set()
        await self._stop.wait()
        await server.close()


@pytest.fixture
def owner(tmp_path):
    with Owner(tmp_path) as running:
        yield running


def test_a_key_is_minted_shown_without_its_digest_and_revoked(owner):
    order = KeyOrder(
        name="run-7",
        role="client-agent",
        run="run-7",
        limits=Limits(cost=1_000_000),
        day_limits=Limits(tokens=5),
        models=("offline/*",),
        expires_ns=time.time_ns() + 10**12,
        steps="/run/user/1/steps.sock",
    )
    minted = owner.client.mint(order)
    assert minted.key.digest == "" and minted.key.steps == order.steps
    found = owner.keyring.find(minted.text)
    assert found is not None
    for name in order.__struct_fields__:
        assert getattr(found, name) == getattr(order, name)
    assert [key.id for key in owner.client.list_keys()] == [minted.key.id]
    assert owner.client.list_keys()[0].digest == ""
    revoked = owner.client.revoke("run-7")
    assert revoked.revoked_ns is not None and revoked.digest == ""
    assert owner.keyring.find(minted.text) is None
    assert owner.running.gone == [minted.key.id]


def test_status_budgets_and_reload(owner):
    assert owner.client.status() == STATUS
    minted = owner.client.mint(KeyOrder(name="laptop", limits=Limits(cost=9)))
    dead = owner.client.mint(KeyOrder(name="old"))
    owner.client.revoke(dead.key.id)
    budgets = owner.client.budgets()
    assert [entry.key for entry in budgets] == ["", minted.key.id]
    assert budgets[1].budgets[0].limits == Limits(cost=9)
    assert owner.client.reload().changed
    owner.running.problem = ConfigError("bad {line}", hint="look at {line}", line=3)
    with pytest.raises(ConfigError) as caught:
        owner.client.reload()
    assert (str(caught.value), caught.value.hint_text) == ("bad 3", "look at 3")


def test_what_needs_a_providers_key_is_done_by_the_gateway(owner):
    assert owner.client.probe("openai").calls == 3
    with pytest.raises(NotFoundError, match="nobody"):
        owner.client.probe("nobody")
    replayed = owner.client.replay("x-1")
    assert (replayed.exchange, replayed.answer) == ("x-1", b"\xff{}")


def test_errors_are_the_same_errors_at_the_other_end(owner):
    with pytest.raises(NotFoundError):
        owner.client.revoke("nobody/else ?")
    with pytest.raises(UsageError):
        owner.client.mint(KeyOrder(name=""))
    with pytest.raises(UsageError):
        owner.client.mint(KeyOrder(name="x" * 100_000))
    with pytest.raises(UsageError):
        owner.client._ask("POST", "/v1/keys", dict, b'{"name":"x","digest":"00"}')  # noqa: SLF001
    with pytest.raises(NotFoundError):
        owner.client._ask("GET", "/v1/secrets", dict)  # noqa: SLF001
    assert owner.client.list_keys() == []


def test_the_socket_is_for_the_owner_alone(owner):
    assert stat.S_IMODE(os.stat(owner.path).st_mode) == 0o600


@pytest.mark.system
@pytest.mark.needs("an interpreter that others may run", "another user")
def test_another_users_process_is_refused_even_where_the_file_lets_it_in(tmp_path):
    program = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /v1/status HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')\n"
        "sys.stdout.buffer.write(s.makefile('rb').read())\n"
    )
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if str(parent).startswith("/tmp/pytest"):
            os.chmod(parent, 0o755)
    with Owner(tmp_path) as owner:
        os.chmod(owner.path, 0o666)
        command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", program, owner.path]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    assert answer.startswith(b"HTTP/1.1 403") and b"another user" in answer


def test_nobody_there_is_said(tmp_path):
    with pytest.raises(UnreachableError):
        AdminClient(str(tmp_path / "none.sock")).status()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UnreachableError),
        (b"SSH-2.0\r\n", UnreachableError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", ProtocolError),
        (b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n[]", ProtocolError),
        (
            b'HTTP/1.1 500 No\r\nconnection: close\r\n\r\n{"error":{"code":"new","message":"{x}"}}',
            LastroError,
        ),
        (
            b'HTTP/1.1 500 No\r\nconnection: close\r\n\r\n{"error":{"code":"refused","message":"no"}}',
            LastroError,
        ),
    ],
)
def test_something_else_there_is_said(tmp_path, answer, error):
    listener = bind_owner_only(str(tmp_path / "admin.sock"))

    def serve():
        connected, _ = listener.accept()
        with connected:
            connected.recv(65536)
            connected.sendall(answer)
            connected.shutdown(socket.SHUT_WR)
            connected.recv(65536)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(error):
        AdminClient(str(tmp_path / "admin.sock")).status()
    thread.join(10)
    listener.close()


@pytest.mark.system
def test_a_command_that_asks_loads_no_http_server():
    program = (
        "import sys, lastro.gateway.admin_client; print([m for m in sys.modules if m.startswith('aiohttp')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
