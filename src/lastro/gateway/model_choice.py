"""One choice of a route: what it is, in which order choices stand, what it lacks for a request. Pure; ``routing`` decides with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import msgspec
from msgspec import Struct

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.model_index import ModelIndex
from lastro.gateway.provider import ModelFacts, Provider, ProviderKind, ToolSupport
from lastro.gateway.route import Candidate, Route, RouteModel, TaskKind
from lastro.gateway.route_match import Wanted


class Choice(Struct, frozen=True, kw_only=True):
    """One model that is looked at. ``provider`` is ``None`` if nobody is called so."""

    provider: Provider | None
    model: str
    listed: RouteModel
    facts: ModelFacts = ModelFacts()

    @property
    def name(self) -> str:
        """``PROVIDER/MODEL``."""
        return self.listed.model


def ordered(
    route: Route, dialect: Dialect, index: ModelIndex, random: Callable[[], float]
) -> list[RouteModel]:
    """A route's list in the order in which it would be asked this time."""
    ordered: list[RouteModel] = []
    for rank in sorted({choice.rank for choice in route.models}):
        group = [choice for choice in route.models if choice.rank == rank]
        differ = len({choice.weight for choice in group}) > 1
        if len(group) == 1 or (rank == 0 and not differ):
            ordered += group
            continue
        # Exponential waiting times with the weights as rates: the first to come is each one in proportion to its weight.
        waits = {choice.model: -log(1.0 - random()) / choice.weight for choice in group}
        foreign = {
            choice.model: not differ and not index.speaks(choice.model.partition("/")[0], dialect)
            for choice in group
        }
        ordered += sorted(group, key=lambda choice: (foreign[choice.model], waits[choice.model]))
    return ordered


def satisfiable_needs(request: Wanted, usable: Sequence[Choice]) -> frozenset[str]:
    """What this request needs and at least one choice has."""
    needed = {
        name
        for name in ("context", "tools", "images")
        if usable and not all(_lacks(choice.facts, request, name) for choice in usable)
    }
    return frozenset(needed)


def _lacks(facts: ModelFacts, request: Wanted, need: str) -> bool:
    if need == "context":
        return 0 < facts.context < request.input_tokens
    if need == "tools":
        return request.has_tools and facts.tools is ToolSupport.NO
    return request.has_images and facts.images is False


def lack(choice: Choice, request: Wanted, needs: frozenset[str]) -> tuple[str, str] | None:
    """The first thing of ``needs`` that a choice lacks, with a detail; ``None`` if it lacks nothing."""
    for need in ("context", "tools", "images"):
        if need in needs and _lacks(choice.facts, request, need):
            tokens = f"{request.input_tokens} > {choice.facts.context}"
            return need, tokens if need == "context" else ""
    return None


def candidate_of(choice: Choice, dialect: Dialect, *, degraded: bool) -> Candidate:
    """The choice as a candidate, in the client's own dialect if its provider speaks it, else in the provider's first one."""
    provider = choice.provider
    assert provider is not None
    return Candidate(
        provider=provider,
        model=choice.model,
        facts=choice.facts,
        dialect=dialect if dialect in provider.dialects else provider.dialects[0],
        max_concurrent=choice.listed.max_concurrent,
        degraded=degraded,
    )


def marked_degraded(candidate: Candidate) -> Candidate:
    """The candidate, marked if it is an offline model."""
    if candidate.provider.kind is not ProviderKind.OFFLINE:
        return candidate
    return msgspec.structs.replace(candidate, degraded=True)


def is_offline(choice: Choice) -> bool:
    """Whether the gateway's own engine answers."""
    return choice.provider is not None and choice.provider.kind is ProviderKind.OFFLINE


def is_good_for(facts: ModelFacts, kind: TaskKind) -> bool:
    """Whether a model is good for a task kind; so is one of which nothing is known."""
    return not facts.kinds or str(kind) in facts.kinds


def names_key(provider: Provider) -> bool:
    """Whether configuration says where the provider's key comes from."""
    key = provider.key
    return bool(key.environment or key.file or key.command or key.stored)


def lacks_key(provider: Provider) -> bool:
    """Whether a provider of this kind never answers without a key, and configuration names none."""
    free = provider.kind in {ProviderKind.COMPATIBLE, ProviderKind.OFFLINE} or provider.local
    return not free and not names_key(provider)
