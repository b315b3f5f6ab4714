"""Where the gateway may listen, and what it needs there."""

from __future__ import annotations

import pytest

from lastro.errors import ConfigError
from lastro.gateway.listening import allowed_hosts, open_listener, tls_context
from lastro.gateway.settings import Anonymous, Listen
from lastro.transport.address import is_loopback
from tests.certificates import Authority


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "127.8.9.1:0"])
def test_loopback_needs_nothing(address):
    bound, tls = open_listener(Listen(address=address))
    with bound:
        assert tls is None and bound.getsockname()[1] > 0


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "server.example:0"])
def test_elsewhere_tls_and_keys_are_needed(tmp_path, address):
    with pytest.raises(ConfigError, match="TLS"):
        open_listener(Listen(address=address, anonymous=Anonymous.NONE))
    certificate, key = Authority().issue(tmp_path, "localhost")
    for anonymous in (Anonymous.OFFLINE, Anonymous.ALL):
        with pytest.raises(ConfigError, match="key"):
            open_listener(
                Listen(address=address, certificate=certificate, private_key=key, anonymous=anonymous)
            )


def test_with_both_it_listens_everywhere(tmp_path):
    certificate, key = Authority().issue(tmp_path, "localhost")
    listen = Listen(address="0.0.0.0:0", certificate=certificate, private_key=key, anonymous=Anonymous.NONE)
    bound, tls = open_listener(listen)
    with bound:
        assert tls is not None


def test_a_taken_port_is_said_with_the_option_that_changes_it():
    bound, _ = open_listener(Listen(address="127.0.0.1:0"))
    with bound:
        port = bound.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            open_listener(Listen(), port=port)
    assert "--port" in caught.value.hint_text and str(port) in str(caught.value)


def test_a_certificate_that_cannot_be_used_is_said(tmp_path):
    certificate, key = Authority().issue(tmp_path, "localhost")
    other = tmp_path / "other"
    other.mkdir()
    _, foreign = Authority().issue(other, "localhost")
    for wrong in (
        Listen(certificate=certificate),
        Listen(private_key=key),
        Listen(certificate=certificate, private_key=str(tmp_path / "none")),
        Listen(certificate=certificate, private_key=foreign),
        Listen(certificate=key, private_key=key),
    ):
        with pytest.raises(ConfigError):
            tls_context(wrong)
    assert tls_context(Listen()) is None


def test_names_and_loopback():
    assert allowed_hosts(Listen(address="Box.Example:1", hosts=("A.example",))) == {
        "box.example",
        "a.example",
    }
    assert "*" in allowed_hosts(Listen(address="[::]:1"))
    assert is_loopback("::1") and not is_loopback("example.com") and not is_loopback("10.0.0.1")
