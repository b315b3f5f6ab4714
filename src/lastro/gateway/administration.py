"""What travels over ``gateway-admin.sock`` (``admin``, ``admin_client``). Pure nouns, so that a command that asks loads no HTTP server."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from lastro.gateway.budgets import BudgetState
from lastro.gateway.circuit import CircuitStatus
from lastro.gateway.keys import GatewayKey, Limits


class KeyOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new key shall be; members as in ``GatewayKey``."""

    name: str
    role: str = ""
    run: str = ""
    limits: Limits = Limits()
    day_limits: Limits = Limits()
    models: tuple[str, ...] = ()
    expires_ns: int | None = None
    steps: str = ""


class MintedKey(Struct, frozen=True, kw_only=True):
    """A new key, and its text, which is said this once."""

    key: GatewayKey
    text: str


class ProviderStatus(Struct, frozen=True, kw_only=True):
    """One configured provider. ``circuits`` are its models' and its own, those that were ever used."""

    name: str
    kind: str
    enabled: bool
    circuits: tuple[CircuitStatus, ...] = ()


class GatewayStatus(Struct, frozen=True, kw_only=True):
    """How a running gateway stands."""

    pid: int
    version: str
    uptime_s: float
    addresses: tuple[str, ...]
    """Where it answers: ``http://…``, ``https://…``, ``unix:PATH``."""
    providers: tuple[ProviderStatus, ...] = ()
    network_down: bool = False
    in_flight: int = 0
    engine: str = ""
    """The offline engine: ``stopped``, or the model that runs."""
    problem: str = ""
    """Why the configuration file as it lies there is not in force; empty if it is."""


class ProbeOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which provider shall be asked what it can do."""

    provider: str


class ReplayOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which recorded request shall be sent again; an id, or its beginning."""

    exchange: str


class Reloaded(Struct, frozen=True, kw_only=True):
    """Whether something changed."""

    changed: bool


class KeyBudgets(Struct, frozen=True, kw_only=True):
    """What a key may still spend; the name is empty for whoever brings none."""

    key: str
    name: str
    budgets: tuple[BudgetState, ...]


class AdminFailure(Struct, frozen=True, kw_only=True):
    """An error on its way: ``message`` and ``hint`` are English msgids that ``parameters`` fills."""

    code: str
    message: str
    hint: str = ""
    parameters: dict[str, Any] = {}
