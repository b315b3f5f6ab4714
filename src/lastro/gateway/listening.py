"""Where the gateway listens: a TCP address, in the clear only on loopback, and TLS elsewhere.

What always holds: beyond loopback nothing is answered without TLS and a key, whatever configuration asks for.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl

from lastro.errors import ConfigError
from lastro.gateway.settings import Anonymous, Listen
from lastro.messages import N_
from lastro.transport.address import bind_tcp, is_loopback, split_address


def open_listener(listen: Listen, *, port: int | None = None) -> tuple[socket.socket, ssl.SSLContext | None]:
    """A listening socket at ``listen.address`` (another ``port`` wins; 0: any free one), and the TLS context of its connections.

    Raises:
        ConfigError: the address is taken or not of this machine; it is not loopback and there is no certificate, or callers without a key
            would be answered; the certificate cannot be read.
    """
    host, configured = split_address(listen.address)
    context = tls_context(listen)
    if not is_loopback(host):
        _require_guarded(listen, host)
    return bind_tcp(host, configured if port is None else port, option="--port"), context


def tls_context(listen: Listen) -> ssl.SSLContext | None:
    """What ``certificate`` and ``private_key`` make; ``None`` when neither is set. TLS 1.2 at least.

    Raises:
        ConfigError: one of them is missing, unreadable, or they do not belong together.
    """
    if not listen.certificate and not listen.private_key:
        return None
    if not (listen.certificate and listen.private_key):
        raise ConfigError(N_("TLS needs both certificate and private_key in [listen] of gateway.toml."))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listen.certificate, listen.private_key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            N_("The certificate {certificate} with its key {key} cannot be used: {reason}"),
            hint=N_("Both have to be PEM files that this user may read; the key without a password."),
            certificate=listen.certificate,
            key=listen.private_key,
            reason=getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error),
        ) from error
    return context


def allowed_hosts(listen: Listen) -> frozenset[str]:
    """The names that requests may call this gateway by, for ``admission.require_host``."""
    host, _ = split_address(listen.address)
    names = {host.lower(), *(name.lower() for name in listen.hosts)}
    try:
        if ipaddress.ip_address(host).is_unspecified:
            names.add("*")
    except ValueError:
        pass
    return frozenset(names)


def _require_guarded(listen: Listen, host: str) -> None:
    if not listen.certificate:
        raise ConfigError(
            N_("{host} is reached from other machines, so the gateway needs TLS there."),
            hint=N_("Set certificate and private_key in [listen] of gateway.toml, or listen on 127.0.0.1."),
            host=host,
        )
    if listen.anonymous is not Anonymous.NONE:
        raise ConfigError(
            N_("{host} is reached from other machines, so every caller needs a key there."),
            hint=N_('Set anonymous = "none" in [listen] of gateway.toml, or listen on 127.0.0.1.'),
            host=host,
        )


def _no_password() -> str:
    return ""  # a key with a password would be asked for at the terminal
