"""How the gateway is."""

from __future__ import annotations

from msgspec import Struct


class GatewayStatus(Struct, frozen=True, kw_only=True):
    """How the gateway is. ``running`` is false when nobody answers on its admin socket; the rest is then what is configured."""

    running: bool
    address: str
    socket: str
    home: str
    providers: int
    models: int
    offline_models: int
    pid: int = 0
    uptime_ns: int = 0
    in_flight: int = 0
    circuits: dict[str, str] = {}
    network_down: bool = False
    engine: str = ""
    """``stopped``, or the offline model that is loaded."""
    problem: str = ""
