"""The key that this user's own tools use; its text lies in ``config/secrets/gateway/local.key``."""

from __future__ import annotations

from typing import Final

from lastro.app.gateway.places import GatewayPlaces
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.keyring import Keyring

LOCAL_KEY: Final = "local"
"""Its name."""


def keep_local_key(places: GatewayPlaces, keyring: Keyring) -> None:
    """Make the key of this user's own tools unless it is there and valid."""
    try:
        if keyring.find(read_local_key(places)) is not None:
            return
    except FileNotFoundError:
        pass
    for key in keyring.listed():
        if key.name == LOCAL_KEY:
            keyring.revoke(key.id)
    _, text = keyring.mint(name=LOCAL_KEY)
    write_atomically(places.local_key, f"{text}\n".encode(), mode=0o600, system=System())


def read_local_key(places: GatewayPlaces) -> str:
    """Its text.

    Raises:
        FileNotFoundError: it was never made.
    """
    with open(places.local_key, encoding="ascii") as file:
        return file.read().strip()
