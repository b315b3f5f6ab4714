"""Where the gateway keeps its things within an installation's places (``docs/reference/places.md``)."""

from __future__ import annotations

from msgspec import Struct

from lastro.app.places import Places


class GatewayPlaces(Struct, frozen=True, kw_only=True):
    """Absolute paths. Configuration is for people; ``state`` may be lost but for the spool's last second."""

    configuration: str
    """``gateway.toml``."""
    prices: str
    """``prices.toml``, the local override."""
    secrets: str
    """Provider keys, encrypted, and the key file of the gateway's repository."""
    keyring: str
    """Gateway keys, as digests."""
    local_key: str
    """The text of the key that this user's own tools use, mode 0600."""
    repository: str
    repository_key: str
    recovery_kit: str
    models: str
    """Weights of offline models, a directory each."""
    state: str
    probes: str
    cache: str
    socket: str
    """The dialects, for jails that have no network."""
    admin_socket: str


def gateway_places(places: Places) -> GatewayPlaces:
    """The gateway's places of this installation."""
    secrets = f"{places.secrets}/gateway"
    return GatewayPlaces(
        configuration=f"{places.config}/gateway.toml",
        prices=f"{places.config}/prices.toml",
        secrets=secrets,
        keyring=f"{secrets}/keys.json",
        local_key=f"{secrets}/local.key",
        repository=f"{places.data}/gateway/repository",
        repository_key=f"{secrets}/repository.key",
        recovery_kit=f"{places.config}/gateway-recovery-kit.txt",
        models=f"{places.data}/gateway/models",
        state=f"{places.state}/gateway",
        probes=f"{places.state}/gateway/probes",
        cache=places.cache,
        socket=places.gateway_socket,
        admin_socket=places.gateway_admin_socket,
    )
