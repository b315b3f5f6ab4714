"""Which commands there are inside a run, where ``LASTRO_SOCKET`` names the run's own socket.

The keeper decides for itself what it answers there (``runs.memory.SERVED``). This is about what would run in the jail's own process:
it says in one sentence what else would fail in some other way.
"""

from __future__ import annotations

from typing import Final

from lastro.app.places import Places
from lastro.errors import DeniedError
from lastro.messages import N_

CALLER_OPERATIONS: Final = frozenset({"diff", "restore"})
"""Operations of the caller's own process that work inside a run."""


def require_available(places: Places, name: str) -> None:
    """Return unless this is inside a run, and ``name`` (an operation or a process) is not for there.

    Raises:
        DeniedError: it is not.
    """
    if places.memory and name not in CALLER_OPERATIONS:
        raise not_in_a_run(name)


def not_in_a_run(name: str) -> DeniedError:
    """What to say of an operation that is not for runs."""
    return DeniedError(
        N_("'{command}' is not available inside a run."),
        hint=N_("Inside a run: lastro log, cat, find, diff, restore. A human decides on the rest."),
        command=f"lastro {name.replace('.', ' ')}",
    )
