"""How the gateway is."""

from __future__ import annotations

from lastro.app.desk import Desk
from lastro.app.gateway.parts import OfflineFacts
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.operations.gateway.live import address_of, live_status
from lastro.app.requests.gateway import GatewayStatus
from lastro.errors import ConfigError, LastroError
from lastro.gateway.configuration import read_settings
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.probe_store import ProbeStore
from lastro.gateway.settings import Settings
from lastro.messages import N_


def status(desk: Desk, _: Nothing) -> GatewayStatus:
    """How the gateway is, running or not."""
    places = gateway_places(desk.places)
    running = live_status(desk)
    problems: list[LastroError] = []
    offline = len(OfflineFacts(ModelDirectory(places.models), on_problem=problems.append).all())
    try:
        settings = read_settings(places.configuration)
    except ConfigError as error:
        problems.append(error)
        settings = Settings()
    probes = ProbeStore(places.probes).all()
    known = {provider.name: set(provider.models) for provider in settings.providers}
    for name, probe in probes.items():
        known.get(name, set()).update(probe.models)
    circuits = (one for provider in (running.providers if running else ()) for one in provider.circuits)
    return GatewayStatus(
        running=running is not None,
        address=address_of(desk, running) if running or not problems else "",
        socket=places.socket,
        home=desk.places.home or desk.places.config,
        providers=len(settings.providers),
        models=sum(map(len, known.values())) + offline,
        offline_models=offline,
        pid=running.pid if running else 0,
        uptime_ns=int(running.uptime_s * 1e9) if running else 0,
        in_flight=running.in_flight if running else 0,
        circuits={one.name: one.state.value for one in circuits},
        network_down=running.network_down if running else False,
        engine=running.engine if running else "",
        problem=(running.problem if running else "") or (str(problems[0]) if problems else ""),
    )


OPERATIONS = (
    Operation(
        name="gateway.status",
        request=Nothing,
        reply=GatewayStatus,
        effect=Effect.READ,
        place=Place.HOME,
        run=status,
        summary=N_("How the gateway is."),
    ),
)
