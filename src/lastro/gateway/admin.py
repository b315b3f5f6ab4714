"""``gateway-admin.sock``: keys, state and configuration of a running gateway, for its owner alone (``AdminClient`` is the other end).

    POST   /v1/keys       KeyOrder → MintedKey        DELETE /v1/keys/ID   → GatewayKey, revoked from this instant
    GET    /v1/keys       → [GatewayKey]              GET    /v1/status    → GatewayStatus
    POST   /v1/reload     → Reloaded                  GET    /v1/budgets   → [KeyBudgets]
    POST   /v1/probe      ProbeOrder → ProbeResult    POST   /v1/replay    ReplayOrder → Replayed

What always holds: the socket is never inside a jail, and each connection's uid, as the kernel says, is the gateway's own or root's. A
supervisor's socket enters a key only here. A key's text leaves in the answer that made it, and digests never leave.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
from aiohttp import web
from msgspec.structs import replace

from lastro.errors import DeniedError, LastroError, NotFoundError, UsageError
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
from lastro.gateway.budgets import BudgetState
from lastro.gateway.keyring import Keyring, admits
from lastro.gateway.keys import ANONYMOUS, GatewayKey
from lastro.gateway.probe_store import ProbeResult
from lastro.gateway.replay import Replayed
from lastro.messages import N_
from lastro.transport.unix import peer_credentials

LARGEST_ORDER: Final = 64 * 1024
"""Bytes of a request."""
IDLE_S: Final = 30.0
_ROOT: Final = 0

STATUS: Final = {"usage": 400, "config": 400, "denied": 403, "not_found": 404, "limit": 413}
"""HTTP status by error code; 500 for every other."""

_Order = TypeVar("_Order", KeyOrder, ProbeOrder, ReplayOrder)

_encode: Final = msgspec.json.Encoder().encode
_log: Final = logging.getLogger("lastro.gateway.admin")


class Administered(Protocol):
    """The gateway, as far as its owner asks (the gateway's process)."""

    def status(self) -> GatewayStatus:
        """How it stands."""
        ...

    def reload(self) -> bool:
        """Read configuration anew; whether other settings hold now.

        Raises:
            ConfigError: the file is wrong, and what held before goes on holding.
        """
        ...

    def budgets(self, key: GatewayKey) -> Sequence[BudgetState]:
        """What ``key`` may still spend."""
        ...

    async def probe(self, provider: str) -> ProbeResult:
        """What a provider can do, asked now.

        Raises:
            NotFoundError: nobody is called so.
        """
        ...

    async def replay(self, exchange: str) -> Replayed:
        """The answer to a recorded request, asked now.

        Raises:
            NotFoundError: there is no such exchange, or nothing of it was recorded.
        """
        ...

    def revoked(self, key: GatewayKey) -> None:
        """A key was revoked: let go of what was kept for it."""
        ...


class AdminServer:
    """The server on the admin socket. Made inside the running event loop."""

    def __init__(self, *, keyring: Keyring, gateway: Administered, clock_ns: Callable[[], int]) -> None:
        self._keyring = keyring
        self._gateway = gateway
        self._clock_ns = clock_ns
        self._uid = os.geteuid()
        self._listeners: list[asyncio.Server] = []
        self._server = web.Server(
            self._handle,
            keepalive_timeout=IDLE_S,
            access_log=None,
            logger=_log,
            auto_decompress=False,
        )
        self._verbs: dict[tuple[str, str], Callable[[bytes], Awaitable[object]]] = {
            ("POST", "/v1/keys"): self._mint,
            ("GET", "/v1/keys"): self._keys,
            ("GET", "/v1/status"): self._status,
            ("POST", "/v1/reload"): self._reload,
            ("GET", "/v1/budgets"): self._budgets,
            ("POST", "/v1/probe"): self._probe,
            ("POST", "/v1/replay"): self._replay,
        }

    async def listen(self, bound: socket.socket) -> None:
        """Answer on a socket of ``transport.unix.bind_owner_only``, which the server owns from now on."""
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_unix_server(self._server, sock=bound))

    async def close(self) -> None:
        """Accept nobody any more and close every connection."""
        for listener in self._listeners:
            listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(IDLE_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._require_owner(request)
            path = request.raw_path.partition("?")[0]
            async with asyncio.timeout(IDLE_S):
                body = await _bounded(request)
            if request.method == "DELETE" and path.startswith("/v1/keys/"):
                reply = await self._revoke(path[len("/v1/keys/") :])
            else:
                reply = await self._verb(request.method, path)(body)
        except LastroError as error:
            failure = AdminFailure(
                code=error.code, message=error.msgid, hint=error.hint, parameters=_plain(error.parameters)
            )
            return _response(STATUS.get(error.code, 500), {"error": failure})
        return _response(200, reply)

    def _require_owner(self, request: web.BaseRequest) -> None:
        connected = request.transport and request.transport.get_extra_info("socket")
        if not connected:
            raise ConnectionResetError
        if peer_credentials(connected).uid not in {self._uid, _ROOT}:
            raise DeniedError(
                N_("This gateway belongs to another user."),
                hint=N_("Run the command as the user that runs the gateway."),
            )

    def _verb(self, method: str, path: str) -> Callable[[bytes], Awaitable[object]]:
        verb = self._verbs.get((method, path))
        if verb is None:
            raise NotFoundError(N_("The gateway has no {method} {path}."), method=method, path=path[:200])
        return verb

    async def _mint(self, body: bytes) -> object:
        order = _order(body, KeyOrder)
        wanted = {name: getattr(order, name) for name in order.__struct_fields__}
        key, text = await asyncio.to_thread(self._keyring.mint, **wanted)
        return MintedKey(key=_shown(key), text=text)

    async def _revoke(self, id_or_name: str) -> object:
        key = await asyncio.to_thread(self._keyring.revoke, id_or_name)
        self._gateway.revoked(key)
        return _shown(key)

    async def _keys(self, _body: bytes) -> object:
        return [_shown(key) for key in self._keyring.listed()]

    async def _status(self, _body: bytes) -> object:
        return self._gateway.status()

    async def _reload(self, _body: bytes) -> object:
        return Reloaded(changed=self._gateway.reload())

    async def _probe(self, body: bytes) -> object:
        return await self._gateway.probe(_order(body, ProbeOrder).provider)

    async def _replay(self, body: bytes) -> object:
        return await self._gateway.replay(_order(body, ReplayOrder).exchange)

    async def _budgets(self, _body: bytes) -> object:
        now = self._clock_ns()
        keys = [ANONYMOUS, *(key for key in self._keyring.listed() if admits(key, now))]
        return [
            KeyBudgets(key=key.id, name=key.name, budgets=tuple(self._gateway.budgets(key))) for key in keys
        ]


def _order(body: bytes, kind: type[_Order]) -> _Order:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise UsageError(N_("This is no order: {reason}"), reason=str(error)) from error


def _shown(key: GatewayKey) -> GatewayKey:
    return replace(key, digest="")


def _response(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=_encode(value), content_type="application/json")


def _plain(parameters: dict[str, object]) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, str | int | float | bool) else str(value)
        for name, value in parameters.items()
    }


async def _bounded(request: web.BaseRequest) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > LARGEST_ORDER:
            raise UsageError(N_("The request is larger than {limit} bytes."), limit=LARGEST_ORDER)
    return bytes(body)
