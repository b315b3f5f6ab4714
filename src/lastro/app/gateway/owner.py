"""What the gateway's owner asks on the admin socket, answered by the parts that know it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from lastro.app.gateway.errands import Errands
from lastro.gateway.administration import GatewayStatus, ProviderStatus
from lastro.gateway.budgets import Budgets, BudgetState
from lastro.gateway.circuit import Circuits
from lastro.gateway.exchanges import Shown
from lastro.gateway.keys import GatewayKey
from lastro.gateway.offline.engine import OfflineEngine
from lastro.gateway.probe_store import ProbeResult
from lastro.gateway.replay import Replayed
from lastro.gateway.stepping import SupervisorSteps


class Standing(Protocol):
    """The gateway itself, as far as its owner asks about it."""

    def providers(self) -> tuple[tuple[str, str, bool], ...]:
        """Name, kind and whether it is enabled, of each."""
        ...

    def status(self, **live: object) -> GatewayStatus:
        """How it stands; ``live`` is what only the running parts know."""
        ...

    def reload(self, circuits: Circuits) -> bool:
        """Read configuration now."""
        ...

    def show(self, identifier: str) -> Shown:
        """One exchange, whole. Blocks."""
        ...


class Owner:
    """What the admin socket asks (``admin.Administered``)."""

    def __init__(
        self,
        gateway: Standing,
        *,
        errands: Errands,
        in_flight: Callable[[], int],
        circuits: Circuits,
        purse: Budgets,
        engine: OfflineEngine,
        steps: SupervisorSteps,
        addresses: tuple[str, ...],
    ) -> None:
        self._gateway = gateway
        self._errands = errands
        self._in_flight = in_flight
        self._circuits = circuits
        self._purse = purse
        self._engine = engine
        self._steps = steps
        self._addresses = addresses

    def status(self) -> GatewayStatus:
        """See ``Administered``."""
        circuits = self._circuits.status()
        providers = tuple(
            ProviderStatus(
                name=name,
                kind=kind,
                enabled=enabled,
                circuits=tuple(one for one in circuits if one.name.partition("/")[0] == name),
            )
            for name, kind, enabled in self._gateway.providers()
        )
        return self._gateway.status(
            addresses=self._addresses,
            providers=providers,
            network_down=self._circuits.network_down,
            in_flight=self._in_flight(),
            engine=self._engine.state().model or "stopped",
        )

    def reload(self) -> bool:
        """See ``Administered``."""
        return self._gateway.reload(self._circuits)

    def budgets(self, key: GatewayKey) -> Sequence[BudgetState]:
        """See ``Administered``."""
        return self._purse.states(key)

    async def probe(self, provider: str) -> ProbeResult:
        """See ``Administered``."""
        return await self._errands.probe(provider)

    async def replay(self, exchange: str) -> Replayed:
        """See ``Administered``."""
        return await self._errands.replay(await asyncio.to_thread(self._gateway.show, exchange))

    def revoked(self, key: GatewayKey) -> None:
        """See ``Administered``."""
        self._steps.forget(key.id)
