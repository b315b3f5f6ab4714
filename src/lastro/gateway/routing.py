"""``SettingsRouter``: which models may answer a request, in which order, and why each other one may not.

The route (``route_match``) brings its choices, and the asked model decides which of them count (``route_choices``)::

    choices of one rank                 | their order
    rank 0, all weights equal           | as in the file
    rank 1 and above, all weights equal | those that speak the tool's own dialect first, by chance among equals
    weights that differ                 | by chance, in proportion to the weights, whatever they speak

With the network down, what is not local is passed over and the offline models stand in, marked degraded, where route and kind allow it.

What a model lacks (context, tools, images) passes it over only while another choice of the request has it: lengths are estimates and facts
may be wrong, and a route where no choice has it was made so on purpose.

What always holds: the outcome depends on the arguments, the settings and the random numbers alone; each choice that was looked at stands in
``considered`` with its reason, and ``explain`` says what ``route`` would do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from lastro.gateway.dialects.codec import Envelope
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.keys import ANONYMOUS, GatewayKey
from lastro.gateway.model_choice import (
    Choice,
    candidate_of,
    is_good_for,
    is_offline,
    lack,
    lacks_key,
    marked_degraded,
    names_key,
    satisfiable_needs,
)
from lastro.gateway.model_index import ModelIndex, ProbedProvider
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind
from lastro.gateway.route import (
    TASK_HEADER,
    Candidate,
    Considered,
    Route,
    Routed,
    RouteModel,
    TaskKind,
)
from lastro.gateway.route_choices import choice_of, choices_of, may_use
from lastro.gateway.route_match import AUTO, Wanted, taken_route, wanted
from lastro.gateway.settings import Settings
from lastro.gateway.unanswerable import unanswerable

FULL_RETRY_AFTER_S: Final = 1.0
"""When to try again while a choice has its most calls on their way."""
NETWORK_RETRY_AFTER_S: Final = 15.0
"""When to try again while the network is down."""


class Health(Protocol):
    """How providers fare right now (``circuit.Circuits``); asking changes nothing."""

    def retry_after_s(self, provider: str, model: str) -> float | None:
        """After how long the model may be called; ``None``: now."""
        ...

    def in_flight(self, provider: str, model: str) -> int:
        """Calls on their way."""
        ...

    @property
    def network_down(self) -> bool:
        """Nothing beyond this network can be reached."""
        ...


class SettingsRouter:
    """``collaborators.Router`` over the settings that hold at each call.

    Args:
        settings: what ``gateway.toml`` says now; the same object until it changes.
        probes: what probes found, by provider; the same mapping until it changes (``probe_store.ProbeStore.all``).
        offline_models: the pulled and imported models; the same mapping until it changes.
        health: circuits and network.
        random: numbers from 0 up to, not including, 1.
        has_key: whether the key that a provider's ``KeySource`` names is there.
        known_facts: what the price data knows of a model, where configuration and probe say nothing.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        probes: Callable[[], Mapping[str, ProbedProvider]],
        offline_models: Callable[[], Mapping[str, ModelFacts]],
        health: Health,
        random: Callable[[], float],
        has_key: Callable[[Provider], bool],
        known_facts: Callable[[Provider, str], ModelFacts | None] = lambda _provider, _model: None,
    ) -> None:
        self._settings = settings
        self._probes = probes
        self._offline_models = offline_models
        self._health = health
        self._random = random
        self._has_key = has_key
        self._known_facts = known_facts
        self._index: ModelIndex | None = None

    def route(
        self,
        *,
        envelope: Envelope,
        dialect: Dialect,
        headers: Mapping[str, str],
        key: GatewayKey,
        input_tokens: int,
    ) -> Routed:
        """See ``collaborators.Router``."""
        request = wanted(
            model=envelope.model,
            dialect=dialect,
            headers=headers,
            key=key,
            input_tokens=input_tokens,
            has_tools=envelope.has_tools,
            has_images=envelope.has_images,
        )
        routed = self._decide(request, self._random)
        if not routed.candidates:
            raise unanswerable(request, routed, retry_after_s=self._retry_after_s(routed))
        return routed

    def explain(
        self,
        *,
        kind: TaskKind | None = None,
        model: str = AUTO,
        dialect: Dialect = Dialect.CHAT,
        headers: Mapping[str, str] | None = None,
        key: GatewayKey = ANONYMOUS,
        has_tools: bool = False,
        has_images: bool = False,
        input_tokens: int = 0,
    ) -> Routed:
        """What ``route`` would do with such a request, taking nothing and drawing no random number: where chance decides, the likeliest
        order. Without any candidate it raises nothing; ``considered`` says why.

        Raises:
            NotFoundError: a header names a task kind that is not known.
        """
        said = {name.lower(): value for name, value in (headers or {}).items()}
        if kind is not None:
            said[TASK_HEADER] = str(kind)
        request = wanted(
            model=model,
            dialect=dialect,
            headers=said,
            key=key,
            input_tokens=input_tokens,
            has_tools=has_tools,
            has_images=has_images,
        )
        return self._decide(request, lambda: 0.5)

    def models(self, key: GatewayKey) -> Sequence[tuple[str, ModelFacts]]:
        """See ``collaborators.Router``."""
        found = [
            (f"{provider.name}/{model}", index.facts(provider, model))
            for index in (self._indexed(),)
            for provider in index.providers.values()
            if provider.enabled
            for model in index.models(provider)
            if self._may_use(key, provider, model)
        ]
        return [(AUTO, ModelFacts()), *found] if found else []

    # Deciding ---------------------------------------------------------------------------------------------------------------------

    def _decide(self, request: Wanted, random: Callable[[], float]) -> Routed:
        index = self._indexed()
        route, passed = taken_route(index.settings.routes, request)
        choices = choices_of(route, request, index, random)
        considered, candidates = self._weigh(choices, request)
        if any(one.reason == "network_down" for one in considered):
            candidates = self._degrade(
                route, request, index, choices=choices, considered=considered, candidates=candidates
            )
        return Routed(
            route=route,
            kind=request.kind,
            candidates=tuple(candidates),
            considered=tuple(considered),
            passed=passed,
        )

    def _weigh(
        self,
        choices: Sequence[Choice],
        request: Wanted,
        *,
        degraded: bool = False,
        met: Sequence[Choice] = (),
    ) -> tuple[list[Considered], list[Candidate]]:
        """Each choice with its reason, and those that may be asked. ``met``: choices that count too for what others lack."""
        refusals = [self._standing(choice, request) for choice in choices]
        usable = [choice for choice, refusal in zip(choices, refusals, strict=True) if refusal is None]
        needs = satisfiable_needs(request, [*usable, *met])
        considered: list[Considered] = []
        candidates: list[Candidate] = []
        for choice, refusal in zip(choices, refusals, strict=True):
            reason, detail = (
                refusal or lack(choice, request, needs) or self._momentary(choice) or ("chosen", "")
            )
            considered.append(Considered(model=choice.name, reason=reason, detail=detail))
            if reason == "chosen":
                candidates.append(candidate_of(choice, request.dialect, degraded=degraded))
        return considered, candidates

    def _standing(  # noqa: PLR0911  one reason after the other
        self, choice: Choice, request: Wanted
    ) -> tuple[str, str] | None:
        """Why a choice cannot be asked however things fare at the moment."""
        provider = choice.provider
        if provider is None:
            return "unknown_provider", ""
        if not provider.enabled:
            return "disabled", ""
        if not self._may_use(request.key, provider, choice.model):
            return "not_allowed", "" if request.key.id else "without a key"
        if is_offline(choice) and choice.model not in self._indexed().offline_models:
            return "not_pulled", ""
        if lacks_key(provider) or (names_key(provider) and not self._has_key(provider)):
            return "no_key", provider.key.environment or provider.key.file
        limit = choice.listed.max_input_tokens
        if limit and request.input_tokens > limit:
            return "context", f"{request.input_tokens} > max_input_tokens {limit}"
        return None

    def _momentary(self, choice: Choice) -> tuple[str, str] | None:
        """Why a choice cannot be asked right now."""
        provider = choice.provider
        assert provider is not None
        if self._health.network_down and not provider.local:
            return "network_down", ""
        retry_after = self._health.retry_after_s(provider.name, choice.model)
        if retry_after is not None:
            return "circuit_open", f"{retry_after:.1f} s"
        limit = choice.listed.max_concurrent
        if limit and self._health.in_flight(provider.name, choice.model) >= limit:
            return "full", f"{limit}"
        return None

    def _degrade(
        self,
        route: Route,
        request: Wanted,
        index: ModelIndex,
        *,
        choices: Sequence[Choice],
        considered: list[Considered],
        candidates: Sequence[Candidate],
    ) -> list[Candidate]:
        """The candidates with the network down: offline models are marked, and stand in where they may."""
        down = next(place for place, one in enumerate(considered) if one.reason == "network_down")
        behind = {one.model for one in considered[down:]}
        marked = [
            marked_degraded(candidate) if candidate.name in behind else candidate for candidate in candidates
        ]
        kinds = index.settings.offline_kinds
        if not route.offline or (kinds and str(request.kind) not in kinds):
            return marked
        there = {choice.name for choice in choices}
        standing_in = [
            choice_of(RouteModel(model=f"{provider.name}/{model}"), index)
            for provider in index.providers.values()
            if provider.kind is ProviderKind.OFFLINE
            for model in index.models(provider)
            if f"{provider.name}/{model}" not in there
        ]
        standing_in.sort(key=lambda choice: not is_good_for(choice.facts, request.kind))
        more, added = self._weigh(standing_in, request, degraded=True, met=choices)
        considered.extend(more)
        return [*marked, *added]

    def _may_use(self, key: GatewayKey, provider: Provider, model: str) -> bool:
        return may_use(key, provider, model, anonymous=self._settings().listen.anonymous)

    def _indexed(self) -> ModelIndex:
        settings, probes, offline = self._settings(), self._probes(), self._offline_models()
        index = self._index
        if index is None or not index.is_of(settings, probes, offline):
            index = self._index = ModelIndex(settings, probes, offline, self._known_facts)
        return index

    def _retry_after_s(self, routed: Routed) -> float:
        waits = [NETWORK_RETRY_AFTER_S]
        for one in routed.considered:
            if one.reason == "full":
                waits.append(FULL_RETRY_AFTER_S)
            elif one.reason == "circuit_open":
                provider, _, model = one.model.partition("/")
                waits.append(max(self._health.retry_after_s(provider, model) or 0.0, FULL_RETRY_AFTER_S))
        return min(waits[1:] or waits)
