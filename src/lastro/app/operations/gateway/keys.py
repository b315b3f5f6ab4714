"""Keys that the gateway gives out. They are minted over its admin socket alone; what is listed never holds a key's text."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from lastro.app.desk import Desk
from lastro.app.gateway.parts import open_keyring
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.operations.gateway.live import admin, not_running
from lastro.app.requests.gateway import KeyAdded, KeyList, KeyName, KeysAdd, KeyState
from lastro.errors import UnreachableError, UsageError
from lastro.gateway.administration import KeyOrder
from lastro.gateway.exchange import MICRO
from lastro.gateway.keys import GatewayKey, Limits
from lastro.messages import N_

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])\Z")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SECOND: Final = 1_000_000_000


def add(desk: Desk, request: KeysAdd) -> KeyAdded:
    """Have the running gateway mint a key."""
    order = KeyOrder(
        name=request.name,
        role=request.role,
        limits=Limits(cost=_money(request.money), tokens=request.tokens),
        day_limits=Limits(cost=_money(request.money_per_day)),
        models=request.models,
        expires_ns=desk.clock.wall_ns() + _span_ns(request.expires) if request.expires else None,
    )
    try:
        minted = admin(desk).mint(order)
    except UnreachableError as error:
        raise not_running(error) from error
    return KeyAdded(key=_state(minted.key, desk.clock.wall_ns()), text=minted.text)


def list_all(desk: Desk, _: Nothing) -> KeyList:
    """All keys, those that ended lately too."""
    now = desk.clock.wall_ns()
    keys = open_keyring(gateway_places(desk.places), desk.clock).listed()
    return KeyList(keys=tuple(_state(key, now) for key in keys))


def revoke(desk: Desk, request: KeyName) -> KeyState:
    """Let a key admit nobody from now on, whether a gateway runs or not."""
    try:
        key = admin(desk).revoke(request.key)
    except UnreachableError:
        key = open_keyring(gateway_places(desk.places), desk.clock).revoke(request.key)
    return _state(key, desk.clock.wall_ns())


def _state(key: GatewayKey, now_ns: int) -> KeyState:
    state = "valid"
    if key.revoked_ns is not None and key.revoked_ns <= now_ns:
        state = "revoked"
    elif key.expires_ns is not None and key.expires_ns <= now_ns:
        state = "expired"
    return KeyState(
        id=key.id,
        name=key.name,
        state=state,
        role=key.role,
        run=key.run,
        created_ns=key.created_ns,
        expires_ns=key.expires_ns,
        cost_limit=key.limits.cost,
        day_cost_limit=key.day_limits.cost,
        token_limit=key.limits.tokens,
        models=key.models,
    )


def _money(text: str) -> int | None:
    """Dollars as millionths."""
    if not text:
        return None
    try:
        amount = Decimal(text.removeprefix("$")) * MICRO
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0 or amount != amount.to_integral_value():
        raise UsageError(N_("{text} is no amount of dollars."), hint=N_("Write it as 5 or 5.00."), text=text)
    return int(amount)


def _span_ns(text: str) -> int:
    match = _SPAN.match(text)
    if match is None:
        raise UsageError(N_("{text} is no length of time."), hint=N_("Write 30m, 12h, 90d or 4w."), text=text)
    return int(match[1]) * _UNITS[match[2]] * _SECOND


OPERATIONS = (
    Operation(
        name="gateway.keys.add",
        request=KeysAdd,
        reply=KeyAdded,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=add,
        summary=N_("Give out a key, with the limits that it has; its text is shown this once."),
    ),
    Operation(
        name="gateway.keys.list",
        request=Nothing,
        reply=KeyList,
        effect=Effect.READ,
        place=Place.HOME,
        run=list_all,
        summary=N_("The keys that were given out."),
    ),
    Operation(
        name="gateway.keys.revoke",
        request=KeyName,
        reply=KeyState,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=revoke,
        summary=N_("Let a key admit nobody from now on."),
    ),
)
