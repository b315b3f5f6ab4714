"""``AdminClient``: what a running gateway's owner asks of it, over ``gateway-admin.sock``. Standard library only, synchronous.

What always holds: it talks only to a socket that this user's process or root's has bound; an error of the gateway is raised here as the
same ``LastroError``; a call is sent once.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from typing_extensions import override

from lastro.errors import LastroError, ProtocolError, UnreachableError
from lastro.gateway.administration import (
    AdminFailure,
    GatewayStatus,
    KeyBudgets,
    KeyOrder,
    MintedKey,
    ProbeOrder,
    Reloaded,
    ReplayOrder,
)
from lastro.gateway.keys import GatewayKey
from lastro.gateway.probe_store import ProbeResult
from lastro.gateway.replay import Replayed
from lastro.messages import N_
from lastro.transport.unix import connect_owner

WAIT_S: Final = 30.0
LONG_WAIT_S: Final = 1800.0
"""For what is asked of a provider."""
LARGEST_REPLY: Final = 256 * 1024 * 1024

_Reply = TypeVar("_Reply")


class AdminClient:
    """Asks the gateway whose admin socket is at ``path``. Every verb connects anew.

    Every verb raises ``UnreachableError`` when no gateway runs, ``DeniedError`` when the socket is somebody else's, and what the gateway
    itself raised.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def mint(self, order: KeyOrder) -> MintedKey:
        """A new key."""
        return self._ask("POST", "/v1/keys", MintedKey, msgspec.json.encode(order))

    def revoke(self, id_or_name: str) -> GatewayKey:
        """Let a key admit nobody from now on."""
        return self._ask(
            "DELETE", f"/v1/keys/{quote(id_or_name, safe='', errors='surrogateescape')}", GatewayKey
        )

    def list_keys(self) -> list[GatewayKey]:
        """All keys, without their digests."""
        return self._ask("GET", "/v1/keys", list[GatewayKey])

    def status(self) -> GatewayStatus:
        """How the gateway stands."""
        return self._ask("GET", "/v1/status", GatewayStatus)

    def reload(self) -> Reloaded:
        """Have it read its configuration anew."""
        return self._ask("POST", "/v1/reload", Reloaded)

    def budgets(self) -> list[KeyBudgets]:
        """What each live key may still spend."""
        return self._ask("GET", "/v1/budgets", list[KeyBudgets])

    def probe(self, provider: str) -> ProbeResult:
        """What a provider can do, asked now."""
        order = msgspec.json.encode(ProbeOrder(provider=provider))
        return self._ask("POST", "/v1/probe", ProbeResult, order, wait_s=LONG_WAIT_S)

    def replay(self, exchange: str) -> Replayed:
        """The answer to a recorded request, asked now."""
        order = msgspec.json.encode(ReplayOrder(exchange=exchange))
        return self._ask("POST", "/v1/replay", Replayed, order, wait_s=LONG_WAIT_S)

    def _ask(
        self, method: str, path: str, reply: type[_Reply], body: bytes = b"", *, wait_s: float = WAIT_S
    ) -> _Reply:
        connection = _Connection(self._path, wait_s)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            raw = response.read(LARGEST_REPLY + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                N_("The gateway at {path} did not answer: {reason}"),
                path=self._path,
                reason=str(error) or type(error).__name__,
            ) from error
        finally:
            connection.close()
        try:
            if response.status == http.HTTPStatus.OK:
                return msgspec.json.decode(raw, type=reply)
            failure = msgspec.json.decode(raw, type=dict[str, AdminFailure])["error"]
        except (msgspec.DecodeError, KeyError) as error:
            raise ProtocolError(
                N_("What answers at {path} is no gateway of this version."), path=self._path
            ) from error
        raise _error_of(failure)


class _Connection(http.client.HTTPConnection):
    """HTTP over the owner's unix socket."""

    def __init__(self, path: str, wait_s: float) -> None:
        super().__init__("localhost", timeout=wait_s)
        self._path = path
        self._wait_s = wait_s

    @override
    def connect(self) -> None:
        connected = connect_owner(self._path)
        connected.settimeout(self._wait_s)
        self.sock: socket.socket = connected


def _error_of(failure: AdminFailure) -> LastroError:
    kind = next((kind for kind in _kinds(LastroError) if kind.code == failure.code), LastroError)
    parameters: dict[str, Any] = {name: value for name, value in failure.parameters.items() if name != "hint"}
    if kind.__init__ is not LastroError.__init__:  # it wants more than travels
        kind = LastroError
    return kind(failure.message, hint=failure.hint, **parameters)


def _kinds(kind: type[LastroError]) -> Iterator[type[LastroError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
