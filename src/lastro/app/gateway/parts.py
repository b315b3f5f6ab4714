"""The gateway's parts as this installation has them: what its process and the commands about it both need."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from lastro.app.gateway.places import GatewayPlaces
from lastro.domain.clock import Clock
from lastro.errors import ConfigError, LastroError
from lastro.filesystem.system import System
from lastro.gateway.credentials import CredentialStore
from lastro.gateway.keyring import Keyring
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.price_overrides import read_overrides
from lastro.gateway.price_table import load_price_table
from lastro.gateway.priced_models import EMPTY_TABLE
from lastro.gateway.prices import Prices
from lastro.gateway.provider import ModelFacts, Provider
from lastro.gateway.stored_keys import StoredKeys
from lastro.messages import N_


def make_directories(places: GatewayPlaces) -> None:
    """Make what the gateway writes into, for its owner alone."""
    for path in (places.secrets, places.models, places.state):
        os.makedirs(path, mode=0o700, exist_ok=True)


def open_credentials(
    places: GatewayPlaces, providers: Callable[[], Sequence[Provider]], clock: Clock
) -> CredentialStore:
    """Provider keys, with this process's environment."""
    stored = StoredKeys(
        places.secrets, f"{places.secrets}/provider-keys.key", entropy=secrets.token_bytes, system=System()
    )
    return CredentialStore(stored, environment=os.environ, providers=providers, clock=clock)


def open_keyring(places: GatewayPlaces, clock: Clock) -> Keyring:
    """The keys that the gateway gives out."""
    return Keyring(places.keyring, clock_ns=clock.wall_ns, random_bytes=secrets.token_bytes, system=System())


def open_prices(places: GatewayPlaces, clock: Clock, *, on_problem: Callable[[LastroError], None]) -> Prices:
    """What providers charge: the local file over the data package.

    A package that is missing or cannot be read is told to ``on_problem``, and leaves prices unknown.

    Raises:
        ConfigError: ``prices.toml`` says something impossible.
    """
    overrides = read_overrides(places.prices)
    try:
        table = load_price_table(places.cache)
    except ConfigError as error:
        on_problem(error)
        table = EMPTY_TABLE
    return Prices(table, overrides, now_ns=clock.wall_ns)


class OfflineFacts:
    """The offline models that are here, as routing needs them: the same mapping until one comes or goes. For one thread."""

    def __init__(self, directory: ModelDirectory, *, on_problem: Callable[[LastroError], None]) -> None:
        self._directory = directory
        self._on_problem = on_problem
        self._stamp: tuple[tuple[str, int], ...] | None = None
        self._facts: Mapping[str, ModelFacts] = MappingProxyType({})
        self.refresh()

    def all(self) -> Mapping[str, ModelFacts]:
        """By name, as of the last ``refresh``."""
        return self._facts

    def refresh(self) -> None:
        """Look at the directory. A model that cannot be read is told once to ``on_problem`` and left out."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        found: dict[str, ModelFacts] = {}
        for name, _ in stamp:
            try:
                found[name] = self._directory.model(name).facts
            except LastroError as error:
                self._on_problem(error)
        self._facts = MappingProxyType(found)

    def _look(self) -> tuple[tuple[str, int], ...]:
        try:
            with os.scandir(self._directory.path) as entries:
                found = [
                    (entry.name, entry.stat().st_mtime_ns)
                    for entry in entries
                    if entry.is_dir() and not entry.name.startswith(".")
                ]
        except FileNotFoundError:
            return ()
        return tuple(sorted(found))


def require_gateway() -> None:
    """Make sure that the gateway's extra is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import aiohttp  # noqa: F401, PLC0415  looked for, and used by what is imported later
    except ModuleNotFoundError as error:
        raise ConfigError(
            N_("This installation has no gateway: {module} is missing."),
            hint=N_("Install it with: pip install 'lastro[gateway]'"),
            module=error.name,
        ) from error
