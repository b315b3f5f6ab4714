"""Unix sockets that only their owner can use."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import pytest

from lastro.errors import ConfigError, DeniedError, LockedError, UnreachableError
from lastro.transport.dial import dial_unix
from lastro.transport.listen import listen_unix
from lastro.transport.unix import (
    LONGEST_PATH,
    PeerCredentials,
    bind_owner_only,
    connect_owner,
    may_listen_for,
    peer_credentials,
    remove_socket,
)


@pytest.fixture
def umask_of_the_careless():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask_of_the_careless")
def test_only_the_owner_can_connect_whatever_the_umask(tmp_path):
    path = str(tmp_path / "a.sock")
    with bind_owner_only(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    remove_socket(path)
    remove_socket(path)
    assert not os.path.exists(path)


def test_the_kernel_says_who_connected(tmp_path):
    path = str(tmp_path / "a.sock")
    with bind_owner_only(path) as listener, connect_owner(path) as client:
        accepted, _ = listener.accept()
        with accepted:
            for end in (accepted, client):
                found = peer_credentials(end)
                assert (found.process, found.uid, found.gid) == (os.getpid(), os.getuid(), os.getgid())


def test_an_abandoned_socket_is_replaced_and_a_used_one_is_not(tmp_path):
    path = str(tmp_path / "a.sock")
    bind_owner_only(path).close()
    with pytest.raises(UnreachableError):
        connect_owner(path)
    with bind_owner_only(path), pytest.raises(LockedError):
        bind_owner_only(path)


def test_what_cannot_be_a_socket_is_said(tmp_path):
    with pytest.raises(ConfigError):
        bind_owner_only(str(tmp_path / ("x" * LONGEST_PATH)))
    with pytest.raises(ConfigError):
        bind_owner_only(str(tmp_path / "missing" / "a.sock"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError):
        bind_owner_only(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_messages_travel_both_ways_with_the_peers_credentials(tmp_path):
    path = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff.sock")

    async def talk():
        peers = []

        async def echo(connection):
            peers.append(connection.peer)
            while True:
                await connection.send(await connection.receive())

        listening = await listen_unix(bind_owner_only(path), handler=echo, max_message=1 << 20)
        connection = await dial_unix(path, max_message=1 << 20)
        for message in ("text ç", b"\xff\x00", ""):
            await connection.send(message)
            assert await connection.receive() == message
        await connection.close()
        await listening.close()
        return peers

    (peer,) = asyncio.run(talk())
    assert peer.credentials.uid == os.getuid() and peer.credentials.process == os.getpid()


def test_something_else_than_a_keeper_is_said(tmp_path):
    path = str(tmp_path / "a.sock")

    async def dial():
        with pytest.raises(UnreachableError):
            await dial_unix(path, max_message=1 << 20)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            with pytest.raises(UnreachableError):
                await dial_unix(path, max_message=1 << 20)

    asyncio.run(dial())


@pytest.mark.parametrize(
    ("listener", "own", "trusted"),
    [(1000, 1000, True), (0, 1000, True), (1001, 1000, False), (1001, 0, True)],
)
def test_whose_process_may_listen_for_whom(listener, own, trusted):
    assert may_listen_for(listener, own=own) is trusted


def test_a_socket_of_somebody_else_is_told_nothing(tmp_path, monkeypatch):
    path = str(tmp_path / "socket")
    with bind_owner_only(path):
        credentials = PeerCredentials(process=1, uid=4242, gid=4242)
        monkeypatch.setattr("lastro.transport.unix.peer_credentials", lambda _: credentials)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(DeniedError, match="4242"):
            connect_owner(path)
