"""Errands as a command runs them: by the running gateway, or, where none runs, in this process with its own rights and environment."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lastro.app.desk import Desk
from lastro.app.gateway.errands import Errands
from lastro.app.gateway.parts import open_credentials, require_gateway
from lastro.app.gateway.places import gateway_places
from lastro.app.operations.gateway.live import admin
from lastro.errors import UnreachableError
from lastro.gateway.configuration import read_settings
from lastro.gateway.exchanges import Shown
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.probe_store import ProbeResult, ProbeStore
from lastro.gateway.replay import Replayed

_Answer = TypeVar("_Answer")


def probe_provider(desk: Desk, name: str) -> ProbeResult:
    """What a provider can do, asked now."""
    try:
        admin(desk).reload()  # it may have been configured a moment ago
        return admin(desk).probe(name)
    except UnreachableError:
        return _run_here(desk, lambda errands: errands.probe(name))


def replay_recorded(desk: Desk, shown: Shown) -> Replayed:
    """The answer to a recorded request, asked now."""
    try:
        return admin(desk).replay(shown.recorded.began.id)
    except UnreachableError:
        return _run_here(desk, lambda errands: errands.replay(shown))


def _run_here(desk: Desk, errand: Callable[[Errands], Awaitable[_Answer]]) -> _Answer:
    require_gateway()
    from lastro.gateway.http_upstream import HttpUpstream, environment_proxies  # noqa: PLC0415  aiohttp
    from lastro.gateway.offline.engine import OfflineEngine  # noqa: PLC0415  only here

    places = gateway_places(desk.places)
    settings, models = read_settings(places.configuration), ModelDirectory(places.models)

    async def run() -> _Answer:
        upstream = HttpUpstream(proxies=environment_proxies())
        engine = OfflineEngine(models, new_key=lambda: secrets.token_hex(32))
        try:
            return await errand(
                Errands(
                    settings=lambda: settings,
                    credentials=open_credentials(places, lambda: settings.providers, desk.clock),
                    upstream=upstream,
                    engine=engine,
                    models=models,
                    probes=ProbeStore(places.probes),
                    clock=desk.clock,
                )
            )
        finally:
            await engine.close()
            await upstream.close()

    return asyncio.run(run())
