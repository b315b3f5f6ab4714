"""Addresses: ``host:port`` as people write it, and the listening TCP sockets behind it."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection
from typing import Final

from lastro.errors import ConfigError
from lastro.messages import N_

_BACKLOG: Final = 128


def bind_tcp(host: str, port: int, *, option: str) -> socket.socket:
    """A listening TCP socket; ``port`` 0 takes any free one. ``option`` is what names the port for people, for the error's hint.

    Raises:
        ConfigError: the port is taken, or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # The protocol is named because asyncio turns off Nagle's delay only for sockets that say they are TCP.
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise ConfigError(
            N_("Cannot listen on {host}:{port}: {reason}"),
            hint=_hint(error.errno),
            host=host,
            port=port,
            reason=error.strerror or str(error),
            option=option,
        ) from error
    return bound


def _hint(number: int | None) -> str:
    if number == errno.EACCES:
        return N_("Ports below 1024 are not for everybody: choose a higher one with {option}.")
    return N_("Another program may use this port already: choose another one with {option}.")


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` (``[v6]:port``) as its two parts.

    Raises:
        ConfigError: it is not an address with a port.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigError(
            N_("This is not an address with a port: {address}"),
            hint=N_("Write it as host:port, for example 192.0.2.7:8422."),
            address=address,
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """The inverse of ``split_address``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_address(address: str, *, besides: Collection[str] = ()) -> str:
    """``address``, or the next one whose port nobody listens on, and which is none of ``besides``: of those who will listen soon."""
    host, port = split_address(address)
    soon = {split_address(one)[1] for one in besides}
    for candidate in range(port, min(port + 100, 65_536)):
        if candidate in soon:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return join_address(host, candidate)
    return address


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address) is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
