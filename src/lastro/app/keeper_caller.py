"""``KeeperCaller``: operations asked for inside the keeper itself, over the services that it has open. See ``Caller``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from msgspec import Struct

from lastro.app.operation import Operation, Place, find_operation
from lastro.app.services import Services
from lastro.capture.source import Source
from lastro.errors import UsageError
from lastro.messages import N_


class KeeperCaller:
    """On behalf of ``services.actor``. Closing it closes nothing: the services are the keeper's."""

    def __init__(
        self, services: Services, *, find: Callable[[str], Operation[Any, Any]] = find_operation
    ) -> None:
        self._services = services
        self._find = find

    def call(self, name: str, request: Struct) -> object:
        """See ``Caller``."""
        operation = self._find(name)
        assert operation.place is Place.KEEPER, name
        return operation.run(self._services, request)

    def offer(self, source: Source) -> AbstractContextManager[str]:
        """See ``Caller``."""
        return self._services.offers.offering(source)

    def events(self, after: int | None) -> Iterator[Struct]:
        """See ``Caller``.

        Raises:
            UsageError: always; whoever is in the keeper subscribes to its feed.
        """
        del after
        raise UsageError(N_("Events of a keeper are not followed from inside it."))

    def damage(self) -> tuple[str, ...]:
        """See ``Caller``."""
        return ()

    def close(self) -> None:
        """See ``Caller``."""
