"""How far the first run is: steps that were done, so that it goes on where it was left."""

from __future__ import annotations

from sqlalchemy import insert, select

from lastro.accounts.database import STEPS, AccountsDatabase


class FirstRun:
    """By the name of the step."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def done(self, step: str, now_ns: int) -> None:
        """This step was done; doing it twice is doing it once."""
        with self._database.begin() as connection:
            known = connection.execute(select(STEPS).where(STEPS.c.step == step)).first()
            if known is None:
                connection.execute(insert(STEPS).values(step=step, time_ns=now_ns))

    def steps(self) -> frozenset[str]:
        """The steps that were done."""
        with self._database.begin() as connection:
            return frozenset(connection.execute(select(STEPS.c.step)).scalars())
