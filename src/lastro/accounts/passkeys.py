"""Passkeys: what a browser has to be asked for them, beside the key itself, which is an approver key in the log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from lastro.accounts.database import PASSKEYS, AccountsDatabase
from lastro.accounts.nouns import Passkey


class Passkeys:
    """By the id of the credential."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def add(self, passkey: Passkey) -> None:
        """Keep a passkey; one with the same credential is replaced."""
        with self._database.begin() as connection:
            connection.execute(delete(PASSKEYS).where(PASSKEYS.c.credential == passkey.credential))
            connection.execute(
                insert(PASSKEYS).values(
                    credential=passkey.credential,
                    human=passkey.human,
                    key_id=passkey.key_id,
                    public_key=passkey.public_key,
                    label=passkey.label,
                    transports=" ".join(passkey.transports),
                    began_ns=passkey.began_ns,
                    count=passkey.count,
                    used_ns=passkey.used_ns,
                )
            )

    def find(self, credential: bytes) -> Passkey | None:
        """The passkey with this credential."""
        with self._database.begin() as connection:
            row = connection.execute(select(PASSKEYS).where(PASSKEYS.c.credential == credential)).first()
        return None if row is None else _passkey(row)

    def of(self, human: str) -> list[Passkey]:
        """The passkeys of a human, the oldest first; of everybody for ``""``."""
        wanted = select(PASSKEYS).order_by(PASSKEYS.c.began_ns, PASSKEYS.c.key_id)
        if human:
            wanted = wanted.where(PASSKEYS.c.human == human)
        with self._database.begin() as connection:
            return [_passkey(row) for row in connection.execute(wanted)]

    def used(self, credential: bytes, *, count: int, now_ns: int) -> bool:
        """It signed, and its counter says ``count``: whether that is more than before, as it is unless there is a copy of it (0: it counts
        not at all).
        """
        with self._database.begin() as connection:
            changed = update(PASSKEYS).where(
                PASSKEYS.c.credential == credential,
                (PASSKEYS.c.count < count) | ((PASSKEYS.c.count == 0) & (count == 0)),
            )
            return bool(connection.execute(changed.values(count=count, used_ns=now_ns)).rowcount)

    def rename(self, credential: bytes, label: str) -> None:
        """What its human calls it."""
        with self._database.begin() as connection:
            connection.execute(
                update(PASSKEYS).where(PASSKEYS.c.credential == credential).values(label=label)
            )

    def remove(self, credential: bytes) -> None:
        """Forget it. The key in the log is revoked elsewhere."""
        with self._database.begin() as connection:
            connection.execute(delete(PASSKEYS).where(PASSKEYS.c.credential == credential))


def _passkey(row: Row[Any]) -> Passkey:
    return Passkey(
        credential=row.credential,
        human=row.human,
        key_id=row.key_id,
        public_key=row.public_key,
        label=row.label,
        transports=tuple(row.transports.split()),
        began_ns=row.began_ns,
        count=row._mapping["count"],  # noqa: SLF001  ``count`` is a method of rows
        used_ns=row.used_ns,
    )
