"""What the gateway remembers, open for reading. A running gateway is not disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from lastro.app.desk import Desk
from lastro.app.gateway.places import gateway_places
from lastro.gateway.ledger import Ledger
from lastro.gateway.repository import open_repository
from lastro.store.repository import Repository


class Memory(Struct, frozen=True):
    """The gateway's repository and its ledger, open for reading."""

    repository: Repository
    ledger: Ledger


@contextmanager
def memory(desk: Desk) -> Iterator[Memory]:
    """What the gateway remembers, as of half a second ago if one runs.

    Raises:
        NoRepositoryError: it never ran here.
    """
    places = gateway_places(desk.places)
    repository = open_repository(
        places.repository,
        key_file=places.repository_key,
        cache=f"{places.cache}/gateway-chunks.sqlite",
        clock=desk.clock,
    )
    try:
        ledger = Ledger(repository, f"{places.cache}/gateway-ledger.sqlite")
        try:
            ledger.refresh(words=False)
            yield Memory(repository, ledger)
        finally:
            ledger.close()
    finally:
        repository.close()
