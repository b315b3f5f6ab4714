"""What a gateway is asked for beside answering tools: to find out what a provider can do, and to ask a recorded question again.

A running gateway does it, because it alone holds the keys of providers; the command does it itself where none runs. It is the same code.
"""

from __future__ import annotations

from collections.abc import Callable

from lastro.domain.clock import Clock
from lastro.errors import LastroError, NotFoundError
from lastro.gateway.credentials import CredentialStore
from lastro.gateway.exchanges import Shown
from lastro.gateway.offline.engine import OfflineEngine
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.probe_store import Finding, ProbeResult, ProbeStore
from lastro.gateway.provider import DIALECTS, OFFLINE_PROVIDER, ModelFacts, Provider, ProviderKind
from lastro.gateway.replay import Replayed, provider_of, replay
from lastro.gateway.settings import Settings
from lastro.gateway.upstream import Upstream
from lastro.messages import N_


class Errands:
    """Runs errands with what it is given, and holds nothing itself."""

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        credentials: CredentialStore,
        upstream: Upstream,
        engine: OfflineEngine,
        models: ModelDirectory,
        probes: ProbeStore,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._upstream = upstream
        self._engine = engine
        self._models = models
        self._probes = probes
        self._clock = clock

    async def probe(self, name: str) -> ProbeResult:
        """Ask a provider what it speaks, and keep what it said.

        Raises:
            NotFoundError: nobody is called so.
        """
        from lastro.gateway.probe import probe  # noqa: PLC0415  large, and seldom asked for

        provider = self._provider(name)
        if provider.name == OFFLINE_PROVIDER:
            result = await self._probe_engine(provider)
        else:
            now = self._clock.wall_ns()
            result = await probe(provider, self._upstream, self._credentials, time_ns=now)
        self._probes.write(result)
        return result

    async def replay(self, shown: Shown) -> Replayed:
        """Send a recorded request again, byte for byte.

        Raises:
            NotFoundError: nothing was recorded, or the provider is configured no more.
        """
        return await replay(
            shown.recorded,
            shown.bodies,
            provider=self._provider(provider_of(shown.recorded)),
            upstream=self._upstream,
            credentials=self._credentials,
            engine=self._engine,
            bounds=self._settings().bounds,
        )

    def _provider(self, name: str) -> Provider:
        for provider in self._settings().providers:
            if provider.name == name:
                return provider
        raise NotFoundError(
            N_("There is no provider called {name}."),
            hint=N_("See 'lastro gateway providers list'."),
            name=name,
        )

    async def _probe_engine(self, provider: Provider) -> ProbeResult:
        """Whether the engine loads each model that is here: that is all there is to find out about it."""
        found: dict[str, ModelFacts] = {}
        problem: Finding | None = None
        try:
            for model in self._models.models():
                await self._engine.ready(model.name)
                found[model.name] = model.facts
        except LastroError as error:
            parameters = {key: str(value) for key, value in error.parameters.items()}
            problem = Finding(code=error.code, msgid=error.msgid, hint=error.hint, parameters=parameters)
        if not found and problem is None:
            problem = Finding(
                code="not_pulled",
                msgid=N_("No offline model is here yet."),
                hint=N_("Fetch one: lastro gateway models pull smollm2"),
            )
        return ProbeResult(
            provider=provider.name,
            base_url=provider.base_url,
            time_ns=self._clock.wall_ns(),
            model=next(iter(found), ""),
            dialects=DIALECTS[ProviderKind.OFFLINE] if found else (),
            models=found,
            problem=problem,
        )
