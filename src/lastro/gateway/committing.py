"""Ended exchanges go into the repository, in batches, each exactly once.

What always holds: a batch is one transaction, and nothing is committed whose id the ledger, folded from the log up to its end, knows. So
committing again what may have been committed before is always right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from lastro.domain.record import Actor
from lastro.gateway.exchange import Bodies, Exchange
from lastro.gateway.exchange_records import draft_exchange
from lastro.gateway.ledger import Ledger
from lastro.store.repository import Repository

_BATCH: Final = 32


class Ending(Struct, frozen=True, kw_only=True):
    """An ended exchange on its way. ``bodies_lost``: they were to be recorded, and a crash came first."""

    exchange: Exchange
    bodies: Bodies | None = None
    bodies_lost: bool = False

    @property
    def id(self) -> str:
        """The exchange's."""
        return self.exchange.began.id


class Committer:
    """Commits into ``repository``, as ``actor``, and folds ``ledger`` up to it. For one thread."""

    def __init__(self, repository: Repository, ledger: Ledger, actor: Actor) -> None:
        self._repository = repository
        self._ledger = ledger
        self._actor = actor

    def commit(self, endings: Iterable[Ending], after_batch: Callable[[], None]) -> None:
        """Keep those that are not kept yet, no more than a batch in memory; ``after_batch`` is called after each transaction.

        Raises:
            StorageFullError: no room; what was committed before stays so.
            LastroError: the disk failed. Commit the same again, which settles what happened.
        """
        coming = iter(endings)
        while batch := list(islice(coming, _BATCH)):
            self._commit_batch(batch)
            after_batch()

    def _commit_batch(self, batch: Sequence[Ending]) -> None:
        with self._repository.begin() as transaction:
            # After `begin`, which settles what an earlier failure left in doubt: the ledger then knows all that the log holds.
            self._ledger.refresh(words=False)
            new = {item.id: item for item in batch if not self._ledger.knows(item.id)}
            drafts = [
                draft_exchange(
                    transaction,
                    item.exchange,
                    item.bodies,
                    bodies_lost=item.bodies_lost,
                    actor=self._actor,
                )
                for item in new.values()
            ]
            transaction.commit(*drafts)
        self._ledger.refresh(words=False)
