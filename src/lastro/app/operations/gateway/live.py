"""What a running gateway says of itself, and what holds when none runs."""

from __future__ import annotations

from lastro.app.desk import Desk
from lastro.app.gateway.places import gateway_places
from lastro.errors import UnreachableError
from lastro.gateway.admin_client import AdminClient
from lastro.gateway.administration import GatewayStatus
from lastro.gateway.configuration import read_settings
from lastro.messages import N_


def admin(desk: Desk) -> AdminClient:
    """The way to this installation's gateway."""
    return AdminClient(gateway_places(desk.places).admin_socket)


def live_status(desk: Desk) -> GatewayStatus | None:
    """How the running gateway stands; ``None`` when none runs."""
    try:
        return admin(desk).status()
    except UnreachableError:
        return None


def address_of(desk: Desk, running: GatewayStatus | None) -> str:
    """Where tools reach the gateway: what a running one says, else what configuration says."""
    if running is not None:
        return running.addresses[0]
    listen = read_settings(gateway_places(desk.places).configuration).listen
    return f"{'https' if listen.certificate else 'http'}://{listen.address}"


def not_running(error: UnreachableError) -> UnreachableError:
    """That a running gateway is needed, and how to get one."""
    del error
    return UnreachableError(
        N_("No gateway is running."), hint=N_("Start it with 'lastro gateway serve' or 'lastro up'.")
    )
