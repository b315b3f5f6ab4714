"""``status``: how everything is."""

from __future__ import annotations

import os

from lastro import __version__
from lastro.app.health import judged_servers
from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests import Status, StatusReply
from lastro.app.services import Services
from lastro.messages import N_


def status(services: Services, _: Status) -> StatusReply:
    """How everything is, from the running keeper or from the repository alone."""
    places = services.places
    return StatusReply(
        version=__version__,
        home=places.home or places.config,
        keeper=services.links is not None,
        repository=services.repository.id,
        snapshots=services.timeline.count_snapshots(),
        bytes=sum(services.repository.statistics().bytes.values()),
        servers=judged_servers(services),
        damaged=tuple(sorted({item.object for item in services.repository.damage()})),
        recovery_kit=places.recovery_kit if os.path.exists(places.recovery_kit) else "",
        exposed_key=places.key_file if _others_may_read(places.key_file) else "",
    )


def _others_may_read(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & 0o077)
    except OSError:
        return False


OPERATIONS = (
    Operation(
        name="status",
        request=Status,
        reply=StatusReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=status,
        summary=N_("How everything is."),
    ),
)
