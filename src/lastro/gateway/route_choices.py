"""Which choices a request has: those of its route, and those that the asked model's name means. Pure; ``routing`` weighs them.

    asked model                         | choices, in order
    auto, auto:KIND, an unknown name    | the route's
    PROVIDER/MODEL                      | that one; after it the route's others, if the route lists it by name and the key may use it
    MODEL that some providers serve     | theirs, the route's order first; after them the route's others, if it lists one of them
    any, and the route's match has      | the route's, the asked one first if it is listed: who writes such a route wants those
      ``models`` and the route a list   |   names answered so

A route without a list has every provider's configured models (else the one that its probe tried), as in the file; offline models stand
there only if nothing else does, so that a failing provider is never followed unseen by a much smaller model.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from lastro.gateway.keys import GatewayKey
from lastro.gateway.model_choice import Choice, is_good_for, is_offline, ordered
from lastro.gateway.model_index import ModelIndex
from lastro.gateway.provider import Provider
from lastro.gateway.route import Route, RouteModel
from lastro.gateway.route_match import AUTO, Wanted
from lastro.gateway.settings import Anonymous


def choices_of(route: Route, request: Wanted, index: ModelIndex, random: Callable[[], float]) -> list[Choice]:
    """All that are looked at, in the order in which they would be asked."""
    listed = [choice_of(choice, index) for choice in ordered(route, request.dialect, index, random)]
    asked = _asked(request.model, index)
    names = {choice.name for choice in asked}
    first = [choice for choice in listed if choice.name in names]
    others = [choice for choice in listed if choice.name not in names]
    if not asked or (route.match.models and listed and not first):
        return listed or _everything(request, index)
    if not any(_usable_by(request.key, choice, index) for choice in asked):
        return asked  # another model in place of a forbidden one would hide that it is forbidden
    there = {choice.name for choice in first}
    return [*first, *(one for one in asked if one.name not in there), *(others if first else ())]


def choice_of(listed: RouteModel, index: ModelIndex) -> Choice:
    """A model of a route's list, or one that might stand there, with what is known of it."""
    name, _, model = listed.model.partition("/")
    provider = index.providers.get(name)
    if provider is None:
        return Choice(provider=None, model=model, listed=listed)
    return Choice(provider=provider, model=model, listed=listed, facts=index.facts(provider, model))


def may_use(key: GatewayKey, provider: Provider, model: str, *, anonymous: Anonymous) -> bool:
    """Whether ``key`` admits its holder to a model. ``anonymous``: what callers without a key may use."""
    if not key.id:
        local_only = anonymous is Anonymous.OFFLINE and provider.local
        if anonymous is not Anonymous.ALL and not local_only:
            return False
    name = f"{provider.name}/{model}"
    return not key.models or any(fnmatchcase(name, glob) for glob in key.models)


def _asked(model: str, index: ModelIndex) -> list[Choice]:
    """The choices that an asked name means; none for ``auto`` and names that nobody knows."""
    if model == AUTO:
        return []
    provider, separator, name = model.partition("/")
    if separator and name and provider in index.providers:
        return [choice_of(RouteModel(model=model), index)]
    return [choice_of(RouteModel(model=f"{provider}/{model}"), index) for provider in index.serving(model)]


def _everything(request: Wanted, index: ModelIndex) -> list[Choice]:
    choices = [
        choice_of(RouteModel(model=f"{provider.name}/{model}"), index)
        for provider in index.providers.values()
        for model in index.usual(provider)
    ]
    beyond = [choice for choice in choices if not is_offline(choice)]
    return sorted(beyond or choices, key=lambda choice: not is_good_for(choice.facts, request.kind))


def _usable_by(key: GatewayKey, choice: Choice, index: ModelIndex) -> bool:
    provider, anonymous = choice.provider, index.settings.listen.anonymous
    return provider is not None and may_use(key, provider, choice.model, anonymous=anonymous)
