"""Attempts: how often somebody tried to get in, as buckets that empty with time.

What always holds: whoever tried too often waits, and a wait is over by itself: nobody is locked out for ever. An attempt counts before it
is looked at, so that many at once are no way around. What is counted stands as a digest: people type passwords where a name belongs.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select, update

from lastro.accounts.database import ATTEMPTS, AccountsDatabase, digest_of

_FORGOTTEN_NS: Final = 24 * 3600 * 1_000_000_000


class Limit(Struct, frozen=True, kw_only=True):
    """``burst`` attempts are free; then one each ``every_ns``."""

    burst: int
    every_ns: int


class Attempts:
    """See the module."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def take(self, what: str, limit: Limit, now_ns: int) -> int:
        """Let ``what`` try: 0, and the attempt counts; or how long (ns, at most one interval) it has to wait, and it does not."""
        digest = digest_of(what)
        with self._database.begin() as connection:
            row = connection.execute(select(ATTEMPTS).where(ATTEMPTS.c.digest == digest)).first()
            level_ns = limit.every_ns
            if row is not None:
                level_ns += max(0, row.level_ns - max(0, now_ns - row.time_ns))
            if row is not None and now_ns < row.time_ns:  # the clock was set back: waiting counts from now on
                connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.digest == digest).values(time_ns=now_ns))
            if level_ns > limit.burst * limit.every_ns:
                return level_ns - limit.burst * limit.every_ns
            gone = ATTEMPTS.c.time_ns < now_ns - _FORGOTTEN_NS
            connection.execute(delete(ATTEMPTS).where((ATTEMPTS.c.digest == digest) | gone))
            connection.execute(insert(ATTEMPTS).values(digest=digest, level_ns=level_ns, time_ns=now_ns))
        return 0

    def succeeded(self, what: str) -> None:
        """``what`` got in: its attempts are forgotten."""
        with self._database.begin() as connection:
            connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.digest == digest_of(what)))
