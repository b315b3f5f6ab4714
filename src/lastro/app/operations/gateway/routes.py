"""Routes: which models answer what, and the settings with which a coding tool asks the gateway."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lastro.app.desk import Desk
from lastro.app.gateway.local_key import LOCAL_KEY
from lastro.app.gateway.parts import OfflineFacts, open_credentials, open_keyring, open_prices
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.gateway.dialects import dialects_of
from lastro.app.operations.gateway.live import address_of, live_status
from lastro.app.requests.gateway import (
    Environment,
    EnvironmentReply,
    RouteChoice,
    RouteExplained,
    RouteList,
    RoutesExplain,
    RoutesList,
    RouteState,
    SettingsFile,
)
from lastro.app.requests.sentence import told
from lastro.errors import ConfigError, LastroError, NotFoundError, UsageError
from lastro.gateway.administration import GatewayStatus
from lastro.gateway.configuration import read_settings
from lastro.gateway.environment import CodingTool, settings_for
from lastro.gateway.environment_files import merged, write_settings
from lastro.gateway.keys import GatewayKey
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.probe_store import ProbeStore
from lastro.gateway.route import Considered, Route, Routed, TaskKind
from lastro.gateway.routing import SettingsRouter
from lastro.messages import N_


class SeenHealth:
    """How providers fared when the running gateway was asked (``routing.Health``); without one, all are well."""

    def __init__(self, running: GatewayStatus | None) -> None:
        circuits = (one for provider in (running.providers if running else ()) for one in provider.circuits)
        self._circuits = {one.name: one for one in circuits}
        self.network_down = running.network_down if running else False

    def retry_after_s(self, provider: str, model: str) -> float | None:
        """See ``Health``."""
        found = (self._circuits.get(name) for name in (provider, f"{provider}/{model}"))
        shut = [one.retry_after_s for one in found if one is not None and one.state.value == "open"]
        return max(shut, default=None)

    def in_flight(self, provider: str, model: str) -> int:
        """See ``Health``."""
        found = self._circuits.get(f"{provider}/{model}")
        return found.in_flight if found else 0


def open_router(desk: Desk, running: GatewayStatus | None, problems: list[LastroError]) -> SettingsRouter:
    """Routing as a gateway of this installation does it now, for looking; ``problems`` takes what could not be read."""
    places = gateway_places(desk.places)
    settings = read_settings(places.configuration)
    credentials = open_credentials(places, lambda: settings.providers, desk.clock)
    prices = open_prices(places, desk.clock, on_problem=problems.append)
    return SettingsRouter(
        settings=lambda: settings,
        probes=ProbeStore(places.probes).all,
        offline_models=OfflineFacts(ModelDirectory(places.models), on_problem=problems.append).all,
        health=SeenHealth(running),
        random=lambda: 0.5,
        has_key=credentials.has_key,
        known_facts=prices.facts,
    )


def explain(desk: Desk, request: RoutesExplain) -> RouteExplained:
    """What would be done with a call."""
    running = live_status(desk)
    (dialect,) = dialects_of((request.dialect,))
    problems: list[LastroError] = []
    routed = open_router(desk, running, problems).explain(
        kind=_task_kind(request.task) if request.task else None,
        model=request.model,
        dialect=dialect,
        headers=_headers(request.header),
        key=_key(desk, request.key or LOCAL_KEY, required=bool(request.key)),
        has_tools=request.tools,
        has_images=request.images,
        input_tokens=request.tokens,
    )
    return RouteExplained(
        route=routed.route.name,
        kind=routed.kind.value,
        passed=routed.passed,
        choices=_choices(routed),
        redaction=routed.route.redaction,
        recording=routed.route.recording,
        origin=routed.route.origin.value,
        live=running is not None,
        problems=tuple(map(told, problems)),
    )


def _choices(routed: Routed) -> tuple[RouteChoice, ...]:
    reasons = {one.model: one for one in routed.considered}
    chosen = tuple(
        RouteChoice(
            model=one.name,
            reason="chosen",
            detail=reasons.get(one.name, Considered(model="", reason="")).detail,
            place=place,
            dialect=one.dialect.value,
            degraded=one.degraded,
        )
        for place, one in enumerate(routed.candidates, start=1)
    )
    names = {one.model for one in chosen}
    return chosen + tuple(
        RouteChoice(model=one.model, reason=one.reason, detail=one.detail)
        for one in routed.considered
        if one.model not in names
    )


def _task_kind(word: str) -> TaskKind:
    try:
        return TaskKind(word)
    except ValueError as error:
        raise UsageError(
            N_("There is no task kind {word}."),
            hint=N_("There are: {kinds}"),
            word=word,
            kinds=", ".join(kind.value for kind in TaskKind),
        ) from error


def _headers(lines: tuple[str, ...]) -> Mapping[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise UsageError(N_("{line} is no header."), hint=N_("Write it as 'name: value'."), line=line)
        headers[name.strip().lower()] = value.strip()
    return headers


def _key(desk: Desk, name: str, *, required: bool) -> GatewayKey:
    for key in reversed(open_keyring(gateway_places(desk.places), desk.clock).listed()):
        if name in {key.id, key.name} and key.revoked_ns is None:
            return key
    if required:
        raise NotFoundError(
            N_("There is no key {key}."), hint=N_("See 'lastro gateway keys list'."), key=name
        )
    return GatewayKey(id=LOCAL_KEY, name=LOCAL_KEY, digest="")


def list_all(desk: Desk, _: RoutesList) -> RouteList:
    """The routes of the configuration file."""
    path = gateway_places(desk.places).configuration
    running = live_status(desk)
    settings = read_settings(path)
    return RouteList(
        routes=tuple(
            RouteState(
                name=route.name,
                match=_match_of(route),
                models=tuple(choice.model for choice in route.models),
                redaction=route.redaction,
                recording=route.recording,
                origin=route.origin.value,
            )
            for route in settings.routes
        ),
        path=path,
        problem=running.problem if running else "",
    )


def _match_of(route: Route) -> str:
    """A route's conditions as the configuration writes them, those that say nothing left out."""
    conditions = []
    for name in route.match.__struct_fields__:
        value = getattr(route.match, name)
        if isinstance(value, tuple):
            value = ", ".join(map(str, value))
        elif isinstance(value, dict):
            value = ", ".join(f"{header}: {glob}" for header, glob in value.items())
        if value not in (None, "", 0):
            conditions.append(f"{name} = {value}")
    return "; ".join(conditions)


def environment(desk: Desk, request: Environment) -> EnvironmentReply:
    """The settings of one tool, printed or written."""
    try:
        tool = CodingTool(request.tool)
    except ValueError as error:
        raise UsageError(
            N_("Lastro knows no settings for {tool}."),
            hint=N_(
                "It knows {tools}. Any other tool that takes a base URL and a key works too: {address}/v1, 'lastro gateway keys add'."
            ),
            tool=request.tool,
            tools=", ".join(tool.value for tool in CodingTool),
            address=address_of(desk, live_status(desk)),
        ) from error
    running = live_status(desk)
    address = address_of(desk, running)
    if running is None and address.endswith(":0"):
        raise ConfigError(
            N_("The gateway takes any free port, so only a running one has an address."),
            hint=N_(
                "Start it with 'lastro gateway serve', or set a port in address of [listen] in gateway.toml."
            ),
        )
    settings = settings_for(
        tool,
        base_url=address,
        key=_local_key(desk),
        model=request.model,
        home=os.path.expanduser("~"),
        variables=os.environ,
    )
    written = {one.path: one for one in write_settings(settings)} if request.write else {}
    return EnvironmentReply(
        tool=tool.value,
        address=address,
        variables=dict(settings.variables if request.write else settings.environment),
        files=tuple(
            SettingsFile(
                path=file.path,
                content="" if request.write else merged(file, ""),
                written=request.write,
                backup=written[os.path.realpath(file.path)].backup if request.write else "",
            )
            for file in (settings.files if request.write or not settings.complete else ())
        ),
        command=settings.command,
        notes=tuple(map(told, settings.notes)),
    )


def _local_key(desk: Desk) -> str:
    path = gateway_places(desk.places).local_key
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError as error:
        raise NotFoundError(
            N_("There is no key for this user's tools yet."),
            hint=N_("The gateway makes it when it starts: 'lastro gateway serve' or 'lastro up'."),
        ) from error


OPERATIONS = (
    Operation(
        name="gateway.routes.explain",
        request=RoutesExplain,
        reply=RouteExplained,
        effect=Effect.READ,
        place=Place.HOME,
        run=explain,
        summary=N_("Which models would answer a call, and why the others would not."),
        details=N_("Nothing is asked. Where chance decides between models, the likeliest order is shown."),
    ),
    Operation(
        name="gateway.routes.list",
        request=RoutesList,
        reply=RouteList,
        effect=Effect.READ,
        place=Place.HOME,
        run=list_all,
        summary=N_("The routes, in the order in which they are tried."),
    ),
    Operation(
        name="gateway.env",
        request=Environment,
        reply=EnvironmentReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=environment,
        summary=N_("The settings with which a coding tool uses the gateway: shown, or written with --write."),
        details=N_(
            "They hold the key that the gateway made for this user's own tools. --write merges them into the tool's own files; what was"
            " there before lies beside them."
        ),
    ),
)
