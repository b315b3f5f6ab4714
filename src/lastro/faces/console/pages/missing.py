"""What is shown where there is no page."""

from __future__ import annotations

from lastro.errors import NotFoundError
from lastro.faces.console.asked import Answer, Asked, Way
from lastro.messages import N_


def _missing(_asked: Asked) -> Answer:
    raise NotFoundError(N_("There is no such page."), hint=N_("The menu leads to every page there is."))


MISSING = Way(path="/{rest:path}", handler=_missing, right=None, methods=("GET", "POST"))
