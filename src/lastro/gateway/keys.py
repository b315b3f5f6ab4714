"""Keys that the gateway itself gives out: who may ask, as which role and run, within which limits. Pure nouns.

A key's text (``lastro-…``) is shown once and kept only as a digest. What always holds: a key that expired or was revoked admits
nobody, from that instant.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that may be spent. Money in millionths of a dollar; ``None``: no limit."""

    cost: int | None = None
    tokens: int | None = None
    requests: int | None = None


class GatewayKey(Struct, frozen=True, kw_only=True):
    """One key. ``digest`` is the SHA-256 of its text, hexadecimal."""

    id: str
    name: str
    digest: str
    role: str = ""
    run: str = ""
    limits: Limits = Limits()
    """For the whole life of the key."""
    day_limits: Limits = Limits()
    """For each day, UTC."""
    models: tuple[str, ...] = ()
    """Globs over ``PROVIDER/MODEL`` that it may use; empty: all."""
    created_ns: int = 0
    expires_ns: int | None = None
    revoked_ns: int | None = None
    steps: str = ""
    """Absolute path of a supervisor's unix socket that is told of each call (``stepping``); only set over the admin socket."""


ANONYMOUS: Final = GatewayKey(id="", name="", digest="")
"""Whoever brought no key; configuration says what that may use."""

KEY_PREFIX: Final = "lastro-"
