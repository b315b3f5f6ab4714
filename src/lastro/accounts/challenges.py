"""Challenges: what passkeys are asked to sign, so that an answer is good here, once, and for a few minutes.

What always holds: they lie in this process's memory alone, at most some thousand of them; after a restart a page is opened again.
"""

from __future__ import annotations

import secrets
import threading
from typing import Final

GOOD_NS: Final = 5 * 60 * 1_000_000_000
MOST: Final = 4096
_SIZE: Final = 32


class Challenges:
    """See the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[bytes, int] = {}

    def make(self, now_ns: int) -> bytes:
        """A new challenge: 32 random bytes. The oldest fall where there are too many."""
        made = secrets.token_bytes(_SIZE)
        with self._lock:
            while len(self._until) >= MOST:
                del self._until[next(iter(self._until))]
            self._until[made] = now_ns + GOOD_NS
        return made

    def take(self, challenge: bytes, now_ns: int) -> bool:
        """Whether this was asked, lately, and not answered yet; it is answered now."""
        with self._lock:
            return self._until.pop(challenge, 0) > now_ns
