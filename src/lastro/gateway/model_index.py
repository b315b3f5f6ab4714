"""``ModelIndex``: providers and models as configuration, probes and price data together know them. Pure; made anew when one changes.

What always holds: what configuration says wins over what a probe found, and that over what the price data says, fact by fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import DIALECTS, ModelFacts, Provider, ProviderKind, ToolSupport
from lastro.gateway.settings import Settings


class ProbedProvider(Protocol):
    """What a probe found of one provider (``probe.ProbeResult``)."""

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """Spoken by it, best first; empty if none was found."""
        ...

    @property
    def models(self) -> Mapping[str, ModelFacts]:
        """Its list of models."""
        ...

    @property
    def model(self) -> str:
        """The one that the probe asked; empty if it asked none."""
        ...


class ModelIndex:
    """What there is. ``providers`` hold the dialects that they are spoken to in, never none."""

    def __init__(
        self,
        settings: Settings,
        probes: Mapping[str, ProbedProvider],
        offline_models: Mapping[str, ModelFacts],
        known_facts: Callable[[Provider, str], ModelFacts | None],
    ) -> None:
        self.settings = settings
        self.offline_models = offline_models
        self._probes = probes
        self._known_facts = known_facts
        self._routed: dict[str, list[str]] = {}
        for choice in (choice for route in settings.routes for choice in route.models):
            name, _, model = choice.model.partition("/")
            self._routed.setdefault(name, []).append(model)
        self.providers = {provider.name: self._effective(provider) for provider in settings.providers}
        self._serving: dict[str, list[str]] = {}
        for provider in self.providers.values():
            for model in self.models(provider):
                self._serving.setdefault(model, []).append(provider.name)
        self._facts: dict[tuple[str, str], ModelFacts] = {}

    def is_of(self, settings: object, probes: object, offline_models: object) -> bool:
        """Whether this index was made of these very objects."""
        return self.settings is settings and self._probes is probes and self.offline_models is offline_models

    def models(self, provider: Provider) -> Sequence[str]:
        """The names of a provider's models: those configured, those that routes name, those that its probe found; of the offline provider
        the pulled ones alone.
        """
        if provider.kind is ProviderKind.OFFLINE:
            return tuple(self.offline_models)
        probe = self._probes.get(provider.name)
        named = self._routed.get(provider.name, ())
        return tuple(dict.fromkeys([*provider.models, *named, *(probe.models if probe else ())]))

    def usual(self, provider: Provider) -> Sequence[str]:
        """The models that stand for a provider where nobody named one: the configured ones, else the one that its probe asked."""
        if provider.kind is ProviderKind.OFFLINE:
            return tuple(self.offline_models)
        if provider.models:
            return tuple(provider.models)
        probe = self._probes.get(provider.name)
        return (probe.model,) if probe is not None and probe.model else ()

    def serving(self, model: str) -> Sequence[str]:
        """Names of the providers that have a model of this name, in the order of configuration."""
        return self._serving.get(model, ())

    def speaks(self, provider: str, dialect: Dialect) -> bool:
        """Whether the provider is there and speaks the dialect."""
        found = self.providers.get(provider)
        return found is not None and dialect in found.dialects

    def facts(self, provider: Provider, model: str) -> ModelFacts:
        """What is known of a model, fact by fact from the best source."""
        place = (provider.name, model)
        facts = self._facts.get(place)
        if facts is None:
            facts = self._facts[place] = self._gathered(provider, model)
        return facts

    def _gathered(self, provider: Provider, model: str) -> ModelFacts:
        probe = self._probes.get(provider.name)
        facts = provider.models.get(model, ModelFacts())
        for more in (
            self.offline_models.get(model) if provider.kind is ProviderKind.OFFLINE else None,
            probe.models.get(model) if probe is not None else None,
            self._known_facts(provider, model),
        ):
            facts = facts if more is None else completed(facts, more)
        return facts

    def _effective(self, provider: Provider) -> Provider:
        probe = self._probes.get(provider.name)
        dialects = provider.dialects or (probe.dialects if probe else ()) or DIALECTS[provider.kind]
        return msgspec.structs.replace(provider, dialects=tuple(dialects))


def completed(facts: ModelFacts, more: ModelFacts) -> ModelFacts:
    """``facts`` with what they leave open taken from ``more``."""
    return ModelFacts(
        context=facts.context or more.context,
        output=facts.output or more.output,
        tools=more.tools if facts.tools is ToolSupport.UNKNOWN else facts.tools,
        images=more.images if facts.images is None else facts.images,
        kinds=facts.kinds or more.kinds,
    )
