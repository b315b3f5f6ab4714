"""What operations on the gateway's own keys are asked and answer. Money is in millionths of a US dollar."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.messages import N_


class KeysAdd(Struct, frozen=True, kw_only=True):
    """Give out a gateway key."""

    name: Annotated[str, parameter(N_("For whom or what it is."), cli="argument", metavar="NAME")]
    role: Annotated[str, parameter(N_("The role it counts for."), metavar="ROLE")] = ""
    expires: Annotated[
        str, parameter(N_("After how long it ends: 90d, 12h, 30m (default: never)."), metavar="TIME")
    ] = ""
    money: Annotated[
        str, parameter(N_("The most it may spend in its life, in dollars: 5.00."), metavar="USD")
    ] = ""
    money_per_day: Annotated[
        str, parameter(N_("The most it may spend in a day (UTC), in dollars."), metavar="USD")
    ] = ""
    tokens: Annotated[int | None, parameter(N_("The most tokens in its life."), metavar="N")] = None
    models: Annotated[
        tuple[str, ...],
        parameter(N_("A model that it may use, or a pattern: 'offline/*' (default: all)."), metavar="MODEL"),
    ] = ()


class KeyState(Struct, frozen=True, kw_only=True):
    """A gateway key, without its text. ``state``: ``valid``, ``expired`` or ``revoked``."""

    id: str
    name: str
    state: str
    role: str = ""
    run: str = ""
    created_ns: int = 0
    expires_ns: int | None = None
    cost_limit: int | None = None
    day_cost_limit: int | None = None
    token_limit: int | None = None
    models: tuple[str, ...] = ()


class KeyAdded(Struct, frozen=True, kw_only=True):
    """A new key. ``text`` is shown this once."""

    key: KeyState
    text: str


class KeyList(Struct, frozen=True, kw_only=True):
    """Keys, the newest last."""

    keys: tuple[KeyState, ...]


class KeyName(Struct, frozen=True, kw_only=True):
    """One key."""

    key: Annotated[str, parameter(N_("The key, by id or name."), cli="argument", metavar="KEY")]
