"""Listening addresses: what a person is told when one cannot be taken."""

from __future__ import annotations

import errno
import socket

import pytest

from lastro.errors import ConfigError
from lastro.transport.address import bind_tcp


@pytest.mark.parametrize(
    ("number", "told"), [(errno.EACCES, "below 1024"), (errno.EADDRINUSE, "Another program")]
)
def test_the_hint_is_for_what_was_wrong(monkeypatch, number, told):
    class Refusing(socket.socket):
        def bind(self, _address):
            raise OSError(number, "no")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(ConfigError) as caught:
        bind_tcp("127.0.0.1", 80, option="--port")
    assert told in caught.value.hint
    assert caught.value.parameters["option"] == "--port"
