"""``lastro node pair``: print a join token and wait for the keeper that brings it (``docs/protocol.md``, Pairing).

It works beside a running node as well as without one: what it leaves is a file in the allow-list's directory, which ``serve`` notices.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final

import psutil

from lastro.node.config import read_config
from lastro.node.daemon import NodePlaces
from lastro.transport.address import bind_tcp, join_address, split_address
from lastro.transport.allow_list import AllowedDevice, allow
from lastro.transport.identity import load_identity
from lastro.transport.join_token import SECRET_BYTES, JoinToken, format_join_token
from lastro.transport.pairing import TOKEN_LIFETIME_S, Paired, offer_pairing

DEFAULT_PAIRING_PORT: Final = 8423
_WILDCARDS: Final = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104  what a configuration may say, not what is bound here
_MOST_HOSTS: Final = 4


async def pair(
    places: NodePlaces,
    *,
    on_token: Callable[[str], None],
    port: int = DEFAULT_PAIRING_PORT,
    hosts: Sequence[str] = (),
    lifetime_s: float = TOKEN_LIFETIME_S,
) -> Paired:
    """Listen for one keeper, on the host that ``node.toml`` listens on; returns the keeper once it is on the allow-list.

    ``on_token`` is called with the join token as soon as the listener stands. ``hosts`` go into the token instead of the listening host;
    without them a wildcard host stands for the addresses of this machine. ``port`` 0 takes any free one.

    Raises:
        ConfigError: the configuration or the identity cannot be used, or the port is taken.
        DeniedError: nobody used the token in time, or too many wrong ones came.
    """
    config = read_config(places.config)
    identity = load_identity(places.identity)
    host, node_port = split_address(config.listen)
    listener = bind_tcp(host, port, option="--address HOST:PORT")
    try:
        bound_port = int(listener.getsockname()[1])
        token = JoinToken(
            addresses=tuple(join_address(each, bound_port) for each in hosts or _hosts_for(host)),
            device=identity.device,
            secret=secrets.token_bytes(SECRET_BYTES),
        )
        on_token(format_join_token(token))
        return await offer_pairing(
            listener,
            identity,
            secret=token.secret,
            name=config.name,
            port=node_port,
            store=lambda paired: allow(
                places.allowed, AllowedDevice(name=paired.name, certificate=paired.certificate)
            ),
            lifetime_s=lifetime_s,
        )
    finally:
        listener.close()


def _hosts_for(host: str) -> Sequence[str]:
    """What a keeper can dial to reach a listener on ``host``."""
    if host not in _WILDCARDS:
        return [host]
    found = [
        each.address
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family in {socket.AF_INET, socket.AF_INET6} and _is_reachable(each.address)
    ]
    return sorted(found, key=lambda address: ":" in address)[:_MOST_HOSTS] or [socket.gethostname()]


def _is_reachable(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return not (parsed.is_loopback or parsed.is_link_local)
