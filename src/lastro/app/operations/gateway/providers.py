"""Providers: adding, listing, testing and removing them. A provider's key goes from where it is into a header, and into no reply."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from lastro.app.desk import Desk
from lastro.app.gateway.parts import OfflineFacts, make_directories, open_credentials
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.operations.gateway.dialects import dialects_of
from lastro.app.operations.gateway.errands import probe_provider
from lastro.app.operations.gateway.live import live_status
from lastro.app.requests.gateway import (
    ProviderList,
    ProviderName,
    ProviderRemoved,
    ProvidersAdd,
    ProviderState,
    ProvidersTest,
)
from lastro.app.requests.sentence import Sentence, told
from lastro.errors import LastroError, NotFoundError, UsageError
from lastro.gateway.administration import GatewayStatus
from lastro.gateway.configuration import read_settings
from lastro.gateway.configuration_edit import add_provider, remove_provider
from lastro.gateway.credentials import CredentialStore
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.probe_store import Finding, ProbeResult, ProbeStore
from lastro.gateway.provider import (
    BASE_URLS,
    DIALECTS,
    KeySource,
    ModelFacts,
    Provider,
    ProviderKind,
    ToolSupport,
)
from lastro.messages import N_

KEY_VARIABLES: Final[Mapping[ProviderKind, str]] = {
    ProviderKind.OPENAI: "OPENAI_API_KEY",
    ProviderKind.ANTHROPIC: "ANTHROPIC_API_KEY",
    ProviderKind.GOOGLE: "GEMINI_API_KEY",
    ProviderKind.OPENROUTER: "OPENROUTER_API_KEY",
    ProviderKind.MISTRAL: "MISTRAL_API_KEY",
    ProviderKind.DEEPSEEK: "DEEPSEEK_API_KEY",
}
"""Where each kind's key is looked for when nothing is said: the variable that its own tools use."""


def add(desk: Desk, request: ProvidersAdd) -> ProviderState:
    """Configure a provider, keep its key if one was given, and ask it what it speaks."""
    places = gateway_places(desk.places)
    make_directories(places)
    provider = _provider_of(request)
    settings = add_provider(places.configuration, provider)
    credentials = open_credentials(places, lambda: settings.providers, desk.clock)
    if request.key:
        try:
            credentials.store(provider.name, request.key)
        except LastroError:
            remove_provider(places.configuration, provider.name)
            raise
    added = next(one for one in settings.providers if one.name == provider.name)
    probes = ProbeStore(places.probes)
    if not request.no_test:
        probe_provider(desk, added.name)
        probes.refresh()
    return _state(added, probes.all().get(added.name), credentials, live_status(desk), {})


def _provider_of(request: ProvidersAdd) -> Provider:
    kind = _kind_of(request)
    base_url = (request.base_url or BASE_URLS.get(kind, "")).rstrip("/")
    if not base_url:
        raise UsageError(
            N_("Where does {name} answer?"),
            hint=N_("Say so with --base-url, with its version: http://127.0.0.1:11434/v1"),
            name=request.name,
        )
    return Provider(
        name=request.name,
        kind=kind,
        base_url=base_url,
        key=_key_source(request, kind),
        dialects=dialects_of(request.dialects),
        local=request.local,
    )


def _kind_of(request: ProvidersAdd) -> ProviderKind:
    try:
        if request.kind:
            kind = ProviderKind(request.kind)
        elif request.base_url and request.name not in {kind.value for kind in ProviderKind}:
            kind = ProviderKind.COMPATIBLE
        else:
            kind = ProviderKind(request.name)
    except ValueError as error:
        raise UsageError(
            N_("What kind of provider is {name}?"),
            hint=N_("Say --kind {kinds}, or --base-url for any other with OpenAI's addresses."),
            name=request.kind or request.name,
            kinds="|".join(kind.value for kind in ProviderKind if kind is not ProviderKind.OFFLINE),
        ) from error
    if kind is ProviderKind.OFFLINE:
        raise UsageError(
            N_("The offline provider is always there."),
            hint=N_("Give it models: lastro gateway models pull smollm2"),
        )
    return kind


def _key_source(request: ProvidersAdd, kind: ProviderKind) -> KeySource:
    given = [bool(one) for one in (request.key, request.key_env, request.key_file, request.key_command)]
    if sum(given) > 1:
        raise UsageError(
            N_("A provider has one key."),
            hint=N_("Give one of --key-stdin, --key-env, --key-file, --key-command."),
        )
    if request.key:
        return KeySource(stored=True)
    if request.key_file:
        return KeySource(file=request.key_file)
    if request.key_command:
        return KeySource(command=tuple(shlex.split(request.key_command)))
    return KeySource(environment=request.key_env or KEY_VARIABLES.get(kind, ""))


def list_all(desk: Desk, _: Nothing) -> ProviderList:
    """Every configured provider, as the last probe found it."""
    places = gateway_places(desk.places)
    settings = read_settings(places.configuration)
    credentials = open_credentials(places, lambda: settings.providers, desk.clock)
    probes, running = ProbeStore(places.probes).all(), live_status(desk)
    problems: list[LastroError] = []
    offline = OfflineFacts(ModelDirectory(places.models), on_problem=problems.append).all()
    return ProviderList(
        providers=tuple(
            _state(one, probes.get(one.name), credentials, running, offline) for one in settings.providers
        ),
        problems=tuple(map(told, problems)),
    )


def test(desk: Desk, request: ProvidersTest) -> ProviderList:
    """Ask providers what they speak, and keep what they said."""
    places = gateway_places(desk.places)
    make_directories(places)
    settings = read_settings(places.configuration)
    known = {one.name: one for one in settings.providers}
    for name in request.names:
        if name not in known:
            raise NotFoundError(
                N_("There is no provider called {name}."),
                hint=N_("See 'lastro gateway providers list'."),
                name=name,
            )
    wanted = request.names or tuple(name for name, one in known.items() if one.enabled)
    credentials = open_credentials(places, lambda: settings.providers, desk.clock)
    probes = ProbeStore(places.probes)
    for name in wanted:
        probe_provider(desk, name)
    probes.refresh()
    problems: list[LastroError] = []
    offline = OfflineFacts(ModelDirectory(places.models), on_problem=problems.append).all()
    running = live_status(desk)
    states = tuple(
        _state(known[name], probes.all().get(name), credentials, running, offline) for name in wanted
    )
    failed = sum(state.problem is not None for state in states)
    return ProviderList(providers=states, failed=failed, problems=tuple(map(told, problems)))


def remove(desk: Desk, request: ProviderName) -> ProviderRemoved:
    """Configure a provider no more, and forget its stored key and what its probe found."""
    places = gateway_places(desk.places)
    remove_provider(places.configuration, request.name)
    ProbeStore(places.probes).remove(request.name)
    credentials = open_credentials(places, tuple, desk.clock)
    return ProviderRemoved(name=request.name, key_removed=credentials.remove(request.name))


def _state(
    provider: Provider,
    probe: ProbeResult | None,
    credentials: CredentialStore,
    running: GatewayStatus | None,
    offline: Mapping[str, ModelFacts],
) -> ProviderState:
    kind, where = _where(provider.key)
    models = dict(offline) if provider.kind is ProviderKind.OFFLINE else {}
    models |= {**(dict(probe.models) if probe else {}), **provider.models}
    there = None if kind == "command" else credentials.has_key(provider)
    return ProviderState(
        name=provider.name,
        kind=provider.kind.value,
        base_url=provider.base_url,
        key=kind,
        key_where=where,
        key_there=there,
        dialects=tuple(
            map(str, provider.dialects or (probe.dialects if probe else ()) or DIALECTS[provider.kind])
        ),
        models=len(models),
        local=provider.local,
        enabled=provider.enabled,
        probed_ns=probe.time_ns if probe else None,
        tools=str(probe.tools) if probe else str(ToolSupport.UNKNOWN),
        context=max((facts.context for facts in models.values()), default=0),
        streams=probe.streams if probe else None,
        circuit=_circuit(provider.name, running),
        problem=_sentence(probe.problem) if probe and probe.problem else None,
        notes=tuple(_sentence(note) for note in probe.notes) if probe else (),
    )


def _sentence(finding: Finding) -> Sentence:
    return Sentence(
        msgid=finding.msgid, parameters=dict(finding.parameters), hint=finding.hint, code=finding.code
    )


def _where(source: KeySource) -> tuple[str, str]:
    """How a key is found, and where; never the key."""
    if source.stored:
        return "stored", ""
    if source.file:
        return "file", source.file
    if source.command:
        return "command", shlex.join(source.command)
    if source.environment:
        return "environment", source.environment
    return "none", ""


def _circuit(name: str, running: GatewayStatus | None) -> str:
    """The worst state of a provider's circuits; empty when no gateway runs."""
    if running is None:
        return ""
    states = {
        one.state.value
        for provider in running.providers
        if provider.name == name
        for one in provider.circuits
    }
    return next((state for state in ("open", "half_open") if state in states), "closed")


OPERATIONS = (
    Operation(
        name="gateway.providers.add",
        request=ProvidersAdd,
        reply=ProviderState,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=add,
        summary=N_("Add a provider of models."),
        details=N_(
            "Its key comes from an environment variable of the gateway, a file, a command, or is read from standard input and kept"
            " encrypted; it is shown nowhere. A few small questions find out what it speaks; a running gateway takes it up at once."
        ),
    ),
    Operation(
        name="gateway.providers.list",
        request=Nothing,
        reply=ProviderList,
        effect=Effect.READ,
        place=Place.HOME,
        run=list_all,
        summary=N_("The providers, and what is known of them."),
    ),
    Operation(
        name="gateway.providers.test",
        request=ProvidersTest,
        reply=ProviderList,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=test,
        summary=N_("Ask providers which dialects, models and tools they support."),
        details=N_("Each is asked a few small questions, which may cost a fraction of a cent."),
    ),
    Operation(
        name="gateway.providers.remove",
        request=ProviderName,
        reply=ProviderRemoved,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=remove,
        summary=N_("Remove a provider and its stored key."),
    ),
)
