"""How a keeper in a run's process gives way to one that stays (``lastro up``, ``lastro keeper serve``).

Two files in ``state``, whose contents say nothing:

- ``keeper-passing`` is there while the last keeper was one of a run. It does not come back once it is gone, so nobody waits for it.
- ``keeper-wanted`` is locked by a keeper that stays, until it has the repository. The one of a run sees that and lets go.

What always holds: these files only say who should be the keeper; who is, the repository's own lock says.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lastro.app.places import Places
from lastro.errors import LockedError
from lastro.messages import N_

_ATTEMPTS: Final = 20
_PAUSE_S: Final = 0.05


def mark_passing(places: Places) -> None:
    """The keeper is now one that goes away with its run."""
    with open(_passing(places), "wb"):
        pass


def mark_staying(places: Places) -> None:
    """The keeper is now one that stays: whoever misses it waits until it was started again."""
    with suppress(FileNotFoundError):
        os.unlink(_passing(places))


def was_passing(places: Places) -> bool:
    """Whether the keeper that is there, or was there last, is a run's."""
    return os.path.exists(_passing(places))


@contextmanager
def wanting(places: Places) -> Iterator[None]:
    """While the context lasts, a keeper of a run gives way.

    Raises:
        LockedError: another keeper that stays is being started.
    """
    os.makedirs(places.state, mode=0o700, exist_ok=True)
    with open(_wanted(places), "wb") as file:
        for attempt in range(_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # by one that only looks, for an instant; or by another
                if attempt == _ATTEMPTS - 1:
                    raise LockedError(
                        N_("Another keeper is starting here: {path}"),
                        hint=N_("See 'lastro status'."),
                        path=places.home or places.config,
                    ) from None
                time.sleep(_PAUSE_S)
        yield


def is_wanted(places: Places) -> bool:
    """Whether a keeper that stays waits for the repository."""
    try:
        with open(_wanted(places), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _passing(places: Places) -> str:
    return f"{places.state}/keeper-passing"


def _wanted(places: Places) -> str:
    return f"{places.state}/keeper-wanted"
