"""Which work may be broken off in the middle: what changes nothing, and what is thrown away whole when it does not come to its end.

What always holds: an apply is never left half-way because somebody cancelled it, or because its worker was told to stop.
"""

from __future__ import annotations

from typing import Final

from lastro.app.operation import Effect, find_operation
from lastro.errors import ConflictError

_THROWN_AWAY: Final = frozenset({"capture", "capture.server"})
"""Operations that change something, and leave nothing of it when they raise."""


class CancelledError(ConflictError):
    """Somebody cancelled the job."""


class StoppedError(ConflictError):
    """The worker was told to stop: somebody else may do the job, from its beginning."""


def may_be_broken_off(operation: str) -> bool:
    """Whether the operation called so may be.

    Raises:
        UsageError: there is none.
    """
    return operation in _THROWN_AWAY or find_operation(operation).effect is Effect.READ
