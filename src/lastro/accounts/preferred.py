"""Preferences: how each human likes the console."""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, insert, select

from lastro.accounts.database import PREFERENCES, AccountsDatabase
from lastro.accounts.nouns import Preferences


class Preferred:
    """By human."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def of(self, human: str) -> Preferences:
        """What they chose; the defaults where they chose nothing, or what is kept cannot be read."""
        with self._database.begin() as connection:
            row = connection.execute(select(PREFERENCES).where(PREFERENCES.c.human == human)).first()
        try:
            return Preferences() if row is None else msgspec.json.decode(row.chosen, type=Preferences)
        except msgspec.DecodeError:
            return Preferences()

    def choose(self, human: str, preferences: Preferences) -> None:
        """Keep what they chose."""
        with self._database.begin() as connection:
            connection.execute(delete(PREFERENCES).where(PREFERENCES.c.human == human))
            connection.execute(
                insert(PREFERENCES).values(human=human, chosen=msgspec.json.encode(preferences))
            )
