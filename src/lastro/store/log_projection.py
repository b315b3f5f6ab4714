"""``LogProjection``: a database that is made of the log alone, and can be thrown away and made anew.

What always holds: a record has its whole effect and moves the cursor, or neither; records are folded in their order, each once; nobody
pushes: whoever asks pulls what is new first. Safe to use from several threads, one at a time.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import Final

from lastro.store.cache_database import open_cache_database
from lastro.store.repository import Repository, StoredRecord

BATCH: Final = 256
"""Records that are folded in one transaction."""


class LogProjection(ABC):
    """See the module. Whoever derives from it says in ``_enter`` what a record means."""

    def __init__(self, repository: Repository, path: str | None, *, schema: str, version: int) -> None:
        """``path`` of the SQLite file; ``None``: in memory. A foreign or damaged file, or one of another ``version``, is made anew."""
        self._repository = repository
        self._lock = threading.RLock()
        self._database = open_cache_database(path, schema=schema, version=version, repository=repository.id)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def refresh(self) -> int:
        """Fold every record that is not in yet; return the newest ``seq``, -1 for an empty log."""
        with self._lock:
            seq = self._cursor()
            if self._repository.head()[0] <= seq:
                return seq
            records = self._repository.records(after=seq, past_damage=True)
            while batch := list(islice(records, BATCH)):
                seq = self._fold(batch)
            return seq

    @abstractmethod
    def _enter(self, stored: StoredRecord) -> None:
        """Let a record have its effect, inside a transaction."""

    def _cursor(self) -> int:
        return int(self._database.execute("SELECT seq FROM cursor").fetchone()[0])

    def _fold(self, batch: Sequence[StoredRecord]) -> int:
        """In one transaction, because that is what takes the time; where a record of it fails, those before it are folded all the same."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            seq = self._cursor()
            for stored in batch:
                if seq < stored.seq:
                    self._enter(stored)
                    seq = stored.seq
            database.execute("UPDATE cursor SET seq = ?", (seq,))
            database.execute("COMMIT")
        except BaseException as error:
            if database.in_transaction:  # a full disk has ended it already
                database.execute("ROLLBACK")
            if len(batch) == 1 or not isinstance(error, Exception):
                raise
        else:
            return seq
        for stored in batch:
            seq = self._fold([stored])
        return seq
