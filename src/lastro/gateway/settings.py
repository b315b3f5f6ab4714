"""``gateway.toml`` as frozen nouns (``docs/reference/gateway.toml.md``). ``configuration`` reads and writes the file."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from lastro.gateway.keys import Limits
from lastro.gateway.provider import Provider
from lastro.gateway.route import Route


class Anonymous(StrEnum):
    """What a caller without a key may use, on loopback or the unix socket."""

    OFFLINE = "offline"
    """Local models only: nobody else on this machine spends the owner's money."""
    NONE = "none"
    ALL = "all"


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway answers. Beyond loopback it needs TLS and keys."""

    address: str = "127.0.0.1:8421"
    anonymous: Anonymous = Anonymous.OFFLINE
    certificate: str = ""
    private_key: str = ""
    hosts: tuple[str, ...] = ()
    """Further values of ``Host`` that are answered (the listening address and localhost always are)."""


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client or a provider may take. Bytes, seconds, counts."""

    request_bytes: int = 64 * 1024 * 1024
    answer_bytes: int = 64 * 1024 * 1024
    held_bytes: int = 16 * 1024 * 1024
    """Of an answer that is held back; beyond it the answer is passed on as it comes."""
    concurrent: int = 256
    client_s: float = 30.0
    """A client that takes longer to send a request, or to take a piece of the answer, is cut off."""
    connect_s: float = 10.0
    first_byte_s: float = 120.0
    between_bytes_s: float = 60.0
    total_s: float = 1800.0
    keep_alive_s: float = 10.0
    """A stream that is held back says so this often, so that the client does not give up."""


class Circuit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a provider's model is left alone, and for how long."""

    failures: int = 3
    """In a row."""
    pause_s: float = 15.0
    """Doubled each time a probe fails, up to ``longest_pause_s``; a provider's own Retry-After wins if longer."""
    longest_pause_s: float = 300.0


class Scope(StrEnum):
    """What a budget counts together."""

    ALL = "all"
    KEY = "key"
    ROLE = "role"
    RUN = "run"


class Budget(Struct, frozen=True, kw_only=True):
    """A limit on spending; ``names`` are globs over key names, roles or runs, empty for each of them. ``per_day``: each UTC day anew."""

    name: str
    scope: Scope
    limits: Limits
    names: tuple[str, ...] = ()
    per_day: bool = False


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that ``gateway.toml`` says."""

    listen: Listen = Listen()
    bounds: Bounds = Bounds()
    circuit: Circuit = Circuit()
    providers: tuple[Provider, ...] = ()
    routes: tuple[Route, ...] = ()
    """In order; the last is ``default``, which configuration adds when the file has none."""
    budgets: tuple[Budget, ...] = ()
    allow_unknown_prices: bool = False
    """Whether a budget of money lets a call pass whose price nobody knows."""
    known_secrets: tuple[str, ...] = ()
    """Files whose values (``NAME=value`` lines) are always replaced; paths."""
    offline_kinds: tuple[str, ...] = ()
    """Task kinds that may fall back to the offline model when the network is down; empty: all."""
