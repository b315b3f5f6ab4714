"""Approver keys that are unlocked in the keeper's memory for a few minutes, because their human asked for that.

What always holds: a key serves the session that unlocked it and no other, until its time is over or the session signs out; it is for
proposals of low risk only (``signing_desk``); it is never written anywhere. Passphrases cannot be tried in a row.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from lastro.errors import LimitError
from lastro.messages import N_

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

UNLOCKED_NS: Final = 5 * 60 * 1_000_000_000
"""For how long a key stays unlocked."""
GUESSES: Final = 8
"""Wrong passphrases of one human within ``UNLOCKED_NS``."""


class UnlockedKey(NamedTuple):
    """A key that can sign, until ``until_ns``."""

    key_id: str
    private_key: Ed25519PrivateKey
    until_ns: int


class Unlocked:
    """See the module. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, UnlockedKey] = {}
        self._wrong: dict[str, list[int]] = {}

    def keep(self, session: str, key_id: str, private_key: Ed25519PrivateKey, now_ns: int) -> None:
        """Let the key sign for this session."""
        with self._lock:
            self._keys = {name: key for name, key in self._keys.items() if key.until_ns > now_ns}
            self._keys[session] = UnlockedKey(key_id, private_key, now_ns + UNLOCKED_NS)

    def key(self, session: str, now_ns: int) -> UnlockedKey | None:
        """The key that this session unlocked, as long as it may."""
        with self._lock:
            found = self._keys.get(session)
            if found is not None and found.until_ns <= now_ns:
                del self._keys[session]
                return None
            return found

    def forget(self, session: str) -> None:
        """Lock it again; nothing happens where it is."""
        with self._lock:
            self._keys.pop(session, None)

    def refuse_guessing(self, key_id: str, now_ns: int) -> None:
        """Refuse another passphrase where too many were wrong.

        Raises:
            LimitError: they were.
        """
        with self._lock:
            recent = [time_ns for time_ns in self._wrong.get(key_id, ()) if now_ns - time_ns < UNLOCKED_NS]
            self._wrong[key_id] = recent
            if len(recent) < GUESSES:
                return
        raise LimitError(
            N_("Too many wrong passphrases were given for this key."),
            hint=N_("Wait five minutes, or sign with a passkey."),
        )

    def guessed_wrong(self, key_id: str, now_ns: int) -> None:
        """A passphrase was wrong."""
        with self._lock:
            self._wrong.setdefault(key_id, []).append(now_ns)
