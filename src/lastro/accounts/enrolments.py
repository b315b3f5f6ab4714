"""Enrolments that wait: keys that invited humans made, and no owner signed for yet."""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, insert, select

from lastro.accounts.database import ENROLMENTS, AccountsDatabase
from lastro.accounts.nouns import Enrolment


class Enrolments:
    """By the id of the key. An enrolment that waits lets nobody in."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def ask(self, enrolment: Enrolment) -> None:
        """Let it wait for an owner; an earlier one of the same human falls."""
        with self._database.begin() as connection:
            connection.execute(delete(ENROLMENTS).where(ENROLMENTS.c.human == enrolment.human))
            connection.execute(
                insert(ENROLMENTS).values(
                    key_id=enrolment.key_id,
                    human=enrolment.human,
                    asked=msgspec.msgpack.encode(enrolment),
                    began_ns=enrolment.began_ns,
                )
            )

    def waiting(self) -> list[Enrolment]:
        """All that wait, the oldest first."""
        with self._database.begin() as connection:
            rows = connection.execute(select(ENROLMENTS).order_by(ENROLMENTS.c.began_ns)).all()
        return [msgspec.msgpack.decode(row.asked, type=Enrolment) for row in rows]

    def drop(self, key_id: str) -> bool:
        """It was signed for, or refused; whether it waited."""
        with self._database.begin() as connection:
            return bool(connection.execute(delete(ENROLMENTS).where(ENROLMENTS.c.key_id == key_id)).rowcount)
